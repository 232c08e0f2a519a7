//! A pool of local processes that follows its people: real sshd and JupyterHub on each machine, from nothing to three and
//! back, with nobody cut off.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{client_script, host};
use crate::support::gate::rows;
use crate::support::hub::{HUB_PASSWORD, HUB_TOKEN};
use crate::support::hub_scene::polling;
use crate::support::people::PASSWORD;
use crate::support::visitor::Visitor;
use crate::support::{Finished, Gate, GateSetup, Running, World, finish, tool, wait_until};

/// A machine's boot on a busy computer.
const LONG: Duration = Duration::from_secs(180);

struct Scene {
    gate: Gate,
    world: World,
}

impl Scene {
    /// Two seats a machine, three machines at most, none when nobody is there.
    fn new() -> Self {
        let world = World::new();
        let settings = settings(&world);
        let script = client_script("machine.sh");
        let words = ["{name}", "{ssh_port}", "{jupyter_port}", "{state_dir}"];
        let mut command = vec![script.display().to_string(), settings.display().to_string()];
        command.extend(words.map(str::to_owned));
        let gate = polling(&world, GateSetup::default())
            .https("presence = \"1m\"")
            .pool("capacity = 2")
            .pool("affinity = \"1s\"")
            .ssh("queue_time = \"5m\"")
            .auth("password = \"instance\"")
            .scaling("max = 3")
            .scaling("headroom = \"0 seats\"")
            .scaling("idle = \"5s\"")
            .scaling("stabilise = \"5s\"")
            .scaling("cool_down = \"0s\"")
            .scaling("learned_seats_max = 0")
            .fleet(&format!(
                "provider = \"process\"\ncount = 0\ncommand = {command:?}"
            ))
            .start(&world);
        Self { gate, world }
    }

    /// Somebody who logs in and stays until they are told to go.
    fn ssh(&self, number: usize) -> Person {
        let person = self.world.person(number);
        let (log, word) = (
            self.world.path(&format!("client-{number}")),
            self.world.path(&format!("go-{number}")),
        );
        let file = std::fs::File::create(&log).unwrap();
        let stays = format!(
            "echo on $POOLGATE_INSTANCE; until [ -e {} ]; do sleep 0.2; done; echo well rested",
            word.display()
        );
        let mut ssh = self.gate.door(&self.world).ssh(&person);
        ssh.arg(host(&person)).arg(stays);
        let process = Running::start_logged(&mut ssh, file);
        Person { process, log, word }
    }

