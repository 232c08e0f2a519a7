//! `poolgate doctor`: what is wrong with the instances' sshd and with the token for their hubs, as seen from the gate's
//! machine, and what mends it.
//!
//! It needs no running gate and changes nothing. Instances that are local processes exist only while a gate runs, and are
//! left alone.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::args::DoctorArgs;
use super::{Failure, print};
use crate::config::{self, Config, FleetConfig, SshConfig};
use crate::fleet::static_list::StaticList;
use crate::net::client_tls::ClientTls;
use crate::pool::Instance;
use crate::probe::{self, Grade};
use crate::ssh::ca::{VALID_AFTER_NOW, VALID_BEFORE_NOW};
use crate::ssh::examine::{Certified, Examiner, Finding, Verdict};
use crate::ssh::wire::keys::PrivateKey;

/// Above what a busy sshd takes for a handshake; a check may wait longer than a login.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let config = config::load(args.config.config.as_deref())?;
    let Some(ssh) = &config.ssh else {
        return Err(anyhow::anyhow!(
            "the configuration has no [ssh] section, so no instance's sshd is used"
        )
        .into());
    };
    let certified = match &args.user {
        Some(user) => Some(certify(ssh, user)?),
        None => None,
    };
    let examiner =
        Examiner::build(&config.pools, &config.state_dir, PATIENCE).map_err(anyhow::Error::from)?;
    let (mut text, mut failed) = (String::new(), false);
    let instances = instances_of(&config);
    for instance in &instances {
        let mut findings = examiner
            .examine(instance, certified.as_ref(), args.crowd)
            .await;
        findings.extend(of_hub(&config, instance).await?);
        failed |= findings
            .iter()
            .any(|finding| finding.verdict == Verdict::Fail);
        text.extend(findings.iter().map(|finding| line(instance, finding)));
    }
    if certified.is_none() {
        text.push_str("not checked: whether the instances take the gate's certificates; name an account with --user\n");
    }
    if instances.is_empty() {
        text.push_str("nothing to examine: no pool lists its instances (provider = \"static\")\n");
    }
    print::show(text.as_bytes())?;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
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

fn line(instance: &Instance, finding: &Finding) -> String {
    let word = match finding.verdict {
        Verdict::Ok => "ok  ",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let (id, says) = (&instance.id, &finding.says);
    match &finding.remedy {
        Some(remedy) => format!("{word} {id}: {says}\n       {remedy}\n"),
        None => format!("{word} {id}: {says}\n"),
    }
}

fn instances_of(config: &Config) -> Vec<Instance> {
    let pools = config.pools.iter();
    pools
        .flat_map(|(name, pool)| match &pool.fleet {
            FleetConfig::Static { instances } => {
                StaticList::new(name, pool, instances).into_instances()
            }
            FleetConfig::Process(_) | FleetConfig::Azure(_) | FleetConfig::Command(_) => Vec::new(),
        })
        .collect()
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
