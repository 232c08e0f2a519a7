//! `POST /api/v1/upgrade`: a new program is to take this gate's place; `GET` tells how far that is, and whose place this gate took.
//!
//! The order is answered at once, and what comes of it is looked at: the answer would come from a gate that has given its place
//! away by then. Deliberately absent: what is done, which the composition root knows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::{Caller, Via};
use super::orders::Reason;
use super::problem::Problem;
use super::verbs::{bad, checked};
use crate::pool::rfc3339;

/// The body of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "reason": "1.4.2 mends the queue" })))]
pub struct UpgradeOrder {
    #[schema(value_type = Reason)]
    pub reason: String,
    /// A program in place of the one that stands where the gate was started from; for root and the gate's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 4095)]
    pub program: Option<PathBuf>,
    /// Only try the program: whether it runs here and takes the configuration.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// What somebody wants, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeWish {
    /// Whose wish it is, as events name them.
    pub by: String,
    /// None where it came by a signal.
    pub reason: Option<String>,
    pub program: Option<PathBuf>,
    pub is_dry_run: bool,
}

/// Begins it, or says why not.
pub type AskUpgrade = Arc<dyn Fn(UpgradeWish) -> Result<(), String> + Send + Sync>;

/// How far an upgrade is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeStep {
    /// The program is run to say its version and to judge the configuration.
    Check,
    /// It is started as a gate.
    Start,
    /// It builds everything and waits until it sees the instances up.
    GetReady,
}

/// An order for an upgrade, and what has come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upgrade {
    /// Grows by one with each order to this gate.
    pub number: u64,
    pub by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    #[schema(value_type = String)]
    pub program: PathBuf,
    pub is_dry_run: bool,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub began: SystemTime,
    pub step: UpgradeStep,
    /// Of the program, once it has said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<UpgradeOutcome>,
}

/// How it ended. Where the place was taken the newer gate tells: `took_over` there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeOutcome {
    /// False where this gate goes on because it failed.
    pub is_good: bool,
    /// In words.
    pub text: String,
}

/// Whose place a gate has, and by whose wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TookOver {
    /// Of the gate before.
    pub pid: u32,
    pub version: String,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    /// None where nobody ordered it: the gate was started to take over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// The gate that answers, the last upgrade it was asked for, and how it got its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeView {
    pub pid: u32,
    pub version: String,
    /// The last order to this gate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order: Option<Upgrade>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_over: Option<TookOver>,
}

/// What is known of upgrades; all clones are one.
#[derive(Clone, Default)]
pub struct Upgrades(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    order: Option<Upgrade>,
    took_over: Option<TookOver>,
}

impl Upgrades {
    /// Begins with one; there is one at a time.
    ///
    /// # Errors
    /// The one that has not ended.
    pub fn begin(&self, wish: UpgradeWish, program: PathBuf) -> Result<(), Box<Upgrade>> {
        let mut state = self.lock();
        let number = match &state.order {
            Some(order) if order.outcome.is_none() => return Err(Box::new(order.clone())),
            Some(order) => order.number.saturating_add(1),
            None => 1,
        };
        state.order = Some(Upgrade {
            number,
            by: wish.by,
            reason: wish.reason,
            program,
            is_dry_run: wish.is_dry_run,
            began: SystemTime::now(),
            step: UpgradeStep::Check,
            version: None,
            outcome: None,
        });
        Ok(())
    }

    /// The program has said its version.
    pub fn note_version(&self, version: &str) {
        self.change(|order| order.version = Some(version.to_owned()));
    }

    pub fn step(&self, step: UpgradeStep) {
        self.change(|order| order.step = step);
    }

    pub fn end(&self, is_good: bool, text: String) {
        self.change(|order| order.outcome = Some(UpgradeOutcome { is_good, text }));
    }

    /// The order that is being carried out.
    pub fn under_way(&self) -> Option<Upgrade> {
        let order = self.lock().order.clone();
        order.filter(|order| order.outcome.is_none() && !order.is_dry_run)
    }

    pub fn took_over(&self, whose: TookOver) {
        self.lock().took_over = Some(whose);
    }

    pub fn view(&self) -> UpgradeView {
        let state = self.lock();
        UpgradeView {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            order: state.order.clone(),
            took_over: state.took_over.clone(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Upgrade)) {
        if let Some(order) = self
            .lock()
            .order
            .as_mut()
            .filter(|order| order.outcome.is_none())
        {
            change(order);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where there is no program to be started anew.
pub(super) fn nothing_to_upgrade() -> AskUpgrade {
    Arc::new(|_| Err("this gate cannot be upgraded at work".to_owned()))
}

impl UpgradeOrder {
    pub(super) fn judge(self, caller: &Caller, by: String) -> Result<UpgradeWish, Problem> {
        if caller.via != Via::Socket {
            return Err(forbidden(
                "an upgrade is ordered where the new program is installed: run `poolgate upgrade` there, on the operators' socket",
            ));
        }
        let reason = checked(&self.reason)?.to_owned();
        if let Some(program) = &self.program {
            if !caller.is_gates_own() {
                return Err(forbidden(
                    "a program is named by root or the gate's own account: leave it out, and the one that is installed is started",
                ));
            }
            if !program.is_absolute() {
                let program = program.display();
                return Err(bad(format!(
                    "{program} is no absolute path: write one that begins with /"
                )));
            }
        }
        Ok(UpgradeWish {
            by,
            reason: Some(reason),
            program: self.program,
            is_dry_run: self.is_dry_run,
        })
    }
}

fn forbidden(detail: &str) -> Problem {
    Problem {
        status: StatusCode::FORBIDDEN,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_at_a_time_and_its_end_stays_as_it_is() {
        let wish = || UpgradeWish {
            by: "ada".to_owned(),
            reason: Some("a new queue".to_owned()),
            program: None,
            is_dry_run: false,
        };
        let upgrades = Upgrades::default();
        upgrades.begin(wish(), "/usr/bin/poolgate".into()).unwrap();
        upgrades.note_version("9.9.9");
        upgrades.step(UpgradeStep::GetReady);
        let other = upgrades.begin(wish(), "/usr/bin/other".into()).unwrap_err();
        assert_eq!((other.number, &*other.by), (1, "ada"));
        assert_eq!(upgrades.under_way().unwrap().step, UpgradeStep::GetReady);
        upgrades.end(false, "it does not start".to_owned());
        upgrades.end(true, "somebody else's end".to_owned());
        assert_eq!(upgrades.under_way(), None);
        let order = upgrades.view().order.unwrap();
        assert_eq!(order.outcome.unwrap().text, "it does not start");
        let dry = UpgradeWish {
            is_dry_run: true,
            ..wish()
        };
        upgrades.begin(dry, "/usr/bin/other".into()).unwrap();
        assert_eq!(upgrades.under_way(), None, "nobody is handed anything");
        assert_eq!(upgrades.view().order.unwrap().number, 2);
    }
}
