//! The command line as people and programs meet it: objects for programs, colours on terminals and nowhere else, readers that go away,
//! progress, and the manual.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::client::{PATIENCE, host};
use crate::support::gate::{OF_INSTANCE, OF_SESSION, poolgate};
use crate::support::proc::{descendants, send};
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World, finish, tool, wait_until};

struct Scene {
    world: World,
    gate: Gate,
    _sshds: Vec<Sshd>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
        let gate = GateSetup::over(&sshds)
            .ssh("connect_timeout = \"20s\"")
            .start(&world);
        Self {
            world,
            gate,
            _sshds: sshds,
        }
    }

    /// Somebody whose session goes on.
    fn session(&self) -> (Running, Value) {
        let person = self.world.person(1);
        let mut ssh = self.gate.door(&self.world).ssh(&person);
        ssh.args([&host(&person), "sleep 600"]);
        let running = Running::start(&mut ssh);
        self.gate.wait_sessions(1);
        (running, self.gate.sessions().remove(0))
    }

    fn json(&self, words: &[&str]) -> Value {
        let told = self.gate.cli(&[words, &["-o", "json"]].concat()).ok();
        serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
    }

    /// The command, as a line of a shell.
    fn line(&self, words: &str) -> String {
        let config = self.gate.config.display();
        format!("{} {words} -c {config}", env!("CARGO_BIN_EXE_poolgate"))
    }

    /// What the command shows on a terminal.
    fn on_a_terminal(&self, words: &str, variables: &[(&str, &str)]) -> String {
        let mut script = tool("script");
        script.args(["-qec", &self.line(words), "/dev/null"]);
        script
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("CI");
        script.envs(variables.iter().copied());
        finish(&mut script, PATIENCE).ok().stdout
    }

    fn piped(&self, words: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = poolgate();
        command.args(words).arg("-c").arg(&self.gate.config);
        command.envs(variables.iter().copied());
        finish(&mut command, PATIENCE).ok().stdout
    }
}

#[track_caller]
fn has(value: &Value, fields: &[&str]) {
    let missing: Vec<_> = fields
        .iter()
        .filter(|field| value.get(field).is_none())
        .collect();
    assert!(missing.is_empty(), "no {missing:?} in {value:#}");
}

#[test]
fn each_verb_has_objects_for_programs() {
    let scene = Scene::new();
    let (held, session) = scene.session();
    let id = session["id"].as_str().unwrap().to_owned();
    let name = session["instance"].as_str().unwrap().to_owned();
    let instances = scene.json(&["instances"]);
    has(&instances[0], &OF_INSTANCE);
    has(&scene.json(&["sessions"])[0], &OF_SESSION);
    has(
        &scene.json(&["status"]),
        &["version", "ready", "uptime_s", "pools"],
    );
    assert!(scene.json(&["queue"]).as_array().unwrap().is_empty());
    assert!(scene.json(&["cost"]).as_array().unwrap().is_empty());
    has(
        &scene.json(&["explain", "person01"]),
        &["user", "pool", "next", "text"],
    );
    has(&scene.json(&["explain", "idle", &name]), &["is_idle"]);
    let health = scene.json(&["explain", "health", &name]);
    has(
        &health[0],
        &[
            "instance", "pool", "health", "services", "rise", "fall", "text",
        ],
    );
    let ssh = &health[0]["services"][0];
    assert_eq!(
        (&ssh["service"], &ssh["people"][0]),
        (&"ssh".into(), &"person01".into())
    );
    assert_eq!(ssh["last"]["why"], "identification read");
    has(
        &scene.json(&["explain", "scaling"])[0],
        &["name", "placement", "text"],
    );
    has(&scene.json(&["check"]), &["file", "warnings", "limits"]);
    has(&scene.json(&["healthcheck"]), &["alive"]);
    has(&scene.json(&["healthcheck", "--ready"]), &["ready"]);
    has(
        &scene.json(&["doctor"])[0],
        &["subject", "verdict", "says", "remedy"],
    );
    assert!(scene.json(&["host-keys", "--host", "x"]).is_array());
    each_order_has_objects(&scene, &id);
    has(&scene.json(&["notify", "--dry-run", "x"]), &["sessions"]);
    assert!(scene.json(&["events"]).as_array().unwrap().is_empty());
    held.signal(Signal::SIGTERM);
    held.finish(PATIENCE);
    scene.gate.stop();
}

