//! Three real JupyterHubs: people spread over them, stay where they are, and one that dies moves only its own.

use std::time::Duration;

use serde_json::json;

use crate::support::hub::Hub;
use crate::support::hub_scene::polling;
use crate::support::visitor::Visitor;
use crate::support::{HubScene, wait_until};

const LONG: Duration = Duration::from_secs(60);

struct Member {
    user: String,
    browser: Visitor,
    home: String,
    /// Of those who work.
    kernel: Option<String>,
}

impl Member {
    fn is_at_home(&mut self) {
        let page = self.browser.page("/hub/home");
        assert_eq!(
            (&page["status"], &page["path"], &page["hops"]),
            (&json!(200), &json!("/hub/home"), &json!([])),
            "{}: {page}",
            self.user
        );
    }

    fn start_work(&mut self) {
        let lab = self.browser.spawn(&self.user);
        assert_eq!(lab["path"], format!("/user/{}/lab", self.user), "{lab}");
        let kernel = self.browser.kernel(&self.user);
        assert_eq!(self.browser.instance(&self.user, &kernel), self.home);
        self.browser.run(&self.user, &kernel, "x = 41");
        self.kernel = Some(kernel);
    }
}

/// Six people, all with the form open before the first logs in.
fn come(scene: &HubScene) -> Vec<Member> {
    let mut browsers: Vec<(String, Visitor)> = (23..=28)
        .map(|number| (format!("person{number}"), scene.visitor()))
        .collect();
    for (_, browser) in &mut browsers {
        assert_eq!(browser.page("/")["path"], "/hub/login");
    }
    let mut members = Vec::new();
    for (user, mut browser) in browsers {
        assert_eq!(browser.log_in(&user)["status"], 302);
        let homes = scene.homes_of(&user);
        assert_eq!(homes.len(), 1, "{user} is on {homes:?}");
        let home = homes[0].to_owned();
        members.push(Member {
            user,
            browser,
            home,
            kernel: None,
        });
    }
    members
}

/// Its instance is gone: they are told once, log in once, and are somewhere else.
fn moves(member: &mut Member, scene: &HubScene) {
    let told = wait_until("a place elsewhere", LONG, || {
        let page = member.browser.page("/hub/home");
        assert!(
            page["status"] == 200 || page["status"] == 503,
            "{}: {page}",
            member.user
        );
        (page["status"] == 200).then_some(page)
    });
    let text = told["text"].as_str().unwrap();
    assert!(text.contains("Your machine was lost"), "{told}");
    let form = member.browser.page("/hub/home");
    assert_eq!(form["path"], "/hub/login", "told once: {form}");
    assert_eq!(member.browser.log_in(&member.user)["status"], 302);
    member.is_at_home();
    let homes = scene.homes_of(&member.user);
    assert_eq!(homes.len(), 1, "{} is on {homes:?}", member.user);
    assert_ne!(homes[0], member.home);
    member.home = homes[0].to_owned();
}

#[test]
fn one_of_three_hubs_dies_and_only_its_people_notice() {
    let mut scene = HubScene::of(3, Hub::start, polling);
    let mut members = come(&scene);
    for hub in &scene.hubs {
        let there = members.iter().filter(|member| member.home == hub.name);
        assert_eq!(there.count(), 2, "on {}", hub.name);
    }
    // One of each two works, the other is only logged in.
    for hub in &scene.hubs {
        let mut there = members.iter_mut().filter(|member| member.home == hub.name);
        there.next().unwrap().start_work();
    }
    members.iter_mut().for_each(Member::is_at_home);

    let dead = scene.hubs.remove(1);
    let name = dead.name.clone();
    drop(dead);
    scene.sshds[1].kill_9();
    let (mut moved, mut others): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| member.home == name);
    for member in &mut moved {
        moves(member, &scene);
    }
    assert_ne!(moved[0].home, moved[1].home, "they spread again");
    for member in &mut others {
        member.is_at_home();
        if let Some(kernel) = &member.kernel {
            let told = member.browser.run(&member.user, kernel, "print(x + 1)");
            assert_eq!(told, "42");
        }
    }
    // Work goes on there too.
    moved[0].start_work();
    scene.gate.stop();
}
