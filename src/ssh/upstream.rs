//! The gate as a client: dials an instance, checks its host key, logs a person in with a fresh certificate.
//!
//! Nothing is said to an instance before its host key is trusted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::ca::MintError;
use super::gatekeeper::Gatekeeper;
use super::host_keys::HostKeyError;
use super::leg::{LINGER, Leg, LegError};
use super::traced;
use super::wire::keys::{KeyError, SigAlg};
use super::wire::message::{self, DisconnectCode, Malformed};
use super::wire::transport::Transport;
use super::wire::userauth::{self, AuthReply, InProgress};
use crate::config::AuthMethod;
use crate::identity::grant::Grant;
use crate::pool::Instance;
use crate::shared_pool::Seat;
use crate::telemetry::traces::{self, works};

/// Banner messages of one answer that the person is shown.
pub(super) const BANNERS_MAX: usize = 16;
/// Banner messages that are read for one answer at all: an instance that sends more has no verdict in mind.
pub(super) const BANNERS_READ_MAX: usize = 256;
/// How long an instance may take to judge a certificate: above what its directory service needs on a bad day.
const VERDICT_MAX: Duration = Duration::from_secs(10);

/// Why an instance gave no verdict on a login.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    #[error("{0}")]
    Leg(#[from] LegError),
    #[error("its answer is malformed: {0}")]
    Malformed(#[from] Malformed),
    #[error("it sent {BANNERS_READ_MAX} banners and no verdict")]
    OnlyBanners,
    #[error("no verdict within {0:?}")]
    Silent(Duration),
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] MintError),
    #[error("the login could not be signed: {0}")]
    Sign(#[from] KeyError),
}

impl LogInError {
    /// For the person, who has proved who they are.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Self::Silent(_) => "it does not answer",
            _ => "it broke off the login",
        }
    }
}

/// A login under way on an instance, and the seat it holds there.
pub(super) struct Upstream {
    pub leg: Leg,
    pub seat: Seat,
    /// The instance has taken the gate's certificate, and so knows the restrictions of the person's keys.
    pub is_certified: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    Connect(std::io::Error),
    #[error("{0}")]
    Leg(#[from] LegError),
    #[error("it does not offer user authentication")]
    NoUserauth,
    #[error("{0}")]
    HostKey(#[from] HostKeyError),
}

impl DialError {
    /// The instance itself is at fault, as a failed probe would be.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Connect(_) | Self::Leg(_) | Self::NoUserauth => true,
            Self::HostKey(_) => false,
        }
    }

    /// In a word, for those who count.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Silent(_) => "timeout",
            Self::Connect(_) => "connection",
            Self::Leg(_) | Self::NoUserauth => "protocol",
            Self::HostKey(_) => "host-key",
        }
    }

    /// For the person who has proved who they are; all of it is the operator's to see.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Self::HostKey(_) => "its host key is not trusted",
            Self::Silent(_) => "it does not answer",
            Self::Connect(_) | Self::Leg(_) | Self::NoUserauth => "it takes no connections",
        }
    }
}

/// Whose connection it is: where the person's client is, and where it has reached the gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnBehalfOf {
    pub client: SocketAddr,
    pub gate: SocketAddr,
}

/// Connects, exchanges keys, checks the instance's host key and asks for user authentication.
pub(super) async fn dial(
    gatekeeper: &Gatekeeper,
    instance: &Arc<Instance>,
    person: OnBehalfOf,
) -> Result<Leg, DialError> {
    let span = traces::child(&works::CONNECT);
    traced::dials(&span, instance);
    let limit = gatekeeper.connect_timeout;
    let dialing = timeout(limit, dial_unbounded(gatekeeper, instance, person));
    let outcome = match span.around(dialing).await {
        Ok(outcome) => outcome,
        Err(_) => Err(DialError::Silent(limit)),
    };
    traced::dialed(&span, &outcome);
    outcome
}

