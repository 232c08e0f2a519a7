//! `poolgate upgrade`: the gate is told to give its place to a program, and says what comes of it: another one serves, or it goes
//! on itself, and why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::client::{PATIENCE, host};
use crate::support::gate::{poolgate, rows};
use crate::support::operators::token;
use crate::support::proc::{send, wait_gone};
use crate::support::{
    Finished, Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, wait_until,
};

struct Scene {
    world: World,
    gate: Gate,
    person: Person,
    sshd: Sshd,
}

impl Scene {
    fn new(setup: impl FnOnce(GateSetup) -> GateSetup) -> Self {
        let world = World::new();
        let mut sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = setup(GateSetup::over(&sshds)).start(&world);
        Self {
            person: world.person(1),
            sshd: sshds.remove(0),
            world,
            gate,
        }
    }

    fn terminal(&self) -> Running {
        let mut ssh = self.gate.door(&self.world).ssh(&self.person);
        ssh.args(["-tt", &host(&self.person), "read -r line; echo \"<$line>\""]);
        let terminal = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        wait_until("the command on the instance", PATIENCE, || {
            self.sshd.log().contains("Starting session: ").then_some(())
        });
        terminal
    }

    fn upgrade(&self, words: &[&str]) -> Finished {
        let mut all = vec!["upgrade", "--reason", "a better queue"];
        all.extend(words);
        self.gate.cli(&all)
    }

    /// An upgrade to this program, which comes to nothing; returns what it says.
    #[track_caller]
    fn refused(&self, program: &Path) -> String {
        let owner = self.gate.owner();
        let told = self.upgrade(&["--program", program.to_str().unwrap()]);
        assert_eq!((told.code(), told.text()), (Some(1), ""), "{told}");
        let text = "no upgrade, and the gate goes on as before: ";
        assert!(told.stderr.contains(text), "{told}");
        self.gate.door(&self.world).run(&self.person, "true").ok();
        assert_eq!(self.gate.owner(), owner);
        told.stderr
    }

    /// A program that does this, and for the rest is the gate's own.
    fn script(&self, name: &str, lines: &str) -> PathBuf {
        let program = poolgate().get_program().to_owned();
        let text = format!("#!/bin/sh\n{lines}\nexec {program:?} \"$@\"\n");
        self.program(name, text.as_bytes())
    }

