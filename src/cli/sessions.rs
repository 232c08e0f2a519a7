//! `poolgate sessions`: who is where, since when.

use std::process::ExitCode;

use super::args::ListArgs;
use super::table::{age, table};
use super::{Failure, client};
use crate::pool::Stage;
use crate::pool::snapshot::SessionView;

/// As CSV.
const COLUMNS: [&str; 8] = [
    "id", "user", "protocol", "pool", "instance", "peer", "since", "stage",
];

pub(super) async fn run(args: &ListArgs) -> Result<ExitCode, Failure> {
    client::show_list(args, "/api/v1/sessions", &COLUMNS, to_table).await
}

pub(super) fn to_table(sessions: Vec<SessionView>) -> String {
    let headings = [
        "ID", "USER", "PROTOCOL", "POOL", "INSTANCE", "PEER", "AGE", "STAGE",
    ];
    table(headings, sessions.iter().map(row))
}

fn row(session: &SessionView) -> [String; 8] {
    let stage = match session.stage {
        Stage::Provisional => "provisional",
        Stage::Reserved => "reserved",
        Stage::Live => "live",
    };
    [
        session.id.to_string(),
        session.user.as_deref().unwrap_or("-").to_owned(),
        session.protocol.to_string(),
        session.pool.to_string(),
        session.instance.to_string(),
        session.peer.to_string(),
        age(session.since),
        match session.is_elsewhere {
            true => format!("{stage}, at an older gate"),
            false => stage.to_owned(),
        },
    ]
}
