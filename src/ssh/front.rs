//! The ssh front door: what every login needs, and the life of one connection from accept to its audit line.
//!
//! The steps of a login are in `login`, the relay in `pipe`; this file holds what they share. A front never changes: when
//! the config does, another takes its place for those who come then, with the memory of the old one (penalties, pins).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::net::TcpStream;

use super::channels::Channels;
use super::commands::Commands;
use super::ends::Ends;
use super::gatekeeper::Gatekeeper;
use super::host_identity::{HostIdentity, Prover};
use super::leg::{self, LINGER, Leg};
use super::login::{Admitted, Deadline, Login, LoginError, Tried};
use super::pipe::{self, Bounds, Keepalive, Terms};
use super::record::{Recorders, SessionRecorder};
use super::refusals::{Refusals, Whose};
use super::toll::{self, Toll, Tolls};
use super::traced;
use super::wire::message::DisconnectCode;
use super::wire::packet::RekeyLimits;
use super::wire::transport::{HostCertificate, ServerSettings, Transport};
use crate::config::{AuthMethod, PenaltiesConfig, PoolConfig, SshConfig};
use crate::files::{FileFaults, Look};
use crate::identity::Grant;
use crate::net::accept::Permit;
use crate::net::shutdown::Shutdown;
use crate::net::trickle::Trickle;
use crate::pool::{LoginName, Protocol};
use crate::shared_pool::{Seat, SharedPool};
use crate::telemetry::audit::{AuditEvent, AuditLog};
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Span, Traces, works};

pub struct SshFront {
    identity: Arc<HostIdentity>,
    ends: Arc<Ends>,
    server: Arc<ServerSettings>,
    gatekeeper: Gatekeeper,
    keepalive: Keepalive,
    penalties: PenaltiesConfig,
    tolls: Arc<Tolls>,
    /// Whose refused logins are told in the log.
    told: Arc<Mutex<Trickle>>,
    bounds: Bounds,
    /// `None` where people have none.
    commands: Option<Arc<Commands>>,
    recorders: Recorders,
    around: Around,
}

/// What a front is given of the program around it.
#[derive(Clone)]
struct Around {
    pool: SharedPool,
    audit: AuditLog,
    events: Events,
    metrics: Metrics,
    traces: Traces,
    files: FileFaults,
    shutdown: Shutdown,
}

impl SshFront {
    /// Loads every key the front door needs.
    ///
    /// # Errors
    /// One line naming the file at fault.
    pub fn build(
        config: &SshConfig,
        pools: &BTreeMap<String, PoolConfig>,
        state_dir: &Path,
        pool: SharedPool,
        (audit, events, files): (AuditLog, Events, FileFaults),
        (metrics, traces): (Metrics, Traces),
        shutdown: Shutdown,
    ) -> anyhow::Result<Arc<Self>> {
        let around = Around {
            pool,
            audit,
            events,
            metrics,
            traces,
            files,
            shutdown,
        };
        Self::make(config, pools, state_dir, around, None)
    }

    /// The front for another config, which reads every file anew. This one goes on as it is, and shares its memory with
    /// the new one, which is to take over (`take_over`) or to be dropped.
    ///
    /// # Errors
    /// One line naming the file at fault.
    pub fn renew(
        &self,
        config: &SshConfig,
        pools: &BTreeMap<String, PoolConfig>,
        state_dir: &Path,
    ) -> anyhow::Result<Arc<Self>> {
        Self::make(config, pools, state_dir, self.around.clone(), Some(self))
    }

    /// To be called when logins begin to come to this front: what it shares with the one before follows its settings.
    pub fn take_over(&self) {
        self.tolls.change(self.penalties.clone());
        self.ends.count(&self.around.metrics);
        for file in self.gatekeeper.followed() {
            file.renew();
        }
    }

    /// The certificates that are shown to people's clients.
    pub fn host_certificates(&self) -> Arc<Vec<HostCertificate>> {
        self.identity.certificates()
    }

