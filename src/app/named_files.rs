//! Every file that a configuration names: what it is for, whether it is of use as it is at this moment, and which part of the gate
//! is built of it.
//!
//! One list for whoever needs to know: `poolgate check` and `doctor` tell of faults, a reload is refused for them, and `renewals`
//! looks for changes. Files that belong to people (`authorized_keys`) are not named: only where they are is.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use nix::unistd::User;
use rustls_pki_types::CertificateDer;

use crate::admin;
use crate::config::secret::Secret;
use crate::config::{
    AzureCredential, CertificateFiles, Config, FleetConfig, HttpsConfig, InstanceHostKeys,
    InstanceTls, PoolConfig, SshConfig, TracesConfig, WebhookConfig,
};
use crate::identity::key_files;
use crate::net::authorities;
use crate::net::client_tls::ClientTls;
use crate::net::server_tls::pair::Pair;
use crate::ssh::ca::UserCa;
use crate::ssh::host_identity::HostIdentity;
use crate::ssh::host_keys;
use crate::ssh::wire::transport::HostCertificate;
use crate::telemetry::traces::export::Exporter;
use crate::webhooks;

/// A file, and the key that names it.
#[derive(Clone, Debug)]
pub struct NamedFile {
    pub key: String,
    pub path: PathBuf,
    /// Nobody but its owner should read it.
    pub is_secret: bool,
    /// What is built anew when it changes; `None` where its reader follows it.
    pub part: Option<Part>,
    kind: Kind,
}

/// What is built of files and built anew as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Who the gate is to people's clients, and what it logs in to instances with.
    Ssh,
    /// How instances and clouds are spoken to.
    Pools,
    Webhook(String),
    /// How the collector of traces is asked.
    Collector,
    /// The provider of operators' accounts.
    Provider,
}

#[derive(Clone, Debug)]
enum Kind {
    PrivateKey(&'static str),
    UserCa,
    /// Judged with the keys it is for.
    HostCertificate,
    Authorities,
    Revoked,
    Pair(CertificateFiles),
    /// Judged with the certificate it belongs to.
    OfPair,
    Roots,
    Tokens,
    Secret,
    Webhook(Box<WebhookConfig>),
    Headers(Box<TracesConfig>),
    HostKeys(InstanceHostKeys),
    Hubs(InstanceTls),
}

impl NamedFile {
    /// Why it is of no use to a gate that runs as this account, beginning with the key at fault; reads it.
    pub fn fault(&self, account: u32) -> Option<String> {
        let path = self.path.as_path();
        let why = match &self.kind {
            Kind::PrivateKey(key) => told(host_keys::judge_key(key, path)),
            Kind::UserCa => told(UserCa::load(path)),
            Kind::HostCertificate | Kind::OfPair => None,
            Kind::Authorities => told(key_files::judge_authorities(path, account)),
            Kind::Revoked => told(key_files::judge_revoked(path, account)),
            Kind::Pair(files) => told(Pair::read(files)),
            Kind::Roots => told(authorities::read(path)),
            Kind::Tokens => told(admin::judge_tokens(path, account)),
            Kind::Secret => {
                told(Secret::read(path)).map(|why| format!("{}: {why}", path.display()))
            }
            Kind::Webhook(config) => told(webhooks::judge(config)),
            Kind::Headers(config) => told(Exporter::of(config)),
            Kind::HostKeys(source) => told(host_keys::judge_source(source)),
            Kind::Hubs(trust) => told(ClientTls::new(trust)),
        };
        why.map(|why| self.with_key(&why))
    }

