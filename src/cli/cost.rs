//! `poolgate cost`: what the machines of the pools have cost, month by month and person by person.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::ValueEnum;

use super::args::GateArgs;
use super::table::{local, table};
use super::{Failure, client, plain, print};
use crate::admin::CostView;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gate: GateArgs,
    /// Only this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    /// The objects of /api/v1
    Json,
    /// A line for each person's machine-hours and cost, of one pool
    Csv,
}

/// What fits a screen; files hold everybody.
const PEOPLE_SHOWN: usize = 20;

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut pools: Vec<CostView> = client::read(&args.gate, "/api/v1/cost").await?;
    if let Some(pool) = &args.pool {
        pools.retain(|view| *view.pool == **pool);
        if pools.is_empty() {
            return Err(anyhow!(
                "no ledger is kept for a pool named {pool:?}: only pools that are resized have one"
            )
            .into());
        }
    }
    let text = match args.output {
        Format::Table => to_table(&pools),
        Format::Json => print::json(&pools)?,
        Format::Csv => to_csv(&pools)?,
    };
    print::show(text.as_bytes())
}

fn to_csv(pools: &[CostView]) -> anyhow::Result<String> {
    match pools {
        [] => Err(anyhow!("no pool is resized, so no ledger is kept")),
        [one] => Ok(one.csv()),
        several => {
            let names: Vec<_> = several.iter().map(|view| &*view.pool).collect();
            let names = names.join(", ");
            Err(anyhow!(
                "a table is of one pool: choose one of {names} with --pool"
            ))
        }
    }
}

fn to_table(pools: &[CostView]) -> String {
    if pools.is_empty() {
        return "no pool is resized, so no ledger is kept\n".to_owned();
    }
    let rows: Vec<_> = pools.iter().map(pool_row).collect();
    let headings = [
        "POOL", "SINCE", "BILLED", "USED", "IDLE", "BOOTING", "LOST", "SAVED", "COST",
    ];
    let totals = table(headings, rows);
    let rows: Vec<_> = pools.iter().flat_map(month_rows).collect();
    let headings = [
        "POOL", "MONTH", "BILLED", "USED", "IDLE", "BOOTING", "LOST", "COST",
    ];
    let months = table(headings, rows);
    let rows: Vec<_> = pools.iter().flat_map(people_rows).collect();
    let people = table(["POOL", "PERSON", "HOURS", "COST"], rows);
    let remark = "Machine-hours; saved is what as many machines as the pool may have, always on, would have had beyond.";
    format!("{remark}\n\n{totals}\n{months}\n{people}")
}

fn pool_row(view: &CostView) -> [String; 9] {
    let hours = &view.hours;
    [
        view.pool.to_string(),
        local(view.since, "%Y-%m-%d"),
        tenths(hours.billed_h),
        tenths(hours.used_h),
        tenths(hours.idle_h),
        tenths(hours.booting_h),
        tenths(hours.lost_h),
        tenths(view.saved_h),
        money(view.cost),
    ]
}

fn month_rows(view: &CostView) -> impl Iterator<Item = [String; 8]> {
    view.months.iter().map(|month| {
        let hours = &month.hours;
        [
            view.pool.to_string(),
            month.month.clone(),
            tenths(hours.billed_h),
            tenths(hours.used_h),
            tenths(hours.idle_h),
            tenths(hours.booting_h),
            tenths(hours.lost_h),
            money(month.cost),
        ]
    })
}

/// Those with most first, then those without a line of their own, then what nobody used.
fn people_rows(view: &CostView) -> Vec<[String; 4]> {
    let mut people: Vec<_> = view.people.iter().collect();
    people.sort_by(|one, other| other.hours.total_cmp(&one.hours));
    let row = |who: String, hours: f64| {
        let pool = view.pool.to_string();
        [pool, who, tenths(hours), money(hours * view.price)]
    };
    let (shown, rest) = people.split_at(people.len().min(PEOPLE_SHOWN));
    let mut rows: Vec<_> = shown
        .iter()
        .map(|one| row(plain::line(&one.user), one.hours))
        .collect();
    let others = rest.iter().map(|one| one.hours).sum::<f64>() + view.others_h;
    if others > 0.0 {
        rows.push(row("(others)".to_owned(), others));
    }
    rows.push(row("(nobody)".to_owned(), view.unused_h));
    rows
}

fn tenths(hours: f64) -> String {
    format!("{hours:.1}")
}

fn money(sum: f64) -> String {
    format!("{sum:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::cost::{HoursView, MonthCost, PersonCost};
    use std::time::SystemTime;

    fn view(pool: &str, people: usize) -> CostView {
        let hours = HoursView {
            billed_h: 100.0,
            used_h: 75.5,
            ..HoursView::default()
        };
        let person = |at: usize| PersonCost {
            user: format!("p{at:02}").into(),
            hours: 1.0 + f64::from(u32::try_from(at).unwrap()),
            cost: 0.0,
        };
        CostView {
            pool: pool.into(),
            since: SystemTime::UNIX_EPOCH,
            span_h: 50.0,
            hours,
            saved_h: -3.0,
            cost: 200.0,
            price: 2.0,
            people: (0..people).map(person).collect(),
            others_h: 0.0,
            unused_h: 24.5,
            months: vec![MonthCost {
                month: "2026-11".to_owned(),
                hours,
                cost: 200.0,
            }],
        }
    }

    #[test]
    fn those_with_most_come_first_and_nobody_is_lost() {
        let text = to_table(&[view("main", 22)]);
        let lines: Vec<_> = text.lines().collect();
        let at = lines
            .iter()
            .position(|line| line.contains("PERSON"))
            .unwrap();
        assert_eq!(lines[at + 1], "main  p21        22.0  44.00");
        assert_eq!(lines[at + 21], "main  (others)    3.0   6.00");
        assert_eq!(lines[at + 22], "main  (nobody)   24.5  49.00");
        assert!(text.contains("2026-11"), "{text}");
        assert!(to_table(&[]).contains("no pool is resized"));
    }

    #[test]
    fn a_csv_is_of_one_pool() {
        let csv = to_csv(&[view("main", 1)]).unwrap();
        assert_eq!(
            csv,
            "person,machine_hours,cost\n\"p00\",1.000,0.00\n,24.500,49.00\n"
        );
        let error = to_csv(&[view("main", 1), view("gpu", 1)]).unwrap_err();
        assert!(error.to_string().contains("main, gpu"), "{error}");
        assert!(to_csv(&[]).is_err());
    }
}
