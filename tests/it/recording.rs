//! Recordings of terminals: what a person saw is in the file and can be played, what they typed unseen is not, and what
//! cannot be recorded is refused or not, as configured.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::client::{PATIENCE, client_script, host};
use crate::support::gate::poolgate;
use crate::support::{Door, Finished, Gate, GateSetup, Logins, Person, Sshd, World, finish, tool};

const SECRET: &str = "hunter2-is-secret";

struct Scene {
    world: World,
    _sshds: Vec<Sshd>,
    gate: Gate,
    person: Person,
}

impl Scene {
    /// `settings` follow `enabled` and `folder` in the pool's `recording`.
    fn new(folder: &str, settings: &str) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let folder = world.path(folder);
        let recording =
            format!("recording = {{ enabled = true, folder = {folder:?}, {settings} }}");
        let gate = GateSetup::over(&sshds).pool(&recording).start(&world);
        let person = world.person(1);
        Self {
            world,
            _sshds: sshds,
            gate,
            person,
        }
    }

    fn door(&self) -> Door {
        self.gate.door(&self.world)
    }

    fn terminal(&self, act: &str) -> Finished {
        let mut python = tool("python3");
        python.arg(client_script("terminal.py")).arg(act).arg("ssh");
        python.args(self.door().options(&self.person)).arg("-tt");
        python.args([&host(&self.person), "bash --norc --noediting"]);
        finish(&mut python, PATIENCE)
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.world.path(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The recordings that the newest of so many audit lines of ended sessions tells of.
    fn notes(&self, ended: usize) -> Vec<Value> {
        let ends = self.gate.wait_audit("end", ended);
        let recordings = &ends.last().unwrap()["recordings"];
        recordings
            .as_array()
            .unwrap_or_else(|| panic!("{ends:?}"))
            .clone()
    }
}

/// The data of all events of one kind.
fn events(cast: &[Value], kind: &str) -> Vec<String> {
    let of_kind = cast.iter().skip(1).filter(|event| event[1] == kind);
    of_kind
        .map(|event| event[2].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_terminal_is_recorded_as_it_was_seen_and_passwords_are_not() {
    let scene = Scene::new("recordings", "input = true");
    let seen = scene.terminal("password").ok();
    assert!(seen.stdout.contains("status 7"), "{seen}");

    let notes = scene.notes(1);
    let files = scene.files("recordings");
    assert_eq!((notes.len(), files.len()), (1, 1), "{notes:?} {files:?}");
    let text = fs::read_to_string(&files[0]).unwrap();
    assert_eq!(
        notes[0]["file"],
        files[0].file_name().unwrap().to_str().unwrap()
    );
    assert_eq!(
        (&notes[0]["bytes"], &notes[0]["truncated"]),
        (&text.len().into(), &false.into())
    );

    let cast: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&cast[0]["version"], &cast[0]["width"], &cast[0]["height"]),
        (&2.into(), &80.into(), &24.into())
    );
    assert_eq!(cast[0]["env"]["TERM"], "vt220");
    let shown = events(&cast, "o").concat();
    assert!(
        shown.contains("gr\u{fc}n") && shown.contains("length 17"),
        "{shown}"
    );
    assert!(
        seen.stdout.contains(&shown),
        "seen:\n{seen}\nrecorded:\n{shown}"
    );
    assert_eq!(events(&cast, "r"), ["132x50"]);
    assert!(
        events(&cast, "i").contains(&"echo seen\r".to_owned()),
        "{text}"
    );
    assert!(!text.contains(SECRET) && !text.contains("secret"), "{text}");

    check_player(&scene, &files[0], &shown);
    scene.gate.stop();
}

/// The recording plays, and a torn one is refused.
fn check_player(scene: &Scene, file: &Path, shown: &str) {
    // To a file, as it was; in a terminal, the same with its pauses, here short ones.
    let played = finish(poolgate().arg("play").arg(file), PATIENCE).ok();
    assert_eq!(played.stdout, shown);
    let mut python = tool("python3");
    python
        .arg(client_script("terminal.py"))
        .arg("watch")
        .arg(env!("CARGO_BIN_EXE_poolgate"));
    python
        .args(["play", "--speed", "10", "--idle-max", "10ms"])
        .arg(file);
    let played = finish(&mut python, PATIENCE).ok();
    assert!(
        played.stdout.contains("length 17") && played.stdout.contains("status 0"),
        "{played}"
    );

    let text = fs::read_to_string(file).unwrap();
    fs::write(scene.world.path("torn"), &text[..text.len() - 2]).unwrap();
    let played = finish(
        poolgate().arg("play").arg(scene.world.path("torn")),
        PATIENCE,
    );
    assert_eq!(played.code(), Some(1), "{played}");
    let last = text.lines().count();
    let told = format!(
        "torn:{last}: ends in the middle: the recording was cut short, or is still being written"
    );
    assert!(played.stderr.contains(&told), "{played}");
}

#[test]
fn commands_and_files_without_a_terminal_are_not_recorded() {
    let scene = Scene::new("recordings", "");
    let finished = scene.door().run(&scene.person, "echo no terminal").ok();
    assert_eq!(finished.text(), "no terminal");
    assert!(scene.notes(1).is_empty());
    fs::write(scene.world.path("file"), "content").unwrap();
    let mut scp = tool("scp");
    scp.args(scene.door().options(&scene.person))
        .arg(scene.world.path("file"));
    finish(scp.arg(format!("{}:copy", host(&scene.person))), PATIENCE).ok();
    assert!(scene.notes(2).is_empty());
    let finished = scene
        .door()
        .run_with(&scene.person, &["-tt"], "echo a terminal")
        .ok();
    assert!(finished.stdout.contains("a terminal"));
    assert_eq!(scene.notes(3).len(), 1);
    let files = scene.files("recordings");
    assert_eq!(files.len(), 1);
    assert!(
        !fs::read_to_string(&files[0]).unwrap().contains("\"i\""),
        "input only where it is asked for"
    );
    scene.gate.stop();
}

#[test]
fn a_terminal_that_cannot_be_recorded_is_refused_or_goes_on() {
    // A disk that is too full, and a path on which no folder can be.
    for (folder, settings, why) in [
        (
            "recordings",
            "free_min = \"1000000 GiB\"",
            "less than free_min is free",
        ),
        (
            "user_ca/recordings",
            "on_failure = \"refuse\"",
            "Not a directory",
        ),
    ] {
        let scene = Scene::new(folder, settings);
        let refused = scene
            .door()
            .run_with(&scene.person, &["-tt"], "echo 'sho'wn");
        assert_eq!(refused.code(), Some(255), "{refused}");
        assert!(refused.stderr.contains("has to be recorded"), "{refused}");
        assert!(!refused.stdout.contains("shown"), "{refused}");
        let notes = scene.notes(1);
        assert_eq!(notes[0]["truncated"], true);
        assert!(
            notes[0]["cause"].as_str().unwrap().contains(why),
            "{notes:?}"
        );
        scene.door().run(&scene.person, "true").ok();
        let (_, metrics) = scene.gate.admin("/metrics");
        assert!(
            metrics.contains("poolgate_recordings_total{outcome=\"failed\"} 1"),
            "{metrics}"
        );
        scene.gate.stop();
    }
    let scene = Scene::new(
        "recordings",
        "free_min = \"1000000 GiB\", on_failure = \"go-on\"",
    );
    let finished = scene
        .door()
        .run_with(&scene.person, &["-tt"], "echo 'sho'wn")
        .ok();
    assert!(finished.stdout.contains("shown"), "{finished}");
    assert_eq!(scene.notes(1)[0]["truncated"], true);
    scene.gate.stop();
}

#[test]
fn only_those_who_are_named_are_recorded() {
    let scene = Scene::new("recordings", "users = [\"person02\"]");
    let other = scene.world.person(2);
    for person in [&scene.person, &other] {
        scene.door().run_with(person, &["-tt"], "true").ok();
    }
    let ends = scene.gate.wait_audit("end", 2);
    let recorded = |name: &str| {
        let end = ends.iter().find(|end| end["user"] == name);
        end.unwrap()["recordings"].as_array().map(Vec::len)
    };
    assert_eq!(recorded(&scene.person.name), None, "recorded at all");
    assert_eq!(recorded(&other.name), Some(1));
    assert_eq!(scene.files("recordings").len(), 1);
    scene.gate.stop();
}
