//! What people may do within their sessions: the pool's rules and their keys', held by the gate in front of an sshd that
//! would allow everything.

use std::process::Stdio;

use crate::support::client::{PATIENCE, host};
use crate::support::world::public;
use crate::support::{
    Finished, Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, free_port, tool,
};

struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
}

impl Scene {
    /// With these lines in `[pools.main.ssh]`.
    fn new(policy: &str) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds).pool_ssh(policy).start(&world);
        Self { world, gate, sshds }
    }

    fn run(&self, person: &Person, options: &[&str], command: &str) -> Finished {
        let door = self.gate.door(&self.world);
        door.run_with(person, options, command)
    }

    /// What `ssh -W` brings back from a target that sends an SSH banner.
    fn reach(&self, person: &Person, target: &str) -> Finished {
        let mut ssh = self.gate.door(&self.world).ssh(person);
        ssh.args(["-W", target, &host(person)]);
        let mut forwarded = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        forwarded.feed(b"SSH-2.0-test\r\n");
        forwarded.close_stdin();
        forwarded.finish(PATIENCE)
    }

    fn sftp(&self, person: &Person, commands: &str) -> Finished {
        let door = self.gate.door(&self.world);
        let batch = self.world.path("batch");
        std::fs::write(&batch, commands).unwrap();
        let mut sftp = tool("sftp");
        sftp.args(door.options(person)).arg("-b").arg(batch);
        finish(sftp.arg(host(person)), PATIENCE)
    }

    /// Asks for a listener on the instance, and ends once it is granted.
    fn listen(&self, person: &Person, listener: &str) -> Finished {
        let mut ssh = self.gate.door(&self.world).ssh(person);
        ssh.args(["-o", "ExitOnForwardFailure=yes", "-R"]);
        ssh.args([&format!("{listener}:127.0.0.1:9"), &host(person), "true"]);
        finish(&mut ssh, PATIENCE)
    }
}

#[test]
fn a_refused_target_is_told_and_an_allowed_one_is_reached() {
    let scene = Scene::new("policy.permit_open = [\"127.0.0.0/8:*\"]");
    let person = scene.world.person(1);
    let here = format!("127.0.0.1:{}", scene.sshds[0].port);
    let reached = scene.reach(&person, &here);
    assert!(reached.stdout.contains("SSH-2.0-OpenSSH"), "{reached}");
    for target in ["192.0.2.1:22", "127.0.0.1:9180"] {
        let refused = scene.reach(&person, target);
        assert_ne!(refused.code(), Some(0), "{refused}");
        let text = format!("administratively prohibited: forwarding to {target} is not allowed");
        assert!(refused.stderr.contains(&text), "{refused}");
    }
    let log = scene.sshds[0].log();
    assert!(
        !log.contains("192.0.2.1"),
        "the instance heard of it: {log}"
    );
    let (_, metrics) = scene.gate.admin("/metrics");
    let counted = "poolgate_ssh_refusals_total{what=\"local-forwarding\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    let lines = scene.gate.wait_audit("refused-request", 2);
    assert_eq!(lines[0]["user"], person.name.as_str());
    assert_eq!(lines[0]["what"], "local-forwarding");
    let cause = lines[0]["cause"].as_str().unwrap();
    assert!(cause.contains("192.0.2.1:22"), "{cause}");
    let ends = scene.gate.wait_audit("end", 3);
    let refused = ends.iter().filter(|end| !end["refusals"].is_null());
    for end in refused.clone() {
        assert_eq!(end["refusals"]["local-forwarding"], 1, "{end}");
    }
    assert_eq!(refused.count(), 2);
    scene.gate.stop();
}

#[test]
fn the_metadata_service_is_no_target_in_any_spelling() {
    let scene = Scene::new("");
    let person = scene.world.person(1);
    for host in [
        "169.254.169.254",
        "0xa9fea9fe",
        "[::ffff:169.254.169.254]",
        "2852039166",
    ] {
        let refused = scene.reach(&person, &format!("{host}:80"));
        assert!(
            refused.stderr.contains("administratively prohibited"),
            "{host}: {refused}"
        );
    }
    assert!(
        !scene.sshds[0].log().contains("direct-tcpip"),
        "the instance heard of it"
    );
    scene.gate.stop();
}

