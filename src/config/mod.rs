//! The validated configuration: plain values that the rest of the program may trust.
//!
//! `raw` is what a file or the environment may say, `validate` turns it into these types and reports every fault at once.
//! Nobody else reads settings or the environment.

mod admin;
mod certificates;
mod client;
mod clouds;
pub mod diff;
mod doors;
pub mod faults;
mod fleets;
mod guards;
mod limits;
mod load;
mod logs;
mod oidc;
mod policy;
mod pools;
mod raw;
mod read;
mod recording;
pub mod reference;
mod regular;
mod scaling;
pub mod secret;
mod source;
mod ssh_auth;
pub mod taking;
mod text;
mod traces;
mod units;
mod validate;
mod values;
mod webhooks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use admin::AdminConfig;
pub use client::ClientVariables;
pub use clouds::{AzureCloud, AzureCredential, AzureFleet, CommandFleet};
pub use faults::{Fault, Faults, Place};
pub use load::{LoadConfig, LoadSource};
pub use logs::{AuditConfig, LogConfig, LogFile, LogFormat, LogPlace, SyslogPlace};
pub use oidc::{Member, OidcConfig, OidcRoles, is_safe_web_address};
pub use policy::{Endpoint, HostPattern, PolicyConfig, PolicyGroup, PolicyRules, Programs};
pub use read::{
    DEFAULT_FILE, DEFAULT_SOCKET, FILE_VARIABLE, file_to_read, load, load_again, parse,
};
pub use regular::read_regular;
pub use scaling::{ExceptionConfig, PhaseConfig, ReservationConfig, ReservedAt, ScalingConfig};
pub use text::socket_of;
pub use traces::TracesConfig;
pub use units::{parse_duration, show_duration, show_size};
pub use webhooks::{WebhookConfig, WebhookForm};

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What of this was written, for those who compare.
    pub written: diff::Written,
    /// Whether the file is read again when it changes.
    pub reload_on_change: bool,
    /// How long a gate that takes no new logins keeps its sessions.
    pub drain_limit: Duration,
    /// Host-key pins, affinity, cookie key: what must survive a restart.
    pub state_dir: PathBuf,
    pub ssh: Option<SshConfig>,
    pub https: Option<HttpsConfig>,
    pub admin: AdminConfig,
    pub audit: AuditConfig,
    pub log: LogConfig,
    pub pools: BTreeMap<String, PoolConfig>,
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// `None` where no collector is told where the time goes.
    pub traces: Option<TracesConfig>,
}