    /// A certificate that is outside of its time, and none of those that are shown already.
    fn is_over(&self, in_use: &[CertificateDer<'static>]) -> Option<String> {
        let Kind::Pair(files) = &self.kind else {
            return None;
        };
        let pair = Pair::read(files).ok()?;
        let is_in_use = pair.own().is_some_and(|own| in_use.contains(own));
        let is_over = !pair.is_valid_at(SystemTime::now()) && !is_in_use;
        is_over.then(|| {
            let (key, path) = (&self.key, self.path.display());
            format!("{key}: the certificate in {path} is not valid at this time; renew it")
        })
    }

    /// It is a secret, and not only its owner's.
    pub fn is_open_to_others(&self) -> bool {
        let found = std::fs::metadata(&self.path);
        self.is_secret && found.is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    }

    /// Why a gate that runs as this account, which is not who asks, could not even read it.
    pub fn closed_to(&self, account: u32) -> Option<String> {
        if !self.path.exists() || may_read(&self.path, account) {
            return None;
        }
        let (key, path, name) = (&self.key, self.path.display(), name_of(account));
        Some(format!(
            "{key}: the gate's account {name} may not read {path}; run: chown {name}: {path}; namei -l {path} shows folders it may not enter"
        ))
    }

    /// Texts of those who know their key begin with it.
    fn with_key(&self, why: &str) -> String {
        let section = self.key.rsplit_once('.').map_or("", |(section, _)| section);
        match why.starts_with(&format!("{section}.")) {
            true => why.to_owned(),
            false => format!("{}: {why}", self.key),
        }
    }
}

fn told<T, E: std::fmt::Display>(judged: Result<T, E>) -> Option<String> {
    judged.err().map(|error| error.to_string())
}

/// Certificates that are shown by now.
#[derive(Default)]
pub struct InUse {
    pub host_keys: Arc<Vec<HostCertificate>>,
    /// Own certificates, each without those between it and the root.
    pub tls: Vec<CertificateDer<'static>>,
}

/// As whom a gate with this configuration runs: whoever asks, but for root, who asks about somebody else's.
pub fn account_of(config: &Config) -> u32 {
    let own = nix::unistd::geteuid();
    let folder = std::fs::metadata(&config.state_dir).ok();
    let owner = folder.filter(|_| own.is_root()).map(|found| found.uid());
    owner.unwrap_or(own.as_raw())
}

/// Whether this account may read a file. Root alone may ask for another one; whoever else asks finds out by reading.
pub fn may_read(path: &Path, account: u32) -> bool {
    if !nix::unistd::geteuid().is_root() || account == 0 {
        return true;
    }
    let found = User::from_uid(account.into()).ok().flatten();
    let group = found.map_or(account, |found| found.gid.as_raw());
    // The system itself is asked: it knows of lists of rights, and of folders above.
    let mut asking = Command::new("/usr/bin/test");
    asking.arg("-r").arg(path).uid(account).gid(group);
    let asking = asking.stdin(Stdio::null()).stderr(Stdio::null());
    // Where there is no such program, nothing is known against it.
    asking.status().map_or(true, |status| status.success())
}

fn name_of(account: u32) -> String {
    let found = User::from_uid(account.into()).ok().flatten();
    found.map_or_else(|| account.to_string(), |found| found.name)
}

/// What is wrong with the files of a configuration for a gate that runs as this account, each line beginning with the key at fault;
/// reads them all. `in_use` are certificates that may be over, as they are no worse than they were.
pub fn faults(config: &Config, account: u32, in_use: &InUse) -> Vec<String> {
    let files = files_of(config);
    let judged = files.iter().map(|file| {
        let fault = file.fault(account);
        fault.or_else(|| file.is_over(&in_use.tls))
    });
    let mut faults: Vec<_> = judged.flatten().collect();
    let is_of_ssh =
        |fault: &String| fault.starts_with("ssh.host_") || fault.starts_with("ssh.standby");
    let now = SystemTime::now();
    // How keys and certificates go together, once each by itself is sound.
    if let Some(ssh) = &config.ssh
        && !faults.iter().any(is_of_ssh)
    {
        faults.extend(told(HostIdentity::load(ssh, now, &in_use.host_keys)));
    }
    faults.dedup();
    faults
}

/// All of them, in the order of the sections.
pub fn files_of(config: &Config) -> Vec<NamedFile> {
    let mut list = List(Vec::new());
    if let Some(ssh) = &config.ssh {
        list.add_ssh(ssh);
    }
    if let Some(https) = &config.https {
        list.add_https(https);
    }
    list.add_admin(config);
    for (name, webhook) in &config.webhooks {
        let part = Some(Part::Webhook(name.clone()));
        let kind = Kind::Webhook(Box::new(webhook.clone()));
        let key = format!("webhooks.{name}.url_file");
        list.add_of(part.clone(), key, &webhook.url_file, true, kind);
        if let Some(path) = &webhook.ca_file {
            let key = format!("webhooks.{name}.ca_file");
            list.add_of(part, key, path, false, Kind::Roots);
        }
    }
    if let Some(traces) = &config.traces {
        let part = || Some(Part::Collector);
        if let Some(path) = &traces.headers_file {
            let kind = Kind::Headers(Box::new(traces.clone()));
            list.add_of(part(), "traces.headers_file", path, true, kind);
        }
        if let Some(path) = &traces.ca_file {
            list.add_of(part(), "traces.ca_file", path, false, Kind::Roots);
        }
    }
    for (name, pool) in &config.pools {
        list.add_pool(name, pool);
    }
    list.0
}

struct List(Vec<NamedFile>);

impl List {
    /// One that its reader follows.
    fn add(&mut self, key: impl Into<String>, path: &Path, is_secret: bool, kind: Kind) {
        self.add_of(None, key, path, is_secret, kind);
    }

