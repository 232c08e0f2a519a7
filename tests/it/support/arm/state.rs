//! What the fake resource manager holds: a set, its machines, operations, and the faults that were asked for.

use std::collections::BTreeMap;

pub const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
pub const GROUP: &str = "dsvm";
pub const SET: &str = "pool";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Uniform,
    Flexible,
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A status, Azure's code, its message; a number as code is `Retry-After`.
    Status(u16, &'static str, &'static str),
    /// This in place of the right body.
    Body(&'static str),
    Hang,
    /// It is carried out, and nobody hears of it.
    LoseAnswer,
}

pub struct State {
    pub mode: Mode,
    pub capacity: u32,
    pub changes: u64,
    pub machines: BTreeMap<u32, Simulated>,
    pub operations: Vec<Operation>,
    pub requests: Vec<String>,
    pub faults: Vec<(String, Fault)>,
    /// New machines stay as they are.
    pub is_boot_stuck: bool,
    pub has_autoscale: bool,
    pub has_repairs: bool,
    /// The listing, and nothing else, is empty.
    pub lists_nothing: bool,
    /// Where the second page of a listing is said to be.
    pub next_host: &'static str,
    /// How the next operation ends: Azure's code.
    pub next_failure: Option<&'static str>,
    /// What the caller's role allows.
    pub actions: Vec<&'static str>,
    made: u32,
}

/// One machine.
pub struct Simulated {
    pub machine_id: String,
    pub provisioning: &'static str,
    pub power: Option<&'static str>,
    pub is_protected: bool,
}

pub struct Operation {
    pub polls_left: u32,
    pub failure: Option<&'static str>,
}

impl State {
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            capacity: 0,
            changes: 1,
            machines: BTreeMap::new(),
            operations: Vec::new(),
            requests: Vec::new(),
            faults: Vec::new(),
            is_boot_stuck: false,
            has_autoscale: false,
            has_repairs: false,
            lists_nothing: false,
            next_host: "management.azure.com",
            next_failure: None,
            actions: vec!["*"],
            made: 0,
        }
    }

    /// Notes a request; the fault that it is to meet.
    pub fn begin(&mut self, line: &str) -> Option<Fault> {
        self.requests.push(line.to_owned());
        let index = self
            .faults
            .iter()
            .position(|(what, _)| line.contains(what))?;
        Some(self.faults.remove(index).1)
    }

    pub fn set_path(&self) -> String {
        format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/{SET}"
        )
    }

    pub fn etag(&self) -> String {
        format!("\"{}\"", self.changes)
    }

    /// What Azure calls a machine in commands.
    pub fn name(&self, number: u32) -> String {
        match self.mode {
            Mode::Uniform => number.to_string(),
            Mode::Flexible => format!("{SET}_{number:08x}"),
        }
    }

    pub fn numbered(&self, name: &str) -> Option<u32> {
        let mut numbers = self.machines.keys().copied();
        numbers.find(|number| self.name(*number) == name)
    }

    pub fn machine_path(&self, number: u32) -> String {
        let name = self.name(number);
        match self.mode {
            Mode::Uniform => format!("{}/virtualMachines/{name}", self.set_path()),
            Mode::Flexible => format!(
                "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}"
            ),
        }
    }

    /// As many machines as the capacity says, under the lowest free numbers.
    pub fn fill(&mut self) {
        while (self.machines.len() as u32) < self.capacity {
            let number = (0..)
                .find(|number| !self.machines.contains_key(number))
                .unwrap();
            self.made += 1;
            let machine = Simulated {
                machine_id: format!("{:08x}-0000-4000-8000-000000000000", self.made),
                provisioning: "Creating",
                power: None,
                is_protected: false,
            };
            self.machines.insert(number, machine);
        }
        self.changes += 1;
    }

    /// A machine is gone without anybody's command.
    pub fn evict(&mut self, number: u32) {
        self.machines.remove(&number);
        self.capacity -= 1;
        self.changes += 1;
    }

    /// Machines are a step further each time that somebody looks.
    pub fn step(&mut self) {
        self.machines
            .retain(|_, machine| machine.provisioning != "Deleting");
        for machine in self.machines.values_mut() {
            match (machine.provisioning, machine.power) {
                ("Creating", None) if !self.is_boot_stuck => machine.power = Some("starting"),
                ("Creating", Some("starting")) => machine.power = Some("running"),
                ("Creating", Some("running")) => machine.provisioning = "Succeeded",
                (_, Some("deallocating")) => machine.power = Some("deallocated"),
                (_, Some("starting")) => machine.power = Some("running"),
                _ => {}
            }
        }
    }

    /// Begins an operation; its number.
    pub fn operate(&mut self) -> usize {
        self.operations.push(Operation {
            polls_left: 1,
            failure: self.next_failure.take(),
        });
        self.operations.len() - 1
    }
}