/// Each says what would be done, and does nothing.
fn each_order_has_objects(scene: &Scene, id: &str) {
    let why = ["--reason", "a test", "--dry-run"];
    for words in [
        [&["cordon", "vm1"], &why[..]].concat(),
        [&["uncordon", "vm1"], &why[..]].concat(),
        [&["drain", "vm1"], &why[..]].concat(),
        [&["evict", id], &why[..]].concat(),
        [&["move", "person01", "--to", "vm2"], &why[..]].concat(),
        vec!["keep", "vm1", "2h", "--dry-run"],
    ] {
        let done = scene.json(&words);
        has(&done, &["pool", "instance", "text"]);
        assert_eq!(done["is_dry_run"], true, "{words:?}");
    }
    let refused = scene
        .gate
        .cli(&["cordon", "vm9", "--reason", "x", "-o", "json"]);
    let told: Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(
        (refused.code(), &told["exit_code"]),
        (Some(1), &1.into()),
        "{refused}"
    );
}

#[test]
fn colours_are_for_terminals_and_say_nothing_that_words_do_not() {
    let scene = Scene::new();
    let green = "\u{1b}[32mup\u{1b}[0m";
    let painted = scene.on_a_terminal("instances", &[]);
    assert!(painted.contains(green), "{painted:?}");
    for (words, variables) in [
        ("instances", [("NO_COLOR", "1")]),
        ("instances --color never", [("X", "x")]),
        ("instances", [("TERM", "dumb")]),
    ] {
        let plain = scene.on_a_terminal(words, &variables);
        assert!(
            !plain.contains('\u{1b}') && plain.contains("up"),
            "{plain:?}"
        );
    }
    let plain = scene.piped(&["instances"], &[]);
    assert!(
        !plain.contains('\u{1b}') && plain.contains("up"),
        "{plain:?}"
    );
    for (words, variables) in [
        (&["instances", "--color", "always"][..], ("X", "x")),
        (&["instances"], ("CLICOLOR_FORCE", "1")),
    ] {
        let forced = scene.piped(words, &[variables]);
        assert!(forced.contains(green), "{words:?} {forced:?}");
    }
    let json = scene.on_a_terminal("instances -o json", &[]);
    assert!(!json.contains('\u{1b}'), "{json:?}");
    scene.gate.stop();
}

