//! What people of different machines do together: sharing links, servers with names, logging out, an administrator's look at
//! every hub. All of it with two real JupyterHubs, and by their word.

use serde_json::{Value, json};

use crate::support::hub::{HUB_PASSWORD, Hub};
use crate::support::hub_scene::polling;
use crate::support::visitor::Visitor;
use crate::support::{HubScene, World};

const ALICE: &str = "person33";
const BOB: &str = "person34";
const BOBS_NUMBER: usize = 34;
const ADA: &str = "person36";

fn start_hub(world: &World, name: &str) -> Hub {
    let lines = format!(
        "c.JupyterHub.allow_named_servers = True
c.JupyterHub.load_roles.append({{'name': 'user', 'scopes': ['self', 'shares!user']}})
c.Authenticator.admin_users = {{'{ADA}'}}
"
    );
    Hub::start_configured(world, name, &lines)
}

fn scene() -> HubScene {
    HubScene::of(2, start_hub, |world, setup| {
        polling(world, setup).https(&format!("admins = [\"{ADA}\"]"))
    })
}

/// Somebody who works, the kernel they do so in, and where that is.
fn at_work(scene: &HubScene, user: &str) -> (Visitor, String, String) {
    let mut browser = scene.visitor();
    browser.page("/");
    assert_eq!(browser.log_in(user)["status"], 302);
    let lab = browser.spawn(user);
    assert_eq!(lab["path"], format!("/user/{user}/lab"), "{lab}");
    let kernel = browser.kernel(user);
    let home = browser.instance(user, &kernel);
    (browser, kernel, home)
}

#[track_caller]
fn is_page(told: &Value, status: u16, path: &str, text: &str) {
    assert_eq!(
        (&told["status"], &told["path"]),
        (&json!(status), &json!(path)),
        "{told}"
    );
    assert!(told["text"].as_str().unwrap().contains(text), "{told}");
}

fn log_in_there(browser: &mut Visitor, user: &str, next: &str) -> Value {
    let wish = json!({ "step": "login", "user": user, "password": HUB_PASSWORD, "next": next });
    let came = browser.step(&wish);
    assert_eq!(came["status"], 302, "{came}");
    browser.page(came["location"].as_str().unwrap())
}

fn a_server_with_a_name(scene: &HubScene, alice: &mut Visitor, home: &str) {
    let path = format!("/hub/api/users/{ALICE}/servers/gpu");
    let made = alice.send("POST", &path, &json!({}));
    assert!(
        [201, 202].map(Value::from).contains(&made["status"]),
        "{made}"
    );
    let named = format!("{ALICE}/gpu");
    let lab = alice.spawn(&named);
    is_page(&lab, 200, &format!("/user/{named}/lab"), "");
    let kernel = alice.kernel(&named);
    assert_eq!(alice.instance(&named, &kernel), home);
    let said = scene.hub_says(home, &format!("/hub/api/users/{ALICE}"));
    let servers: Vec<&String> = said["servers"].as_object().unwrap().keys().collect();
    assert_eq!(servers, ["", "gpu"]);
    let ended = alice.send("DELETE", &path, &json!({}));
    assert!(
        [202, 204].map(Value::from).contains(&ended["status"]),
        "{ended}"
    );
}

/// The code of a link to alice's server.
fn shared_by(alice: &mut Visitor) -> String {
    let path = format!("/hub/api/share-codes/{ALICE}/");
    let shared = alice.send("POST", &path, &json!({}));
    let shared: Value = serde_json::from_str(shared["text"].as_str().unwrap()).unwrap();
    let code = shared["code"].as_str();
    code.unwrap_or_else(|| panic!("{shared}")).to_owned()
}

#[test]
fn a_sharing_link_leads_to_another_machine_and_guests_stay_who_they_are() {
    let scene = scene();
    let (mut alice, alices_kernel, home) = at_work(&scene, ALICE);
    let (mut bob, bobs_kernel, bobs_home) = at_work(&scene, BOB);
    assert_ne!(home, bobs_home, "they spread");
    a_server_with_a_name(&scene, &mut alice, &home);
    alice.run(ALICE, &alices_kernel, "x = 'of alice'");

    let code = shared_by(&mut alice);
    let lab = format!("/user/{ALICE}/lab");
    let link = format!("/hub/accept-share?code={code}&next={lab}");

    // Bob is asked, agrees, logs in there once, accepts, and is let in by alice's hub.
    let asked = bob.page(&link);
    is_page(
        &asked,
        200,
        "/hub/accept-share",
        "This server is on another machine",
    );
    let visit = format!(
        "/.poolgate/visit?person={ALICE}&next={}",
        link.replace('&', "%26")
    );
    is_page(&bob.form(&visit, &json!({})), 200, "/hub/login", "");
    let invited = log_in_there(&mut bob, BOB, &link.replace('&', "%26"));
    is_page(
        &invited,
        200,
        "/hub/accept-share",
        "Accept sharing invitation",
    );
    let confirm = bob.step(&json!({ "step": "submit" }));
    is_page(&confirm, 200, "/hub/api/oauth2/authorize", "Authorize");
    is_page(&bob.step(&json!({ "step": "submit" })), 200, &lab, "");
    assert_eq!(bob.run(ALICE, &alices_kernel, "print(x)"), "of alice");
    assert_eq!(bob.instance(ALICE, &alices_kernel), home);

    // His own tab goes on beside it, and to everybody else he is where he was.
    let own = format!("/user/{BOB}/api/kernels");
    assert_eq!(bob.code(&own)["status"], 200);
    assert_eq!(bob.instance(BOB, &bobs_kernel), bobs_home);
    let person = scene.world.person(BOBS_NUMBER);
    assert_eq!(
        scene.gate.door(&scene.world).instance_of(&person),
        bobs_home
    );
    let audited = scene.gate.audited_instances(BOB);
    assert!(audited.iter().all(|at| *at == bobs_home), "{audited:?}");
    let alices = scene.gate.audited_instances(ALICE);
    assert_eq!(
        alices,
        std::slice::from_ref(&home),
        "a guest is not the owner"
    );

    the_way_home(&mut bob);
    // And alice's tab goes on beside it.
    assert_eq!(bob.run(ALICE, &alices_kernel, "print(x)"), "of alice");
    is_page(
        &bob.page(&lab),
        200,
        &lab,
        "This server is on another machine",
    );

    a_link_that_says_nothing(&mut bob, &code);
    logging_out(&scene, &mut alice, &home);
    scene.gate.stop();
}

