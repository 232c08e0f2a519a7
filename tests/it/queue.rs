//! One line for a seat, whichever door people come by: real ssh clients and a browser's requests before a pool of one seat.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::Staying;
use crate::support::gate::rows;
use crate::support::raw_hub::RawHub;
use crate::support::{Gate, GateSetup, Logins, Sshd, World, finish, tool, wait_until};

const LONG: Duration = Duration::from_secs(30);

struct Scene {
    gate: Gate,
    world: World,
    _hub: RawHub,
    _sshd: Sshd,
}

impl Scene {
    fn new() -> Self {
        let (world, hub) = (World::new(), RawHub::start());
        let sshd = Sshd::start(&world, "vm1", Logins::Certificates);
        let gate = GateSetup::default()
            .https("")
            .pool("capacity = 1")
            .pool("affinity = \"1s\"")
            .instance(&sshd.name, sshd.port, Some(hub.port))
            .start(&world);
        Self {
            gate,
            world,
            _hub: hub,
            _sshd: sshd,
        }
    }

    fn ssh(&self, number: usize, run: &str) -> Staying {
        let log = self.world.path(&format!("client-{run}"));
        Staying::start(
            &self.gate.door(&self.world),
            &self.world.person(number),
            log,
        )
    }

    /// A page asked for as a browser does, with the browser's cookies; its status and text.
    fn page(&self) -> (String, String) {
        let jar = self.world.path("cookies");
        let mut curl = tool("curl");
        curl.args(["-q", "-sSk", "--noproxy", "*", "-w", "\n%{http_code}", "-b"]);
        curl.arg(&jar).arg("-c").arg(&jar);
        curl.args(["-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: navigate"]);
        curl.arg(format!(
            "https://127.0.0.1:{}/hub/login",
            self.gate.https_port
        ));
        let finished = finish(&mut curl, LONG).ok();
        let (text, status) = finished.stdout.rsplit_once('\n').unwrap();
        (status.to_owned(), text.to_owned())
    }

    fn queue(&self) -> Vec<Value> {
        let told = self.gate.cli(&["queue", "-o", "json"]).ok();
        rows(&told.stdout)
    }

    fn wait_queue(&self, expected: &[&str]) {
        let says = format!("the line to be {expected:?}");
        wait_until(&says, LONG, || {
            let who = |row: &Value| row["user"].as_str().unwrap_or("-").to_owned();
            let queue: Vec<String> = self.queue().iter().map(who).collect();
            (queue == expected).then_some(())
        });
    }
}

#[test]
fn ssh_and_browsers_stand_in_one_line_and_who_is_cut_off_returns_to_their_place() {
    let scene = Scene::new();
    let mut first = scene.ssh(1, "first");
    first.wait_told("seated");
    let mut second = scene.ssh(2, "second");
    second.wait_told("full; you are next in line");
    let (status, text) = scene.page();
    assert_eq!(status, "503");
    assert!(text.contains("You are number 2 in line."), "{text}");
    let mut third = scene.ssh(3, "third");
    third.wait_told("you are number 3 in line");
    scene.wait_queue(&["person02", "-", "person03"]);
    let table = scene.gate.cli(&["queue"]).ok();
    assert!(table.stdout.contains("jupyter"), "{table}");
    let (_, metrics) = scene.gate.admin("/metrics");
    assert!(
        metrics.contains("poolgate_queue{pool=\"main\"} 3"),
        "{metrics}"
    );

    // Cut off, and back: the same place, and one ticket for two connections.
    drop(second);
    let mut second = scene.ssh(2, "again");
    second.wait_told("you are next in line");
    let mut beside = scene.ssh(2, "beside");
    beside.wait_told("you are next in line");
    scene.wait_queue(&["person02", "-", "person03"]);
    let rows = scene.queue();
    assert_eq!(rows[0]["place"], 1);
    assert_eq!(rows[0]["by"], serde_json::json!(["ssh"]));
    assert_eq!(rows[1]["by"], serde_json::json!(["jupyter"]));

    drop(first);
    second.wait_told("seated");
    beside.wait_told("seated");
    scene.wait_queue(&["-", "person03"]);
    assert!(!third.told().contains("seated"));
    drop((second, beside));
    // The seat is the browser's, who asks before it is forgotten.
    wait_until("the browser's seat", LONG, || {
        assert!(!third.told().contains("seated"), "passed the browser");
        (scene.page().0 == "200").then_some(())
    });
    third.wait_told("seated");
    scene.wait_queue(&[]);
    let logins = scene.gate.audit("login").into_iter();
    let people: Vec<String> = logins
        .filter_map(|line| line["user"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(people, ["person01", "person02", "person02", "person03"]);
    drop(third);
    scene.gate.stop();
}
