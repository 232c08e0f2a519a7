//! One person, one machine, with real JupyterHubs and sshds: the browser goes where ssh is, hubs are believed about who has
//! a server, and what dies takes nobody with it who was elsewhere.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::host;
use crate::support::hub::{HUB_TOKEN, Hub};
use crate::support::visitor::Visitor;
use crate::support::{HubScene, Running, finish, tool, wait_until};

const LONG: Duration = Duration::from_secs(60);

impl HubScene {
    /// An ssh session that stays, and the instance it is on.
    fn stay(&self, number: usize) -> (Running, String) {
        let person = self.world.person(number);
        let mut ssh = self.gate.door(&self.world).ssh(&person);
        ssh.arg(host(&person)).arg("read -r line");
        let held = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        let at = wait_until("the ssh session", LONG, || {
            let sessions = self.gate.sessions();
            let own = sessions
                .iter()
                .find(|row| row["user"] == person.name.as_str() && row["stage"] == "live")?;
            own["instance"].as_str().map(str::to_owned)
        });
        (held, at)
    }

    fn idle(&self, name: &str) -> Value {
        let told = self.gate.cli(&["explain", "idle", name, "-o", "json"]);
        serde_json::from_str(&told.ok().stdout).unwrap()
    }

    /// What the hub's API says, to a service's token and past the gate.
    fn ask_hub(&self, name: &str, path: &str) -> Value {
        let mut curl = tool("curl");
        let port = self.hub(name).port;
        curl.args([
            "-q",
            "-sS",
            "-H",
            &format!("Authorization: token {HUB_TOKEN}"),
        ])
        .arg(format!("http://127.0.0.1:{port}{path}"));
        serde_json::from_str(&finish(&mut curl, LONG).ok().stdout).unwrap()
    }
}

fn kinds(idle: &Value) -> Vec<&str> {
    let reasons = idle["reasons"].as_array().unwrap().iter();
    reasons
        .map(|reason| reason["kind"].as_str().unwrap())
        .collect()
}

#[test]
fn a_browser_goes_where_ssh_is_with_one_login() {
    let scene = HubScene::polled(Hub::start);
    let (held, home) = scene.stay(11);
    let other = scene.other_than(&home);
    let mut browser = scene.visitor();
    let form = browser.page("/");
    assert_eq!(
        (&form["status"], &form["path"]),
        (&json!(200), &json!("/hub/login"))
    );
    assert!(
        other.log().contains("GET /hub/login"),
        "the emptier one gave the form"
    );

    // A wrong password is refused as ever, and the form stays good.
    let wrong = json!({ "step": "login", "user": "person11", "password": "wrong" });
    let refused = browser.step(&wrong);
    assert_eq!(refused["status"], 403);
    assert!(
        refused["text"]
            .as_str()
            .unwrap()
            .contains("Invalid username or password")
    );
    assert_eq!(refused["cookies"], json!([]), "{refused}");

    // Hubs take names in any case.
    let came = browser.log_in("Person11");
    assert_eq!(came["status"], 302, "{came}");
    let lab = browser.spawn("person11");
    assert_eq!(
        (&lab["status"], &lab["path"]),
        (&json!(200), &json!("/user/person11/lab"))
    );
    let kernel = browser.kernel("person11");
    assert_eq!(browser.instance("person11", &kernel), home);
    assert!(scene.hub(&home).knows("person11"));
    assert!(
        !other.knows("person11"),
        "the other hub never heard of them"
    );

    // Somebody who belongs nowhere logs in where the form came from.
    let mut stranger = scene.visitor();
    stranger.page("/");
    assert_eq!(stranger.log_in("person12")["status"], 302);
    assert!(other.knows("person12"));
    drop(held);
    scene.gate.stop();
}