/// To his own pages, with his own server as he left it.
fn the_way_home(bob: &mut Visitor) {
    let own_lab = format!("/user/{BOB}/lab");
    is_page(&bob.page(&own_lab), 200, &own_lab, "");
    is_page(&bob.page("/hub/home"), 200, "/hub/login", "");
    let next = log_in_there(bob, BOB, "/hub/home");
    is_page(&next, 200, "/hub/home", "");
}

/// The link as JupyterHub makes it: whose server it opens only its hub knows.
fn a_link_that_says_nothing(bob: &mut Visitor, code: &str) {
    let link = format!("/hub/accept-share?code={code}");
    let told = bob.page(&link);
    is_page(
        &told,
        404,
        "/hub/accept-share",
        "Whose server does this link open?",
    );
    let say = |name: &str| format!("/.poolgate/visit?person={name}&next={link}");
    let nobody = bob.page(&say("person99"));
    is_page(
        &nobody,
        200,
        "/.poolgate/visit",
        "Nobody of this name is on another machine",
    );
    let asked = bob.page(&say(ALICE));
    is_page(&asked, 200, "/.poolgate/visit", "works on another machine");
    // Whoever has not logged in learns nothing.
    let mut stranger = Visitor::new(&bob.base);
    stranger.page("/");
    assert_eq!(stranger.page(&say(ALICE))["status"], 404);
    is_page(&stranger.page(&link), 200, "/hub/login", "");
}

fn logging_out(scene: &HubScene, alice: &mut Visitor, home: &str) {
    is_page(&alice.page("/hub/logout"), 200, "/hub/login", "");
    is_page(&alice.page("/hub/home"), 200, "/hub/login", "");
    let kernels = format!("/user/{ALICE}/api/kernels");
    assert_ne!(alice.code(&kernels)["status"], 200);
    let said = scene.hub_says(home, &format!("/hub/api/users/{ALICE}"));
    assert_eq!(said["servers"][""]["ready"], true, "it runs on: {said}");
    is_page(
        &log_in_there(alice, ALICE, "/hub/home"),
        200,
        "/hub/home",
        "",
    );
    let lab = format!("/user/{ALICE}/lab");
    is_page(&alice.page(&lab), 200, &lab, "");
    assert_eq!(scene.homes_of(ALICE), [home]);
}

#[test]
fn an_administrator_looks_at_every_hub_by_choice() {
    let scene = scene();
    // One on each, and the administrator works on one of both.
    for user in ["person31", "person32"] {
        let mut browser = scene.visitor();
        browser.page("/");
        assert_eq!(browser.log_in(user)["status"], 302);
    }
    let (mut ada, kernel, home) = at_work(&scene, ADA);
    let mut seen = Vec::new();
    let other = scene.other_than(&home).name.clone();
    for instance in [&other, &home, &other] {
        let choice = ada.page("/.poolgate/admin");
        is_page(&choice, 200, "/.poolgate/admin", instance);
        let go = format!("/.poolgate/go?instance={instance}");
        let came = ada.form(&go, &json!({}));
        // Its hub has not let them in yet, or the browser has the other's login.
        is_page(&came, 200, "/hub/login", "");
        let page = log_in_there(&mut ada, ADA, "/hub/admin");
        is_page(&page, 200, "/hub/admin", "");
        let users = ada.code("/hub/api/users");
        let users: Value = serde_json::from_str(users["text"].as_str().unwrap()).unwrap();
        let users: Vec<&str> = users
            .as_array()
            .unwrap_or_else(|| panic!("{users}"))
            .iter()
            .map(|user| user["name"].as_str().unwrap())
            .collect();
        let known: Vec<String> = scene.people_of(instance).into_iter().collect();
        let mut sorted = users.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, known, "on {instance}");
        seen.push(known);
        // Their own work goes on, wherever they look.
        assert_eq!(ada.instance(ADA, &kernel), home);
    }
    assert_ne!(seen[0], seen[1]);
    let lab = format!("/user/{ADA}/lab");
    is_page(&ada.page(&lab), 200, &lab, "");
    let mut stranger = scene.visitor();
    stranger.page("/");
    assert_eq!(stranger.log_in("person31")["status"], 302);
    assert_eq!(stranger.page("/.poolgate/admin")["status"], 404);
    scene.gate.stop();
}
