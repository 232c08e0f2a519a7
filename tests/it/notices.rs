//! Lines of the gate's own in people's terminals, and nowhere else; sessions that end because their time is over.

use std::process::Stdio;

use crate::support::client::{PATIENCE, host};
use crate::support::{
    Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, tool, wait_until,
};

struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
    person: Person,
}

impl Scene {
    fn new(setup: impl FnOnce(GateSetup) -> GateSetup) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = setup(GateSetup::over(&sshds)).start(&world);
        let person = world.person(1);
        Self {
            world,
            gate,
            sshds,
            person,
        }
    }

    fn ssh(&self, options: &[&str], command: &str) -> Running {
        let mut ssh = self.gate.door(&self.world).ssh(&self.person);
        ssh.args(options).args([&host(&self.person), command]);
        Running::start_with_stdin(ssh.stdin(Stdio::piped()))
    }

    /// Waits until so many commands run on the instance.
    fn wait_commands(&self, count: usize) {
        wait_until("the commands on the instance", PATIENCE, || {
            let log = self.sshds[0].log();
            (log.matches("Starting session: ").count() >= count).then_some(())
        });
    }
}

const TEXT: &str = "the machines restart at noon";

#[test]
fn a_notice_is_seen_in_terminals_and_nowhere_else() {
    let scene = Scene::new(|setup| setup);
    let mut terminal = scene.ssh(&["-tt"], "read -r line; echo \"got <$line>\"");
    let mut stream = scene.ssh(&[], "cat; cat /dev/null");
    let batch = scene.world.path("batch");
    let big = vec![b'x'; 5_000_000];
    std::fs::write(scene.world.path("big"), &big).unwrap();
    scene.wait_commands(2);
    stream.feed(b"begin ");
    let given = scene
        .gate
        .cli(&["notify", "--user", &scene.person.name, TEXT])
        .ok();
    assert_eq!(given.text(), "given to 2 sessions");
    // Said after a moment of silence at the latest; only then does anything else go on.
    let door = scene.gate.door(&scene.world);
    let there = format!("/tmp/notice-test-{}", std::process::id());
    std::fs::write(
        &batch,
        format!(
            "put {} {there}\nget {there} {}\nrm {there}\n",
            scene.world.path("big").display(),
            scene.world.path("back").display()
        ),
    )
    .unwrap();
    let mut sftp = tool("sftp");
    sftp.args(door.options(&scene.person)).arg("-b").arg(&batch);
    finish(sftp.arg(host(&scene.person)), PATIENCE).ok();
    stream.feed(b"end");
    stream.close_stdin();
    let stream = stream.finish(PATIENCE).ok();
    assert_eq!(
        (stream.stdout.as_str(), stream.stderr.as_str()),
        ("begin end", "")
    );
    assert!(std::fs::read(scene.world.path("back")).unwrap() == big);
    terminal.feed(b"typed\n");
    terminal.close_stdin();
    let terminal = terminal.finish(PATIENCE).ok();
    assert!(
        terminal
            .stdout
            .contains(&format!("\r\npoolgate: {TEXT}\r\n")),
        "{terminal}"
    );
    assert!(terminal.stdout.contains("got <typed>"), "{terminal}");
    // A gate that stops says so; ssh shows the goodbye itself, and not what came right before it.
    let last = scene.ssh(&["-tt"], "cat");
    scene.wait_commands(4);
    scene.gate.stop();
    let last = last.finish(PATIENCE);
    assert!(last.stderr.contains("the gate is shutting down"), "{last}");
}

