//! Orders to the cloud of the virtual world: taken, refused, answered late, or granted and never carried out.

use std::fmt;
use std::time::Duration;

use crate::pool::{AdminState, Decision, InstanceId, SessionId};
use crate::scaling::Action;

use super::faults::Fate;
use super::world::{Event, World};

/// After a refusal no order is given for so long.
const BACK_OFF: Duration = Duration::from_secs(60);

/// What goes wrong with orders that come next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OrderFaults {
    pub quota_until: Duration,
    pub conflicts: bool,
    /// How long the next order is without an answer, and whether it has failed then.
    pub hangs: Option<(Duration, bool)>,
    pub reneges: bool,
    pub deletion_fails: bool,
}

/// An order without an answer.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    action: Action,
    has_failed: bool,
}

/// The cloud's answer to an order it does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderRefusal {
    Quota,
    Conflict,
    /// Not even sent: one before it has no answer yet.
    InFlight,
}

impl fmt::Display for OrderRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quota => "the quota is used up",
            Self::Conflict => "another operation is under way",
            Self::InFlight => "an order before it has no answer yet",
        })
    }
}

impl World<'_> {
    pub fn act(&mut self, action: &Action) -> Result<(), OrderRefusal> {
        match action {
            Action::Undrain(id) => {
                self.control.drained.remove(id);
                self.pool.reopen(id);
            }
            Action::Drain(id) => {
                self.control.drained.insert(id.clone());
                let drained = Decision::by_policy(AdminState::Draining, "the plan");
                self.pool.decide(id, drained);
            }
            Action::Grow { .. } | Action::Start(_) | Action::Remove(_) => {
                return self.order(action);
            }
        }
        Ok(())
    }

    fn order(&mut self, action: &Action) -> Result<(), OrderRefusal> {
        self.cloud.writes += 1;
        let is_more = !matches!(action, Action::Remove(_));
        let refusal = if self.control.in_flight.is_some() {
            Some(OrderRefusal::InFlight)
        } else if std::mem::take(&mut self.control.orders.conflicts) {
            Some(OrderRefusal::Conflict)
        } else if is_more && self.at < self.control.orders.quota_until {
            Some(OrderRefusal::Quota)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let until = self.at + BACK_OFF;
            self.control.throttled_until = self.control.throttled_until.max(until);
            return Err(refusal);
        }
        // Written down before it is sent: nobody may be let onto a machine whose deletion may be under way.
        if let Action::Remove(ids) = action {
            self.close(ids);
        }
        match self.control.orders.hangs.take() {
            None => self.carry(action),
            Some((span, has_failed)) => {
                let answered = self.at + span;
                self.control.throttled_until = self.control.throttled_until.max(answered);
                let action = action.clone();
                self.control.in_flight = Some(InFlight { action, has_failed });
                self.schedule(answered, Event::Answer);
            }
        }
        Ok(())
    }

    /// The answer that was waited for.
    pub fn answer(&mut self) {
        let Some(InFlight { action, has_failed }) = self.control.in_flight.take() else {
            return;
        };
        if !has_failed {
            self.carry(&action);
            return;
        }
        let what = format!("{action} was answered late, and has failed");
        self.outcome.story.push((self.at, what));
        if let Action::Remove(ids) = &action {
            for id in ids {
                self.control.removed.remove(id);
            }
        }
    }

    fn carry(&mut self, action: &Action) {
        match action {
            Action::Grow { by } => {
                let reneges = std::mem::take(&mut self.control.orders.reneges);
                for _ in 0..*by {
                    self.create(reneges);
                }
            }
            Action::Start(ids) => {
                for id in ids {
                    self.start(id);
                }
            }
            Action::Remove(ids) => {
                for id in ids {
                    self.remove(id);
                }
            }
            Action::Undrain(_) | Action::Drain(_) => {}
        }
    }

    /// Machines that were asked for, beyond those the cloud shows.
    pub fn coming(&self) -> u32 {
        let in_flight = self.control.in_flight.as_ref();
        let asked = in_flight.map_or(0, |order| match &order.action {
            Action::Grow { by } => *by,
            _ => 0,
        });
        let (by, until) = self.control.overstated;
        let overstated = if self.at < until { by } else { 0 };
        asked.max(overstated)
    }

    fn create(&mut self, vanishes: bool) {
        let fate = match vanishes {
            true => Fate::Vanishes,
            false => self.settings.faults.fate(&mut self.dice),
        };
        let wall = self.now().wall;
        let id = self.cloud.grow(&self.pool_name, wall, self.at, fate);
        self.expect_boot(id);
    }

    fn start(&mut self, id: &InstanceId) {
        let fate = self.settings.faults.fate(&mut self.dice);
        if self.cloud.start(id, fate, self.at) {
            self.control.drained.remove(id);
            self.control.woken.insert(id.clone());
            self.expect_boot(id.clone());
        } else {
            self.violated(format!("{id} is started and was not off"));
        }
    }

    fn expect_boot(&mut self, id: InstanceId) {
        let boot_s = self.settings.boot.as_secs_f64();
        let takes = self.dice.normal(boot_s, boot_s / 6.0).max(boot_s / 3.0);
        let up = self.at + Duration::from_secs_f64(takes);
        self.schedule(up, Event::Boot(id));
    }

    fn close(&mut self, ids: &[InstanceId]) {
        for id in ids {
            if !self.control.removed.insert(id.clone()) {
                self.violated(format!("{id} is removed a second time"));
            }
            // Rivals delete what is not drained; nobody is sent there any more.
            let gone = Decision::by_policy(AdminState::Draining, "it is removed");
            self.pool.decide(id, gone);
        }
    }

    /// The rule above all: nobody is on it.
    fn remove(&mut self, id: &InstanceId) {
        let snapshot = self.pool.snapshot();
        let sessions: Vec<SessionId> = snapshot.sessions_on(id).map(|one| one.id).collect();
        self.outcome.score.kills += u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        self.end_sessions(&sessions);
        self.take_away(id);
    }

    /// The machine under them is gone; they come again.
    pub fn end_sessions(&mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.pool.end_session(*session, self.now());
        }
        self.lose(sessions);
    }

    /// A deletion is over.
    pub fn deleted(&mut self, id: &InstanceId) {
        let is_ordered = self.control.removed.contains(id);
        if is_ordered && std::mem::take(&mut self.control.orders.deletion_fails) {
            self.cloud.bring_back(id, self.at);
            self.control.removed.remove(id);
            self.control.drained.insert(id.clone());
            let what = format!("the deletion of {id} has failed");
            self.outcome.story.push((self.at, what));
        } else {
            self.cloud.forget(id);
        }
    }
}
