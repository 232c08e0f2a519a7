//! Instances, as the gate's machine sees them: their sshd, what their hub lets the gate's token do, and their clocks.
//!
//! Those of a list stand in the configuration; those that come and go are known by the gate at work alone. Local processes exist only
//! while it runs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Check;
use crate::cli::args::{DoctorArgs, GateArgs};
use crate::cli::client;
use crate::config::{Config, FleetConfig, SshConfig};
use crate::fleet::static_list::StaticList;
use crate::net::client_tls::ClientTls;
use crate::pool::{Instance, InstanceId, InstanceView};
use crate::probe::{self, Grade};
use crate::ssh::ca::{VALID_AFTER_NOW, VALID_BEFORE_NOW};
use crate::ssh::examine::{Certified, Examiner, Finding, Verdict};
use crate::ssh::wire::keys::PrivateKey;

/// Above what a busy sshd takes for a handshake; a check may wait longer than a login.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks may differ by this, and by the time a question takes.
const SKEW: Duration = Duration::from_secs(5);

pub(super) async fn look(
    config: &Config,
    args: &DoctorArgs,
    is_running: bool,
) -> anyhow::Result<Vec<Check>> {
    let certified = match (&config.ssh, &args.user) {
        (Some(ssh), Some(user)) => Some(certify(ssh, user)?),
        _ => None,
    };
    let examiner = Examiner::build(&config.pools, &config.state_dir, PATIENCE)?;
    let mut instances = listed(config);
    if is_running {
        instances.extend(running(config, &args.show.gate).await);
    }
    let mut checks = Vec::new();
    for instance in &instances {
        let mut findings = Vec::new();
        if config.ssh.is_some() {
            let examined = examiner.examine(instance, certified.as_ref(), args.crowd);
            findings.extend(examined.await);
        }
        findings.extend(of_hub(config, instance).await?);
        findings.extend(clock(config, instance).await?);
        let subject = instance.id.to_string();
        checks.extend(findings.into_iter().map(|finding| Check {
            subject: subject.clone(),
            finding,
        }));
    }
    if config.ssh.is_some() && certified.is_none() && !instances.is_empty() {
        checks.push(Check::warn(
            "certificates",
            "not checked: whether the instances take the gate's certificates",
            "poolgate doctor --user NAME, an account of theirs",
        ));
    }
    if instances.is_empty() {
        checks.push(Check::warn(
            "instances",
            "nothing to examine: no pool lists its instances, and no gate runs that knows of others",
            "poolgate instances",
        ));
    }
    Ok(checks)
}

/// What the hub's clock says, beside this one: a certificate of minutes depends on both.
async fn clock(config: &Config, instance: &Instance) -> anyhow::Result<Option<Finding>> {
    let pool = config.pools.get(&*instance.id.pool);
    let tls = pool.and_then(|pool| pool.instance_tls.as_ref());
    let tls = tls.map(ClientTls::new).transpose()?;
    let asked = tokio::time::timeout(PATIENCE, probe::clock_of(instance, tls));
    let Ok(Some(theirs)) = asked.await else {
        // A hub that does not answer is told of by its probe.
        return Ok(None);
    };
    let ours = SystemTime::now();
    let apart = ours
        .duration_since(theirs)
        .unwrap_or_else(|ahead| ahead.duration());
    let word = if theirs > ours { "ahead of" } else { "behind" };
    let says = format!("its clock is {} s {word} this machine's", apart.as_secs());
    let remedy = Some("on both: timedatectl set-ntp true; timedatectl status".to_owned());
    let (verdict, remedy) = match apart {
        apart if apart < SKEW => (Verdict::Ok, None),
        apart if apart < VALID_BEFORE_NOW => (Verdict::Warn, remedy),
        _ => (Verdict::Fail, remedy),
    };
    let says = match verdict {
        Verdict::Ok => "its clock agrees with this machine's".to_owned(),
        _ => says,
    };
    Ok(Some(Finding {
        verdict,
        says,
        remedy,
    }))
}

