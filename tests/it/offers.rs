//! A key that is offered without a proof has no effect on any instance.

use std::time::Duration;

use crate::support::client::{PATIENCE, client_script, host, venv_python};
use crate::support::world::public;
use crate::support::{GateSetup, Logins, Person, Sshd, World, finish, tool, wait_until};

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

/// What an operator finds who is asked about "Permission denied (publickey)": the key that was shown, and where it is not.
#[test]
fn a_refused_login_tells_the_operator_where_keys_were_looked_for() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .auth("password = \"off\"")
        .start(&world);
    let (person, other) = (world.person(1), world.person(2));
    let file = world.authorized_keys_pattern();
    let file = |person: &Person| file.replace("%u", &person.name);
    std::fs::remove_file(file(&person)).unwrap();
    let key_of = |person: &Person| {
        let listed = finish(
            tool("ssh-keygen").arg("-lf").arg(public(&person.key)),
            PATIENCE,
        );
        let listed = listed.ok().stdout;
        listed.split(' ').nth(1).unwrap().to_owned()
    };
    let refused = |shown: &Person, name: &Person| {
        let mut ssh = gate.door(&world).ssh(shown);
        let refused = finish(ssh.arg(host(name)).arg("true"), PATIENCE);
        assert_eq!(refused.code(), Some(255), "{refused}");
    };
    let line_of = |person: &Person| {
        let begin = format!("login refused user={} ", person.name);
        wait_until("the refusal is told", PATIENCE, || {
            let log = gate.log();
            let line = log.lines().find(|line| line.contains(&begin));
            line.map(str::to_owned)
        })
    };
    refused(&person, &person);
    let told = line_of(&person);
    for says in [
        " INFO poolgate::ssh::front: login refused",
        "no key that was offered is listed",
        &format!("offered={}", key_of(&person)),
        &format!("{} is missing", file(&person)),
        "untold=0",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    refused(&person, &other);
    let told = line_of(&other);
    let says = format!("{} holds 1 key, which was not offered", file(&other));
    assert!(told.contains(&says), "{says}: {told}");

    // The person's side of it, key by key.
    let doctor = |person: &Person| gate.cli(&["doctor", "--user", &person.name]).stdout;
    let lists = format!("{} lists {} (line 1)", file(&other), key_of(&other));
    let sound = doctor(&other);
    assert!(sound.contains(&lists), "{lists}: {sound}");
    let faulty = doctor(&person);
    for says in [
        format!(
            "FAIL keys of {0}: no file lists a key that logs {0} in",
            person.name
        ),
        format!("cat KEY.pub >> {}", file(&person)),
    ] {
        assert!(faulty.contains(&says), "{says}: {faulty}");
    }
    gate.stop();
}

/// Whoever tries names at will fills no disk: a few lines, and a number in place of the rest.
#[test]
fn a_stranger_who_is_refused_again_and_again_is_told_a_few_times() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .auth("password = \"off\"")
        .start(&world);
    let person = world.person(1);
    world.authorize(&person, "");
    for number in 1..=9 {
        let mut ssh = gate.door(&world).ssh(&person);
        let guess = format!("guess{number}@127.0.0.1");
        finish(ssh.arg(guess).arg("true"), PATIENCE);
    }
    gate.wait_audit("refused", 9);
    let told = || {
        gate.log()
            .matches("front: login refused user=guess")
            .count()
    };
    wait_until("five are told", PATIENCE, || (told() >= 5).then_some(()));
    gate.door(&world).run(&world.person(2), "true").ok();
    assert_eq!(told(), 5, "{}", gate.log());
    gate.stop();
}
