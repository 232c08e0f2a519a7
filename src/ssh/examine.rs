//! What the gate can find out about an instance's sshd by itself: does it answer, is its host key known, does it take the
//! gate's certificates, does it bear a crowd of logins from one address.
//!
//! For `poolgate doctor`; no login of a person comes this way. It pins no host key and opens no session. Certificates come
//! from the caller: only a grant makes the gate mint one.

mod reach;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::reach::DialFault;
use super::ca::{VALID_AFTER_NOW, VALID_BEFORE_NOW};
use super::host_keys::{HostKeyError, InstanceKeys};
use super::leg::{LINGER, Leg, LegError};
use super::upstream::BANNERS_MAX;
use super::wire::keys::{PrivateKey, SigAlg};
use super::wire::message::{self, DisconnectCode};
use super::wire::transport::{ClientSettings, Transport};
use super::wire::userauth::{self, AuthReply, InProgress};
use crate::config::PoolConfig;
use crate::files::FileFaults;
use crate::pool::Instance;

/// Connections of a crowd. By default OpenSSH drops three in ten of those above ten, so that 40 hardly slip through.
const CROWD: usize = 40;
/// How often, and how far apart, it is looked for a penalty to begin.
const LOOKS: usize = 12;
const LOOKS_APART: Duration = Duration::from_millis(250);
/// From this version on OpenSSH penalises sources.
const PENALTIES_SINCE: (u32, u32) = (9, 8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    pub says: String,
    /// The command or line that mends it.
    pub remedy: Option<String>,
}

/// A key with a certificate for it that says who logs in.
pub struct Certified {
    pub user: String,
    pub key: PrivateKey,
    /// Valid for as long as those of the gate.
    pub certificate: Vec<u8>,
    /// The same, valid at any time: tells a wrong clock from an authority that is not trusted.
    pub timeless: Vec<u8>,
}

pub struct Examiner {
    keys: InstanceKeys,
    patience: Duration,
}

const DROP_IN: &str = "copy config/sshd_config.d/poolgate.conf to its /etc/ssh/sshd_config.d, write the gate's addresses and the CA in it, then: systemctl reload ssh";

impl Examiner {
    /// # Errors
    /// One line naming the file at fault.
    pub fn build(
        pools: &BTreeMap<String, PoolConfig>,
        state_dir: &Path,
        patience: Duration,
    ) -> Result<Self, HostKeyError> {
        let trusted = pools
            .iter()
            .map(|(name, pool)| (name.as_str(), &pool.instance_host_keys));
        Ok(Self {
            keys: InstanceKeys::load(state_dir, trusted, &FileFaults::default())?,
            patience,
        })
    }

    /// Looks at everything that can be looked at; each finding says whether it is as it should be.
    pub async fn examine(
        &self,
        instance: &Instance,
        certified: Option<&Certified>,
        with_crowd: bool,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let leg = match self.dial(instance).await {
            Ok(leg) => leg,
            Err(finding) => return vec![finding],
        };
        let ident = leg.transport.peer_ident();
        let software = ident.map(|ident| ident.software().to_owned());
        let software = software.unwrap_or_default();
        findings.push(ok(format!("reachable, identifies itself as {software}")));
        let host_key = leg.transport.host_key().unwrap_or_default().to_vec();
        let host_key = self.judge_host_key(instance, &host_key);
        let is_trusted = host_key.verdict != Verdict::Fail;
        findings.push(host_key);
        match certified {
            Some(certified) if is_trusted => {
                findings.push(self.judge_login(instance, leg, certified).await);
            }
            _ => leave(leg).await,
        }
        if with_crowd {
            findings.push(self.judge_crowd(instance).await);
            findings.push(self.judge_penalties(instance, &software).await);
        } else if knows_penalties(&software) {
            let says = "penalises sources (OpenSSH 9.8 and later), and to it all people come from the gate; whether the gate is exempt shows with --crowd";
            findings.push(warn(says.to_owned(), DROP_IN));
        }
        findings
    }

