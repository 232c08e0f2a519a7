//! What operators see: the command line, the API, the metrics, the audit log.

use std::process::Stdio;

use crate::support::client::host;
use crate::support::gate::{OF_INSTANCE, OF_SESSION, rows};
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World};

/// A gate over two instances on which person01 has a session.
fn scene(check: impl FnOnce(&World, &Gate, &mut Vec<Sshd>)) {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = GateSetup::over(&sshds).pool("capacity = 5").start(&world);
    let person = world.person(1);
    let mut ssh = gate.door(&world).ssh(&person);
    ssh.arg(host(&person)).arg("read -r line");
    let held = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    gate.wait_sessions(1);
    check(&world, &gate, &mut sshds);
    drop(held);
    gate.wait_sessions(0);
    gate.stop();
}

#[test]
fn the_command_line_shows_instances_and_sessions() {
    scene(|_, gate, _| {
        let instances = rows(&gate.cli(&["instances", "-o", "json"]).ok().stdout);
        assert_eq!(instances.len(), 2);
        for row in &instances {
            for field in OF_INSTANCE {
                assert!(!row[field].is_null(), "{field} in {row}");
            }
            assert_eq!(
                (&row["pool"], &row["admin_state"]),
                (&"main".into(), &"ready".into())
            );
            assert_eq!(
                (&row["health"], &row["capacity"]),
                (&"up".into(), &5.into())
            );
        }
        let sessions = rows(&gate.cli(&["sessions", "-o", "json"]).ok().stdout);
        assert_eq!(sessions.len(), 1);
        for field in OF_SESSION {
            assert!(!sessions[0][field].is_null(), "{field} in {}", sessions[0]);
        }
        assert_eq!(
            (&sessions[0]["user"], &sessions[0]["protocol"]),
            (&"person01".into(), &"ssh".into())
        );

        let status = gate.cli(&["status", "-o", "json"]).ok();
        assert!(
            serde_json::from_str::<serde_json::Value>(&status.stdout).is_ok(),
            "{status}"
        );
        let table = gate.cli(&["instances"]).ok();
        assert!(
            table.stdout.contains("vm1") && table.stdout.contains("vm2"),
            "{table}"
        );
        assert!(gate.cli(&["sessions"]).ok().stdout.contains("person01"));
        gate.cli(&["status"]).ok();
    });
}

#[test]
fn the_api_says_the_same_as_the_command_line() {
    scene(|_, gate, _| {
        for what in ["instances", "sessions"] {
            let (status, body) = gate.admin(&format!("/api/v1/{what}"));
            assert_eq!(status, 200);
            let said = rows(&gate.cli(&[what, "-o", "json"]).ok().stdout);
            let key = if what == "instances" { "name" } else { "id" };
            let keys = |list: &[serde_json::Value]| {
                list.iter().map(|row| row[key].clone()).collect::<Vec<_>>()
            };
            assert_eq!(keys(&rows(&body)), keys(&said), "{what}");
        }
        assert_eq!(gate.admin("/livez").0, 200);
        assert_eq!(gate.admin("/readyz").0, 200);
        assert_eq!(gate.admin("/no-such-page").0, 404);
    });
}

#[test]
fn the_metrics_count_and_name_no_person() {
    scene(|_, gate, _| {
        let (status, text) = gate.admin("/metrics");
        assert_eq!(status, 200);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("poolgate_"), "{line}");
        }
        assert!(
            !text.contains("person01"),
            "a label for each person never ends"
        );
        assert!(text.contains("vm1") && text.contains("vm2"), "{text}");
    });
}

#[test]
fn a_login_and_its_end_are_audited() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let person = world.person(7);
    gate.door(&world)
        .run(&person, "head -c 1000000 /dev/zero")
        .ok();
    gate.wait_sessions(0);
    let login = gate.wait_audit("login", 1).remove(0);
    assert_eq!(
        (&login["user"], &login["protocol"]),
        (&"person07".into(), &"ssh".into())
    );
    assert_eq!(
        (&login["pool"], &login["instance"]),
        (&"main".into(), &"vm1".into())
    );
    let text = |field: &str| login[field].as_str().unwrap_or_default().to_owned();
    assert!(text("peer").starts_with("127.0.0.1:"), "{login}");
    assert!(text("proof").contains("SHA256:"), "{login}");
    assert!(text("client").contains("OpenSSH"), "{login}");
    assert!(!text("reason").is_empty(), "{login}");
    let end = gate.wait_audit("end", 1).remove(0);
    assert_eq!(end["session"], login["session"]);
    assert!(end["bytes_out"].as_u64().unwrap() >= 1_000_000, "{end}");
    assert!(end["duration_s"].as_f64().unwrap() > 0.0, "{end}");
    assert!(!end["cause"].as_str().unwrap().is_empty(), "{end}");
    // The certificate that the instance saw names the person, where they came from, and the session.
    let log = sshds[0].log();
    let id = log
        .split("ID ")
        .nth(1)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    assert!(
        id.contains("person07") && id.contains("127.0.0.1"),
        "{id:?}"
    );
    gate.stop();
}

#[test]
fn a_dead_instance_is_shown_as_down() {
    scene(|_, gate, sshds| {
        let busy = gate.sessions()[0]["instance"].clone();
        let idle = sshds
            .iter_mut()
            .find(|sshd| busy != sshd.name.as_str())
            .unwrap();
        idle.kill_9();
        let name = idle.name.clone();
        crate::support::wait_until(
            "the dead instance to be down",
            std::time::Duration::from_secs(15),
            || {
                let rows = rows(&gate.cli(&["instances", "-o", "json"]).ok().stdout);
                rows.iter()
                    .any(|row| row["name"] == name.as_str() && row["health"] == "down")
                    .then_some(())
            },
        );
        assert_eq!(gate.admin("/readyz").0, 200, "one instance is left");
    });
}