    fn program(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.world.path(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        rows(
            &self
                .gate
                .cli(&["events", "--kind", kind, "-o", "json"])
                .ok()
                .stdout,
        )
    }
}

/// Ends a gate that is nobody's child.
fn end(pid: u32) {
    wait_until("the end of the new gate", PATIENCE, || {
        send(pid, Signal::SIGTERM);
        crate::support::proc::still_running(&[pid])
            .is_empty()
            .then_some(())
    });
}

fn json(told: &Finished) -> Value {
    serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{told}"))
}

#[test]
fn an_order_has_the_new_program_serve_and_keeps_every_session() {
    let scene = Scene::new(|setup| setup);
    let mut terminal = scene.terminal();
    let old = scene.gate.owner();
    let tried = scene.upgrade(&["--dry-run"]).ok();
    assert!(
        tried.text().contains("would be given this gate's place"),
        "{tried}"
    );
    assert_eq!(scene.gate.owner(), old);
    assert_eq!(scene.events("upgrade").len(), 0);

    let told = scene.upgrade(&["-o", "json"]).ok();
    assert!(
        told.stderr.contains("does it take the configuration?"),
        "{told}"
    );
    let ended = json(&told);
    let new = scene.gate.owner();
    assert_ne!(new, old);
    assert_eq!(
        (&ended["pid"], &ended["before"]["pid"]),
        (&new.into(), &old.into())
    );
    assert_eq!(ended["version"], env!("CARGO_PKG_VERSION"));
    scene
        .gate
        .door(&scene.world)
        .run(&scene.person, "true")
        .ok();
    // The new gate tells whose wish it was, and the audit log has the order and what came of it.
    let events = scene.events("upgrade");
    let text = events[0]["text"].as_str().unwrap();
    assert!(
        text.contains(&format!("(pid {new})"))
            && text.ends_with("by order of root: a better queue"),
        "{text}"
    );
    let orders = scene.gate.audit("order");
    let upgrades: Vec<_> = orders
        .iter()
        .filter(|line| line["action"] == "upgrade")
        .collect();
    let [tried, done] = upgrades[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(
        (&tried["is_dry_run"], &done["is_dry_run"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        (&done["reason"], &done["by"]),
        (&"a better queue".into(), &"root".into())
    );
    let status = scene.gate.cli(&["status"]).ok();
    assert!(
        status.text().contains("keeps 1 session until it ends"),
        "{status}"
    );
    terminal.feed(b"still here\n");
    let ended = terminal.finish_within(PATIENCE).ok();
    assert!(ended.stdout.contains("<still here>"), "{ended}");
    scene.gate.wait_end();
    end(new);
}

#[test]
fn a_program_that_will_not_do_leaves_the_gate_as_it_was_and_is_told() {
    let scene = Scene::new(|setup| setup);
    let mut terminal = scene.terminal();
    let mut foreign = [0; 64];
    foreign[..20].copy_from_slice(b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x16");
    let cases = [
        (scene.world.path("none"), "sees no such file"),
        (
            scene.program("foreign", &foreign),
            "is no program for this machine",
        ),
        ("/bin/true".into(), "is no poolgate"),
        (
            scene.script(
                "picky",
                "[ $1 = check ] && { echo 'x.toml:4: ssh.port: unknown key' >&2; exit 78; }",
            ),
            "it refuses the configuration: x.toml:4: ssh.port: unknown key",
        ),
        (
            scene.script("short", "[ $1 = serve ] && exit 3"),
            "the new gate ended with exit status: 3",
        ),
        (
            scene.script("idle", "[ $1 = serve ] && exit 0"),
            "the new gate ended with exit status: 0",
        ),
    ];
    for (count, (program, why)) in cases.iter().enumerate() {
        let said = scene.refused(program);
        assert!(said.contains(why), "{}: {said}", program.display());
        let events = scene.events("upgrade-failed");
        assert_eq!(events.len(), count + 1);
        assert!(events[count]["text"].as_str().unwrap().contains(why));
    }
    // What is wrong only for a gate that builds everything.
    let good = fs::read_to_string(&scene.gate.config).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let other = good.replace(
        "\n[ssh]\nlisten = [",
        &format!("\n[ssh]\nlisten = [\"{at}\", "),
    );
    assert_ne!(other, good);
    fs::write(&scene.gate.config, other).unwrap();
    let told = scene.upgrade(&[]);
    assert_eq!(told.code(), Some(1), "{told}");
    assert!(
        told.stderr.contains(&format!("cannot listen on {at}")),
        "{told}"
    );
    fs::write(&scene.gate.config, good).unwrap();
    let dry = scene.upgrade(&["--dry-run", "--program", "/bin/true", "-o", "json"]);
    assert_eq!(dry.code(), Some(1), "{dry}");
    let error: Value = serde_json::from_str(dry.stderr.lines().last().unwrap()).unwrap();
    assert!(
        error["error"]
            .as_str()
            .unwrap()
            .contains("it would not be given the place"),
        "{dry}"
    );
    terminal.feed(b"still here\n");
    let ended = terminal.finish_within(PATIENCE).ok();
    assert!(ended.stdout.contains("<still here>"), "{ended}");
    scene.gate.stop();
}

#[test]
fn there_is_one_order_at_a_time() {
    let scene = Scene::new(|setup| setup);
    // A version that takes its time to say which it is.
    let go = scene.world.path("go");
    let slow = scene.script(
        "slow",
        &format!(
            "[ $1 = --version ] && until [ -e {} ]; do sleep 0.1; done",
            go.display()
        ),
    );
    let mut first = poolgate();
    first
        .args(["upgrade", "--reason", "the first", "--program"])
        .arg(&slow);
    let first = Running::start(first.arg("-c").arg(&scene.gate.config));
    wait_until("the first order", PATIENCE, || {
        let (_, told) = scene.gate.admin("/api/v1/upgrade");
        told.contains("the first").then_some(())
    });
    let second = scene.upgrade(&[]);
    assert_eq!(second.code(), Some(1), "{second}");
    assert!(second.stderr.contains("is under way, by root"), "{second}");
    fs::write(&go, "").unwrap();
    let told = first.finish_within(PATIENCE).ok();
    assert!(told.text().contains("keeps its sessions"), "{told}");
    scene.gate.wait_end();
    end_current(&scene.world);
}

/// The gate that has the state folder by now.
fn end_current(world: &World) {
    let text = fs::read_to_string(world.path("gate/state/gate.lock")).unwrap();
    let pid = text.trim().strip_prefix("pid ").unwrap().parse().unwrap();
    end(pid);
    wait_gone("the new gate", &[pid], PATIENCE);
}

#[test]
fn who_may_order_it_and_who_may_name_a_program() {
    let scene = Scene::new(|setup| setup);
    let owner = scene.gate.owner();
    // Over the network there is no order, whatever the role.
    let url = format!("http://127.0.0.1:{}", scene.gate.admin_port);
    let file = scene.world.path("admin.token");
    fs::write(&file, token(&scene.gate, "ada", "admin")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut cli = poolgate();
    cli.args([
        "upgrade",
        "--reason",
        "from afar",
        "--url",
        &url,
        "--token-file",
    ])
    .arg(&file);
    let refused = finish(&mut cli, PATIENCE);
    assert_eq!(refused.code(), Some(1));
    assert!(
        refused.stderr.contains("on the operators' socket"),
        "{refused}"
    );
    let without = scene.gate.cli(&["upgrade"]);
    assert_eq!(without.code(), Some(2), "a reason is wanted: {without}");
    assert_eq!(scene.gate.owner(), owner);
    scene.gate.stop();
}

/// The instances of such a pool end with their gate.
#[test]
fn a_pool_of_processes_keeps_the_gate_and_everybody_says_so() {
    let world = World::new();
    let fleet = "provider = \"process\"\ncount = 0\ncommand = [\"/bin/sleep\", \"1000\"]";
    let gate = GateSetup::default()
        .scaling("max = 1")
        .fleet(fleet)
        .start(&world);
    for dry in [&["--dry-run"][..], &[]] {
        let words = [&["upgrade", "--reason", "a better queue"], dry].concat();
        let refused = gate.cli(&words);
        assert_eq!(refused.code(), Some(1), "{refused}");
        assert!(
            refused.stderr.contains("are processes of this gate"),
            "{refused}"
        );
        assert!(refused.stderr.contains("stop the gate"), "{refused}");
    }
    let checked = gate.cli(&["check"]).ok();
    assert!(
        checked.stdout.contains("`poolgate upgrade` is refused"),
        "{checked}"
    );
    let told = gate.cli(&["doctor"]);
    assert!(
        told.stdout
            .contains("warn pools.main.fleet: its instances are processes of the gate"),
        "{told}"
    );
    gate.stop();
}