#[test]
fn who_signs_in_at_a_provider_ends_where_ssh_is() {
    let scene = HubScene::polled(Hub::start_redirecting);
    let (held, home) = scene.stay(16);
    let other = scene.other_than(&home);
    let mut browser = scene.visitor();
    browser.step(&json!({ "step": "cookie", "name": "sso", "value": "person16" }));
    let page = browser.page("/");
    assert_eq!(page["status"], 200, "{page}");
    let hops = page["hops"].as_array().unwrap();
    let callbacks = hops.iter().filter(|hop| **hop == "/hub/oauth_callback");
    assert_eq!(callbacks.count(), 2, "once at each hub: {page}");
    let lab = browser.spawn("person16");
    assert_eq!(lab["path"], "/user/person16/lab", "{lab}");
    let kernel = browser.kernel("person16");
    assert_eq!(browser.instance("person16", &kernel), home);
    let on_other = scene.ask_hub(&other.name, "/hub/api/users/person16");
    assert_eq!(on_other["servers"], json!({}), "nothing was started there");

    // Somebody who belongs nowhere stays where they signed in.
    let mut stranger = scene.visitor();
    stranger.step(&json!({ "step": "cookie", "name": "sso", "value": "person17" }));
    let page = stranger.page("/");
    let hops = page["hops"].as_array().unwrap();
    let callbacks = hops.iter().filter(|hop| **hop == "/hub/oauth_callback");
    assert_eq!(callbacks.count(), 1, "{page}");
    assert!(other.knows("person17"));
    drop(held);
    scene.gate.stop();
}

fn a_kernel_without_a_tab_is_told(scene: &HubScene, browser: &mut Visitor) {
    let kernel = browser.kernel("person13");
    let source = "import time\nwhile True: time.sleep(0.1)";
    browser.step(&json!({
        "step": "run", "user": "person13", "id": kernel, "source": source, "wait": false,
    }));
    let busy = wait_until("the kernel to be told", LONG, || {
        let idle = scene.idle("vm1");
        kinds(&idle).contains(&"kernel-busy").then_some(idle)
    });
    assert_eq!(busy["is_idle"], false);
    assert!(!kinds(&busy).contains(&"server-unknown"), "{busy}");
    let wait = wait_until("the closed tab to be gone", LONG, || {
        let idle = scene.idle("vm1");
        (!kinds(&idle).contains(&"socket-open")).then_some(idle)
    });
    assert_eq!(kinds(&wait), ["kernel-busy", "recent-activity"], "{wait}");
    let told = scene.gate.cli(&["explain", "idle", "main/vm1"]).ok();
    assert!(
        told.text().contains("\n- 1 kernel of person13 computes."),
        "{told}"
    );
    assert_eq!(scene.idle("vm2")["is_idle"], true);
    let nowhere = scene.gate.cli(&["explain", "idle", "vm9"]);
    assert_eq!(nowhere.code(), Some(1));
    assert!(nowhere.stderr.contains("no instance named"), "{nowhere}");
}

/// Neither of the person nor of their server, as the hub notes them.
fn looking_is_no_activity(scene: &HubScene) {
    let path = "/hub/api/users/person13";
    let before = scene.ask_hub("vm1", path);
    for _ in 0..3 {
        scene.idle("vm1");
    }
    let after = scene.ask_hub("vm1", path);
    assert_eq!(
        before["servers"][""]["last_activity"],
        after["servers"][""]["last_activity"]
    );
    assert_eq!(before["last_activity"], after["last_activity"]);
}

