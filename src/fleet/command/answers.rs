//! What a fleet's program says, checked: a listing, or why it refused. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::run::Ran;
use crate::fleet::FleetFault;
use crate::pool::{InstanceId, Machine, MachinePhase, Observed};

const MACHINES_MAX: usize = 5000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    machines: Vec<Entry>,
    capacity: Option<u32>,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    id: String,
    phase: MachinePhase,
    address: Option<String>,
    created: Option<String>,
    #[serde(default)]
    spot: bool,
    #[serde(default)]
    protected: bool,
    #[serde(default = "yes")]
    latest_model: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    kind: String,
    #[serde(default)]
    message: String,
    after_s: Option<u64>,
}

/// # Errors
/// The program ended with an error, with or without saying which.
pub(super) fn unless_refused(ran: &Ran) -> Result<(), FleetFault> {
    let refusal = serde_json::from_slice::<Refusal>(&ran.stdout);
    match refusal {
        Ok(Refusal { error }) => Err(fault(error)),
        Err(_) if ran.is_success => Ok(()),
        Err(_) => {
            let said = ran.stderr.chars().take(300).collect::<String>();
            Err(FleetFault::Transient(format!(
                "the fleet's program failed: {said:?}"
            )))
        }
    }
}

fn fault(reason: Reason) -> FleetFault {
    let said = reason
        .message
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect::<String>();
    let said = format!("the fleet's program says {said:?}");
    let after = Duration::from_secs(reason.after_s.unwrap_or(60).min(3600));
    match reason.kind.as_str() {
        "throttled" => FleetFault::Throttled { what: said, after },
        "conflict" => FleetFault::Conflict(said),
        "quota" => FleetFault::Quota(said),
        "no-capacity" => FleetFault::NoCapacity(said),
        "auth" => FleetFault::Auth(said),
        "not-found" => FleetFault::NotFound(said),
        "fatal" => FleetFault::Fatal(said),
        _ => FleetFault::Transient(said),
    }
}

/// # Errors
/// It is no listing, or names machines as the gate cannot.
pub(super) fn listing(pool: &Arc<str>, text: &[u8]) -> Result<Observed, FleetFault> {
    let bad =
        |what: String| FleetFault::Transient(format!("the fleet's program lists no fleet: {what}"));
    let listing: Listing = serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?;
    if listing.machines.len() > MACHINES_MAX {
        return Err(bad(format!("more than {MACHINES_MAX} machines")));
    }
    let count = u32::try_from(listing.machines.len()).unwrap_or(u32::MAX);
    let version = listing
        .version
        .unwrap_or_else(|| version(&listing.machines));
    let machines = listing
        .machines
        .into_iter()
        .map(|entry| machine(pool, entry).map_err(bad));
    Ok(Observed {
        capacity: listing.capacity.unwrap_or(count),
        version,
        machines: machines.collect::<Result<_, _>>()?,
        hindrances: Vec::new(),
        at: SystemTime::now(),
    })
}

fn machine(pool: &Arc<str>, entry: Entry) -> Result<Machine, String> {
    let name = entry.name;
    let is_written = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    if !begins || name.len() > 63 || !name.bytes().all(is_written) {
        return Err(format!(
            "the name {name:?} is not up to 63 of a-z, 0-9, '.', - and _, beginning with a letter or a digit"
        ));
    }
    let address = entry.address.filter(|address| !address.is_empty());
    let is_host = |address: &str| {
        address.len() <= 253
            && address
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"-_.:".contains(&c))
    };
    if let Some(address) = address.as_deref().filter(|address| !is_host(address)) {
        return Err(format!("{address:?} is no address of {name}"));
    }
    let created = entry.created.map(|text| {
        let at = text.parse::<jiff::Timestamp>();
        at.map_err(|_| format!("{text:?} is no time like 2026-11-23T09:00:00Z"))
    });
    let seconds = created
        .transpose()?
        .and_then(|at| u64::try_from(at.as_second()).ok());
    Ok(Machine {
        id: InstanceId {
            pool: pool.clone(),
            name: name.into(),
        },
        generation: digest(&entry.id),
        phase: entry.phase,
        created: seconds.map_or(UNIX_EPOCH, |seconds| {
            UNIX_EPOCH + Duration::from_secs(seconds)
        }),
        is_spot: entry.spot,
        is_protected: entry.protected,
        is_latest_model: entry.latest_model,
        address,
    })
}

/// Of a program that gives none: which machines there are.
fn version(machines: &[Entry]) -> String {
    let mut ids: Vec<_> = machines
        .iter()
        .map(|one| format!("{}={}", one.name, one.id))
        .collect();
    ids.sort();
    format!("{:016x}", digest(&ids.join("\n")))
}

fn digest(text: &str) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let first = digest.as_ref().iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(*byte))
}
