//! A gate that another takes over from: the new process becomes the test's gate, the old one is the test's to wait for.

use super::{Gate, Running, fs, poolgate, wait_until};
use crate::support::client::PATIENCE;

/// What a gate says on its standard output, which goes to the log, once it has the place.
const SERVING: &str = "\nserving\n";

impl Gate {
    /// Starts a process that asks for this one's place.
    pub fn ask_for_place(&self) -> Running {
        let mut log = fs::File::options();
        let log = log.append(true).open(self.folder.join("log")).unwrap();
        let mut command = poolgate();
        command.args(["serve", "--take-over", "-c"]);
        command.arg(&self.config).envs(self.environment.clone());
        Running::start_logged(&mut command, log)
    }

    /// Has a new gate take the place; returns the old process, which keeps its sessions.
    pub fn upgrade(&mut self) -> Running {
        let before = self.log().matches(SERVING).count();
        let mut new = self.ask_for_place();
        wait_until("the new gate to serve", PATIENCE, || {
            assert!(new.is_running(), "the new gate ended: {}", self.log());
            (self.log().matches(SERVING).count() > before).then_some(())
        });
        self.process.replace(new).unwrap()
    }

    /// The process that took the place of this one, once it serves.
    pub fn adopt(&mut self, new: Running, instances: usize) {
        self.process = Some(new);
        self.wait_ready(instances);
    }

    /// The process that has the state folder.
    pub fn owner(&self) -> u32 {
        let text = fs::read_to_string(self.folder.join("state/gate.lock")).unwrap();
        text.trim().strip_prefix("pid ").unwrap().parse().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().pid()
    }
}
