//! What ssh-audit, the usual auditor of SSH servers, says of the gate: nothing but what docs/security-ssh-audit.md answers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::client::{PATIENCE, venv_python};
use crate::support::{GateSetup, Logins, Sshd, World, finish};

const ANSWERS: &str = include_str!("../../docs/security-ssh-audit.md");

/// A gate with every kind of key that is advised and the penalties it comes with, audited.
fn audit(options: &[&str]) -> Value {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let rsa = world.make_key_of("rsa", "gate_rsa_key");
    let gate = GateSetup::over(&sshds)
        .host_keys(&[&world.path("gate_host_key"), &rsa])
        .penalties("min = \"15s\"")
        .start(&world);
    let mut tool = venv_python();
    tool.args(["-m", "ssh_audit", "--json", "--port"]);
    tool.arg(gate.ssh_port.to_string());
    tool.args(options).arg("127.0.0.1");
    let finished = finish(&mut tool, PATIENCE);
    let report = serde_json::from_str(&finished.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {finished}"));
    gate.stop();
    report
}

/// What it finds fault with, `KIND NAME`.
fn faulted(report: &Value) -> BTreeSet<String> {
    let kinds = ["kex", "key", "enc", "mac"];
    let mut names = BTreeSet::new();
    for kind in kinds {
        let list = report[kind].as_array();
        assert!(
            list.is_some_and(|list| !list.is_empty()),
            "no {kind}: {report}"
        );
        for entry in list.unwrap() {
            let notes = &entry["notes"];
            if !notes["fail"].is_null() || !notes["warn"].is_null() {
                names.insert(format!("{kind} {}", entry["algorithm"].as_str().unwrap()));
            }
        }
    }
    names
}

#[test]
fn it_finds_fault_with_nothing_that_is_not_answered() {
    let report = audit(&["--skip-rate-test"]);
    let answered: BTreeSet<String> = ANSWERS
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(faulted(&report), answered, "{report:#}");
    assert_eq!(
        report["cves"].as_array().map_or(0, Vec::len),
        0,
        "{report:#}"
    );
    // Terrapin: strict key exchange is offered.
    let kex = report["kex"].to_string();
    assert!(kex.contains("kex-strict-s-v00@openssh.com"), "{kex}");
}

#[test]
fn its_connection_throttle_check_passes() {
    // It opens connections as fast as it can and counts greetings: more than 20 a second would be too many.
    let report = audit(&[]);
    let notes = report["additional_notes"].to_string();
    assert!(!notes.contains("DHEat"), "{notes}");
}
