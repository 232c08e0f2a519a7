//! Hostile clients and hostile instances, scripted: what is thrown at an ssh door, and what must not come of it.
//!
//! Two witnesses speak after each act: the instance (its sshd's log: who was let in, whether anybody dialled) and the gate
//! (audit lines, sessions, seats). docs/adversaries.md says which known weakness each test stands for.

mod client;
mod confusion;
mod floods;
pub mod instance;
mod instances;
mod kex;
mod sessions;
mod steps;

use std::time::Duration;

use poolgate::ssh::wire::keys::PrivateKey;

use self::client::{Hostile, private_key};
use crate::support::{Gate, GateSetup, Logins, Person, Sshd, World, wait_until};

/// A gate over one instance, probed once and then left alone: every further connection to it is a login's.
struct Scene {
    world: World,
    sshd: Sshd,
    gate: Gate,
    /// Holds `key`.
    person: Person,
    key: PrivateKey,
    /// Somebody else with an account, and their key: what an impostor is after.
    victim: Person,
    victims_key: PrivateKey,
    dials: usize,
}

impl Scene {
    fn new() -> Self {
        Self::with(Logins::Certificates, |setup| {
            setup.auth("password = \"off\"")
        })
    }

    fn with(logins: Logins, configure: impl FnOnce(GateSetup) -> GateSetup) -> Self {
        let world = World::new();
        let sshd = Sshd::start(&world, "vm1", logins);
        let setup =
            GateSetup::over(std::slice::from_ref(&sshd)).health("interval = \"5m\"\nrise = 1");
        let gate = configure(setup).start(&world);
        let (person, victim) = (world.person(1), world.person(2));
        let (key, victims_key) = (private_key(&person.key), private_key(&victim.key));
        let dials = sshd.connections();
        Self {
            world,
            sshd,
            gate,
            person,
            key,
            victim,
            victims_key,
            dials,
        }
    }

    fn port(&self) -> u16 {
        self.gate.ssh_port
    }

    fn user(&self) -> &str {
        &self.person.name
    }

    fn logged_in(&self) -> Hostile {
        Hostile::logged_in(self.port(), self.user(), &self.key)
    }

    /// Connections to the instance since the start.
    fn dialled(&self) -> usize {
        self.sshd.connections() - self.dials
    }

    /// Nothing of what was done has reached the instance, and nobody has a session.
    #[track_caller]
    fn nothing_happened(&self) {
        assert_eq!(self.dialled(), 0, "the instance was dialled");
        assert!(!self.sshd.saw_a_login_attempt());
        assert!(self.gate.audit("login").is_empty(), "somebody was let in");
        assert!(self.gate.sessions().is_empty());
    }

    /// The gate is well: no session is left, no seat, no connection, and an honest login comes through.
    fn ends_well(self) {
        self.gate.wait_sessions(0);
        let limit = Duration::from_secs(15);
        wait_until("the end of every connection", limit, || {
            (self.open_connections() == 0).then_some(())
        });
        self.gate.door(&self.world).run(&self.person, "true").ok();
        self.gate.wait_sessions(0);
        assert!(
            !self.gate.log().contains("panicked"),
            "a hostile byte reached a panic"
        );
        self.gate.stop();
    }

    /// What the gate says of its open ssh connections.
    fn open_connections(&self) -> u64 {
        let (_, metrics) = self.gate.admin("/metrics");
        let line = metrics
            .lines()
            .find(|line| line.starts_with("poolgate_open_connections{") && line.contains("ssh"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0)
    }
}