#[test]
fn events_are_chosen_and_a_reader_may_go_away() {
    let scene = Scene::new();
    for (verb, name) in [("cordon", "vm1"), ("uncordon", "vm1"), ("drain", "vm2")] {
        scene.gate.cli(&[verb, name, "--reason", "a test"]).ok();
    }
    scene
        .gate
        .cli(&["move", "alice", "--to", "vm1", "--reason", "disk"])
        .ok();
    let kinds = |words: &[&str]| {
        let told = scene.json(&[&["events"], words].concat());
        let kinds = told.as_array().unwrap().iter();
        kinds
            .map(|event| event["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&[]), ["cordon", "undrain", "drain", "move"]);
    assert_eq!(kinds(&["--kind", "drain,cordon"]), ["cordon", "drain"]);
    assert_eq!(kinds(&["--instance", "main/vm2"]), ["drain"]);
    assert_eq!(kinds(&["--user", "alice"]), ["move"]);
    assert_eq!(kinds(&["--pool", "main"]).len(), 4);
    assert_eq!(kinds(&["--since", "1h"]).len(), 4);
    assert!(kinds(&["--since", "2100-01-01T00:00"]).is_empty());
    let unknown = scene.gate.cli(&["events", "--pool", "gpu"]);
    assert_eq!(unknown.code(), Some(1), "{unknown}");
    assert!(
        unknown.stderr.contains("no pool named \"gpu\""),
        "{unknown}"
    );
    let unknown = scene.gate.cli(&["events", "--kind", "party"]);
    assert_eq!(unknown.code(), Some(2), "{unknown}");
    let line = format!(
        "{} | head -1; echo \"${{PIPESTATUS[0]}}\"",
        scene.line("events --follow")
    );
    let mut bash = tool("bash");
    bash.args(["-c", &line]);
    let mut following = Running::start(&mut bash);
    // Whoever reads nothing any more is noticed with the next event.
    let order = ["cordon", "vm1", "--reason", "again"];
    wait_until("the end of who follows for nobody", PATIENCE, || {
        scene.gate.cli(&order).ok();
        (!following.is_running()).then_some(())
    });
    let told = following.finish(PATIENCE);
    assert!(told.text().ends_with("\n0"), "{told}");
    assert!(told.stderr.is_empty(), "{told}");
    scene.gate.stop();
}

/// A drain is watched on a terminal: one line that is written anew, who is left, until when; interrupted it says what goes on.
#[test]
fn a_drain_is_watched_and_goes_on_without_its_watcher() {
    let scene = Scene::new();
    let (held, session) = scene.session();
    let name = session["instance"].as_str().unwrap().to_owned();
    let line = scene.line(&format!(
        "drain {name} --reason kernel --deadline 2h --wait"
    ));
    let shown = scene.world.path("shown");
    let mut script = tool("script");
    script
        .args(["-qefc", &format!("exec {line}")])
        .arg(&shown)
        .env("TERM", "xterm");
    let watching = Running::start(&mut script);
    let read = || std::fs::read_to_string(&shown).unwrap_or_default();
    let left = format!("main/{name}: 1 session left (person01), until ");
    wait_until("twice on the same line", PATIENCE, || {
        let text = read();
        (text.matches(&format!("\r\u{1b}[K\u{1b}[?7l{left}")).count() >= 2).then_some(())
    });
    assert!(read().contains(" to go)"), "{}", read());
    let watcher = descendants(watching.pid());
    send(*watcher.last().unwrap(), Signal::SIGINT);
    assert_eq!(watching.finish(PATIENCE).code(), Some(1), "{}", read());
    assert!(
        read().contains("goes on draining without this command"),
        "{}",
        read()
    );
    let rows = scene.gate.instances();
    let row = rows.iter().find(|row| row["name"] == *name).unwrap();
    assert_eq!(row["admin_state"], "draining");
    held.signal(Signal::SIGTERM);
    held.finish(PATIENCE);
    scene.gate.stop();
}

/// groff reads every page and has nothing to say about it.
#[test]
fn the_manual_has_no_fault() {
    let world = World::new();
    let folder = world.path("man");
    finish(poolgate().args(["man", "--dir"]).arg(&folder), PATIENCE).ok();
    let pages: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|page| page.unwrap().path())
        .collect();
    assert!(pages.len() > 30, "{pages:?}");
    assert!(pages.iter().any(|page| page.ends_with("poolgate.toml.5")));
    for page in pages {
        let mut groff = tool("groff");
        let read = finish(
            groff
                .args(["-man", "-ww", "-Tutf8", "-P-cbu", "-K", "utf8"])
                .arg(&page),
            PATIENCE,
        )
        .ok();
        assert!(read.stderr.is_empty(), "{}: {read}", page.display());
        assert!(read.stdout.contains("NAME"), "{}", page.display());
    }
}

#[test]
fn lists_are_csv_for_spreadsheets_with_the_same_columns_also_where_nothing_is_in_them() {
    let scene = Scene::new();
    let csv = |list: &str| scene.gate.cli(&[list, "-o", "csv"]).ok().stdout;
    let instances = csv("instances");
    let lines: Vec<_> = instances.split("\r\n").collect();
    assert!(
        lines[0].starts_with("pool,name,address,ssh_port,"),
        "{instances}"
    );
    assert!(lines[1].starts_with("main,vm1,127.0.0.1,"), "{instances}");
    assert_eq!(csv("queue"), "pool,place,user,by,source,since,is_there\r\n");
    scene.gate.cli(&["cordon", "vm1", "--reason", "=cmd"]).ok();
    let events = csv("events");
    assert!(
        events.starts_with("number,time,pool,instance,user,kind,text\r\n"),
        "{events}"
    );
    assert!(events.contains(",main,vm1,,cordon,"), "{events}");
    scene.gate.stop();
}

/// `poolgate events --follow | head -1`: nothing happens any more, and nobody is left behind.
#[test]
fn whoever_follows_events_ends_with_their_reader() {
    let scene = Scene::new();
    let mut follow = poolgate();
    follow
        .args(["events", "--follow", "-c"])
        .arg(&scene.gate.config);
    follow.stdout(std::process::Stdio::piped());
    let mut followed = follow.spawn().unwrap();
    let mut first = [0; 4];
    let mut reader = followed.stdout.take().unwrap();
    std::io::Read::read_exact(&mut reader, &mut first).unwrap();
    assert_eq!(&first, b"TIME");
    drop(reader);
    wait_until("it to end", PATIENCE, || followed.try_wait().unwrap());
    scene.gate.stop();
}
