//! What a trace tells of a login, its parts and the session after it. Nothing here decides anything.
//!
//! A login's trace holds what a person waits for, up to the moment the session begins; the session is a trace of its own, linked to it.
//! Connections that never name anybody leave none: port scanners would be most of all traces.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::login::{Admitted, LoginError};
use super::upstream::{DialError, LogInError};
use super::wire::userauth::AuthReply;
use crate::config::AuthMethod;
use crate::identity::grant::{Grant, Proof};
use crate::pool::{Instance, InstanceId};
use crate::shared_pool::Seat;
use crate::telemetry::traces::{self, Span, works};

/// When the steps of a login came, for those that are told of when they are over.
pub(super) struct Moments {
    began: SystemTime,
    established: SystemTime,
    named: Option<SystemTime>,
}

impl Moments {
    pub fn begin() -> Self {
        let now = SystemTime::now();
        Self {
            began: now,
            established: now,
            named: None,
        }
    }

    /// Keys are exchanged.
    pub fn established(&mut self) {
        self.established = SystemTime::now();
    }

    /// Somebody has said who they are.
    pub fn named(&mut self) {
        self.named = Some(SystemTime::now());
        traces::past(&works::KEY_EXCHANGE, self.began).end_at(self.established);
    }

    /// Everything is proved that was to be.
    pub fn proved(&self, grant: &Grant) {
        if let Some(span) = self.authentication() {
            let methods: Vec<_> = grant.proofs().iter().map(method).collect();
            span.tell(works::AUTH_METHOD, &methods.join(","));
        }
    }

    /// The login ends before that.
    pub fn unproved(&self, error: &LoginError) {
        if let Some(span) = self.authentication() {
            span.fail(error.outcome(), error);
        }
    }

    fn authentication(&self) -> Option<Span> {
        Some(traces::past(&works::AUTHENTICATION, self.named?))
    }
}

fn method(proof: &Proof) -> &'static str {
    match proof {
        Proof::PublicKey { .. } => AuthMethod::PublicKey.name(),
        Proof::Instance { method, .. } => method,
    }
}

/// Of a login, or of the session after it.
pub(super) fn begun(span: &Span, peer: SocketAddr) {
    if span.is_kept() {
        span.tell(works::CLIENT_ADDRESS, &peer.ip().to_canonical());
        span.count(works::CLIENT_PORT, peer.port().into());
        span.tell(works::PROTOCOL_NAME, &"ssh");
    }
}

/// The same, once it is known whose it is and where.
pub(super) fn admitted(span: &Span, admitted: &Admitted) {
    span.tell(works::USER, &admitted.grant.user());
    span.tell(works::SESSION, &admitted.seat.session());
    on(span, &admitted.seat.instance().id);
}

pub(super) fn succeeded(span: &Span, seat: &Seat) {
    span.tell(works::OUTCOME, &"admitted");
    span.tell(works::REASON, &seat.reason().name());
}

/// `user`: claimed, and proved to be nobody's.
pub(super) fn refused(span: &Span, user: Option<&str>, error: &LoginError) {
    let Some(user) = user else {
        return span.forget();
    };
    span.tell(works::USER, &user);
    let outcome = error.outcome();
    span.tell(works::OUTCOME, &outcome);
    // Who went away or had the wrong key is no fault of anything here.
    if !matches!(outcome, "refused" | "gone") {
        span.fail(outcome, error);
    }
}

/// Of a session.
pub(super) fn ended(span: &Span, (bytes_in, bytes_out): (u64, u64), cause: &str) {
    span.count(works::BYTES_IN, bytes_in);
    span.count(works::BYTES_OUT, bytes_out);
    span.tell(works::CAUSE, &cause);
}

pub(super) fn placed(span: &Span, placed: &Result<Seat, LoginError>) {
    match placed {
        Ok(seat) => {
            on(span, &seat.instance().id);
            span.tell(works::REASON, &seat.reason().name());
        }
        Err(error) => span.fail(error.outcome(), error),
    }
}

pub(super) fn dials(span: &Span, instance: &Instance) {
    on(span, &instance.id);
    span.tell(works::PROTOCOL_NAME, &"ssh");
    span.tell(works::SERVER_ADDRESS, &instance.address);
    span.count(works::SERVER_PORT, instance.ssh_port.into());
}

pub(super) fn dialed<T>(span: &Span, outcome: &Result<T, DialError>) {
    if let Err(error) = outcome {
        span.fail(error.kind(), error);
    }
}

/// An instance is asked to let somebody in.
pub(super) fn asks(span: &Span, id: &InstanceId, method: AuthMethod) {
    on(span, id);
    span.tell(works::AUTH_METHOD, &method.name());
}

/// What it said.
pub(super) fn answered(span: &Span, reply: &AuthReply) {
    let outcome = match reply {
        AuthReply::Success => "admitted",
        AuthReply::Failure { partial: true, .. } => "wants-more",
        AuthReply::Failure { .. } => "refused",
        AuthReply::InfoRequest(_) | AuthReply::PasswordChange { .. } => "asks",
        AuthReply::Banner(_) | AuthReply::PkOk { .. } => "out-of-place",
    };
    span.tell(works::OUTCOME, &outcome);
}

/// What it did not say.
pub(super) fn silent(span: &Span, error: &LogInError) {
    let kind = match error {
        LogInError::Silent(_) => "timeout",
        LogInError::Leg(_) => "connection",
        LogInError::Malformed(_) | LogInError::OnlyBanners => "malformed",
        LogInError::Certificate(_) | LogInError::Sign(_) => "internal",
    };
    span.fail(kind, error);
}

fn on(span: &Span, id: &InstanceId) {
    span.tell(works::POOL, &id.pool);
    span.tell(works::INSTANCE, &id.name);
}