impl Config {
    /// Where what concerns the whole gate is told.
    pub fn default_pool(&self) -> &str {
        let default = self.pools.iter().find(|(_, pool)| pool.default);
        default.map_or("", |(name, _)| name.as_str())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SshConfig {
    pub listen: Vec<SocketAddr>,
    pub host_keys: Vec<PathBuf>,
    /// Keys that clients hear of and that are not offered yet.
    pub standby_host_keys: Vec<PathBuf>,
    /// Certificates of some of `host_keys`.
    pub host_certificates: Vec<PathBuf>,
    /// The private key that signs people's certificates inward; instances trust its public half.
    pub user_ca: PathBuf,
    /// From accept to the end of authentication.
    pub login_grace: Duration,
    /// How long a login stands in line for a seat, beyond that.
    pub queue_time: Duration,
    /// Connections that have not logged in yet, in all and from one source (IPv4 /32, IPv6 /64).
    pub max_startups: usize,
    pub max_startups_per_source: usize,
    pub early_drop: Option<EarlyDrop>,
    pub penalties: PenaltiesConfig,
    /// Proxies whose PROXY header is believed, and demanded.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Connections in all.
    pub max_connections: usize,
    /// How long a connect to an instance, with its handshake, may take before another is tried.
    pub connect_timeout: Duration,
    /// Bytes through one direction of a leg, and time, after which its keys are renewed.
    pub rekey_bytes: u64,
    pub rekey_interval: Duration,
    /// After this much silence a leg is asked for a sign of life; `keepalive_max` unanswered ones end it.
    pub keepalive: Duration,
    pub keepalive_max: u32,
    /// How long a session may show and take no data, and how long it may last; `None`: for ever.
    pub idle_timeout: Option<Duration>,
    pub session_limit: Option<Duration>,
    /// Whether `ssh HOST poolgate keep 2h` is answered by the gate.
    pub gate_commands: bool,
    pub auth: SshAuthConfig,
}

/// From `start` connections that have not logged in, `rate_percent` in 100 new ones are refused, growing to all of them at
/// `max_startups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyDrop {
    pub start: usize,
    pub rate_percent: u32,
}

/// What offences cost a source, and from when and up to what it pays.
#[derive(Clone, Debug, PartialEq)]
pub struct PenaltiesConfig {
    /// Of every connection: a bound on their rate.
    pub connection: Duration,
    pub authfail: Duration,
    pub noauth: Duration,
    pub grace_exceeded: Duration,
    pub protocol_error: Duration,
    /// Above it the source is refused.
    pub min: Duration,
    /// No penalty grows beyond it.
    pub max: Duration,
    /// Sources remembered, of each family.
    pub max_sources: usize,
    pub exempt: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SshAuthConfig {
    /// Paths with `%u` (login name), `%h` (home folder) and `%%`.
    pub authorized_keys: Vec<String>,
    pub authorized_keys_command: Option<KeysCommandConfig>,
    /// Files with the public keys of authorities whose certificates let people in.
    pub trusted_user_ca_keys: Vec<PathBuf>,
    /// Paths as in `authorized_keys`, of files with the principals a person answers to; empty: their own name.
    pub authorized_principals: Vec<String>,
    pub empty_principals: EmptyPrincipals,
    /// A revocation list (`ssh-keygen -k`), or a plain list of public keys.
    pub revoked_keys: Option<PathBuf>,
    pub password: PasswordSource,
    /// Ways in, each the methods that must succeed in this order; empty: any one method.
    pub methods: Vec<Vec<AuthMethod>>,
    /// Failed passwords and signatures on one connection.
    pub max_tries: u32,
    /// Keys offered on one connection, whether or not they are known.
    pub max_offers: u32,
}

/// Whose a certificate without principals is, on a person's own `cert-authority` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyPrincipals {
    Nobody,
    /// As in sshd up to 10.0.
    Anybody,
}

/// The program that lists a person's keys, with its arguments, and the account it runs as.
#[derive(Clone, Debug, PartialEq)]
pub struct KeysCommandConfig {
    pub words: Vec<String>,
    pub user: String,
}

/// A method of SSH's user authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    PublicKey,
    Password,
    KeyboardInteractive,
}

impl AuthMethod {
    pub const ALL: [Self; 3] = [Self::PublicKey, Self::Password, Self::KeyboardInteractive];

    /// As the protocol names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PublicKey => "publickey",
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// The instance asks and decides; the gate relays each round.
    Instance,
    Off,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpsConfig {
    pub listen: Vec<SocketAddr>,
    /// The first is for clients that name no host, or one that no certificate is for.
    pub certificates: Vec<CertificateFiles>,
    pub acme: Option<AcmeConfig>,
    /// How long browsers are told to ask by https alone.
    pub hsts: Option<Duration>,
    pub redirect: RedirectConfig,
    pub max_connections: usize,
    pub max_connections_per_source: usize,
    /// That serve browsers; `None` is one for each core.
    pub threads: Option<usize>,
    /// Proxies whose PROXY header is believed, and demanded.
    pub proxy_protocol_from: Vec<IpNet>,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Until the first byte of a request, and between requests.
    pub idle_timeout: Duration,
    /// How long a hub may take to begin its answer to somebody who has not logged in there.
    pub answer_timeout: Duration,
    /// How long a body or a tunnel may stand still.
    pub stall_timeout: Duration,
    pub tunnel_idle_timeout: Duration,
    pub connect_timeout: Duration,
    /// A browser that is not heard of for so long no longer counts as a session.
    pub presence: Duration,
    /// Who may choose the instance whose hub they see.
    pub admins: Vec<String>,
    pub access_log: Option<AccessLogConfig>,
    pub hosts: PoolHosts,
}

/// A line for every request, for operators who count.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLogConfig {
    pub file: PathBuf,
    pub format: AccessLogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// As Apache and nginx call it.
    Combined,
    Json,
}

/// Which pool the browsers are sent to that ask for a host name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolHosts {
    /// By name, in lower case.
    pub pools: BTreeMap<String, String>,
    /// The pool of all other names.
    pub default: String,
}

/// A certificate chain and its private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The section that names them, for messages: `https`, `https.certificates[0]`.
    pub key: String,
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// What the authority says of the certificate (DER, RFC 6960), to be shown with it.
    pub ocsp_response: Option<PathBuf>,
}