    fn make(
        config: &SshConfig,
        pools: &BTreeMap<String, PoolConfig>,
        state_dir: &Path,
        around: Around,
        before: Option<&Self>,
    ) -> anyhow::Result<Arc<Self>> {
        let (pool, metrics) = (around.pool.clone(), around.metrics.clone());
        let commands = config.gate_commands.then(|| {
            let events = around.events.clone();
            Commands::new(pools, pool.clone(), events, metrics.clone())
        });
        let in_use = before.map(Self::host_certificates).unwrap_or_default();
        let identity = HostIdentity::load(config, SystemTime::now(), &in_use)?;
        let ends = before.map(|before| &*before.ends);
        let memory = before.map(|before| &before.gatekeeper);
        let gatekeeper = Gatekeeper::build(
            config,
            pools,
            state_dir,
            pool,
            (&metrics, &around.files),
            memory,
        )?;
        let tolls = before.map(|before| before.tolls.clone());
        let told = before.map(|before| before.told.clone());
        let recorders = Recorders::start(pools, &metrics, before.map(|before| &before.recorders))?;
        Ok(Arc::new(Self {
            ends: Ends::new(identity.lifetimes(), &around.events, ends),
            server: server_settings(&identity, gatekeeper.rekey),
            identity: Arc::new(identity),
            gatekeeper,
            keepalive: Keepalive {
                interval: config.keepalive,
                unanswered_max: config.keepalive_max,
            },
            penalties: config.penalties.clone(),
            tolls: tolls.unwrap_or_else(|| Tolls::new(config.penalties.clone(), metrics)),
            told: told.unwrap_or_else(|| Arc::new(Mutex::new(Trickle::new(Instant::now())))),
            bounds: Bounds {
                idle: config.idle_timeout,
                session: config.session_limit,
            },
            commands,
            recorders,
            around,
        }))
    }

    /// Files that are to be looked at from time to time.
    pub fn followed(&self) -> Vec<Arc<dyn Look>> {
        let mut all = self.gatekeeper.followed();
        all.push(self.ends.clone());
        all
    }

    pub(super) fn gatekeeper(&self) -> &Gatekeeper {
        &self.gatekeeper
    }

