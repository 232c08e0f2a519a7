//! What operators watch a gate with: its metrics as Prometheus reads them, alert rules, the dashboard.
//!
//! promtool judges; that a name or a label exists is read from docs/metrics.md, which a unit test holds against the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::support::client::PATIENCE;
use crate::support::{Finished, GateSetup, Logins, Running, Sshd, World, finish, tool};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn promtool(arguments: &[&str]) -> Finished {
    let program = root(".test/unpacked/usr/bin/promtool");
    let mut promtool = tool(program.to_str().unwrap());
    promtool.args(arguments);
    finish(promtool.current_dir(root("deploy/prometheus")), PATIENCE)
}

#[test]
fn promtool_finds_nothing_in_a_scrape_of_a_gate_that_works() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).https("").start(&world);
    gate.door(&world).run(&world.person(1), "true").ok();
    gate.wait_audit("end", 1);
    let (status, scraped) = gate.admin("/metrics");
    assert_eq!(status, 200);
    for line in [
        "# TYPE poolgate_ssh_login_duration_seconds histogram",
        "poolgate_ssh_login_duration_seconds_count 1",
        "poolgate_instance_connect_seconds_count{protocol=\"ssh\"} 1",
        "# TYPE poolgate_process_cpu_seconds_total counter",
    ] {
        assert!(
            scraped.lines().any(|found| found == line),
            "{line}\n{scraped}"
        );
    }
    let program = root(".test/unpacked/usr/bin/promtool");
    let mut command = tool(program.to_str().unwrap());
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = Running::start_with_stdin(&mut command);
    promtool.feed(scraped.as_bytes());
    promtool.close_stdin();
    let judged = promtool.finish(PATIENCE).ok();
    assert!(judged.text().is_empty(), "{judged}");
    gate.stop();
}

#[test]
fn alert_rules_are_raised_by_what_they_are_for_and_by_nothing_else() {
    promtool(&["check", "rules", "alerts.yaml"]).ok();
    promtool(&["test", "rules", "alerts_test.yaml"]).ok();
    promtool(&["check", "config", "--syntax-only", "scrape.yaml"]).ok();
    let rules = fs::read_to_string(root("deploy/prometheus/alerts.yaml")).unwrap();
    let known = documented();
    for line in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
    {
        assert_eq!(strangers(line, &known), [] as [String; 0], "{line}");
    }
}

#[test]
fn the_dashboard_asks_for_nothing_that_does_not_exist() {
    let board = fs::read_to_string(root("deploy/grafana/poolgate.json")).unwrap();
    let board: Value = serde_json::from_str(&board).unwrap();
    let variables = board["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "pool"]);
    let known = documented();
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    let mut count = 0;
    let mut ids = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{}",
            panel["title"]
        );
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{expr}");
            let expr = expr
                .replace("$__rate_interval", "5m")
                .replace("$pool", ".*");
            assert_eq!(strangers(&expr, &known), [] as [String; 0], "{expr}");
            let quoted = serde_json::to_string(&expr).unwrap();
            rules.push_str(&format!(
                "  - {{ record: 'panel:{count}', expr: {quoted} }}\n"
            ));
            count += 1;
        }
    }
    assert!(count > 30, "only {count} expressions found");
    let world = World::new();
    let file = world.path("dashboard-rules.yaml");
    fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]).ok();
}

#[test]
fn expressions_with_what_does_not_exist_are_found() {
    let known = documented();
    let found = |expr: &str| strangers(expr, &known);
    assert_eq!(
        found("sum by (le) (rate(poolgate_wake_seconds_bucket{pool=\"a\"}[5m]))").len(),
        0
    );
    assert_eq!(found("poolgate_wake_seconds"), ["poolgate_wake_seconds"]);
    assert_eq!(found("poolgate_nothing_total"), ["poolgate_nothing_total"]);
    assert_eq!(found("poolgate_queue{user=~\"a.*\"}"), ["user"]);
    assert_eq!(found("sum by (pool, colour) (poolgate_queue)"), ["colour"]);
}

/// Labels by the name of a series, of the table in docs/metrics.md.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(root("docs/metrics.md")).unwrap();
    let mut known = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let labels = cells[3]
            .split(',')
            .map(|label| label.trim().trim_matches('`'));
        let labels: BTreeSet<String> = labels.map(str::to_owned).collect();
        match cells[2] {
            "histogram" => {
                for part in ["_bucket", "_sum", "_count"] {
                    known.insert(format!("{}{part}", cells[1]), labels.clone());
                }
            }
            _ => drop(known.insert(cells[1].to_owned(), labels)),
        }
    }
    known
}

/// Series and labels of an expression that no series has; Prometheus itself adds `instance`, and calls ours `exported_instance`.
fn strangers(expr: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expr.split(|c| !is_word(c));
    let series: Vec<_> = words.filter(|word| word.starts_with("poolgate_")).collect();
    let mut strange: Vec<String> = series
        .iter()
        .filter(|name| !known.contains_key(**name))
        .map(|name| (*name).to_owned())
        .collect();
    let mut labels: BTreeSet<&str> = ["le", "instance", "exported_instance", "job"].into();
    for name in &series {
        labels.extend(known.get(*name).into_iter().flatten().map(String::as_str));
    }
    let grouped = expr.split("by (").skip(1).chain(expr.split("on (").skip(1));
    let grouped = grouped.filter_map(|rest| rest.split_once(')'));
    let grouped = grouped.flat_map(|(list, _)| list.split(','));
    let matched = expr
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'));
    let matched = matched.flat_map(|(list, _)| list.split(','));
    let matched = matched.filter_map(|one| one.split(['=', '!']).next());
    let used = grouped.chain(matched).map(str::trim);
    strange.extend(
        used.filter(|label| !labels.contains(label))
            .map(str::to_owned),
    );
    strange
}
