//! Files of the state folder that are spoilt, of a newer version, or cannot be written: the gate goes on where it may and says
//! what is lost; where it may not, it says what to do.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::support::client::PATIENCE;
use crate::support::gate::poolgate;
use crate::support::{Finished, Gate, GateSetup, Logins, Sshd, World, finish, tool, wait_until};

struct Scene {
    gate: Gate,
    world: World,
    _sshds: Vec<Sshd>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds).https("").start(&world);
        Self {
            gate,
            world,
            _sshds: sshds,
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.world.path("gate/state").join(name)
    }

    /// Somebody gets in.
    #[track_caller]
    fn log_in(&self, number: usize) {
        let person = self.world.person(number);
        let landed = self.gate.door(&self.world).instance_of(&person);
        assert_eq!(landed, "vm1");
    }

    #[track_caller]
    fn wait_in_file(&self, name: &str, word: &str) {
        wait_until(&format!("{word} in {name}"), PATIENCE, || {
            let text = fs::read_to_string(self.state(name)).ok()?;
            text.contains(word).then_some(())
        });
    }

    fn events(&self) -> String {
        self.gate.cli(&["events"]).ok().stdout
    }

    fn failures(&self) -> u64 {
        let (_, metrics) = self.gate.admin("/metrics");
        let name = "poolgate_state_write_failures_total ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().trim().parse().unwrap()
    }

    /// The gate's own start, which fails.
    fn start(&self) -> Finished {
        let mut serve = poolgate();
        serve.args(["serve", "-c"]).arg(&self.gate.config);
        finish(&mut serve, PATIENCE)
    }
}

/// Files that were put aside, by what their names begin with.
fn aside(file: &Path, suffix: &str) -> Vec<PathBuf> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let begin = format!("{name}.{suffix}-");
    let entries = fs::read_dir(file.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&begin)
    };
    paths.filter(is_aside).collect()
}

/// Each, and what people would miss.
const FILES: [(&str, &str); 7] = [
    ("affinity.json", "placed anew"),
    ("queue.json", "the end of the line"),
    ("notices.json", "send them again"),
    ("history.json", "charts"),
    ("controller/main.notes.json", "cordon"),
    ("controller/main.ledger.json", "cost"),
    ("pin.key", "log in once more"),
];

#[test]
fn a_file_that_is_spoilt_or_newer_is_put_aside_and_what_it_means_is_told() {
    let mut scene = Scene::new();
    for (text, suffix) in [
        ("{\"version\":1,\"peo", "broken"),
        ("{\"version\":99,\"of\":\"tomorrow\"}", "newer"),
    ] {
        scene.gate.kill_9();
        for (name, _) in FILES {
            fs::create_dir_all(scene.state(name).parent().unwrap()).unwrap();
            fs::write(scene.state(name), text).unwrap();
        }
        scene.gate.start_again(1);
        scene.log_in(1);
        for (name, loss) in FILES {
            let is_text = name.ends_with(".json");
            let suffix = if is_text { suffix } else { "broken" };
            let kept = aside(&scene.state(name), suffix);
            let [kept, ..] = kept.as_slice() else {
                panic!("{name} was not put aside: {}", scene.gate.log());
            };
            assert_eq!(fs::read_to_string(kept).unwrap(), text);
            let log = scene.gate.log();
            let kept = kept.to_str().unwrap();
            let lines = log.lines().filter(|line| line.contains(kept));
            let errors: Vec<_> = lines
                .filter(|line| line.contains("ERROR") || line.contains("error"))
                .collect();
            assert_eq!(errors.len(), 1, "{name}: {errors:#?}");
            assert!(errors[0].contains(loss), "{loss}: {}", errors[0]);
            assert!(scene.events().contains(kept), "{name}: {}", scene.events());
        }
    }
    scene.gate.stop();
}