    /// One connection, from its first byte to its audit line.
    pub async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, mut permit: Permit) {
        let _counted = self.around.metrics.connection(Protocol::Ssh);
        if let Err(wait) = self.tolls.enter(peer.ip()) {
            tracing::debug!(%peer, ?wait, "refused for the failed logins of before");
            // Boxed, as the login below is.
            return Box::pin(leg::turn_away(stream, &toll::refusal(wait))).await;
        }
        let settings = self.server.clone();
        let client = Leg::new(stream, |entropy, now, out| {
            Transport::server(settings, entropy, now, out)
        });
        let Ok(client) = client else {
            return;
        };
        let trace = self.around.traces.begin(&works::SSH_LOGIN);
        // Boxed: each part's state is large, and neither a client that stalls nor an idle session should carry the other's.
        let logging_in = Box::pin(self.log_in(client, peer, &mut permit, &trace));
        let Some((client, admitted)) = trace.around(logging_in).await else {
            return;
        };
        permit.admitted();
        // A login's trace ends with the login: a session may last for days.
        let session = trace.enter(|| self.around.traces.follow(&works::SSH_SESSION));
        drop(trace);
        let relaying = Box::pin(self.relay(client, admitted, peer, &session));
        session.around(relaying).await;
    }

    async fn log_in(
        &self,
        client: Leg,
        peer: SocketAddr,
        permit: &mut Permit,
        trace: &Span,
    ) -> Option<(Leg, Admitted)> {
        let deadline = Deadline::after(self.gatekeeper.login_grace);
        let toll = Toll::new(&self.tolls, peer.ip());
        let terms = (deadline.clone(), permit);
        let mut login = Login::new(&self.gatekeeper, client, peer, terms, toll);
        traced::begun(trace, peer);
        let outcome = tokio::select! {
            outcome = login.run() => outcome,
            () = deadline.passed() => Err(LoginError::TooSlow(self.gatekeeper.login_grace)),
            () = self.around.shutdown.ending.cancelled() => return None,
        };
        match outcome {
            Ok(admitted) => {
                traced::admitted(trace, &admitted);
                traced::succeeded(trace, &admitted.seat);
                self.around.metrics.count_login(Protocol::Ssh, "admitted");
                // A wait in line stops that clock.
                let took = self.gatekeeper.login_grace.saturating_sub(deadline.left());
                self.around.metrics.time_ssh_login(took);
                self.around
                    .metrics
                    .count_placement(Protocol::Ssh, admitted.seat.reason());
                tracing::info!(
                    session = %admitted.seat.session(),
                    user = %admitted.grant.user(),
                    %peer,
                    instance = %admitted.seat.instance().id,
                    reason = admitted.seat.reason().name(),
                    "a session began"
                );
                self.around.audit.write(&AuditEvent::Login {
                    session: admitted.seat.session().to_string(),
                    user: Some(admitted.grant.user().to_string()),
                    protocol: "ssh",
                    peer,
                    proof: admitted.grant.proof_text(),
                    pool: admitted.seat.instance().id.pool.to_string(),
                    instance: admitted.seat.instance().id.name.to_string(),
                    reason: admitted.seat.reason().name().to_owned(),
                    client: client_software(&login.client),
                });
                Some((login.client, admitted))
            }
            Err(error) => {
                login.tell_trace(trace, &error);
                Box::pin(self.refuse(login, peer, &error)).await;
                None
            }
        }
    }

    async fn refuse(&self, mut login: Login<'_>, peer: SocketAddr, error: &LoginError) {
        login.settle(error);
        self.around
            .metrics
            .count_login(Protocol::Ssh, error.outcome());
        let name = login.name.clone();
        // Port scanners that never named anybody would drown the log.
        if let Some(name) = &name {
            self.around.audit.write(&AuditEvent::Refused {
                user: Some(name.to_string()),
                protocol: "ssh",
                peer,
                cause: error.to_string(),
                client: client_software(&login.client),
            });
        }
        let tried = login.tried();
        let telling = self.tell_refusal(name, tried, peer, error);
        // Somebody who does not even take their goodbye is not worth waiting for.
        let goodbye = tokio::time::timeout(self.gatekeeper.connect_timeout, login.give_up(error));
        // At the same time: how long it takes to look for files is nobody's to see.
        let _: (Result<(), _>, ()) = tokio::join!(goodbye, telling);
    }

    /// The line an operator finds who is asked about "Permission denied (publickey)".
    async fn tell_refusal(
        &self,
        name: Option<LoginName>,
        (tried, is_nobody): (Tried, bool),
        peer: SocketAddr,
        error: &LoginError,
    ) {
        let may_tell = |name| {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            Some((name, told.pass(peer.ip(), Instant::now())?))
        };
        let Some((name, untold)) = name.and_then(may_tell) else {
            return tracing::debug!(%peer, reason = %error, "login refused");
        };
        let reason = tried.why(error);
        if !(is_nobody && self.gatekeeper.plan.allows(AuthMethod::PublicKey)) {
            return tracing::info!(user = %name, %peer, reason, untold, "login refused");
        }
        let offered = tried.fingerprints();
        let looked = self.gatekeeper.looked_for_keys(&name.user, &offered).await;
        tracing::info!(user = %name, %peer, reason, offered = %tried, looked, untold, "login refused");
    }

    async fn relay(&self, mut client: Leg, admitted: Admitted, peer: SocketAddr, trace: &Span) {
        traced::begun(trace, peer);
        traced::admitted(trace, &admitted);
        let Admitted {
            instance,
            seat,
            grant,
        } = admitted;
        let began = Instant::now();
        let id = seat.instance().id.clone();
        let prover = Prover::new(self.identity.clone());
        // A leg that cannot take it is broken, and the relay finds that out.
        let _: Result<(), _> = prover.announce(&mut client);
        let policy = self.gatekeeper.policies.policy_for(&id.pool, &grant).await;
        let session = seat.session().to_string();
        let refusals = Arc::new(self.refusals(&seat, &grant, peer));
        let recorder = self
            .recorders
            .session(&id.pool, grant.user(), &session, &id.name)
            .await;
        let cause = match policy {
            Ok(policy) => {
                let observer = recorder.as_ref().map(SessionRecorder::observer);
                let commands = self.commands.as_ref();
                let own = commands.and_then(|commands| commands.of_session(&id, &grant));
                let channels = Channels::new(policy, observer).with_own(own);
                let terms = Terms {
                    prover: Some(prover),
                    client_env: self.gatekeeper.client_env(&id.pool, peer.ip()),
                    ..self.terms(&seat, channels, refusals.clone(), recorder.clone())
                };
                pipe::run(client, instance, terms).await.to_string()
            }
            Err(error) => {
                give_up(client, instance).await;
                error.to_string()
            }
        };
        tracing::info!(session = %seat.session(), user = %grant.user(), %cause, "a session ended");
        let recordings = match recorder {
            Some(recorder) => Some(recorder.finish().await),
            None => None,
        };
        let (bytes_in, bytes_out) = seat.meter.totals();
        traced::ended(trace, (bytes_in, bytes_out), &cause);
        self.around
            .metrics
            .count_bytes(Protocol::Ssh, bytes_in, bytes_out);
        self.around.audit.write(&AuditEvent::End {
            session: seat.session().to_string(),
            user: Some(grant.user().to_string()),
            protocol: "ssh",
            peer,
            pool: id.pool.to_string(),
            instance: id.name.to_string(),
            duration_s: began.elapsed().as_secs_f64(),
            bytes_in,
            bytes_out,
            cause,
            refusals: refusals.counts(),
            recordings,
        });
    }

    fn refusals(&self, seat: &Seat, grant: &Grant, peer: SocketAddr) -> Refusals {
        let whose = Whose {
            session: seat.session(),
            user: grant.user().clone(),
            peer,
            instance: seat.instance().id.clone(),
        };
        Refusals::new(
            whose,
            self.around.audit.clone(),
            self.around.metrics.clone(),
        )
    }

    fn terms(
        &self,
        seat: &Seat,
        channels: Channels,
        refusals: Arc<Refusals>,
        recorder: Option<SessionRecorder>,
    ) -> Terms {
        Terms {
            instance_name: seat.instance().id.name.clone(),
            meter: seat.meter.clone(),
            refusals,
            keepalive: self.keepalive,
            channels,
            recorder,
            bounds: self.bounds,
            prover: None,
            client_env: None,
            mailbox: seat.mailbox(),
            evicted: seat.ended(),
            gate_ends: self.around.shutdown.ending.clone(),
        }
    }
}

/// Without rules there is no session.
async fn give_up(client: Leg, instance: Leg) {
    let code = DisconnectCode::ByApplication;
    let text = "what you may do here cannot be found out at the moment; try again later";
    let goodbyes = async {
        tokio::join!(
            client.disconnect(code, text, LINGER),
            instance.disconnect(code, "the login was given up", LINGER),
        )
    };
    // Somebody who does not even take their goodbye is not worth waiting for.
    let _: Result<((), ()), _> = tokio::time::timeout(LINGER * 2, goodbyes).await;
}

fn server_settings(identity: &HostIdentity, rekey: RekeyLimits) -> Arc<ServerSettings> {
    Arc::new(ServerSettings {
        rekey,
        host_certificates: identity.certificates(),
        ..ServerSettings::new(identity.offered().clone())
    })
}

fn client_software(client: &Leg) -> String {
    let ident = client.transport.peer_ident();
    ident
        .map(|ident| ident.as_str().to_owned())
        .unwrap_or_default()
}
