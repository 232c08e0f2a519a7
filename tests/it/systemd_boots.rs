//! The unit as it is shipped, under a systemd that runs: what an upgrade, a crash, a reload and the begin of a restart do to people's sessions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::booted::{Booted, give};
use crate::support::client::{PATIENCE, host};
use crate::support::gate::rows;
use crate::support::{Door, Finished, Logins, Person, Running, Sshd, World, free_port, wait_until};

const CONFIG: &str = "/etc/poolgate/poolgate.toml";

struct Scene {
    machine: Booted,
    door: Door,
    sshd: Sshd,
    people: Vec<Person>,
    world: World,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshd = Sshd::start(&world, "vm1", Logins::Certificates);
        let people = world.people(1..=2);
        let port = free_port();
        world.trust_host(port, &world.path("gate_host_key"));
        let machine = Booted::start(&world, |root| prepare(root, &world, &people, &sshd, port));
        let scene = Self {
            door: Door::gate(&world, port),
            machine,
            sshd,
            people,
            world,
        };
        scene.wait_open();
        scene
    }

    fn wait_open(&self) {
        wait_until("the gate under systemd", PATIENCE, || {
            let instances = self.poolgate(&["instances", "-o", "json"]);
            let up = rows(&instances.stdout)
                .iter()
                .any(|row| row["health"] == "up");
            (up && self.machine.state() == "active").then_some(())
        });
    }

    fn poolgate(&self, words: &[&str]) -> Finished {
        self.machine.run(&[&["poolgate"], words].concat())
    }

    fn shell(&self, person: &Person) -> Running {
        let begun = || self.sshd.log().matches("Starting session: ").count();
        let before = begun();
        let mut ssh = self.door.ssh(person);
        ssh.args([&host(person), "read -r line; echo \"<$line>\""]);
        let shell = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        wait_until("the command on the instance", PATIENCE, || {
            (begun() > before).then_some(())
        });
        shell
    }

    fn wait_other_than(&self, process: u32) -> u32 {
        wait_until("another main process", PATIENCE, || {
            let main = self.machine.main_process();
            (main != 0 && main != process && self.machine.state() == "active").then_some(main)
        })
    }
}

fn prepare(root: &Path, world: &World, people: &[Person], sshd: &Sshd, port: u16) {
    for secret in ["gate_host_key", "user_ca"] {
        give(root, &world.path(secret), secret);
    }
    let keys = root.join("etc/poolgate/keys");
    fs::create_dir(&keys).unwrap();
    for person in people {
        let public = fs::read_to_string(person.key.with_extension("pub")).unwrap();
        fs::write(keys.join(&person.name), public).unwrap();
    }
    let config = format!(
        "state_dir = \"/var/lib/poolgate\"
[ssh]
listen = [\"127.0.0.1:{port}\"]
host_keys = [\"/etc/poolgate/gate_host_key\"]
user_ca = \"/etc/poolgate/user_ca\"
[ssh.auth]
authorized_keys = [\"/etc/poolgate/keys/%u\"]
[admin]
socket = \"/run/poolgate/admin.sock\"
listen = \"off\"
[audit]
file = \"/var/log/poolgate/audit.jsonl\"
[pools.main.health]
interval = \"1s\"
rise = 1
[pools.main.fleet]
provider = \"static\"
instances = [{{ name = \"vm1\", address = \"127.0.0.1\", ssh_port = {}, jupyter_port = \"off\" }}]
",
        sshd.port
    );
    fs::write(root.join(&CONFIG[1..]), config).unwrap();
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(root.join(&CONFIG[1..]), readable).unwrap();
}

fn turn(mut shell: Running) {
    shell.feed(b"still here\n");
    let ended = shell.finish_within(PATIENCE).ok();
    assert!(ended.stdout.contains("<still here>"), "{ended}");
}

#[test]
fn a_crash_after_an_upgrade_leaves_the_older_gates_sessions_and_a_restart_waits_for_them() {
    let scene = Scene::new();
    let systemctl = |words: &[&str]| scene.machine.run(&[&["systemctl"], words].concat());
    let [first, second] = &scene.people[..] else {
        panic!("two people");
    };
    let stays = scene.shell(first);
    let old = scene.machine.main_process();
    let told = scene
        .poolgate(&["upgrade", "--reason", "a better queue"])
        .ok();
    assert!(told.text().contains("keeps its sessions"), "{told}");
    let new = scene.wait_other_than(old);
    let lost = scene.shell(second);

    // The main process dies as by a fault of its own.
    scene.machine.run(&["kill", "-9", &new.to_string()]).ok();
    assert_eq!(lost.finish_within(PATIENCE).code(), Some(255));
    let third = scene.wait_other_than(new);
    scene.wait_open();
    let sessions = rows(&scene.poolgate(&["sessions", "-o", "json"]).ok().stdout);
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(
        (&sessions[0]["user"], &sessions[0]["is_elsewhere"]),
        (&first.name.as_str().into(), &true.into())
    );
    scene.door.run(second, "true").ok();

    // A reload is none of all that, and a faulty file changes nothing.
    systemctl(&["reload", "poolgate"]).ok();
    let file = scene.world.path("booted/root").join(&CONFIG[1..]);
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("[ssh]", "[ssh]\nport = 22")).unwrap();
    assert_ne!(systemctl(&["reload", "poolgate"]).code(), Some(0));
    fs::write(&file, good).unwrap();
    assert_eq!(
        (scene.machine.main_process(), &*scene.machine.state()),
        (third, "active")
    );
    scene.door.run(second, "true").ok();

    // A restart is a stop and a start: it waits for the last session, at the older gate.
    systemctl(&["restart", "--no-block", "poolgate"]).ok();
    wait_until("the stop to begin", PATIENCE, || {
        (scene.machine.state() == "deactivating").then_some(())
    });
    assert_eq!(scene.machine.main_process(), third);
    turn(stays);
}