    /// Connected, with keys agreed on; the host key is not judged yet.
    async fn dial(&self, instance: &Instance) -> Result<Leg, Finding> {
        let place = format!("{}:{}", instance.address, instance.ssh_port);
        self.dial_in_time(instance).await.map_err(|fault| {
            let remedy = reach::remedy(&fault, instance);
            fail(format!("{place} cannot be used: {fault}"), remedy)
        })
    }

    async fn dial_in_time(&self, instance: &Instance) -> Result<Leg, DialFault> {
        let stream = reach::connect(instance, self.patience).await?;
        let greeting = timeout(self.patience, self.greet(instance, stream)).await;
        Ok(greeting.map_err(|_| DialFault::Mute(self.patience))??)
    }

    async fn greet(&self, instance: &Instance, stream: TcpStream) -> Result<Leg, LegError> {
        let settings = Arc::new(ClientSettings {
            host_key_algorithms: self.keys.wanted_algorithms(instance),
            ..ClientSettings::default()
        });
        let mut leg = Leg::new(stream, |entropy, now, out| {
            Transport::client(settings, entropy, now, out)
        })?;
        leg.established().await?;
        Ok(leg)
    }

    fn judge_host_key(&self, instance: &Instance, host_key: &[u8]) -> Finding {
        match self.keys.is_known(instance, host_key, SystemTime::now()) {
            Ok(true) => ok("its host key is the known one".to_owned()),
            Ok(false) => warn(
                "its host key is not known yet; the first login will pin it".to_owned(),
                "compare it on the instance: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
            ),
            Err(error) => fail(
                format!("its host key is not trusted: {error}"),
                "find out why it changed before trusting it; pools.NAME.ssh.instance_host_keys says where keys are known from".to_owned(),
            ),
        }
    }

    async fn judge_login(&self, instance: &Instance, leg: Leg, certified: &Certified) -> Finding {
        let user = &certified.user;
        match self.log_in(leg, certified, &certified.certificate).await {
            Ok(true) => return ok(format!("takes the gate's certificate for {user}")),
            Ok(false) => {}
            Err(error) => {
                return fail(
                    format!("the login of {user} broke off: {error}"),
                    DROP_IN.to_owned(),
                );
            }
        }
        let again = match self.dial(instance).await {
            Ok(leg) => self.log_in(leg, certified, &certified.timeless).await,
            Err(finding) => return finding,
        };
        match again {
            Ok(true) => {
                let (before, after) = (VALID_BEFORE_NOW.as_secs(), VALID_AFTER_NOW.as_secs());
                let says = format!(
                    "its clock is wrong: it refuses a certificate valid from {before} s ago for {after} s, and takes one valid for ever"
                );
                fail(says, "on the instance: timedatectl set-ntp true".to_owned())
            }
            _ => fail(
                format!("does not take the gate's certificate for {user}"),
                format!(
                    "on the instance: id {user}; then the public half of ssh.user_ca into TrustedUserCAKeys: {DROP_IN}"
                ),
            ),
        }
    }

    /// Whether the certificate lets in; the connection ends right after.
    async fn log_in(
        &self,
        mut leg: Leg,
        certified: &Certified,
        certificate: &[u8],
    ) -> Result<bool, LegError> {
        let asked = timeout(self.patience, ask(&mut leg, certified, certificate)).await;
        leave(leg).await;
        asked.unwrap_or(Err(LegError::Closed))
    }

    /// As many at once as when a class logs in: all must be greeted.
    async fn judge_crowd(&self, instance: &Instance) -> Finding {
        let mut crowd = Vec::new();
        let mut turned_away = 0;
        for _ in 0..CROWD {
            match timeout(self.patience, greeting(instance)).await {
                Ok(Ok((stream, line))) if line.starts_with("SSH-") => crowd.push(stream),
                _ => turned_away += 1,
            }
        }
        match turned_away {
            0 => ok(format!("takes {CROWD} logins at once")),
            _ => fail(
                format!(
                    "turns away {turned_away} of {CROWD} logins that begin at once (MaxStartups)"
                ),
                DROP_IN.to_owned(),
            ),
        }
    }

