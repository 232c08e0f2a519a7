//! What traces tell of a controller: a wake, the steps that a round takes, and each command to the fleet. Nothing here decides anything.

use std::time::Instant;

use super::Controller;
use crate::fleet::{FleetFault, Op, OpKind};
use crate::scaling::plan::Step;
use crate::telemetry::traces::{self, Span, works};

/// Somebody waits and nothing is up.
pub(super) struct Waking {
    pub since: Instant,
    span: Span,
}

impl Waking {
    pub fn end(self, outcome: &'static str) {
        self.span.tell(works::OUTCOME, &outcome);
    }
}

impl Controller {
    pub(super) fn begin_wake(&self, since: Instant) -> Waking {
        let span = self.tools.traces.begin(&works::WAKE);
        span.tell(works::POOL, &self.config.pool);
        Waking { since, span }
    }

    /// The steps of a round; within a wake they are a part of it.
    pub(super) fn begin_steps(&self) -> Span {
        let span = match &self.told.waking {
            Some(waking) => waking.span.child(&works::SCALING_STEPS),
            None => self.tools.traces.begin(&works::SCALING_STEPS),
        };
        span.tell(works::POOL, &self.config.pool);
        span
    }

    /// A command, as a part of the steps that are being taken.
    pub(super) fn begin_command(&self, kind: OpKind) -> Span {
        let span = traces::child(&works::FLEET_COMMAND);
        span.tell(works::POOL, &self.config.pool);
        span.tell(works::COMMAND, &kind.verb());
        span
    }
}

pub(super) fn commanded(span: &Span, answer: &Result<Op, FleetFault>) {
    match answer {
        Ok(op) => {
            if let Some(capacity) = op.capacity {
                span.count(works::CAPACITY, capacity.into());
            }
            let machines = u64::try_from(op.machines.len()).unwrap_or(u64::MAX);
            span.count(works::MACHINES, machines);
        }
        Err(fault) => span.fail(fault.kind(), fault),
    }
}

/// A step was taken.
pub(super) fn taken(step: &Step) {
    traces::note(step.action.verb(), &[(works::REASON, &step.reason)]);
}
