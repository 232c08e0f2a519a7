//! `poolgate queue`: who waits for a seat, by which doors, since when.

use std::process::ExitCode;

use super::args::ListArgs;
use super::table::{age, table};
use super::{Failure, client};
use crate::pool::WaiterView;

/// As CSV.
const COLUMNS: [&str; 7] = ["pool", "place", "user", "by", "source", "since", "is_there"];

pub(super) async fn run(args: &ListArgs) -> Result<ExitCode, Failure> {
    client::show_list(args, "/api/v1/queue", &COLUMNS, to_table).await
}

pub(super) fn to_table(queue: Vec<WaiterView>) -> String {
    let headings = ["POOL", "PLACE", "USER", "BY", "SOURCE", "WAITS", "THERE"];
    table(headings, queue.iter().map(row))
}

fn row(waiter: &WaiterView) -> [String; 7] {
    let by: Vec<String> = waiter.by.iter().map(ToString::to_string).collect();
    [
        waiter.pool.to_string(),
        waiter.place.to_string(),
        waiter.user.as_deref().unwrap_or("-").to_owned(),
        by.join(","),
        waiter.source.to_string(),
        age(waiter.since),
        if waiter.is_there { "yes" } else { "cut off" }.to_owned(),
    ]
}