#[test]
fn host_keys_that_cannot_be_read_stop_the_start_and_are_left_as_they_are() {
    let mut scene = Scene::new();
    scene.log_in(1);
    let file = scene.state("instance_host_keys");
    let good = fs::read_to_string(&file).unwrap();
    // While it runs: who it is cannot be told, so nobody gets in.
    let spoilt = format!("{good}main/vm2 what is this\n");
    fs::write(&file, &spoilt).unwrap();
    let refused = scene
        .gate
        .door(&scene.world)
        .run(&scene.world.person(1), "true");
    assert_eq!(refused.code(), Some(255), "{refused}");
    assert!(
        scene.gate.log().contains("nobody gets on to"),
        "{}",
        scene.gate.log()
    );
    scene.gate.kill_9();
    let newer = good.replace("# Format 1", "# Format 7");
    for (text, remedy) in [
        (&spoilt, "correct the line"),
        (&newer, "install that version again"),
    ] {
        fs::write(&file, text).unwrap();
        let refused = scene.start();
        assert_eq!(refused.code(), Some(78), "{refused}");
        let told = refused.stderr.trim().lines().last().unwrap_or_default();
        for part in ["instance_host_keys:", remedy, "nobody gets on to"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), *text);
    }
    fs::write(&file, good).unwrap();
    scene.gate.start_again(1);
    scene.log_in(1);
    scene.gate.stop();
}

fn mount(arguments: &[&str], folder: &Path) {
    let mut mount = tool("mount");
    finish(mount.args(arguments).arg(folder), PATIENCE).ok();
}

fn unmount(folder: &Path) {
    let mut umount = tool("umount");
    finish(umount.arg(folder), PATIENCE).ok();
}

#[test]
fn a_disk_that_is_full_or_read_only_stops_nobody_and_is_told() {
    let mut scene = Scene::new();
    scene.log_in(1);
    scene.gate.kill_9();
    // The same folder, on a disk with little room.
    let (folder, kept) = (scene.state(""), scene.world.path("kept"));
    fs::rename(&folder, &kept).unwrap();
    fs::create_dir(&folder).unwrap();
    mount(
        &["-t", "tmpfs", "-o", "size=512k,mode=0700", "poolgate-state"],
        &folder,
    );
    let mut copy = tool("cp");
    finish(copy.arg("-a").arg(kept.join(".")).arg(&folder), PATIENCE).ok();
    scene.gate.start_again(1);
    scene.log_in(2);
    scene.wait_in_file("affinity.json", "person02");
    assert_eq!(scene.failures(), 0);

    fill(&scene.state("filler"));
    scene.log_in(3);
    wait_until("a failure to be counted", PATIENCE, || {
        (scene.failures() > 0).then_some(())
    });
    wait_until("the event", PATIENCE, || {
        let events = scene.events();
        let line = events.lines().find(|line| line.contains("affinity.json"))?;
        assert!(
            line.contains("cannot be written") && line.contains("free the disk"),
            "{line}"
        );
        Some(())
    });
    assert_eq!(scene.gate.admin("/readyz").0, 200);
    // What only this gate knows no other would.
    let refused = scene.gate.cli(&["upgrade", "--reason", "a newer one"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    for part in [
        "affinity.json cannot be written",
        "goes on as before",
        "free the disk",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused}");
    }
    // Not even to one that begins.
    scene.gate.kill_9();
    scene.gate.start_again(1);
    scene.log_in(4);
    fs::remove_file(scene.state("filler")).unwrap();
    scene.wait_in_file("affinity.json", "person04");

    // Another mount over it, for nobody can take back what the gate has opened already.
    mount(&["--bind", folder.to_str().unwrap()], &folder);
    mount(&["-o", "remount,bind,ro"], &folder);
    let before = scene.failures();
    scene.log_in(5);
    wait_until("a failure to be counted", PATIENCE, || {
        (scene.failures() > before).then_some(())
    });
    unmount(&folder);
    scene.wait_in_file("affinity.json", "person05");
    wait_until("the line of its end", PATIENCE, || {
        let log = scene.gate.log();
        log.contains("can be written again").then_some(())
    });
    scene.gate.stop();
    unmount(&folder);
}

/// Until there is no room any more.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
}
