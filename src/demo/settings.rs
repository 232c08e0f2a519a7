//! The demo's config, made in code: the same values that `config::validate` makes from a file, with the gate on the
//! loopback address and three local processes as its pool.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::folder::Folder;
use crate::config::diff::Written;
use crate::config::{
    AdminConfig, AuditConfig, CertificateFiles, Config, EmptyPrincipals, FleetConfig, Headroom,
    HealthConfig, HttpsConfig, InstanceHostKeys, LogConfig, LogFile, PasswordSource,
    PenaltiesConfig, Placement, PolicyConfig, PoolConfig, PoolHosts, ProcessFleet, RedirectConfig,
    ScalingConfig, SshAuthConfig, SshConfig,
};

/// The name of the demo's only pool; its instances are `demo-1`, `demo-2`, ...
pub const POOL: &str = "demo";

/// What a person may choose about a demo.
pub struct Choices {
    pub instances: u32,
    pub ssh: SocketAddr,
    pub https: SocketAddr,
    /// What runs one instance: program and arguments, with the process fleet's placeholders.
    pub command: Vec<String>,
    pub log_filter: String,
    /// Real services take longer to start and to stop.
    pub is_real: bool,
}

/// The config of a gate whose files are in `folder`.
pub fn config(folder: &Folder, choices: Choices) -> Config {
    Config {
        written: Written::default(),
        reload_on_change: false,
        drain_limit: Duration::from_secs(86_400),
        state_dir: folder.path("state"),
        ssh: Some(ssh(folder, choices.ssh)),
        https: Some(https(folder, choices.https)),
        admin: AdminConfig {
            socket: Some(admin_socket(folder)),
            listen: None,
            tls: None,
            tokens_file: None,
            oidc: None,
            has_open_metrics: true,
            hosts: Vec::new(),
        },
        audit: AuditConfig {
            file: LogFile {
                path: Some(folder.path("audit.jsonl")),
                ..LogFile::default()
            },
            ..AuditConfig::default()
        },
        log: LogConfig {
            filter: choices.log_filter.clone(),
            ..LogConfig::default()
        },
        webhooks: std::collections::BTreeMap::new(),
        traces: None,
        pools: [(POOL.to_string(), pool(folder, choices))].into(),
    }
}

/// Where `poolgate status --socket` asks.
pub fn admin_socket(folder: &Folder) -> PathBuf {
    folder.path("admin.sock")
}

fn ssh(folder: &Folder, listen: SocketAddr) -> SshConfig {
    SshConfig {
        listen: vec![listen],
        host_keys: vec![folder.host_key()],
        standby_host_keys: Vec::new(),
        host_certificates: Vec::new(),
        user_ca: folder.user_ca(),
        login_grace: Duration::from_secs(30),
        queue_time: Duration::from_secs(600),
        max_startups: 100,
        max_startups_per_source: 100,
        early_drop: None,
        penalties: PenaltiesConfig::default(),
        proxy_protocol_from: Vec::new(),
        max_connections: 1000,
        connect_timeout: Duration::from_secs(3),
        rekey_bytes: 1 << 30,
        rekey_interval: Duration::from_secs(3600),
        keepalive: Duration::from_secs(30),
        idle_timeout: None,
        session_limit: None,
        gate_commands: true,
        keepalive_max: 3,
        auth: SshAuthConfig {
            // One file for every name: whoever holds the key may try the pool as anybody.
            authorized_keys: vec![folder.authorized_keys().to_string_lossy().into_owned()],
            authorized_keys_command: None,
            trusted_user_ca_keys: Vec::new(),
            authorized_principals: Vec::new(),
            empty_principals: EmptyPrincipals::Nobody,
            revoked_keys: None,
            methods: Vec::new(),
            password: PasswordSource::Off,
            max_tries: 6,
            max_offers: 20,
        },
    }
}

fn https(folder: &Folder, listen: SocketAddr) -> HttpsConfig {
    HttpsConfig {
        listen: vec![listen],
        certificates: vec![CertificateFiles {
            key: "https".to_owned(),
            certificate: folder.certificate(),
            private_key: folder.certificate_key(),
            ocsp_response: None,
        }],
        acme: None,
        // It would count for whatever else is tried out on this machine.
        hsts: None,
        redirect: RedirectConfig {
            listen: Vec::new(),
            to_port: listen.port(),
        },
        max_connections: 1000,
        max_connections_per_source: 1000,
        threads: None,
        proxy_protocol_from: Vec::new(),
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        answer_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(60),
        tunnel_idle_timeout: Duration::from_secs(3600),
        connect_timeout: Duration::from_secs(3),
        presence: Duration::from_secs(300),
        admins: Vec::new(),
        access_log: None,
        hosts: PoolHosts {
            default: POOL.to_owned(),
            ..PoolHosts::default()
        },
    }
}

fn pool(folder: &Folder, choices: Choices) -> PoolConfig {
    PoolConfig {
        default: true,
        hosts: Vec::new(),
        placement: Placement::Spread,
        capacity: 8,
        affinity: Duration::from_secs(12 * 3600),
        ssh_port: 22,
        jupyter_port: Some(8000),
        instance_host_keys: InstanceHostKeys::FirstUse,
        client_address: Default::default(),
        policy: PolicyConfig::default(),
        api_token_file: None,
        instance_tls: None,
        hub_poll_interval: Duration::from_secs(15),
        recording: None,
        health: HealthConfig {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            rise: 1,
            fall: 2,
        },
        load: None,
        scaling: ScalingConfig {
            min: choices.instances,
            max: choices.instances,
            headroom: Headroom::Seats(0),
            idle: Duration::from_secs(900),
            ..ScalingConfig::default()
        },
        fleet: FleetConfig::Process(ProcessFleet {
            count: choices.instances,
            command: choices.command,
            state_dir: folder.path("instances"),
            stop_timeout: Duration::from_secs(if choices.is_real { 10 } else { 3 }),
        }),
    }
}
