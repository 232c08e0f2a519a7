//! Could this instance stop without anybody noticing? If not, why: as data, and in sentences.
//!
//! What is not known counts as busy. An open page counts as long as its sockets are: whether people who leave tabs open keep
//! an instance up is for their hub's culler to say, which ends their servers.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instance::{InstanceId, Protocol};
use super::session::Stage;
use super::snapshot::SessionView;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Idle {
    pub pool: Arc<str>,
    pub instance: Arc<str>,
    /// Nothing below is in the way.
    pub is_idle: bool,
    /// Who was active within this time is not gone.
    pub idle_after_s: u64,
    pub reasons: Vec<Busy>,
}

/// One reason why an instance is in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Busy {
    SshSession { user: Option<Arc<str>> },
    BrowserSession { user: Option<Arc<str>> },
    SpawnPending { user: Arc<str> },
    KernelBusy { user: Arc<str>, kernels: u32 },
    SocketOpen { user: Arc<str>, sockets: u32 },
    RecentActivity { user: Arc<str>, ago_s: u64 },
    HubUnknown { why: String },
    ServerUnknown { user: Arc<str>, why: String },
}

/// What is known of an instance's hub in this moment.
#[derive(Clone, Debug)]
pub enum HubFact {
    NoHub,
    Unknown(String),
    Servers(Vec<ServerFact>),
}

/// One person's servers on an instance.
#[derive(Clone, Debug)]
pub struct ServerFact {
    pub user: Arc<str>,
    pub is_pending: bool,
    /// As the hub knows it.
    pub last_activity: Option<SystemTime>,
    /// As the servers themselves say, or why they do not.
    pub inside: Result<ServerState, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerState {
    pub busy_kernels: u32,
    pub sockets: u32,
    /// Of its kernels, its terminals and its pages, the latest.
    pub last_activity: Option<SystemTime>,
}

/// `sessions`: those on this instance. `idle_after`: who was active within it is not gone.
pub fn judge<'a>(
    id: &InstanceId,
    sessions: impl Iterator<Item = &'a SessionView>,
    hub: HubFact,
    idle_after: Duration,
    now: SystemTime,
) -> Idle {
    let mut reasons: Vec<Busy> = sessions.map(of_session).collect();
    match hub {
        HubFact::NoHub => {}
        HubFact::Unknown(why) => reasons.push(Busy::HubUnknown { why }),
        HubFact::Servers(servers) => {
            for server in servers {
                note_server(server, idle_after, now, &mut reasons);
            }
        }
    }
    Idle {
        pool: id.pool.clone(),
        instance: id.name.clone(),
        is_idle: reasons.is_empty(),
        idle_after_s: idle_after.as_secs(),
        reasons,
    }
}

fn of_session(session: &SessionView) -> Busy {
    // A name that is only claimed is nobody's.
    let user = session.user.clone();
    let user = user.filter(|_| session.stage != Stage::Provisional);
    match session.protocol {
        Protocol::Ssh => Busy::SshSession { user },
        Protocol::Jupyter => Busy::BrowserSession { user },
    }
}

fn note_server(server: ServerFact, idle_after: Duration, now: SystemTime, reasons: &mut Vec<Busy>) {
    let user = server.user;
    let mut last_activity = server.last_activity;
    if server.is_pending {
        let user = user.clone();
        reasons.push(Busy::SpawnPending { user });
    }
    match server.inside {
        Ok(state) => {
            if state.busy_kernels > 0 {
                let (user, kernels) = (user.clone(), state.busy_kernels);
                reasons.push(Busy::KernelBusy { user, kernels });
            }
            if state.sockets > 0 {
                let (user, sockets) = (user.clone(), state.sockets);
                reasons.push(Busy::SocketOpen { user, sockets });
            }
            last_activity = last_activity.max(state.last_activity);
        }
        // One that starts has nothing to say yet.
        Err(_) if server.is_pending => {}
        Err(why) => {
            let user = user.clone();
            reasons.push(Busy::ServerUnknown { user, why });
        }
    }
    let Some(last_activity) = last_activity else {
        return;
    };
    // A clock that is ahead of this one makes it just now.
    let ago = now.duration_since(last_activity).unwrap_or_default();
    if ago < idle_after {
        let ago_s = ago.as_secs();
        reasons.push(Busy::RecentActivity { user, ago_s });
    }
}