    /// Somebody who has a password and no key.
    fn by_password(&self, number: usize, does: &str) -> Finished {
        let program = self.world.path("askpass");
        std::fs::write(&program, format!("#!/bin/sh\necho '{PASSWORD}'\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let person = self.world.person(number);
        let mut ssh = tool("ssh");
        ssh.args(["-o", "BatchMode=no", "-o", "PubkeyAuthentication=no"]);
        ssh.args(["-o", "NumberOfPasswordPrompts=1"]);
        ssh.args(self.gate.door(&self.world).options(&person));
        ssh.args([&host(&person), does]);
        ssh.env("SSH_ASKPASS", &program)
            .env("SSH_ASKPASS_REQUIRE", "force");
        finish(&mut ssh, LONG)
    }

    fn events(&self) -> Vec<Value> {
        rows(&self.gate.cli(&["events", "-o", "json"]).ok().stdout)
    }

    fn count(&self, kind: &str) -> usize {
        self.events()
            .iter()
            .filter(|event| event["kind"] == kind)
            .count()
    }

    fn up(&self) -> usize {
        let instances = self.gate.instances();
        instances.iter().filter(|row| row["health"] == "up").count()
    }
}

struct Person {
    process: Running,
    log: PathBuf,
    word: PathBuf,
}

impl Person {
    fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_told(&mut self, text: &str) {
        wait_until(&format!("ssh to show {text:?}"), LONG, || {
            let told = self.told();
            if !told.contains(text) {
                assert!(self.process.is_running(), "it ended: {told}");
                return None;
            }
            Some(())
        });
    }

    fn instance(&mut self) -> String {
        self.wait_told("on main-");
        let told = self.told();
        let at = told.find("on main-").unwrap() + 3;
        told[at..].split_whitespace().next().unwrap().to_owned()
    }

    /// Leaves by themselves, undisturbed.
    fn go(mut self) {
        std::fs::write(&self.word, "").unwrap();
        self.wait_told("well rested");
        let end = self.process.finish_within(Duration::from_secs(30));
        assert_eq!(end.code(), Some(0), "{end}");
    }
}

/// What is the same for all machines, as shell variables.
fn settings(world: &World) -> PathBuf {
    let staged = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test");
    let proxy = staged.join("npm/node_modules/.bin/configurable-http-proxy");
    drop(tool(proxy.to_str().unwrap())); // it must be there
    let path = world.path("settings.sh");
    let lines = [
        ("USER_CA", world.path("user_ca.pub")),
        ("HUB_VENV", staged.join("venv")),
        ("HUB_PROXY", proxy),
        ("HUB_CONFIG", client_script("jupyterhub_config.py")),
        ("SSHD", PathBuf::from("/usr/sbin/sshd")),
        ("HUB_PASSWORD", PathBuf::from(HUB_PASSWORD)),
        ("HUB_TOKEN", PathBuf::from(HUB_TOKEN)),
        ("SSHD_LINES", PathBuf::from("PasswordAuthentication yes")),
    ];
    let text: String = lines
        .iter()
        .map(|(name, value)| format!("export {name}=\"{}\"\n", value.display()))
        .collect();
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_pool_wakes_for_ssh_and_a_browser_grows_and_sleeps_again_with_nobody_cut_off() {
    let scene = Scene::new();
    assert_eq!((scene.up(), scene.count("grow")), (0, 0));

    // Both doors at once, before an empty pool: one machine for both.
    let mut alice = scene.ssh(1);
    let mut browser = Visitor::new(&format!("https://127.0.0.1:{}", scene.gate.https_port));
    let asleep = browser.page("/hub/login");
    assert_eq!(asleep["status"], 503, "{asleep}");
    alice.wait_told("poolgate:");
    let first = alice.instance();
    wait_until("the hub's login page", LONG, || {
        (browser.page("/hub/login")["status"] == 200).then_some(())
    });
    let page = browser.log_in("bea");
    assert_eq!(page["status"], 302, "{page}");
    browser.spawn("bea");
    let kernel = browser.kernel("bea");
    assert_eq!(browser.instance("bea", &kernel), first);
    let growths: Vec<Value> = scene
        .events()
        .into_iter()
        .filter(|one| one["kind"] == "grow")
        .collect();
    assert_eq!(growths.len(), 1, "{growths:?}");
    assert!(
        growths[0]["text"]
            .as_str()
            .unwrap()
            .starts_with("1 more asked for: ")
    );

    // Four more people: two more machines, and no more than that.
    let mut crowd: Vec<Person> = (2..6).map(|number| scene.ssh(number)).collect();
    let homes: BTreeSet<String> = crowd.iter_mut().map(Person::instance).collect();
    assert_eq!(
        (homes.len(), scene.gate.instances().len()),
        (2, 3),
        "{homes:?}"
    );
    wait_until("their hubs too", LONG, || (scene.up() == 3).then_some(()));

    // They leave as they please, and the machines go when nobody needs them.
    crowd.into_iter().for_each(Person::go);
    wait_until("two machines to go", LONG, || {
        (scene.gate.instances().len() == 1).then_some(())
    });
    let said = browser.run("bea", &kernel, "print(6 * 7)");
    assert_eq!(said, "42");
    assert_eq!(scene.gate.instances()[0]["name"], json!(first));
    alice.go();
    drop(browser);
    wait_until("the pool to sleep", LONG, || {
        (scene.count("gone") == 3).then_some(())
    });
    assert_eq!(scene.gate.instances().len(), 0);

    assert_explained(&scene);
    assert_a_password_wakes(&scene);
}

/// Every step is in the story, and nobody's session ended but by themselves.
fn assert_explained(scene: &Scene) {
    let events = scene.events();
    let of = |kind: &str| events.iter().filter(|one| one["kind"] == kind).count();
    assert_eq!(
        (of("up"), of("drain"), of("remove"), of("gone")),
        (3, 3, 3, 3),
        "{events:#?}"
    );
    assert_eq!((of("fault"), of("evict")), (0, 0), "{events:#?}");
    assert!(
        events
            .iter()
            .all(|event| !event["text"].as_str().unwrap().is_empty())
    );
    let table = scene.gate.cli(&["events"]).ok();
    assert!(table.stdout.contains("nobody is on"), "{table}");
    for end in scene.gate.audit("end") {
        let cause = end["cause"].as_str().unwrap();
        assert!(!cause.contains("gone") && !cause.contains("evict"), "{end}");
    }
}

/// Of a sleeping pool, where none can be checked: for who was here, and for nobody else.
fn assert_a_password_wakes(scene: &Scene) {
    let growths = scene.count("grow");
    let stranger = scene.by_password(9, "true");
    assert_eq!(stranger.code(), Some(255), "{stranger}");
    assert!(
        stranger.stderr.contains("is asleep, and a password"),
        "{stranger}"
    );
    assert_eq!(scene.count("grow"), growths);
    let back = scene.by_password(2, "echo $POOLGATE_INSTANCE; whoami").ok();
    let told = back.text();
    assert!(
        back.stderr.contains("a machine is being woken for you"),
        "{back}"
    );
    assert!(
        told.contains("main-") && told.contains("person02"),
        "{back}"
    );
    let last = scene.gate.audit("login").pop().unwrap();
    let proof = last["proof"].as_str().unwrap();
    assert!(proof.starts_with("password"), "{last}");
}