/// What the hub says to the pool's token, where the pool has one.
async fn of_hub(config: &Config, instance: &Instance) -> anyhow::Result<Vec<Finding>> {
    let Some(pool) = config.pools.get(&*instance.id.pool) else {
        return Ok(Vec::new());
    };
    let Some(token_file) = &pool.api_token_file else {
        return Ok(Vec::new());
    };
    let tls = pool.instance_tls.as_ref().map(ClientTls::new).transpose()?;
    let found = probe::examine_token(instance, token_file, tls).await;
    let findings = found.into_iter().map(|found| Finding {
        verdict: match found.grade {
            Grade::Ok => Verdict::Ok,
            Grade::Warn => Verdict::Warn,
            Grade::Fail => Verdict::Fail,
        },
        says: found.says,
        remedy: found.remedy,
    });
    Ok(findings.collect())
}

/// Those of lists.
fn listed(config: &Config) -> Vec<Instance> {
    let pools = config.pools.iter();
    let listed = pools.flat_map(|(name, pool)| match &pool.fleet {
        FleetConfig::Static { instances } => {
            StaticList::new(name, pool, instances).into_instances()
        }
        FleetConfig::Process(_) | FleetConfig::Azure(_) | FleetConfig::Command(_) => Vec::new(),
    });
    listed.collect()
}

/// Those that the gate at work has and no list does.
async fn running(config: &Config, gate: &GateArgs) -> Vec<Instance> {
    let views: Vec<InstanceView> = client::read(gate, "/api/v1/instances")
        .await
        .unwrap_or_default();
    let is_listed = |view: &InstanceView| {
        let pool = config.pools.get(&*view.pool);
        pool.is_none_or(|pool| matches!(pool.fleet, FleetConfig::Static { .. }))
    };
    let others = views.into_iter().filter(|view| !is_listed(view));
    let instances = others.map(|view| Instance {
        id: InstanceId {
            pool: view.pool,
            name: view.name,
        },
        address: view.address,
        ssh_port: view.ssh_port,
        jupyter_port: view.jupyter_port,
        capacity: view.capacity,
        generation: view.generation,
    });
    instances.collect()
}

/// A key of this moment, certified by the operator who runs this: within the gate only a grant mints certificates.
fn certify(ssh: &SshConfig, user: &str) -> anyhow::Result<Certified> {
    let folder = tempfile::tempdir().context("cannot make a folder for a key")?;
    let key_file = folder.path().join("key");
    let make = [
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "poolgate doctor",
        "-f",
    ];
    keygen(Command::new("ssh-keygen").args(make).arg(&key_file))?;
    let (before, after) = (VALID_BEFORE_NOW.as_secs(), VALID_AFTER_NOW.as_secs());
    let validity = format!("-{before}s:+{after}s");
    let certificate = sign(ssh, user, &validity, &key_file)?;
    let timeless = sign(ssh, user, "always:forever", &key_file)?;
    let text = std::fs::read_to_string(&key_file).context("cannot read the new key")?;
    Ok(Certified {
        user: user.to_owned(),
        key: PrivateKey::from_openssh(&text)?,
        certificate,
        timeless,
    })
}

fn sign(ssh: &SshConfig, user: &str, validity: &str, key_file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").arg("-s").arg(&ssh.user_ca);
    command.args(["-I", "poolgate doctor", "-n", user, "-V", validity]);
    keygen(command.arg(key_file.with_extension("pub")))?;
    let line = std::fs::read_to_string(key_file.with_file_name("key-cert.pub"))
        .context("cannot read the new certificate")?;
    let blob = line.split_whitespace().nth(1).unwrap_or_default();
    STANDARD
        .decode(blob)
        .context("ssh-keygen wrote no certificate")
}

fn keygen(command: &mut Command) -> anyhow::Result<()> {
    let made = command.output().context(
        "cannot run ssh-keygen, which makes the certificate for --user; install openssh-client",
    )?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        bail!(
            "ssh-keygen failed (may this user read ssh.user_ca?): {}",
            said.trim()
        );
    }
    Ok(())
}
