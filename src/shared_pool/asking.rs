//! Seats that a newer gate gives: once another gate has this one's place, its logins ask that one, which alone knows who is
//! where, who waits, and what was decided about instances.
//!
//! Whoever is in touch with a newer gate carries the pleas there and the replies back. Without one, or without an answer, logins are
//! placed by what is known here: somebody must place them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot, watch};

use super::{Seat, SharedPool};
use crate::pool::{Given, LoginRequest, Plea, Refusal, Refused, Reply};

/// Pleas that nobody has carried yet; further ones wait.
const PLEAS_MAX: usize = 64;
/// It is asked over a socket of this machine: who takes longer is as good as gone.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Asking {
    pleas: mpsc::Sender<Asked>,
    /// Of several newer gates one is asked: the next one once that one is gone.
    turn: Arc<Mutex<mpsc::Receiver<Asked>>>,
    /// Newer gates that are in touch.
    newer: watch::Sender<usize>,
}

impl Default for Asking {
    fn default() -> Self {
        let (pleas, receiver) = mpsc::channel(PLEAS_MAX);
        Self {
            pleas,
            turn: Arc::new(Mutex::new(receiver)),
            newer: watch::Sender::new(0),
        }
    }
}

/// A plea, and who waits for its answer.
pub struct Asked {
    plea: Plea,
    answer: oneshot::Sender<Result<Seat, Refused>>,
}

impl Asked {
    pub fn plea(&self) -> &Plea {
        &self.plea
    }

    /// Passes on what the newer gate says. Where nobody waits for it any more, a seat is given back at once.
    pub fn pass_on(self, pool: &SharedPool, reply: Reply) {
        let answer = match reply {
            Reply::Given(given) => pool.take_given(&given, &self.plea.request),
            Reply::Refused(refused) => Err(refused),
        };
        drop(self.answer.send(answer));
    }
}

/// A newer gate that is in touch, until this is dropped.
pub struct Newer {
    pool: SharedPool,
    turn: Option<OwnedMutexGuard<mpsc::Receiver<Asked>>>,
}

impl Newer {
    /// What it is to be asked next. Nothing is lost if this is dropped before it comes back.
    pub async fn next(&mut self) -> Asked {
        let turn = match &mut self.turn {
            Some(turn) => turn,
            turn => {
                let receiver = self.pool.shared.asking.turn.clone();
                turn.insert(receiver.lock_owned().await)
            }
        };
        loop {
            match turn.recv().await {
                Some(asked) if asked.answer.is_closed() => {}
                Some(asked) => return asked,
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Newer {
    fn drop(&mut self) {
        let newer = &self.pool.shared.asking.newer;
        newer.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl SharedPool {
    /// From here on logins ask this gate for seats, unless they ask another one already.
    pub fn ask_newer(&self) -> Newer {
        let newer = &self.shared.asking.newer;
        newer.send_modify(|count| *count = count.saturating_add(1));
        Newer {
            pool: self.clone(),
            turn: None,
        }
    }

    /// Whether another gate gives the seats.
    pub fn has_newer(&self) -> bool {
        *self.shared.asking.newer.borrow() > 0
    }

    /// What a newer gate says; `None` if there is none, or none that answers.
    pub async fn plead(&self, plea: &Plea) -> Option<Result<Seat, Refused>> {
        let mut newer = self.shared.asking.newer.subscribe();
        let asking = async {
            while self.has_newer() {
                let (answer, answered) = oneshot::channel();
                let plea = plea.clone();
                let asked = self.shared.asking.pleas.send(Asked { plea, answer });
                asked.await.ok()?;
                // Unanswered where that gate has gone: there may be the one that comes after it.
                if let Ok(answer) = answered.await {
                    return Some(answer);
                }
            }
            None
        };
        tokio::select! {
            biased;
            answer = asking => answer,
            _ = newer.wait_for(|count| *count == 0) => None,
            () = tokio::time::sleep(PATIENCE) => None,
        }
    }

    fn take_given(&self, given: &Given, request: &LoginRequest) -> Result<Seat, Refused> {
        let pool = &given.instance.id.pool;
        let taken = self.take_seat(|state, now| {
            let is_free = !self.holds(given.session);
            let taken = is_free
                .then(|| state.take_given(given, request, now))
                .flatten();
            taken.ok_or_else(|| Refusal::NoneUp(pool.to_string()))
        });
        taken.map_err(|refusal| {
            tracing::warn!(
                instance = %given.instance.id,
                "a newer gate has given a seat on an instance that is another one here; it is asked again"
            );
            Refused {
                refusal,
                place: None,
            }
        })
    }
}
