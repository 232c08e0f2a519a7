//! A gate before two instances, each with an sshd and a real JupyterHub.

use serde_json::Value;

use super::hub::{HUB_TOKEN, Hub};
use super::visitor::Visitor;
use super::{Gate, GateSetup, Logins, Sshd, World};

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
        Self::with(start_hub, |world, setup| {
            let token = world.path("hub.token");
            std::fs::write(&token, format!("{HUB_TOKEN}\n")).unwrap();
            setup
                .pool_jupyter(&format!("api_token_file = {token:?}"))
                .pool_jupyter("poll_interval = \"1s\"")
        })
    }

    pub fn with(
        start_hub: fn(&World, &str) -> Hub,
        more: impl FnOnce(&World, GateSetup) -> GateSetup,
    ) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
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
}
