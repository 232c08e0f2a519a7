//! A machine's state in one word, of what was decided and what is observed: how the dashboard counts and colours.
//!
//! It is never told by colour alone: each has a sign and a word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::pool::{AdminState, Health, InstanceView, MachinePhase, PoolView};

/// In the order in which bars and charts show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Ready,
    /// It takes nobody more, for it has no seat left.
    Full,
    Starting,
    /// People there go on, nobody new can log in.
    NoLogins,
    Cordoned,
    Draining,
    Down,
    /// There and not running.
    Off,
}

impl State {
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Full,
        Self::Starting,
        Self::NoLogins,
        Self::Cordoned,
        Self::Draining,
        Self::Down,
        Self::Off,
    ];

    pub fn of(view: &InstanceView) -> Self {
        match (view.health, view.admin_state) {
            (Health::Down, _) => Self::Down,
            (_, AdminState::Draining) => Self::Draining,
            (_, AdminState::Cordoned) => Self::Cordoned,
            (Health::Unknown, AdminState::Ready) => Self::Starting,
            (Health::NoLogins, AdminState::Ready) => Self::NoLogins,
            (Health::Up, AdminState::Ready) if view.load >= view.capacity => Self::Full,
            (Health::Up, AdminState::Ready) => Self::Ready,
        }
    }

    /// As probes alone see it.
    pub fn of_health(health: Health) -> Self {
        match health {
            Health::Up => Self::Ready,
            Health::Unknown => Self::Starting,
            Health::NoLogins => Self::NoLogins,
            Health::Down => Self::Down,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Full => "full",
            Self::Starting => "starting",
            Self::NoLogins => "no logins",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Off => "off",
        }
    }

    /// Of style sheets.
    pub fn class(self) -> &'static str {
        match self {
            Self::NoLogins => "no-logins",
            other => other.name(),
        }
    }
}

/// Machines of a pool by state: those that are listed as instances, and those that only the cloud knows.
pub fn count<'a>(
    pool: &PoolView,
    instances: impl Iterator<Item = &'a InstanceView>,
) -> BTreeMap<State, u32> {
    let mut states: BTreeMap<State, u32> = BTreeMap::new();
    for view in instances {
        let sum = states.entry(State::of(view)).or_default();
        *sum = sum.saturating_add(1);
    }
    let phases = pool.intent.iter().flat_map(|intent| &intent.machines);
    for (phase, machines) in phases.filter(|(phase, _)| !phase.is_on()) {
        let state = match phase {
            MachinePhase::Stopped | MachinePhase::Deallocated => State::Off,
            MachinePhase::Failed => State::Down,
            MachinePhase::Creating => State::Starting,
            _ => continue,
        };
        let sum = states.entry(state).or_default();
        *sum = sum.saturating_add(*machines);
    }
    states
}
