//! From Azure's answers to machines: names, generations, phases, addresses. Pure.
//!
//! A machine is known by its `vmId`: Uniform sets give instance ids again, and names with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::wire::{Entry, Interface, ScaleSet, is};
use crate::fleet::FleetFault;
use crate::pool::{InstanceId, Machine, MachinePhase};

/// A machine, and what Azure calls it in commands.
#[derive(Clone, Debug)]
pub(super) struct Sighted {
    pub machine: Machine,
    /// An instance id of a Uniform set, the machine's name in a Flexible one.
    pub handle: String,
}

/// `interfaces` may lack those of machines that are off.
///
/// # Errors
/// A machine that may hold people is listed without what tells it from its successor.
pub(super) fn machines(
    pool: &Arc<str>,
    set: &ScaleSet,
    entries: &[Entry],
    interfaces: &[Interface],
) -> Result<Vec<Sighted>, FleetFault> {
    let addresses = addresses(interfaces);
    let is_flexible = set.is_flexible();
    let sighted = entries.iter().map(|entry| {
        let properties = &entry.properties;
        let known = properties.vm_id.as_deref().filter(|id| !id.is_empty());
        let address = addresses.get(&entry.id.to_ascii_lowercase());
        // What cannot be named in a command is none of our machines.
        let handle = match is_flexible {
            true => Some(entry.name.clone()),
            false => entry.instance_id.clone(),
        };
        let handle = handle.filter(|handle| !handle.is_empty() && !entry.name.is_empty());
        let protection = properties.protection_policy.as_ref();
        let machine = Machine {
            id: InstanceId {
                pool: pool.clone(),
                name: entry.name.to_ascii_lowercase().into(),
            },
            generation: generation(known.unwrap_or(&entry.id)),
            phase: phase(entry),
            created: created(properties.time_created.as_deref()),
            is_spot: set.is_spot() || is(properties.priority.as_deref(), "Spot"),
            is_protected: protection
                .is_some_and(|one| one.protect_from_scale_in || one.protect_from_scale_set_actions),
            is_latest_model: properties.latest_model_applied.unwrap_or(true),
            address: address.cloned(),
        };
        if known.is_none() && machine.phase.is_on() {
            let name = &entry.name;
            return Some(Err(FleetFault::Transient(format!(
                "Azure lists {name:?} without its vmId"
            ))));
        }
        handle.map(|handle| Ok(Sighted { machine, handle }))
    });
    sighted.flatten().collect()
}

/// The same for the same machine in every run of the gate: host keys and seats hang on it.
fn generation(id: &str) -> u64 {
    let id = id.to_ascii_lowercase();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
    let first = digest.as_ref().iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn phase(entry: &Entry) -> MachinePhase {
    let properties = &entry.properties;
    let provisioning = properties.provisioning_state.as_deref().unwrap_or_default();
    let provisioning = provisioning.to_ascii_lowercase();
    let statuses = properties
        .instance_view
        .iter()
        .flat_map(|view| &view.statuses);
    let power = statuses
        .filter_map(|status| status.code.strip_prefix("PowerState/"))
        .map(str::to_ascii_lowercase)
        .next();
    match (provisioning.as_str(), power.as_deref()) {
        ("deleting", _) => MachinePhase::Deleting,
        (_, Some("stopping" | "deallocating")) => MachinePhase::Stopping,
        (_, Some("stopped")) => MachinePhase::Stopped,
        (_, Some("deallocated")) => MachinePhase::Deallocated,
        (_, Some("starting")) | ("creating", Some("running")) => MachinePhase::Booting,
        // Failed but running: an extension has failed, and people may be on it. Probes say whether it is any good.
        (_, Some("running")) => MachinePhase::Running,
        ("failed" | "canceled", _) => MachinePhase::Failed,
        ("creating", _) => MachinePhase::Creating,
        // What cannot be told may hold people.
        _ => MachinePhase::Running,
    }
}

fn created(written: Option<&str>) -> SystemTime {
    let at = written.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let seconds = at.and_then(|at| u64::try_from(at.as_second()).ok());
    seconds.map_or(UNIX_EPOCH, |seconds| {
        UNIX_EPOCH + Duration::from_secs(seconds)
    })
}

/// The first private address of each machine's primary interface, by the machine's id in small letters.
fn addresses(interfaces: &[Interface]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for interface in interfaces {
        let properties = &interface.properties;
        let Some(machine) = &properties.virtual_machine else {
            continue;
        };
        let configurations = properties
            .ip_configurations
            .iter()
            .map(|one| &one.properties);
        let first = configurations
            .filter(|one| one.address.is_some())
            .max_by_key(|one| one.primary == Some(true));
        let Some(address) = first.and_then(|one| one.address.clone()) else {
            continue;
        };
        let id = machine.id.to_ascii_lowercase();
        match properties.primary {
            Some(true) => drop(found.insert(id, address)),
            _ => drop(found.entry(id).or_insert(address)),
        }
    }
    found
}

#[cfg(test)]
#[path = "sight/tests.rs"]
mod tests;
