//! Half a gigabyte up and down through the gate, to a real server of a person, by both versions of HTTP: every byte arrives,
//! and the gate holds none of them for long.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::hub::{HUB_PASSWORD, Hub};
use crate::support::hub_scene::polling;
use crate::support::visitor::Visitor;
use crate::support::{HubScene, finish, tool};

const MEGABYTES: u64 = 500;
const USER: &str = "person29";
/// What the gate may hold at most beyond what it held before.
const GROWTH_KIB: u64 = 64 << 10;

#[test]
fn half_a_gigabyte_goes_up_in_chunks_and_down_whole_and_the_gate_keeps_little() {
    let scene = HubScene::of(1, Hub::start, polling);
    let mut person = Visitor::with_script("hub_carry.py", &scene.base());
    person.step(&json!({ "step": "start", "user": USER, "password": HUB_PASSWORD }));
    let home = scene.hub("vm1").folder.join("homes").join(USER);
    let before = scene.gate.rss_kib();
    for (up, down) in [("1.1", "2"), ("2", "1.1")] {
        let name = format!("by-{up}.bin");
        let sent = person.step(&json!({
            "step": "upload", "version": up, "user": USER, "name": name, "megabytes": MEGABYTES,
        }));
        // The first chunk makes the file.
        assert_eq!(
            sent["statuses"],
            json!([format!("{up} 200"), format!("{up} 201")]),
            "{sent}"
        );
        let mut digest = tool("sha256sum");
        let there = finish(digest.arg(home.join(&name)), Duration::from_secs(60)).ok();
        let there = there.text().split(' ').next().unwrap().to_owned();
        assert_eq!(sent["sha256"], there, "as the instance has it");
        let came = person.step(&json!({
            "step": "download", "version": down, "user": USER, "name": name,
        }));
        assert_eq!(came["status"], format!("{down} 200"), "{came}");
        assert_eq!(came["length"], MEGABYTES << 20, "{came}");
        assert_eq!(came["sha256"], there);
        eprintln!(
            "up by {up}: {}, down by {down}: {} s",
            sent["took"], came["took"]
        );
        fs::remove_file(home.join(&name)).unwrap();
    }
    let most = scene.gate.status_kib("VmHWM:");
    assert!(
        most < before + GROWTH_KIB,
        "the gate grew from {before} to {most} KiB"
    );
    eprintln!("the gate held {before} KiB before and {most} KiB at most");
    scene.gate.stop();
}