async fn dial_unbounded(
    gatekeeper: &Gatekeeper,
    instance: &Arc<Instance>,
    person: OnBehalfOf,
) -> Result<Leg, DialError> {
    let mut stream = TcpStream::connect((instance.address.as_str(), instance.ssh_port))
        .await
        .map_err(DialError::Connect)?;
    if let Some(bytes) = gatekeeper.first_bytes(&instance.id.pool, person.client, person.gate) {
        let sent = stream.write_all(&bytes).await;
        sent.map_err(DialError::Connect)?;
    }
    let settings = gatekeeper.client_settings(instance);
    let mut leg = Leg::new(stream, |entropy, now, out| {
        Transport::client(settings, entropy, now, out)
    })
    .map_err(DialError::Connect)?;
    leg.established().await?;
    let host_key = leg.transport.host_key().unwrap_or_default().to_vec();
    gatekeeper.check_instance_key(instance, &host_key)?;
    leg.send(&message::service_request(message::SERVICE_USERAUTH))
        .await?;
    let answer = leg.next().await?;
    match message::parse_service(&answer) {
        Ok(message::SERVICE_USERAUTH) => Ok(leg),
        _ => Err(DialError::NoUserauth),
    }
}

/// Another leg to the same instance in place of this one, for the same seat.
pub(super) async fn begin_anew(
    gatekeeper: &Gatekeeper,
    old: Upstream,
    person: OnBehalfOf,
) -> Result<Upstream, DialError> {
    let Upstream { leg, seat, .. } = old;
    leg.disconnect(
        DisconnectCode::ByApplication,
        "the login goes on with a certificate",
        LINGER,
    )
    .await;
    let leg = dial(gatekeeper, seat.instance(), person).await?;
    Ok(Upstream::new(leg, seat))
}

impl Upstream {
    pub(super) fn new(leg: Leg, seat: Seat) -> Self {
        Self {
            leg,
            seat,
            is_certified: false,
        }
    }

    pub(super) fn name(&self) -> String {
        self.seat.instance().id.name.to_string()
    }

    /// Logs in with a certificate minted for this grant; the instance's verdict, and its banners on the way. An instance
    /// that stalls is given up while the login still has time for another.
    pub(super) async fn log_in(
        &mut self,
        gatekeeper: &Gatekeeper,
        grant: &Grant,
        client: IpAddr,
        deadline: Instant,
    ) -> Result<(AuthReply, Vec<Zeroizing<Vec<u8>>>), LogInError> {
        let span = traces::child(&works::INSTANCE_LOGIN);
        traced::asks(&span, &self.seat.instance().id, AuthMethod::PublicKey);
        let limit = verdict_limit(deadline.saturating_duration_since(Instant::now()));
        let asking = timeout(limit, self.log_in_unbounded(gatekeeper, grant, client));
        let asked = span.around(asking).await;
        let asked = asked.unwrap_or_else(|_| {
            let silence = LogInError::Silent(limit);
            gatekeeper.report_unreachable(&self.seat.instance().id, &silence);
            Err(silence)
        });
        match &asked {
            Ok((verdict, _)) => traced::answered(&span, verdict),
            Err(error) => traced::silent(&span, error),
        }
        asked
    }

    async fn log_in_unbounded(
        &mut self,
        gatekeeper: &Gatekeeper,
        grant: &Grant,
        client: IpAddr,
    ) -> Result<(AuthReply, Vec<Zeroizing<Vec<u8>>>), LogInError> {
        let now = SystemTime::now();
        let session = self.seat.session();
        let entropy = &mut self.leg.entropy;
        let minted = gatekeeper.ca.mint(grant, session, client, now, entropy)?;
        let request = userauth::publickey_request(
            self.leg.transport.session_id().unwrap_or_default(),
            grant.user(),
            &minted.key,
            Some(&minted.certificate),
            SigAlg::Ed25519,
        )?;
        self.leg.send(&request).await?;
        let mut banners = Vec::new();
        for _ in 0..=BANNERS_READ_MAX {
            let answer = self.leg.next().await?;
            match AuthReply::parse(&answer, InProgress::PublicKey)? {
                AuthReply::Banner(_) if banners.len() < BANNERS_MAX => banners.push(answer),
                AuthReply::Banner(_) => {}
                verdict => return Ok((verdict, banners)),
            }
        }
        Err(LogInError::OnlyBanners)
    }

    /// Ends a login that came to nothing.
    pub(super) async fn leave(self) {
        self.leg
            .disconnect(
                DisconnectCode::ByApplication,
                "the login was given up",
                LINGER,
            )
            .await;
    }
}

/// Half of what is left of the login, so that the next instance has the other half.
fn verdict_limit(left: Duration) -> Duration {
    VERDICT_MAX.min(left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_stalls_leaves_time_for_another() {
        let s = Duration::from_secs;
        assert_eq!(verdict_limit(s(600)), VERDICT_MAX);
        assert_eq!(verdict_limit(s(4)), s(2));
        assert_eq!(verdict_limit(s(0)), s(0));
    }
}