    /// Those of the crowd went without a login, for which sshd makes their address pay as soon as it has noticed.
    async fn judge_penalties(&self, instance: &Instance, software: &str) -> Finding {
        if !knows_penalties(software) {
            return ok("knows no penalties (before OpenSSH 9.8)".to_owned());
        }
        for _ in 0..LOOKS {
            let greeted = timeout(self.patience, greeting(instance)).await;
            if !matches!(greeted, Ok(Ok((_, line))) if line.starts_with("SSH-")) {
                let says = "refuses this machine after some logins that came to nothing (PerSourcePenalties): one person who mistypes locks everybody out";
                return fail(says.to_owned(), DROP_IN.to_owned());
            }
            tokio::time::sleep(LOOKS_APART).await;
        }
        ok("does not penalise this machine".to_owned())
    }
}

async fn connect(instance: &Instance) -> std::io::Result<TcpStream> {
    TcpStream::connect((instance.address.as_str(), instance.ssh_port)).await
}

/// The first bytes an instance says, and the connection to hold on to.
async fn greeting(instance: &Instance) -> std::io::Result<(TcpStream, String)> {
    let mut stream = connect(instance).await?;
    let mut line = [0; 64];
    let count = stream.read(&mut line).await?;
    let said = line.get(..count).unwrap_or_default();
    Ok((stream, String::from_utf8_lossy(said).into_owned()))
}

async fn ask(leg: &mut Leg, certified: &Certified, certificate: &[u8]) -> Result<bool, LegError> {
    leg.send(&message::service_request(message::SERVICE_USERAUTH))
        .await?;
    leg.next().await?;
    let session = leg.transport.session_id().unwrap_or_default();
    let request = userauth::publickey_request(
        session,
        &certified.user,
        &certified.key,
        Some(certificate),
        SigAlg::Ed25519,
    );
    let Ok(request) = request else {
        return Ok(false);
    };
    leg.send(&request).await?;
    for _ in 0..=BANNERS_MAX {
        let answer = leg.next().await?;
        match AuthReply::parse(&answer, InProgress::PublicKey) {
            Ok(AuthReply::Banner(_)) => {}
            // A second factor asked for means that this one was taken.
            Ok(AuthReply::Success | AuthReply::Failure { partial: true, .. }) => return Ok(true),
            _ => return Ok(false),
        }
    }
    Ok(false)
}

async fn leave(leg: Leg) {
    leg.disconnect(DisconnectCode::ByApplication, "only a check", LINGER)
        .await;
}

/// By the version in an identification such as `OpenSSH_9.2p1`.
fn knows_penalties(software: &str) -> bool {
    let version = software.split_once("OpenSSH_").map_or("", |(_, rest)| rest);
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let (major, minor) = (numbers.next(), numbers.next());
    (major.unwrap_or(0), minor.unwrap_or(0)) >= PENALTIES_SINCE
}

fn ok(says: String) -> Finding {
    Finding {
        verdict: Verdict::Ok,
        says,
        remedy: None,
    }
}

fn warn(says: String, remedy: &str) -> Finding {
    Finding {
        verdict: Verdict::Warn,
        says,
        remedy: Some(remedy.to_owned()),
    }
}

fn fail(says: String, remedy: String) -> Finding {
    Finding {
        verdict: Verdict::Fail,
        says,
        remedy: Some(remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_are_known_by_version() {
        for with in ["OpenSSH_9.8", "OpenSSH_9.9p2", "OpenSSH_10.0p2 Debian-7"] {
            assert!(knows_penalties(with), "{with}");
        }
        for without in [
            "OpenSSH_9.2p1 Debian-2+deb12u10",
            "OpenSSH_8.9",
            "dropbear_2022.83",
            "",
            "OpenSSH_",
        ] {
            assert!(!knows_penalties(without), "{without}");
        }
    }
}
