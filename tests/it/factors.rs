//! Several factors in sequence, as `methods` wants them: the gate proves the key, the instance the rest.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::client::PATIENCE;
use crate::support::people::PASSWORD;
use crate::support::world::public;
use crate::support::{Finished, Gate, GateSetup, Logins, Person, Sshd, World, finish, tool};

struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
}

impl Scene {
    fn new(logins: Logins, instance_wants: &str, settings: &[&str]) -> Self {
        let world = World::new();
        let mut sshds = Sshd::start_many(&world, 1, logins);
        if !instance_wants.is_empty() {
            sshds[0].add_config("AuthenticationMethods", instance_wants);
            sshds[0].kill_9();
            sshds[0].revive();
        }
        let mut setup = GateSetup::over(&sshds);
        for line in settings {
            setup = setup.auth(line);
        }
        let gate = setup.start(&world);
        Self { world, gate, sshds }
    }

    /// ssh as this person with their own key and, asked for a password or anything else, this answer.
    fn ssh(&self, person: &Person, options: &[&str], answer: &str, command: &str) -> Finished {
        let askpass = self.world.path("askpass");
        fs::write(&askpass, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
        fs::set_permissions(&askpass, fs::Permissions::from_mode(0o755)).unwrap();
        let mut ssh = tool("ssh");
        ssh.args(["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1"]);
        ssh.args(options);
        ssh.args(self.gate.door(&self.world).options(person));
        ssh.args(["-l", &person.name, "127.0.0.1", command]);
        ssh.env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env_remove("SSH_AUTH_SOCK");
        finish(&mut ssh, PATIENCE)
    }

    fn last_proof(&self, logins: usize) -> String {
        let lines = self.gate.wait_audit("login", logins);
        lines.last().unwrap()["proof"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_key_and_then_a_password_log_in_and_neither_alone_does() {
    let scene = Scene::new(
        Logins::Passwords,
        "",
        &["methods = [\"publickey,password\"]"],
    );
    let person = scene.world.person(1);
    let finished = scene.ssh(&person, &[], PASSWORD, "whoami").ok();
    assert_eq!(finished.text(), "person01");
    let proof = scene.last_proof(1);
    assert!(
        proof.starts_with("publickey ssh-ed25519 SHA256:"),
        "{proof}"
    );
    assert!(proof.ends_with(", password (instance vm1)"), "{proof}");

    let only_key = scene.ssh(
        &person,
        &["-o", "PreferredAuthentications=publickey"],
        "",
        "id",
    );
    assert_eq!(only_key.code(), Some(255), "{only_key}");
    assert!(
        only_key.stderr.contains("Permission denied (password)"),
        "{only_key}"
    );
    let before = scene.sshds[0].log().len();
    let only_password = ["-o", "PreferredAuthentications=password"];
    let refused = scene.ssh(&person, &only_password, PASSWORD, "id");
    assert!(
        refused.stderr.contains("Permission denied (publickey)"),
        "{refused}"
    );
    let log = scene.sshds[0].log();
    assert!(
        !log[before..].contains("userauth-request for user"),
        "nothing is placed before a key"
    );
    let wrong = scene.ssh(&person, &[], "wrong", "id");
    assert_eq!(wrong.code(), Some(255), "{wrong}");
    assert_eq!(scene.gate.audit("login").len(), 1);
    scene.gate.stop();
}

/// CVE-2026-39828: what the first factor forbids must not be lost with the second.
#[test]
fn cve_2026_39828_what_the_key_forbids_holds_after_the_password() {
    for (instance_wants, label) in [("", "either"), ("publickey,password", "both")] {
        let scene = Scene::new(
            Logins::Passwords,
            instance_wants,
            &["methods = [\"publickey,password\"]"],
        );
        let person = scene.world.person(1);
        let key = fs::read_to_string(public(&person.key)).unwrap();
        let line = format!("restrict,command=\"echo only this\" {key}");
        scene.world.authorize(&person, &line);
        let finished = scene.ssh(&person, &[], PASSWORD, "id").ok();
        assert_eq!(finished.text(), "only this", "{label}");
        let finished = scene.ssh(&person, &["-tt"], PASSWORD, "id");
        assert!(
            finished.stderr.contains("PTY allocation request failed"),
            "{label}: {finished}"
        );
        assert_eq!(scene.gate.wait_audit("login", 2).len(), 2);
        scene.gate.wait_sessions(0);
        scene.gate.stop();
    }
}

#[test]
fn an_instance_that_wants_the_same_methods_gets_both() {
    let scene = Scene::new(
        Logins::KeyboardInteractive,
        "publickey,keyboard-interactive",
        &["methods = [\"publickey,keyboard-interactive\"]"],
    );
    let person = scene.world.person(1);
    assert_eq!(
        scene.ssh(&person, &[], PASSWORD, "whoami").ok().text(),
        "person01"
    );
    let proof = scene.last_proof(1);
    assert!(
        proof.ends_with(", keyboard-interactive (instance vm1)"),
        "{proof}"
    );
    assert_eq!(scene.ssh(&person, &[], "wrong", "id").code(), Some(255));
    scene.gate.stop();
}

#[test]
fn a_password_first_and_a_key_last() {
    let scene = Scene::new(
        Logins::Passwords,
        "",
        &["methods = [\"password,publickey\"]"],
    );
    let person = scene.world.person(1);
    assert_eq!(
        scene.ssh(&person, &[], PASSWORD, "whoami").ok().text(),
        "person01"
    );
    let proof = scene.last_proof(1);
    assert!(
        proof.starts_with("password (instance vm1), publickey "),
        "{proof}"
    );
    let other = scene.world.person(2);
    scene.world.authorize(&other, "");
    assert_eq!(scene.ssh(&other, &[], PASSWORD, "id").code(), Some(255));
    assert_eq!(scene.gate.audit("login").len(), 1);
    scene.gate.wait_sessions(0);
    scene.gate.stop();
}

#[test]
fn two_keys_are_two_keys_and_not_one_twice() {
    let scene = Scene::new(
        Logins::Certificates,
        "",
        &["methods = [\"publickey,publickey\"]"],
    );
    let person = scene.world.person(1);
    let second = scene.world.make_key("clients/second");
    let lines = [&person.key, &second].map(|key| fs::read_to_string(public(key)).unwrap());
    scene.world.authorize(&person, &lines.concat());
    assert_eq!(scene.ssh(&person, &[], "", "id").code(), Some(255));
    assert!(!scene.sshds[0].saw_a_login_attempt());
    let identity = format!("IdentityFile={}", second.display());
    let finished = scene.ssh(&person, &["-o", &identity], "", "whoami").ok();
    assert_eq!(finished.text(), "person01");
    assert_eq!(scene.last_proof(1).matches("publickey").count(), 2);
    scene.gate.stop();
}

#[test]
fn a_password_that_the_instance_takes_as_one_of_two_is_in_the_audit_line() {
    let scene = Scene::new(Logins::Passwords, "password,publickey", &[]);
    let person = scene.world.person(1);
    let first = ["-o", "PreferredAuthentications=password,publickey"];
    let finished = scene.ssh(&person, &first, PASSWORD, "whoami").ok();
    assert_eq!(finished.text(), "person01");
    let proof = scene.last_proof(1);
    assert!(
        proof.starts_with("password (instance vm1), publickey "),
        "{proof}"
    );
    scene.gate.stop();
}

#[test]
fn whoever_an_instance_refuses_is_not_sent_there_again() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    sshds[0].add_config("DenyUsers", "person01");
    sshds[0].kill_9();
    sshds[0].revive();
    let gate = GateSetup::over(&sshds).start(&world);
    let person = world.person(1);
    let door = gate.door(&world);
    // One of two logins is refused at most, wherever the first one went.
    let landed: Vec<bool> = (0..3)
        .map(|_| door.run(&person, "true").code() == Some(0))
        .collect();
    assert!(
        landed.iter().filter(|is_in| **is_in).count() >= 2,
        "{landed:?}"
    );
    assert_eq!(door.instance_of(&person), "vm2");
    gate.stop();
}