    fn add_of(
        &mut self,
        part: Option<Part>,
        key: impl Into<String>,
        path: &Path,
        is_secret: bool,
        kind: Kind,
    ) {
        self.0.push(NamedFile {
            key: key.into(),
            path: path.to_path_buf(),
            is_secret,
            part,
            kind,
        });
    }

    fn add_ssh(&mut self, ssh: &SshConfig) {
        let part = || Some(Part::Ssh);
        let keys = ssh.host_keys.iter().map(|path| ("ssh.host_keys", path));
        let standby = ssh.standby_host_keys.iter();
        let standby = standby.map(|path| ("ssh.standby_host_keys", path));
        for (key, path) in keys.chain(standby) {
            self.add_of(part(), key, path, true, Kind::PrivateKey(key));
        }
        for path in &ssh.host_certificates {
            let kind = Kind::HostCertificate;
            self.add_of(part(), "ssh.host_certificates", path, false, kind);
        }
        self.add_of(part(), "ssh.user_ca", &ssh.user_ca, true, Kind::UserCa);
        for path in &ssh.auth.trusted_user_ca_keys {
            let key = "ssh.auth.trusted_user_ca_keys";
            self.add(key, path, false, Kind::Authorities);
        }
        if let Some(path) = &ssh.auth.revoked_keys {
            self.add("ssh.auth.revoked_keys", path, false, Kind::Revoked);
        }
    }

    fn add_https(&mut self, https: &HttpsConfig) {
        for files in &https.certificates {
            self.add_pair(files);
        }
        if let Some(path) = https.acme.as_ref().and_then(|acme| acme.ca_file.as_ref()) {
            self.add("https.acme.ca_file", path, false, Kind::Roots);
        }
    }

    fn add_pair(&mut self, files: &CertificateFiles) {
        let key = |name: &str| format!("{}.{name}", files.key);
        let kind = Kind::Pair(files.clone());
        self.add(key("certificate"), &files.certificate, false, kind);
        self.add(key("private_key"), &files.private_key, true, Kind::OfPair);
        if let Some(path) = &files.ocsp_response {
            self.add(key("ocsp_response"), path, false, Kind::OfPair);
        }
    }

    fn add_admin(&mut self, config: &Config) {
        if let Some(files) = &config.admin.tls {
            self.add_pair(files);
        }
        if let Some(path) = &config.admin.tokens_file {
            self.add("admin.tokens_file", path, false, Kind::Tokens);
        }
        let Some(oidc) = &config.admin.oidc else {
            return;
        };
        if let Some(path) = &oidc.client_secret_file {
            let key = "admin.oidc.client_secret_file";
            self.add(key, path, true, Kind::Secret);
        }
        if let Some(path) = &oidc.ca_file {
            let part = Some(Part::Provider);
            self.add_of(part, "admin.oidc.ca_file", path, false, Kind::Roots);
        }
    }

    fn add_pool(&mut self, name: &str, pool: &PoolConfig) {
        let key = |rest: &str| format!("pools.{name}.{rest}");
        if let Some(path) = &pool.api_token_file {
            self.add(key("jupyter.api_token_file"), path, true, Kind::Secret);
        }
        if let Some(trust @ InstanceTls::Ca(path)) = &pool.instance_tls {
            let kind = Kind::Hubs(trust.clone());
            self.add_of(Some(Part::Pools), key("jupyter.tls"), path, false, kind);
        }
        if let InstanceHostKeys::KnownHosts(path) | InstanceHostKeys::Ca(path) =
            &pool.instance_host_keys
        {
            let kind = Kind::HostKeys(pool.instance_host_keys.clone());
            self.add(key("ssh.instance_host_keys"), path, false, kind);
        }
        if let Some(path) = cloud_secret(pool) {
            let (part, key) = (Some(Part::Pools), key("fleet.client_secret_file"));
            self.add_of(part, key, path, true, Kind::Secret);
        }
    }
}

/// The file of the secret by which a pool's cloud is asked.
pub fn cloud_secret(pool: &PoolConfig) -> Option<&Path> {
    match &pool.fleet {
        FleetConfig::Azure(fleet) => match &fleet.credential {
            AzureCredential::ServicePrincipal {
                client_secret_file, ..
            } => Some(client_secret_file),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
