//! What a person's own key allows, and nothing more, holds on the instance too.

use std::process::Stdio;

use crate::support::client::{PATIENCE, host};
use crate::support::world::public;
use crate::support::{
    Finished, Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, tool, wait_until,
};

struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
}

impl Scene {
    fn new(auth: &str) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds).auth(auth).start(&world);
        Self { world, gate, sshds }
    }

    /// Person `number`, whose key has these options in authorized_keys.
    fn person(&self, number: usize, options: &str) -> Person {
        let person = self.world.person(number);
        let key = std::fs::read_to_string(public(&person.key)).unwrap();
        self.world.authorize(&person, &format!("{options} {key}"));
        person
    }

    fn run(&self, person: &Person, options: &[&str], command: &str) -> Finished {
        self.gate
            .door(&self.world)
            .run_with(person, options, command)
    }
}

#[test]
fn a_command_of_the_key_runs_in_place_of_the_asked_one() {
    let scene = Scene::new("");
    let person = scene.person(1, r#"command="echo only this: $SSH_ORIGINAL_COMMAND""#);
    assert_eq!(
        scene.run(&person, &[], "id -u").ok().text(),
        "only this: id -u"
    );
    scene.gate.stop();
}

#[test]
fn the_source_of_a_key_is_where_the_person_is_and_not_the_gate() {
    let scene = Scene::new("");
    let here = scene.person(1, r#"from="127.0.0.0/8""#);
    scene.run(&here, &[], "true").ok();
    let elsewhere = scene.person(2, r#"from="192.0.2.0/24""#);
    let refused = scene.run(&elsewhere, &[], "true");
    assert_eq!(refused.code(), Some(255), "{refused}");
    assert!(
        !scene.sshds[0].log().contains("person02"),
        "no instance heard of it"
    );
    let past = scene.person(3, r#"expiry-time="20200101""#);
    assert_eq!(scene.run(&past, &[], "true").code(), Some(255));
    scene.gate.stop();
}

#[test]
fn a_restricted_key_gets_neither_terminal_nor_forwarding() {
    let scene = Scene::new("");
    for (number, options, terminal, forward) in [
        (1, "restrict", false, false),
        (2, "restrict,pty", true, false),
        (3, "no-pty", false, true),
        (4, "no-port-forwarding", true, false),
        (5, "no-agent-forwarding", true, true),
    ] {
        let person = scene.person(number, options);
        let tty = scene.run(&person, &["-tt"], "tty");
        assert_eq!(
            tty.stdout.contains("/dev/pts/"),
            terminal,
            "{options}: {tty}"
        );
        let target = format!("127.0.0.1:{}", scene.sshds[0].port);
        let mut ssh = scene.gate.door(&scene.world).ssh(&person);
        ssh.args(["-W", &target, &host(&person)]);
        let mut forwarded = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        forwarded.feed(b"SSH-2.0-test\r\n");
        forwarded.close_stdin();
        let forwarded = forwarded.finish(PATIENCE);
        assert_eq!(
            forwarded.stdout.contains("SSH-2.0-OpenSSH"),
            forward,
            "{options}: {forwarded}"
        );
    }
    scene.gate.stop();
}

#[test]
fn the_environment_of_a_key_is_set_only_where_the_instance_takes_it() {
    let scene = Scene::new("");
    let person = scene.person(1, r#"environment="LD_PRELOAD=/tmp/evil.so""#);
    let finished = scene.run(&person, &[], "echo ${LD_PRELOAD-unset}");
    assert!(!finished.stdout.contains("evil"), "{finished}");
    scene.gate.stop();
}

#[test]
fn the_tenth_key_of_an_agent_logs_in() {
    let scene = Scene::new("");
    let person = scene.world.person(1);
    let socket = scene.world.path("agent.sock");
    let _agent = Running::start(tool("ssh-agent").arg("-D").arg("-a").arg(&socket));
    wait_until("the agent", PATIENCE, || socket.exists().then_some(()));
    let mut keys: Vec<_> = (1..=9)
        .map(|n| scene.world.make_key(&format!("agent/{n}")))
        .collect();
    keys.push(person.key.clone());
    for key in &keys {
        finish(
            tool("ssh-add").arg(key).env("SSH_AUTH_SOCK", &socket),
            PATIENCE,
        )
        .ok();
    }
    let agent = format!("IdentityAgent={}", socket.display());
    let mut ssh = tool("ssh");
    ssh.args([
        "-o",
        &agent,
        "-o",
        "IdentitiesOnly=no",
        "-o",
        "IdentityFile=none",
    ]);
    ssh.args(scene.gate.door(&scene.world).options(&person));
    // The options name the key's file; without it there, only the agent has the key, and it comes last.
    let ssh = ssh.args([&host(&person), "whoami"]);
    std::fs::rename(&person.key, scene.world.path("moved")).unwrap();
    std::fs::rename(public(&person.key), scene.world.path("moved.pub")).unwrap();
    assert_eq!(finish(ssh, PATIENCE).ok().text(), "person01");
    scene.gate.stop();
}
