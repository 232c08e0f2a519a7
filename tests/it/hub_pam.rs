//! JupyterHub as most install it on a machine of their own: people are the system's, by PAM, and servers run as them.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::hub::Hub;
use crate::support::hub_scene::polling;
use crate::support::people::{PASSWORD, staged};
use crate::support::visitor::Visitor;
use crate::support::{HubScene, Person, Running, World, wait_until};

const LONG: Duration = Duration::from_secs(60);

fn start_hub(world: &World, name: &str) -> Hub {
    let python = staged().join("venv/bin/python");
    let lines = format!(
        "c.JupyterHub.authenticator_class = 'pam'
c.JupyterHub.spawner_class = 'localprocess'
c.Spawner.cmd = [{python:?}, '-m', 'jupyterhub.singleuser']
c.Spawner.args = []
"
    );
    Hub::start_configured(world, name, &lines)
}

fn log_in(browser: &mut Visitor, user: &str, password: &str) -> Value {
    browser.step(&json!({ "step": "login", "user": user, "password": password }))
}

/// An ssh session on this instance that stays.
fn stay(scene: &HubScene, person: &Person, instance: &str) -> Running {
    let mut ssh = scene.gate.door(&scene.world).ssh(person);
    let login = format!("{}%{instance}", person.name);
    ssh.args(["-l", &login, "127.0.0.1", "read -r line"]);
    let held = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    wait_until("the ssh session", LONG, || {
        let sessions = scene.gate.sessions();
        let mut own = sessions
            .iter()
            .filter(|row| row["user"] == person.name.as_str());
        own.any(|row| row["stage"] == "live").then_some(())
    });
    held
}

/// They start a server, and code in it runs as them and in their home; the instance.
fn work(browser: &mut Visitor, person: &Person) -> String {
    let lab = browser.spawn(&person.name);
    assert_eq!(
        (&lab["status"], &lab["path"]),
        (&json!(200), &json!(format!("/user/{}/lab", person.name)))
    );
    let kernel = browser.kernel(&person.name);
    let who = "import getpass, pathlib; print(6 * 7, getpass.getuser(), pathlib.Path.cwd())";
    let told = browser.run(&person.name, &kernel, who);
    let expected = format!("42 {} {}", person.name, person.home.display());
    assert_eq!(told, expected);
    browser.instance(&person.name, &kernel)
}

#[test]
fn people_of_the_system_work_as_themselves_and_go_where_ssh_is() {
    let scene = HubScene::of(2, start_hub, polling);
    let (alice, bob) = (scene.world.person(21), scene.world.person(22));
    let held = stay(&scene, &alice, "vm2");
    let mut browser = scene.visitor();
    let form = browser.page("/");
    assert_eq!(form["path"], "/hub/login");
    for (user, password) in [
        (&*alice.name, "wrong"),
        ("nobody-of-this-name", PASSWORD),
        (&*bob.name, ""),
    ] {
        let refused = log_in(&mut browser, user, password);
        assert_eq!(refused["status"], 403, "{user}: {refused}");
        let text = refused["text"].as_str().unwrap();
        assert!(text.contains("Invalid username or password"), "{text}");
    }
    let came = log_in(&mut browser, &alice.name, PASSWORD);
    assert_eq!(came["status"], 302, "{came}");
    assert_eq!(work(&mut browser, &alice), "vm2", "where ssh is");
    assert_eq!(scene.homes_of(&alice.name), ["vm2"]);

    let mut browser = scene.visitor();
    browser.page("/");
    assert_eq!(log_in(&mut browser, &bob.name, PASSWORD)["status"], 302);
    assert_eq!(work(&mut browser, &bob), "vm1", "the emptier one");
    assert_eq!(scene.homes_of(&bob.name), ["vm1"]);
    let door = scene.gate.door(&scene.world);
    assert_eq!(door.instance_of(&bob), "vm1", "and ssh follows");
    drop(held);
    scene.gate.stop();
}
