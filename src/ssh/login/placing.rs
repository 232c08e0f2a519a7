//! The part of a login that finds an instance: a seat in the pool, then a dial, then another seat if nobody answers.

use std::time::{Duration, Instant};

use super::super::traced;
use super::super::upstream::{self, OnBehalfOf, Upstream};
use super::line::LAST_WORDS;
use super::{Login, LoginError};
use crate::pool::{Decider, Instance, LoginRequest, Protocol, Refusal};
use crate::shared_pool::Seat;
use crate::telemetry::traces::{self, works};

/// Instances one login tries before it gives up.
const DIALS_MAX: usize = 3;
/// Of its wait for a seat, how long a login leaves one to others that is not the next by load.
const PATIENCE: Duration = Duration::from_secs(1);

impl Login<'_> {
    pub(super) async fn place_and_dial(&mut self, proved: bool) -> Result<Upstream, LoginError> {
        while self.unreachable.len() < DIALS_MAX {
            let request = self.login_request(proved);
            let seat = match self.seat_in_advance(&request).await {
                Ok(seat) => seat,
                Err(LoginError::Refused(_)) if !self.unreachable.is_empty() => break,
                Err(error) => return Err(error),
            };
            let instance = seat.instance().clone();
            let began = Instant::now();
            match upstream::dial(self.gatekeeper, &instance, self.on_behalf_of()).await {
                Ok(leg) => {
                    let metrics = &self.gatekeeper.metrics;
                    metrics.time_connect(Protocol::Ssh, began.elapsed());
                    if proved {
                        self.tell_of_drain(&instance).await?;
                    }
                    return Ok(Upstream::new(leg, seat));
                }
                Err(error) => {
                    if error.is_silence() {
                        self.gatekeeper.report_unreachable(&instance.id, &error);
                    }
                    self.leave_out(&instance, &error.to_string());
                    match proved {
                        true => self.tell_of_another(&instance, error.told()).await?,
                        // Whoever has proved nothing hears no names.
                        false => {
                            self.inform("an instance cannot be reached; trying another")
                                .await?;
                        }
                    }
                }
            }
        }
        Err(LoginError::Unreachable(self.last_failure.clone()))
    }

    pub(super) fn on_behalf_of(&self) -> OnBehalfOf {
        let gate = self.client.stream.local_addr();
        OnBehalfOf {
            client: self.peer,
            // A client that has broken off has no address left, and its login ends at its next message.
            gate: gate.unwrap_or(self.peer),
        }
    }

    /// This login goes on without that instance.
    pub(super) fn leave_out(&mut self, instance: &Instance, why: &str) {
        tracing::warn!(instance = %instance.id, peer = %self.peer, reason = why, "a login could not use its instance");
        self.unreachable.push(instance.id.clone());
        self.last_failure = format!("{}: {why}", instance.id.name);
    }

    pub(super) async fn tell_of_another(
        &mut self,
        instance: &Instance,
        why: &str,
    ) -> Result<(), LoginError> {
        let name = &instance.id.name;
        self.inform(&format!(
            "{name} cannot be used ({why}); trying another instance"
        ))
        .await
    }

    /// Who comes back to their session on an instance that an operator drains has yet to hear of it. Of a drain by policy,
    /// which cuts nobody off, no login need.
    async fn tell_of_drain(&mut self, instance: &Instance) -> Result<(), LoginError> {
        let pool = &self.gatekeeper.pool;
        let Some(notice) = pool.drain_notice(&instance.id) else {
            return Ok(());
        };
        let snapshot = pool.snapshot();
        let view = snapshot.instance(&instance.id.pool, &instance.id.name);
        let is_gentle =
            view.is_none_or(|view| view.decided_by == Decider::Policy && notice.deadline.is_none());
        match is_gentle {
            true => Ok(()),
            false => self.inform(&notice.line()).await,
        }
    }

    /// The one that is taken already, if it is.
    async fn seat_in_advance(&mut self, request: &LoginRequest) -> Result<Seat, LoginError> {
        match self.seat.take() {
            Some(seat) => Ok(seat),
            None => self.seat(request).await,
        }
    }

    /// Reserves a seat; a person who has proved who they are stands in line for one.
    pub(super) async fn seat(&mut self, request: &LoginRequest) -> Result<Seat, LoginError> {
        let span = traces::child(&works::PLACEMENT);
        let placed = span.around(self.find_seat(request)).await;
        traced::placed(&span, &placed);
        placed
    }

    async fn find_seat(&mut self, request: &LoginRequest) -> Result<Seat, LoginError> {
        let mut changes = self.gatekeeper.pool.subscribe();
        let began = Instant::now();
        let mut wait = None;
        loop {
            let patience = PATIENCE.saturating_sub(began.elapsed());
            let request = LoginRequest {
                patient: request.proved && !patience.is_zero(),
                ..request.clone()
            };
            let taken = self.take_seat_in_turn(&request, wait.as_ref());
            let refused = match taken.await? {
                Ok(seat) => {
                    self.leave_line(wait);
                    return Ok(seat);
                }
                Err(refused) => refused,
            };
            let is_known = self.may_wait(&request);
            let may_wait = is_known && request.exclude.is_empty();
            match &refused.refusal {
                Refusal::NoneUp(_) if !is_known => {
                    let snapshot = changes.borrow_and_update().clone();
                    self.tell_of_sleep(&request, &snapshot).await?;
                    return Err(refused.refusal.into());
                }
                Refusal::InLine(_) if may_wait && self.deadline.left() > LAST_WORDS => {
                    self.look_again(&mut changes, patience).await?;
                }
                Refusal::Full(_) | Refusal::NoneUp(_) if may_wait => {
                    self.stand_in_line(&mut wait, &request, refused, &mut changes)
                        .await?;
                }
                _ => return Err(refused.refusal.into()),
            }
        }
    }

    pub(super) fn login_request(&self, proved: bool) -> LoginRequest {
        let name = self.name.as_ref();
        LoginRequest {
            pool: name.and_then(|name| name.pool.clone()),
            instance: name.and_then(|name| name.instance.clone()),
            user: name.map(|name| name.user.clone()),
            proved,
            protocol: Protocol::Ssh,
            peer: self.peer.ip(),
            exclude: self.unreachable.clone(),
            patient: false,
        }
    }
}
