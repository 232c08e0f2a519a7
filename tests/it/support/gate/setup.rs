//! What a test's gate is configured with, beyond what every one has.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Gate;
use crate::support::{Sshd, World};

/// Lines for the sections of its file, and what is around the process.
#[derive(Default)]
pub struct GateSetup {
    pub(super) instances: String,
    pub(super) count: usize,
    pub(super) host_keys: Vec<PathBuf>,
    pub(super) ssh: String,
    pub(super) penalties: Option<String>,
    pub(super) auth: String,
    pub(super) pool: String,
    pub(super) pool_ssh: String,
    pub(super) pool_jupyter: String,
    pub(super) health: String,
    pub(super) scaling: Option<String>,
    pub(super) fleet: Option<String>,
    pub(super) https: Option<String>,
    pub(super) https_port: Option<u16>,
    pub(super) root: String,
    pub(super) environment: Vec<(&'static str, String)>,
}

impl GateSetup {
    /// A gate over these instances, which run no hub.
    pub fn over(instances: &[Sshd]) -> Self {
        let mut setup = Self::default();
        for sshd in instances {
            setup = setup.instance(&sshd.name, sshd.port, None);
        }
        setup
    }

    pub fn instance(mut self, name: &str, ssh_port: u16, jupyter_port: Option<u16>) -> Self {
        let jupyter_port = jupyter_port.map_or("\"off\"".to_owned(), |port| port.to_string());
        writeln!(
            self.instances,
            "  {{ name = \"{name}\", address = \"127.0.0.1\", ssh_port = {ssh_port}, jupyter_port = {jupyter_port} }},"
        )
        .unwrap();
        self.count += 1;
        self
    }

    /// An instance that is not up when the gate starts.
    pub fn absent(mut self, name: &str, ssh_port: u16, jupyter_port: u16) -> Self {
        self = self.instance(name, ssh_port, Some(jupyter_port));
        self.count -= 1;
        self
    }

    /// The gate's own keys, where they are not just the world's one.
    pub fn host_keys(mut self, paths: &[&Path]) -> Self {
        self.host_keys = paths.iter().map(|path| (*path).to_owned()).collect();
        self
    }

    /// A line before all sections.
    pub fn root(mut self, line: &str) -> Self {
        writeln!(self.root, "{line}").unwrap();
        self
    }

    /// A variable of the gate's environment.
    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// A line for `[ssh]`.
    pub fn ssh(mut self, line: &str) -> Self {
        writeln!(self.ssh, "{line}").unwrap();
        self
    }

    /// A line for `[ssh.penalties]`; without one the loopback is exempt, for tests fail logins on purpose.
    pub fn penalties(mut self, line: &str) -> Self {
        writeln!(self.penalties.get_or_insert_default(), "{line}").unwrap();
        self
    }

    /// A line for `[ssh.auth]`.
    pub fn auth(mut self, line: &str) -> Self {
        writeln!(self.auth, "{line}").unwrap();
        self
    }

    /// A line for `[pools.main]`.
    pub fn pool(mut self, line: &str) -> Self {
        writeln!(self.pool, "{line}").unwrap();
        self
    }

    /// A line for `[pools.main.ssh]`.
    pub fn pool_ssh(mut self, line: &str) -> Self {
        writeln!(self.pool_ssh, "{line}").unwrap();
        self
    }

    /// A line for `[pools.main.jupyter]`.
    pub fn pool_jupyter(mut self, line: &str) -> Self {
        writeln!(self.pool_jupyter, "{line}").unwrap();
        self
    }

    /// A line for `[pools.main.health]`.
    pub fn health(mut self, line: &str) -> Self {
        writeln!(self.health, "{line}").unwrap();
        self
    }

    /// A line for `[pools.main.scaling]`, with which the pool is resized.
    pub fn scaling(mut self, line: &str) -> Self {
        writeln!(self.scaling.get_or_insert_default(), "{line}").unwrap();
        self
    }

    /// The lines of `[pools.main.fleet]`, where it is not a list of instances.
    pub fn fleet(mut self, lines: &str) -> Self {
        self.fleet = Some(lines.to_owned());
        self
    }

    /// The browsers' door's port, where somebody must know it beforehand.
    pub fn https_port(mut self, port: u16) -> Self {
        self.https_port = Some(port);
        self
    }

    /// Opens the browsers' door too, with lines for `[https]`; it has certificate files unless an authority is asked.
    pub fn https(mut self, lines: &str) -> Self {
        self.https = Some(lines.to_owned());
        self
    }

    pub(super) fn scaling_text(&self) -> String {
        let lines = self.scaling.as_ref();
        lines.map_or(String::new(), |lines| {
            format!("[pools.main.scaling]\n{lines}")
        })
    }

    pub(super) fn fleet_text(&self) -> String {
        let listed = format!("provider = \"static\"\ninstances = [\n{}]", self.instances);
        self.fleet.clone().unwrap_or(listed)
    }

    pub fn start(self, world: &World) -> Gate {
        Gate::start(world, &self)
    }
}