impl ServerState {
    /// Several servers of one person as one.
    pub fn add(&mut self, other: Self) {
        self.busy_kernels = self.busy_kernels.saturating_add(other.busy_kernels);
        self.sockets = self.sockets.saturating_add(other.sockets);
        self.last_activity = self.last_activity.max(other.last_activity);
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pool, instance) = (&self.pool, &self.instance);
        if self.is_idle {
            let minutes = self.idle_after_s / 60;
            return write!(
                f,
                "{instance} of pool {pool} is idle: nobody is there, and nobody was active for {minutes} minutes."
            );
        }
        write!(f, "{instance} of pool {pool} is in use:")?;
        for reason in &self.reasons {
            write!(f, "\n- {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: &u32| if *count == 1 { "" } else { "s" };
        match self {
            Self::SshSession { user: Some(user) } => write!(f, "{user} has an ssh session."),
            Self::SshSession { user: None } => f.write_str("Somebody is logging in by ssh."),
            Self::BrowserSession { user: Some(user) } => {
                write!(f, "{user} was there with a browser a short while ago.")
            }
            Self::BrowserSession { user: None } => f.write_str("Somebody has its login page open."),
            Self::SpawnPending { user } => {
                write!(f, "A server of {user} is being started or stopped.")
            }
            Self::KernelBusy { user, kernels } => {
                let s = plural(kernels);
                write!(
                    f,
                    "{kernels} kernel{s} of {user} compute{}.",
                    if *kernels == 1 { "s" } else { "" }
                )
            }
            Self::SocketOpen { user, sockets } => {
                let s = plural(sockets);
                write!(f, "{user} has {sockets} socket{s} to kernels open.")
            }
            Self::RecentActivity { user, ago_s } => match ago_s / 60 {
                0 => write!(f, "{user} was active within the last minute."),
                1 => write!(f, "{user} was active a minute ago."),
                minutes => write!(f, "{user} was active {minutes} minutes ago."),
            },
            Self::HubUnknown { why } => {
                write!(f, "Whether its hub runs servers is not known: {why}.")
            }
            Self::ServerUnknown { user, why } => {
                write!(f, "What {user}'s server does is not known: {why}.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::SessionId;
    use super::*;

    const AFTER: Duration = Duration::from_secs(900);

    fn id() -> InstanceId {
        InstanceId {
            pool: "main".into(),
            name: "vm1".into(),
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn session(protocol: Protocol, stage: Stage) -> SessionView {
        SessionView {
            id: SessionId(1),
            user: Some("alice".into()),
            protocol,
            pool: "main".into(),
            instance: "vm1".into(),
            peer: [127, 0, 0, 1].into(),
            since: now(),
            stage,
            is_elsewhere: false,
        }
    }

    fn quiet(ago_s: u64) -> ServerFact {
        ServerFact {
            user: "alice".into(),
            is_pending: false,
            last_activity: Some(now() - Duration::from_secs(5000)),
            inside: Ok(ServerState {
                last_activity: Some(now() - Duration::from_secs(ago_s)),
                ..ServerState::default()
            }),
        }
    }

    fn of(servers: Vec<ServerFact>) -> Idle {
        let hub = HubFact::Servers(servers);
        judge(&id(), [].iter(), hub, AFTER, now())
    }

    #[test]
    fn an_instance_is_idle_when_all_on_it_are_quiet_for_long_enough() {
        assert!(of(vec![]).is_idle);
        assert!(of(vec![quiet(901), quiet(4000)]).is_idle);
        let text = of(vec![]).to_string();
        assert_eq!(
            text,
            "vm1 of pool main is idle: nobody is there, and nobody was active for 15 minutes."
        );
        let busy = of(vec![quiet(130)]);
        assert_eq!(
            busy.to_string(),
            "vm1 of pool main is in use:\n- alice was active 2 minutes ago."
        );
        let no_hub = judge(&id(), [].iter(), HubFact::NoHub, AFTER, now());
        assert!(no_hub.is_idle);
    }

    #[test]
    fn each_reason_is_told() {
        let mut server = quiet(5000);
        server.inside = Ok(ServerState {
            busy_kernels: 1,
            sockets: 2,
            last_activity: None,
        });
        let sessions = [
            session(Protocol::Ssh, Stage::Live),
            session(Protocol::Jupyter, Stage::Provisional),
        ];
        let hub = HubFact::Servers(vec![server]);
        let idle = judge(&id(), sessions.iter(), hub, AFTER, now());
        assert!(!idle.is_idle);
        assert_eq!(
            idle.to_string(),
            "vm1 of pool main is in use:\n- alice has an ssh session.\n- Somebody has its login page open.\n\
             - 1 kernel of alice computes.\n- alice has 2 sockets to kernels open."
        );
        let json = serde_json::to_value(&idle).unwrap();
        assert_eq!(json["reasons"][2]["kind"], "kernel-busy");
        assert_eq!(serde_json::from_value::<Idle>(json).unwrap(), idle);
    }

    #[test]
    fn what_is_not_known_is_busy() {
        let mut server = quiet(5000);
        server.inside = Err("it did not answer in time".to_owned());
        let idle = of(vec![server.clone()]);
        assert!(matches!(idle.reasons[..], [Busy::ServerUnknown { .. }]));
        server.is_pending = true;
        let idle = of(vec![server]);
        assert!(matches!(idle.reasons[..], [Busy::SpawnPending { .. }]));
        let hub = HubFact::Unknown("it cannot be reached".to_owned());
        assert!(!judge(&id(), [].iter(), hub, AFTER, now()).is_idle);
    }

    #[test]
    fn a_clock_that_is_ahead_makes_nobody_idle() {
        let mut server = quiet(5000);
        server.last_activity = Some(now() + Duration::from_secs(3600));
        assert!(!of(vec![server]).is_idle);
    }
}