/// An authority that is asked for a certificate (RFC 8555).
#[derive(Clone, Debug, PartialEq)]
pub struct AcmeConfig {
    /// Where its directory is.
    pub directory: String,
    /// Mail addresses.
    pub contact: Vec<String>,
    pub domains: Vec<String>,
    pub challenge: AcmeChallenge,
    /// Roots that its own certificate is checked against; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// Where account and certificate are kept.
    pub folder: PathBuf,
}

/// How the authority sees that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    Http01,
    TlsAlpn01,
}

/// Listeners without TLS, which send people to the ones with it.
#[derive(Clone, Debug, PartialEq)]
pub struct RedirectConfig {
    pub listen: Vec<SocketAddr>,
    /// The port people are sent to.
    pub to_port: u16,
}

/// How an instance's hub proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceTls {
    /// By a certificate for its address from one of these authorities (a PEM file).
    Ca(PathBuf),
    /// By one of these certificates (SHA-256 of the whole).
    Pins(Vec<[u8; 32]>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    pub default: bool,
    /// Names under which browsers reach this pool, in lower case.
    pub hosts: Vec<String>,
    pub placement: Placement,
    pub capacity: u32,
    pub affinity: Duration,
    pub ssh_port: u16,
    /// `None` (written `"off"`) where instances run no hub.
    pub jupyter_port: Option<u16>,
    pub instance_host_keys: InstanceHostKeys,
    pub client_address: ClientAddressConfig,
    pub policy: PolicyConfig,
    /// `None` where hubs are only asked whether they answer.
    pub api_token_file: Option<PathBuf>,
    /// `None` where hubs are spoken to without TLS.
    pub instance_tls: Option<InstanceTls>,
    /// How often a hub is asked who has a server.
    pub hub_poll_interval: Duration,
    /// `None` where no terminal is recorded.
    pub recording: Option<RecordingConfig>,
    pub health: HealthConfig,
    /// `None` where instances are not asked how busy they are.
    pub load: Option<LoadConfig>,
    pub fleet: FleetConfig,
    pub scaling: ScalingConfig,
}

impl PoolConfig {
    /// Whether its size is somebody's business: it is said how, and its fleet can be resized.
    pub fn is_resized(&self) -> bool {
        self.scaling.is_written && !matches!(self.fleet, FleetConfig::Static { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Spread,
    Pack,
    Auto,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceHostKeys {
    /// The first key seen is pinned for the instance's life.
    FirstUse,
    KnownHosts(PathBuf),
    /// Public keys of the authorities that sign instances' host certificates, one a line.
    Ca(PathBuf),
}

/// What instances are told of people's addresses, beyond the key id of their certificates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientAddressConfig {
    /// Each SSH connection begins with a header of the PROXY protocol, version 2.
    pub proxy_v2: bool,
    /// The variable that holds the address in what people run.
    pub env: Option<String>,
}

/// Recording of terminals; without users and groups everybody's.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingConfig {
    pub users: Vec<String>,
    /// Groups of the gate's own host, as `id -Gn USER` prints them there.
    pub unix_groups: Vec<String>,
    pub folder: PathBuf,
    /// Bytes of one recording, and of all in the folder.
    pub file_max: u64,
    pub folder_max: u64,
    /// Bytes that stay free on the folder's disk.
    pub free_min: u64,
    pub on_failure: OnFailure,
    /// Whether echoed input is recorded too.
    pub input: bool,
}

/// What becomes of a session whose terminal cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends.
    Refuse,
    GoOn,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HealthConfig {
    pub interval: Duration,
    pub timeout: Duration,
    pub rise: u32,
    pub fall: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FleetConfig {
    Static { instances: Vec<StaticInstance> },
    Process(ProcessFleet),
    Azure(AzureFleet),
    Command(CommandFleet),
}

#[derive(Clone, Debug, PartialEq)]
pub struct StaticInstance {
    pub name: String,
    pub address: String,
    pub ssh_port: Option<u16>,
    /// `Some(None)` is `jupyter_port = "off"`.
    pub jupyter_port: Option<Option<u16>>,
    pub capacity: Option<u32>,
}

/// Instances that are local processes.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessFleet {
    pub count: u32,
    /// Program and arguments, with `{name} {ssh_port} {jupyter_port} {state_dir}`.
    pub command: Vec<String>,
    /// Where each instance gets its own folder.
    pub state_dir: PathBuf,
    /// After a polite stop, how long until a process is killed.
    pub stop_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    Seats(u32),
    Percent(u32),
}
