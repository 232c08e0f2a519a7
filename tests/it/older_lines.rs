//! People who wait in line at a gate that has given its place away: the newer gate's line is theirs, and its instances are as it
//! knows them.

use serde_json::Value;

use crate::support::client::{PATIENCE, Staying};
use crate::support::gate::rows;
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World, wait_until};

/// One machine with one seat.
struct Scene {
    gate: Gate,
    world: World,
    _sshds: Vec<Sshd>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds)
            .pool("capacity = 1")
            .pool("affinity = \"1s\"")
            .start(&world);
        Self {
            gate,
            world,
            _sshds: sshds,
        }
    }

    fn ssh(&self, number: usize, run: &str) -> Staying {
        let log = self.world.path(&format!("client-{run}"));
        let door = self.gate.door(&self.world);
        Staying::start(&door, &self.world.person(number), log)
    }

    /// One person is seated and one waits at a gate that then gives its place away.
    fn handed_over(&mut self) -> (Staying, Staying, Running) {
        let mut seated = self.ssh(1, "seated");
        seated.wait_told("seated");
        let mut waits = self.ssh(2, "waits");
        waits.wait_told("full; you are next in line");
        let old = self.gate.upgrade();
        (seated, waits, old)
    }

    /// The people of the sessions that the gate knows of, and whether an older one holds them.
    fn wait_seated(&self, expected: &[(&str, bool)]) {
        wait_until(&format!("the sessions {expected:?}"), PATIENCE, || {
            let sessions = self.gate.sessions();
            let people = sessions.iter().map(|one| {
                let user = one["user"].as_str().unwrap_or_default();
                (user, one["is_elsewhere"] == true)
            });
            people.eq(expected.iter().copied()).then_some(())
        });
    }

    fn queue(&self) -> Vec<Value> {
        let told = self.gate.cli(&["queue", "-o", "json"]).ok();
        rows(&told.stdout)
    }
}

fn is_seated(person: &Staying) -> bool {
    person.told().contains("seated")
}

#[test]
fn nobody_passes_who_waits_at_an_older_gate_and_no_seat_is_taken_twice() {
    let mut scene = Scene::new();
    let (seated, mut waits, old) = scene.handed_over();
    // Of this session the older gate knows nothing.
    let mut again = scene.ssh(1, "again");
    again.wait_told("seated");
    drop(seated);
    scene.wait_seated(&[("person01", false)]);
    let mut third = scene.ssh(3, "third");
    third.wait_told("you are number 2 in line");
    let mut fourth = scene.ssh(4, "fourth");
    fourth.wait_told("you are number 3 in line");
    let told = waits.told();
    assert!(!is_seated(&waits), "the machine has one seat: {told}");
    let queue = scene.queue();
    let people = queue.iter().map(|one| one["user"].as_str().unwrap());
    assert!(people.eq(["person02", "person03", "person04"]), "{queue:?}");
    assert_eq!(queue[0]["is_there"], true, "{queue:?}");

    drop(again);
    waits.wait_told("seated");
    scene.wait_seated(&[("person02", true)]);
    third.wait_told("you are next in line");
    assert!(!is_seated(&third) && !is_seated(&fourth));
    drop(waits);
    third.wait_told("seated");
    scene.wait_seated(&[("person03", false)]);
    old.finish_within(PATIENCE).ok();
    drop((third, fourth));
    scene.gate.stop();
}

#[test]
fn what_is_decided_at_the_newer_gate_holds_for_who_waits_at_the_older_one() {
    let mut scene = Scene::new();
    let (seated, mut waits, old) = scene.handed_over();
    let closed = ["cordon", "vm1", "--reason", "it is patched"];
    scene.gate.cli(&closed).ok();
    let is_none_up = "no instance of pool main is up; waiting for one";
    waits.wait_told(is_none_up);
    drop(seated);
    scene.wait_seated(&[]);
    let mut comes = scene.ssh(3, "comes");
    comes.wait_told(is_none_up);
    let told = waits.told();
    assert!(!is_seated(&waits), "it is cordoned: {told}");
    let opened = ["uncordon", "vm1", "--reason", "it is patched"];
    scene.gate.cli(&opened).ok();
    waits.wait_told("seated");
    scene.wait_seated(&[("person02", true)]);
    comes.wait_told("you are next in line");
    assert!(!is_seated(&comes));
    drop((waits, comes));
    old.finish_within(PATIENCE).ok();
    scene.gate.stop();
}

#[test]
fn where_the_newer_gate_is_killed_the_older_one_seats_people_itself_until_there_is_another() {
    let mut scene = Scene::new();
    let (seated, mut waits, old) = scene.handed_over();
    let mut last = scene.ssh(3, "last");
    last.wait_told("you are number 2 in line");
    scene.gate.kill_9();
    last.wait_cut_off();
    drop(seated);
    waits.wait_told("seated");
    scene.gate.start_again(1);
    scene.wait_seated(&[("person02", true)]);
    drop(waits);
    old.finish_within(PATIENCE).ok();
    scene.gate.stop();
}

#[test]
fn who_waits_at_the_oldest_of_three_gates_stands_in_the_newest_ones_line() {
    let mut scene = Scene::new();
    let (seated, mut waits, oldest) = scene.handed_over();
    let mut second = scene.ssh(3, "second");
    second.wait_told("you are number 2 in line");
    let middle = scene.gate.upgrade();
    let mut third = scene.ssh(4, "third");
    third.wait_told("you are number 3 in line");
    drop(seated);
    waits.wait_told("seated");
    scene.wait_seated(&[("person02", true)]);
    assert!(!is_seated(&second) && !is_seated(&third));
    drop(waits);
    second.wait_told("seated");
    scene.wait_seated(&[("person03", true)]);
    assert!(!is_seated(&third));
    drop(second);
    third.wait_told("seated");
    scene.wait_seated(&[("person04", false)]);
    oldest.finish_within(PATIENCE).ok();
    middle.finish_within(PATIENCE).ok();
    drop(third);
    scene.gate.stop();
}
