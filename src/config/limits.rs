//! The limits in force, as `poolgate check` shows them: everything has one, and people should see which.

use std::time::Duration;

use super::units::{show_duration, show_size};
use super::{Config, HttpsConfig, PoolConfig, SshConfig};

/// A config key and its value in force, as it would be written.
pub type Limit = (String, String);

impl Config {
    /// Each limit with its value, in the order of the file.
    pub fn limits(&self) -> Vec<Limit> {
        let mut limits = vec![("drain_limit".to_owned(), show_duration(self.drain_limit))];
        if let Some(ssh) = &self.ssh {
            limits.extend(of_ssh(ssh));
        }
        if let Some(https) = &self.https {
            limits.extend(of_https(https));
        }
        if let Some(traces) = &self.traces {
            let of_traces = [
                ("timeout", show_duration(traces.timeout)),
                ("queue_max", traces.queue_max.to_string()),
            ];
            limits.extend(named("traces", of_traces));
        }
        for (name, pool) in &self.pools {
            limits.extend(of_pool(name, pool));
        }
        limits
    }

    /// The limits as aligned lines of text.
    pub fn limits_table(&self) -> String {
        let limits = self.limits();
        let width = limits.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        let line = |(key, value): &Limit| format!("{key:width$}  {value}\n");
        limits.iter().map(line).collect()
    }
}

fn of_ssh(ssh: &SshConfig) -> Vec<Limit> {
    let penalties = &ssh.penalties;
    let early_drop = ssh.early_drop.map_or("off".to_owned(), |drop| {
        format!("{}:{}", drop.start, drop.rate_percent)
    });
    let limits = [
        ("login_grace", show_duration(ssh.login_grace)),
        ("queue_time", show_duration(ssh.queue_time)),
        ("max_startups", ssh.max_startups.to_string()),
        (
            "max_startups_per_source",
            ssh.max_startups_per_source.to_string(),
        ),
        ("early_drop", early_drop),
        ("max_connections", ssh.max_connections.to_string()),
        ("connect_timeout", show_duration(ssh.connect_timeout)),
        ("rekey_bytes", show_size(ssh.rekey_bytes)),
        ("rekey_interval", show_duration(ssh.rekey_interval)),
        ("keepalive", show_duration(ssh.keepalive)),
        ("keepalive_max", ssh.keepalive_max.to_string()),
        ("idle_timeout", show_bound(ssh.idle_timeout)),
        ("session_limit", show_bound(ssh.session_limit)),
        ("auth.max_tries", ssh.auth.max_tries.to_string()),
        ("auth.max_offers", ssh.auth.max_offers.to_string()),
        ("penalties.connection", show_duration(penalties.connection)),
        ("penalties.authfail", show_duration(penalties.authfail)),
        ("penalties.noauth", show_duration(penalties.noauth)),
        (
            "penalties.grace_exceeded",
            show_duration(penalties.grace_exceeded),
        ),
        (
            "penalties.protocol_error",
            show_duration(penalties.protocol_error),
        ),
        ("penalties.min", show_duration(penalties.min)),
        ("penalties.max", show_duration(penalties.max)),
        ("penalties.max_sources", penalties.max_sources.to_string()),
    ];
    named("ssh", limits)
}

fn show_bound(bound: Option<Duration>) -> String {
    bound.map_or("off".to_owned(), show_duration)
}

fn of_https(https: &HttpsConfig) -> Vec<Limit> {
    let limits = [
        ("max_connections", https.max_connections.to_string()),
        (
            "max_connections_per_source",
            https.max_connections_per_source.to_string(),
        ),
        (
            "threads",
            https
                .threads
                .map_or("auto".to_owned(), |count| count.to_string()),
        ),
        ("handshake_timeout", show_duration(https.handshake_timeout)),
        ("idle_timeout", show_duration(https.idle_timeout)),
        ("answer_timeout", show_duration(https.answer_timeout)),
        ("stall_timeout", show_duration(https.stall_timeout)),
        (
            "tunnel_idle_timeout",
            show_duration(https.tunnel_idle_timeout),
        ),
        ("connect_timeout", show_duration(https.connect_timeout)),
        ("presence", show_duration(https.presence)),
    ];
    named("https", limits)
}

fn of_pool(name: &str, pool: &PoolConfig) -> Vec<Limit> {
    let limits = [
        ("capacity", pool.capacity.to_string()),
        ("affinity", show_duration(pool.affinity)),
        ("health.timeout", show_duration(pool.health.timeout)),
        (
            "load.interval",
            show_bound(pool.load.as_ref().map(|load| load.interval)),
        ),
        ("scaling.min", pool.scaling.min.to_string()),
        ("scaling.max", pool.scaling.max.to_string()),
    ];
    let mut limits = named(&format!("pools.{name}"), limits);
    if let Some(recording) = &pool.recording {
        let sizes = [
            ("file_max", show_size(recording.file_max)),
            ("folder_max", show_size(recording.folder_max)),
            ("free_min", show_size(recording.free_min)),
        ];
        limits.extend(named(&format!("pools.{name}.recording"), sizes));
    }
    limits
}

fn named<const N: usize>(section: &str, limits: [(&str, String); N]) -> Vec<Limit> {
    let whole = |(key, value)| (format!("{section}.{key}"), value);
    limits.into_iter().map(whole).collect()
}
