//! What a gate that has given its place away asks of the one that has it, for each login it still carries, and what that one
//! answers. Who is asked, and by which way, is not known here.

use serde::{Deserialize, Serialize};

use super::instance::Instance;
use super::outlook::Progress;
use super::placement::{LoginRequest, PlacementReason, Refusal};
use super::queue::{TicketMemory, Waiter};
use super::session::SessionId;
use super::stand::Stand;

/// A login that wants a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plea {
    pub request: LoginRequest,
    /// Who they are in the line; `None` for those who may not wait.
    pub waiter: Option<Waiter>,
    /// Their place in the line at the gate that asks, if they wait.
    pub ticket: Option<TicketMemory>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    Given(Given),
    Refused(Refused),
}

/// A seat that is held until the gate that asked tells that its session has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub session: SessionId,
    pub instance: Instance,
    pub reason: PlacementReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub refusal: Refusal,
    /// Of those who wait.
    pub place: Option<Box<Place>>,
}

/// Where somebody stands in the line of the gate that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub stand: Stand,
    pub progress: Option<Progress>,
}
