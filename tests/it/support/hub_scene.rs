//! A gate before a few instances, each with an sshd and a real JupyterHub.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::hub::{HUB_TOKEN, Hub};
use super::visitor::Visitor;
use super::{Gate, GateSetup, Logins, Sshd, World, finish, tool};

pub struct HubScene {
    pub world: World,
    pub gate: Gate,
    pub hubs: Vec<Hub>,
    pub sshds: Vec<Sshd>,
}

impl HubScene {
    /// The gate only routes: it asks the hubs nothing.
    pub fn new() -> Self {
        Self::with(Hub::start, |_, setup| setup)
    }

    /// The gate polls the hubs every second.
    pub fn polled(start_hub: fn(&World, &str) -> Hub) -> Self {
        Self::with(start_hub, polling)
    }

    pub fn with(
        start_hub: fn(&World, &str) -> Hub,
        more: impl FnOnce(&World, GateSetup) -> GateSetup,
    ) -> Self {
        Self::of(2, start_hub, more)
    }

    /// `count` instances.
    pub fn of(
        count: usize,
        start_hub: impl Fn(&World, &str) -> Hub,
        more: impl FnOnce(&World, GateSetup) -> GateSetup,
    ) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, count, Logins::Certificates);
        let start = |sshd: &Sshd| start_hub(&world, &sshd.name);
        let mut hubs: Vec<Hub> = sshds.iter().map(start).collect();
        hubs.iter_mut().for_each(Hub::wait_up);
        let mut setup = more(&world, GateSetup::default().https(""));
        for (sshd, hub) in sshds.iter().zip(&hubs) {
            setup = setup.instance(&sshd.name, sshd.port, Some(hub.port));
        }
        let gate = setup.start(&world);
        Self {
            world,
            gate,
            hubs,
            sshds,
        }
    }

    pub fn base(&self) -> String {
        format!("https://127.0.0.1:{}", self.gate.https_port)
    }

    pub fn visitor(&self) -> Visitor {
        Visitor::new(&self.base())
    }

    pub fn hub(&self, name: &str) -> &Hub {
        self.hubs.iter().find(|hub| hub.name == name).unwrap()
    }

    pub fn other_than(&self, name: &str) -> &Hub {
        self.hubs.iter().find(|hub| hub.name != name).unwrap()
    }

    pub fn row(&self, name: &str) -> Value {
        let rows = self.gate.instances();
        rows.into_iter().find(|row| row["name"] == name).unwrap()
    }

    /// What the hub's API says, to a service's token and past the gate.
    pub fn hub_says(&self, name: &str, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.hub(name).port);
        let mut curl = tool("curl");
        curl.args(["-q", "-sS", "-H"])
            .arg(format!("Authorization: token {HUB_TOKEN}"))
            .arg(url);
        let said = finish(&mut curl, Duration::from_secs(60)).ok();
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said}"))
    }

    /// Everybody this hub has ever let in, by its own word.
    pub fn people_of(&self, name: &str) -> BTreeSet<String> {
        let said = self.hub_says(name, "/hub/api/users?limit=200");
        let users = said.as_array().unwrap().iter();
        users
            .map(|user| user["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The instances whose hubs know this person.
    pub fn homes_of(&self, user: &str) -> Vec<&str> {
        let names = self.hubs.iter().map(|hub| &*hub.name);
        names
            .filter(|name| self.people_of(name).contains(user))
            .collect()
    }
}

/// The gate polls the hubs every second.
pub fn polling(world: &World, setup: GateSetup) -> GateSetup {
    let token = world.path("hub.token");
    std::fs::write(&token, format!("{HUB_TOKEN}\n")).unwrap();
    setup
        .pool_jupyter(&format!("api_token_file = {token:?}"))
        .pool_jupyter("poll_interval = \"1s\"")
}