/// More than the client's window passes before and after each notice, so that a window counted wrong would stop the
/// stream or make one side call the other a liar.
#[test]
fn notices_within_a_stream_of_output_change_no_byte_of_it() {
    let scene = Scene::new(|setup| setup);
    let door = scene.gate.door(&scene.world);
    let mut ssh = door.ssh(&scene.person);
    let command = "stty raw -echo; for round in 1 2 3 4 5 6; do read -r go; head -c 4000000 /dev/zero | tr '\\0' x; echo; done";
    ssh.args(["-tt", &host(&scene.person), command]);
    let mut stream = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    scene.wait_commands(1);
    for _ in 0..6 {
        scene.gate.cli(&["notify", TEXT]).ok();
        stream.feed(b"go\n");
    }
    let finished = stream.finish(PATIENCE).ok();
    let notice = format!("\r\npoolgate: {TEXT}\r\n");
    assert!(finished.stdout.contains(&notice), "no notice in the output");
    let rest = finished.stdout.replace(&notice, "");
    assert_eq!(rest.matches('x').count(), 24_000_000);
    assert_eq!(rest.replace(['x', '\n', '\r'], ""), "");
    assert!(!finished.stderr.contains("window"), "{}", finished.stderr);
    scene.gate.stop();
}

#[test]
fn an_idle_session_is_warned_and_ended() {
    let scene = Scene::new(|setup| setup.ssh("idle_timeout = \"4s\""));
    let busy = scene.ssh(&[], "for n in 1 2 3 4 5 6 7 8 9; do echo $n; sleep 1; done");
    let idle = scene.ssh(&["-tt"], "cat");
    let idle = idle.finish(PATIENCE);
    assert_eq!(idle.code(), Some(255), "{idle}");
    assert!(
        idle.stdout
            .contains("poolgate: this session ends in 1 second unless"),
        "{idle}"
    );
    assert!(idle.stderr.contains("it was idle for 4 seconds"), "{idle}");
    assert_eq!(busy.finish(PATIENCE).ok().stdout.lines().count(), 9);
    let ends = scene.gate.wait_audit("end", 2);
    let cause = |line: &serde_json::Value| line["cause"].as_str().unwrap().contains("idle");
    assert_eq!(ends.iter().filter(|line| cause(line)).count(), 1);
    scene.gate.stop();
}

#[test]
fn a_session_ends_at_its_limit_however_busy() {
    let scene = Scene::new(|setup| setup.ssh("session_limit = \"4s\""));
    let busy = scene
        .ssh(&["-tt"], "while echo busy; do sleep 0.2; done")
        .finish(PATIENCE);
    assert_eq!(busy.code(), Some(255), "{busy}");
    assert!(
        busy.stdout.contains("it reaches its limit of 4 seconds"),
        "{busy}"
    );
    assert!(
        busy.stderr
            .contains("it has reached its limit of 4 seconds"),
        "{busy}"
    );
    scene.gate.stop();
}

/// Two pools may each have an instance of a name.
#[test]
fn a_notice_to_an_instance_is_for_the_one_that_is_named() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let (one, other) = (sshds[0].port, sshds[1].port);
    let fleet = format!(
        "provider = \"static\"\ninstances = [{{ name = \"vm1\", address = \"127.0.0.1\", ssh_port = {one}, jupyter_port = \"off\" }}]\n\
         [pools.gpu.fleet]\nprovider = \"static\"\n\
         instances = [{{ name = \"vm1\", address = \"127.0.0.1\", ssh_port = {other}, jupyter_port = \"off\" }}]\n"
    );
    let gate = GateSetup::over(&sshds).fleet(&fleet).start(&world);
    let there = |number: usize, pool: &str| {
        let person = world.person(number);
        let mut ssh = gate.door(&world).ssh(&person);
        ssh.arg(format!("{}+{pool}@127.0.0.1", person.name));
        Running::start(ssh.arg("sleep 600"))
    };
    let _there = [there(1, "main"), there(2, "gpu"), there(3, "gpu")];
    gate.wait_sessions(3);
    let given = |to: &str| gate.cli(&["notify", "--instance", to, TEXT]);
    assert_eq!(given("main/vm1").ok().text(), "given to 1 sessions");
    assert_eq!(given("gpu/vm1").ok().text(), "given to 2 sessions");
    let unclear = given("vm1");
    assert!(unclear.stderr.contains("ask for main/vm1"), "{unclear}");
    gate.stop();
}