#[test]
fn a_refused_listener_is_not_opened() {
    let scene = Scene::new("policy.permit_listen = [\"localhost:20000\"]");
    let person = scene.world.person(1);
    let refused = scene.listen(&person, &free_port().to_string());
    assert_eq!(refused.code(), Some(255), "{refused}");
    assert!(
        refused.stderr.contains("remote port forwarding failed"),
        "{refused}"
    );
    assert!(
        !scene.sshds[0].log().contains("tcpip-forward"),
        "the instance heard of it"
    );
    scene.gate.stop();
}

#[test]
fn sftp_only_is_sftp_only() {
    let scene = Scene::new("policy.programs = \"sftp\"");
    let person = scene.world.person(1);
    assert!(
        scene
            .sftp(&person, "pwd\n")
            .ok()
            .stdout
            .contains("Remote working directory")
    );
    let told = "this service allows sftp connections only";
    // Data that the client sends without waiting do not hurt either.
    for options in [&[][..], &["-T"]] {
        let mut ssh = scene.gate.door(&scene.world).ssh(&person);
        ssh.args(options).args([&host(&person), "cat"]);
        let mut refused = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        refused.feed(b"something\n");
        refused.close_stdin();
        let refused = refused.finish(PATIENCE);
        assert_eq!(refused.code(), Some(1), "{refused}");
        let all = format!("{}{}", refused.stdout, refused.stderr);
        assert!(all.contains(told), "{refused}");
        assert!(!refused.stdout.contains("something"), "{refused}");
    }
    // A terminal asked for by force is ssh's own reason to give up.
    let forced = scene.run(&person, &["-tt"], "cat");
    assert_eq!(forced.code(), Some(255), "{forced}");
    assert!(
        forced.stderr.contains("PTY allocation request failed"),
        "{forced}"
    );
    let log = scene.sshds[0].log();
    assert!(!log.contains("Starting session: command"), "{log}");
    let here = format!("127.0.0.1:{}", scene.sshds[0].port);
    assert!(scene.reach(&person, &here).stderr.contains("prohibited"));
    scene.gate.stop();
}

#[test]
fn commands_only_means_no_terminal_and_no_shell() {
    let scene = Scene::new("policy.programs = \"exec\"");
    let person = scene.world.person(1);
    assert_eq!(scene.run(&person, &[], "echo done").ok().text(), "done");
    let forced = scene.run(&person, &["-tt"], "tty");
    assert!(
        forced.stderr.contains("PTY allocation request failed"),
        "{forced}"
    );
    let mut shell = scene.gate.door(&scene.world).ssh(&person);
    let refused = finish(shell.arg(host(&person)), PATIENCE);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(refused.stderr.contains("runs commands only"), "{refused}");
    scene.gate.stop();
}

#[test]
fn the_first_group_of_a_person_counts() {
    let groups = "policy.groups = [{ users = [\"person02\"], programs = \"sftp\" }, { unix_groups = [\"person03\"], programs = \"exec\" }]";
    let scene = Scene::new(groups);
    let [free, sftp, exec] = [1, 2, 3].map(|number| scene.world.person(number));
    assert!(
        scene
            .run(&free, &["-tt"], "tty")
            .stdout
            .contains("/dev/pts")
    );
    assert_eq!(scene.run(&sftp, &[], "true").code(), Some(1));
    let refused = scene.run(&exec, &["-tt"], "tty");
    assert!(!refused.stdout.contains("/dev/pts"), "{refused}");
    scene.gate.stop();
}

#[test]
fn a_keys_own_lists_hold_at_the_gate() {
    let scene = Scene::new("");
    let port = scene.sshds[0].port;
    let person = scene.world.person(1);
    let key = std::fs::read_to_string(public(&person.key)).unwrap();
    let listen = free_port();
    let options = format!("permitopen=\"127.0.0.1:{port}\",permitlisten=\"localhost:{listen}\"");
    scene.world.authorize(&person, &format!("{options} {key}"));
    let reached = scene.reach(&person, &format!("127.0.0.1:{port}"));
    assert!(reached.stdout.contains("SSH-2.0-OpenSSH"), "{reached}");
    for target in [format!("localhost:{port}"), "127.0.0.1:1".to_owned()] {
        let refused = scene.reach(&person, &target);
        assert!(refused.stderr.contains("prohibited"), "{refused}");
    }
    scene.listen(&person, &listen.to_string()).ok();
    let other = scene.listen(&person, &free_port().to_string());
    assert_eq!(other.code(), Some(255), "{other}");
    scene.gate.stop();
}
