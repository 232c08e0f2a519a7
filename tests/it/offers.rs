//! A key that is offered without a proof has no effect on any instance.

use std::time::Duration;

use crate::support::client::{PATIENCE, client_script, host, venv_python};
use crate::support::{GateSetup, Logins, Sshd, World, finish};

/// Plays one act of tests/clients/offer.py, and checks that nothing but the gate noticed.
fn play(act: &str, answers: &str) {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    // One probe at the start and then none: every further connection to an instance would be the login's.
    let setup = GateSetup::over(&sshds)
        .health("interval = \"5m\"\nrise = 1")
        .auth("password = \"off\"");
    let gate = setup.start(&world);
    let (person, stranger) = (world.person(1), world.make_key("stranger"));
    let before: Vec<usize> = sshds.iter().map(Sshd::connections).collect();

    let mut python = venv_python();
    python.arg(client_script("offer.py")).arg(act);
    python
        .args([&gate.ssh_port.to_string(), &person.name])
        .arg(&person.key)
        .arg(&stranger);
    let finished = finish(&mut python, PATIENCE).ok();
    let said: Vec<&str> = finished.stdout.split_whitespace().collect();
    assert_eq!(said.join(" "), answers, "{finished}");

    assert_eq!(gate.sessions().len(), 0);
    gate.wait_audit("refused", 1);
    assert!(gate.audit("login").is_empty(), "no session came of it");
    let after: Vec<usize> = sshds.iter().map(Sshd::connections).collect();
    assert_eq!(after, before, "an instance was dialled");
    assert!(!sshds.iter().any(Sshd::saw_a_login_attempt));

    // The gate is well, and the same key with a proof is let in.
    gate.door(&world).run(&person, "true").ok();
    assert_eq!(gate.audited_instances(&person.name).len(), 1);
    gate.stop();
}

#[test]
fn an_offered_key_is_not_a_login() {
    play("unsigned", "60 60 60 done");
}

#[test]
fn a_signature_by_another_key_than_the_named_one_is_refused() {
    play("swapped", "60 51 done");
}

#[test]
fn a_known_key_offered_and_a_strange_one_signed_with_is_refused() {
    play("foreign", "60 60 60 51 done");
}

#[test]
fn a_key_that_nobody_has_authorized_dials_nothing() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let setup = GateSetup::over(&sshds)
        .health("interval = \"5m\"\nrise = 1")
        .auth("password = \"off\"");
    let gate = setup.start(&world);
    let person = world.person(1);
    world.authorize(&person, "");
    let before = sshds[0].connections();
    let mut ssh = gate.door(&world).ssh(&person);
    let refused = finish(ssh.arg(host(&person)).arg("true"), Duration::from_secs(30));
    assert_eq!(refused.code(), Some(255), "{refused}");
    assert!(
        refused.stderr.contains("Permission denied (publickey)"),
        "{refused}"
    );
    assert_eq!(sshds[0].connections(), before);
    assert_eq!(gate.wait_audit("refused", 1)[0]["user"], "person01");
    gate.stop();
}
