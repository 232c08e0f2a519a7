//! `poolgate scale`: have a pool at least so many machines for a while; with `--wait`, until as many take people.

use std::process::ExitCode;
use std::time::Duration;

use super::args::{GateArgs, Output, duration};
use super::table::span;
use super::wait::{self, Look};
use super::{Failure, client, plain, print};
use crate::admin::{ScaleAnswer, ScaleRequest};
use crate::pool::{AdminState, Health, InstanceView, MachinePhase, PoolView};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gate: GateArgs,
    #[arg(value_name = "POOL")]
    pool: String,
    /// Machines that it should have at least; those above that nobody needs are drained
    #[arg(value_name = "N")]
    machines: u32,
    /// For how long; then the policy alone says how many
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    hold: Duration,
    /// Return when as many take people, or as many as the pool may have at most
    #[arg(long)]
    wait: bool,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let request = ScaleRequest {
        pool: args.pool.clone(),
        machines: args.machines,
        hold_s: args.hold.as_secs(),
        is_dry_run: args.dry_run,
    };
    let answer: ScaleAnswer = client::order(&args.gate, "/api/v1/scale", &request).await?;
    let code = match args.output {
        Output::Table => print::show(to_text(&request, &answer).as_bytes()),
        Output::Json => print::show_json(&answer),
    }?;
    if args.wait && !args.dry_run {
        print::remark(&wait_for(args).await?);
    }
    Ok(code)
}

async fn wait_for(args: &Args) -> Result<String, Failure> {
    let pool = &args.pool;
    let going_on = format!(
        "{pool} goes on growing without this command; `poolgate scale {pool} 0` takes the order back"
    );
    wait::until(&going_on, async || {
        let pools: Vec<PoolView> = client::read(&args.gate, "/api/v1/pools").await?;
        let instances: Vec<InstanceView> = client::read(&args.gate, "/api/v1/instances").await?;
        let view = pools.iter().find(|view| *view.name == **pool);
        Ok(match view {
            Some(view) => progress(view, &instances, args.machines),
            None => Look::CalledOff(format!("pool {pool} is gone: it is no longer configured")),
        })
    })
    .await
}

fn progress(pool: &PoolView, instances: &[InstanceView], wanted: u32) -> Look<String> {
    let name = &pool.name;
    let intent = pool.intent.as_deref();
    let wanted = intent.map_or(wanted, |intent| wanted.min(intent.machines_max));
    let takes_people = |one: &&InstanceView| {
        one.pool == *name && one.health == Health::Up && one.admin_state == AdminState::Ready
    };
    let up = instances.iter().filter(takes_people).count();
    if u32::try_from(up).unwrap_or(u32::MAX) >= wanted {
        return Look::Done(format!("{name}: {up} machines take people"));
    }
    let phases = intent.map(|intent| &intent.machines).into_iter().flatten();
    let others = phases.filter(|(phase, _)| **phase != MachinePhase::Running);
    let others = others.map(|(phase, count)| format!(", {count} {}", phase.name()));
    let mut text = format!("{name}: {up} of {wanted} machines take people");
    text.extend(others);
    let prospect = pool.prospect.as_ref();
    let trouble = prospect.and_then(|one| one.trouble.as_deref());
    let trouble = trouble.or(intent.and_then(|intent| intent.frozen.as_deref()));
    text.extend(trouble.map(|why| format!("; {}", plain::line(why))));
    let ready_at = prospect.and_then(|one| one.ready_at);
    let left = ready_at.and_then(|at| at.duration_since(std::time::SystemTime::now()).ok());
    let clock = left.map_or_else(String::new, |left| format!(" (the next in {})", span(left)));
    Look::GoesOn { text, clock }
}

pub(super) fn to_text(request: &ScaleRequest, answer: &ScaleAnswer) -> String {
    let (pool, machines) = (plain::line(&request.pool), request.machines);
    let hold = span(Duration::from_secs(request.hold_s));
    let has = match request.is_dry_run {
        true => "would have",
        false => "has",
    };
    let mut text = format!("{pool} {has} at least {machines} machines for {hold}:\n");
    if answer.steps.is_empty() {
        text.push_str("  there is nothing to do at this moment\n");
    }
    for step in &answer.steps {
        text.push_str(&format!("  {}\n", plain::line(step)));
    }
    for note in &answer.notes {
        text.push_str(&format!("note: {}\n", plain::line(note)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_watched_until_as_many_take_people_as_there_may_be() {
        let mut pool = PoolView {
            name: "main".into(),
            intent: Some(std::sync::Arc::new(crate::pool::Intent {
                machines_max: 2,
                machines: [(MachinePhase::Running, 1), (MachinePhase::Booting, 1)].into(),
                ..Default::default()
            })),
            ..serde_json::from_value(serde_json::json!({
                "name": "main", "default": true, "placement": "auto", "instances": 0, "instances_routable": 0,
                "capacity": 0, "load": 0, "headroom": 0, "sessions": 0,
            }))
            .unwrap()
        };
        let text = |pool: &PoolView| match progress(pool, &[], 5) {
            Look::GoesOn { text, .. } | Look::Done(text) | Look::CalledOff(text) => text,
        };
        assert_eq!(text(&pool), "main: 0 of 2 machines take people, 1 booting");
        pool.prospect = Some(crate::pool::Prospect {
            trouble: Some("no machine is to be had".into()),
            ..Default::default()
        });
        assert!(text(&pool).ends_with("; no machine is to be had"));
        pool.intent = None;
        assert!(matches!(progress(&pool, &[], 0), Look::Done(_)));
    }

    #[test]
    fn an_answer_is_told_step_by_step() {
        let answer = ScaleAnswer {
            steps: vec!["grow by 2".to_owned()],
            notes: vec!["a boot takes 4 minutes".to_owned()],
        };
        let request = ScaleRequest {
            pool: "main".to_owned(),
            machines: 5,
            hold_s: 7200,
            is_dry_run: true,
        };
        let told = "main would have at least 5 machines for 2h 0m:\n  grow by 2\nnote: a boot takes 4 minutes\n";
        assert_eq!(to_text(&request, &answer), told);
        let nothing = to_text(&request, &ScaleAnswer::default());
        assert!(nothing.ends_with("\n  there is nothing to do at this moment\n"));
    }
}