#[test]
fn who_came_past_the_gate_counts_and_draws_their_person() {
    let scene = HubScene::polled(Hub::start);
    let direct = scene.hub("vm1");
    let mut browser = Visitor::new(&format!("http://127.0.0.1:{}", direct.port));
    browser.page("/");
    assert_eq!(browser.log_in("person13")["status"], 302);
    browser.spawn("person13");
    let row = wait_until("the gate to hear of the server", LONG, || {
        let row = scene.row("vm1");
        (row["hub"]["people"] == 1).then_some(row)
    });
    assert_eq!(row["hub"]["direct"], 1, "{row}");
    assert_eq!(
        (&row["load"], &row["sessions"]),
        (&json!(1), &json!(0)),
        "{row}"
    );
    assert_eq!(scene.row("vm2")["hub"]["people"], 0);

    a_kernel_without_a_tab_is_told(&scene, &mut browser);
    looking_is_no_activity(&scene);

    // By ssh, and by another browser through the gate, they come to their server.
    let person = scene.world.person(13);
    assert_eq!(scene.gate.door(&scene.world).instance_of(&person), "vm1");
    assert_eq!(scene.gate.audit("login")[0]["reason"], "live-server");
    let mut again = scene.visitor();
    again.page("/");
    assert_eq!(again.log_in("person13")["status"], 302);
    let lab = again.spawn("person13");
    assert_eq!(lab["path"], "/user/person13/lab", "{lab}");
    wait_until("both views to be one person", LONG, || {
        let row = scene.row("vm1");
        (row["hub"]["direct"] == 0 && row["load"] == 1).then_some(())
    });
    assert!(!scene.gate.log().contains(HUB_TOKEN));
    scene.gate.stop();
}

#[test]
fn a_hub_that_dies_stops_no_kernel_and_an_instance_that_dies_moves_only_its_own() {
    let mut scene = HubScene::polled(Hub::start);
    let mut people = Vec::new();
    for user in ["person14", "person15"] {
        let mut browser = scene.visitor();
        browser.page("/");
        assert_eq!(browser.log_in(user)["status"], 302);
        let lab = browser.spawn(user);
        assert_eq!(lab["path"], format!("/user/{user}/lab"), "{lab}");
        let kernel = browser.kernel(user);
        let instance = browser.instance(user, &kernel);
        browser.run(user, &kernel, "x = 41");
        people.push((user, browser, kernel, instance));
    }
    let (bob, mut bobs, bobs_kernel, bobs_home) = people.pop().unwrap();
    let (alice, mut browser, kernel, home) = people.pop().unwrap();
    assert_ne!(home, bobs_home, "they spread");

    // The hub alone: work goes on, past it.
    let at = scene.hubs.iter().position(|hub| hub.name == home).unwrap();
    scene.hubs[at].kill_alone();
    wait_until("the gate to see the dead hub", LONG, || {
        (scene.row(&home)["services"]["jupyter"] == "no-logins").then_some(())
    });
    assert_eq!(browser.run(alice, &kernel, "x += 1; print(x)"), "42");
    let kernels = format!("/user/{alice}/api/kernels");
    assert_eq!(browser.code(&kernels)["status"], 200);
    wait_until("the hub's silence to be known", LONG, || {
        (scene.row(&home)["hub"]["is_stale"] == true).then_some(())
    });
    assert!(kinds(&scene.idle(&home)).contains(&"hub-unknown"));

    // The whole instance.
    drop(scene.hubs.remove(at));
    scene.sshds[at].kill_9();
    let mut seen = Vec::new();
    let there = wait_until("a place elsewhere", LONG, || {
        assert_eq!(
            browser.code(&kernels)["status"],
            503,
            "code is told to wait"
        );
        let page = browser.page(&format!("/user/{alice}/lab"));
        seen.push(page["status"].clone());
        (page["status"] == 200).then_some(page)
    });
    assert!(
        seen.iter().all(|status| *status == 503 || *status == 200),
        "{seen:?}"
    );
    let told = there["text"].as_str().unwrap();
    assert!(told.contains("Your machine was lost"), "{there}");
    let there = browser.page(&format!("/user/{alice}/lab"));
    assert_eq!(there["path"], "/hub/login", "told once: {there}");
    assert_eq!(there["hops"][0], format!("/user/{alice}/lab"));
    assert_eq!(browser.log_in(alice)["status"], 302, "one login");
    let lab = browser.spawn(alice);
    assert_eq!(lab["path"], format!("/user/{alice}/lab"), "{lab}");
    let again = browser.kernel(alice);
    assert_eq!(browser.instance(alice, &again), bobs_home);
    assert_eq!(bobs.run(bob, &bobs_kernel, "x += 1; print(x)"), "42");
    assert_eq!(bobs.page(&format!("/user/{bob}/lab"))["hops"], json!([]));
    scene.gate.stop();
}
