//! From sections to `SshConfig` and `HttpsConfig`: the doors people come through, and the addresses they listen on.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::certificates::{acme, certificates, hsts, redirect};
use super::guards::{early_drop, penalties, proxies};
use super::raw::Section;
use super::ssh_auth::ssh_auth;
use super::units::{duration, duration_or_off, size};
use super::validate::seconds;
use super::values::{
    boolean, listen_address, number, path, path_or_off, text, threads_or_auto, word,
};
use super::{AccessLogConfig, AccessLogFormat, HttpsConfig, PoolHosts, SshConfig};

const HOUR: u64 = 3600;

/// A section that has faults.
pub(super) struct Faulty;

/// The addresses seen so far: one cannot be used twice.
#[derive(Default)]
pub(super) struct Listening {
    taken: Vec<(SocketAddr, String)>,
    pub has_door: bool,
}

impl Listening {
    pub fn take(&mut self, section: &Section<'_>, key: &str, address: SocketAddr) {
        let overlaps = |other: &SocketAddr| {
            let any = other.ip().is_unspecified() || address.ip().is_unspecified();
            other.port() == address.port()
                && other.is_ipv4() == address.is_ipv4()
                && (any || other.ip() == address.ip())
        };
        let whole = format!("{}.{key}", section.path());
        if let Some((other, by)) = self.taken.iter().find(|(other, _)| overlaps(other)) {
            let message = match *by == whole {
                true => format!("{address} and {other} overlap; remove one of them"),
                false => {
                    format!("{address} is taken by {by} ({other}); write another address or port")
                }
            };
            section.fault(key, message);
        }
        self.taken.push((address, whole));
    }

    fn take_door(&mut self, section: &mut Section<'_>, example: &str) -> Vec<SocketAddr> {
        let Some(list) = section.list("listen", listen_address) else {
            // A list at fault has its fault already.
            if !section.is_at_fault("listen") {
                let message =
                    format!("is missing; write listen = [{example:?}], or [] to close this door");
                section.fault("listen", message);
            }
            self.has_door = true;
            return Vec::new();
        };
        for address in &list {
            self.take(section, "listen", *address);
        }
        self.has_door |= !list.is_empty() || section.is_at_fault("listen");
        list
    }
}

pub(super) fn ssh(
    mut section: Section<'_>,
    listening: &mut Listening,
) -> Result<Option<SshConfig>, Faulty> {
    if !section.is_present() {
        listening.has_door |= section.is_at_fault("");
        return Ok(None);
    }
    let folder = section.folder();
    let listen = listening.take_door(&mut section, "0.0.0.0:22");
    let host_keys = host_keys(&mut section);
    let standby_host_keys = few_files(&mut section, "standby_host_keys");
    let host_certificates = few_files(&mut section, "host_certificates");
    let user_ca = section.required(
        "user_ca",
        "user_ca = \"/etc/poolgate/user_ca\"",
        path(folder),
    );
    let (login_grace, queue_time) = login_times(&mut section);
    let (max_startups, max_startups_per_source) = startups(&mut section);
    let early_drop = early_drop(&mut section, max_startups);
    let penalties = penalties(section.section("penalties"));
    let proxy_protocol_from = proxies(&mut section);
    let max_connections = section.get_or("max_connections", 10_000, number(1..=1_000_000));
    let connect_timeout = section.get_or(
        "connect_timeout",
        seconds(3),
        duration(seconds(1)..=seconds(60)),
    );
    let (rekey_bytes, rekey_interval) = rekey(&mut section);
    let (keepalive, keepalive_max) = keepalive(&mut section);
    let bound = || duration_or_off(seconds(1)..=seconds(30 * 24 * HOUR));
    let idle_timeout = section.get_or("idle_timeout", None, bound());
    let session_limit = section.get_or("session_limit", None, bound());
    let gate_commands = section.get_or("gate_commands", true, boolean);
    let auth = ssh_auth(section.section("auth"));
    section.finish();
    let user_ca = user_ca.ok_or(Faulty)?;
    if listen.is_empty() {
        return Ok(None);
    }
    Ok(Some(SshConfig {
        listen,
        host_keys: host_keys.ok_or(Faulty)?,
        standby_host_keys,
        host_certificates,
        user_ca,
        login_grace,
        queue_time,
        max_startups,
        max_startups_per_source,
        early_drop,
        penalties,
        proxy_protocol_from,
        max_connections,
        connect_timeout,
        rekey_bytes,
        rekey_interval,
        keepalive,
        keepalive_max,
        idle_timeout,
        session_limit,
        gate_commands,
        auth,
    }))
}

/// After how long a silent client is asked for a sign of life, and how often.
fn keepalive(section: &mut Section<'_>) -> (Duration, u32) {
    let hour = seconds(1)..=seconds(HOUR);
    let interval = section.get_or("keepalive", seconds(30), duration(hour));
    let max = section.get_or("keepalive_max", 4, number(1..=100));
    (interval, max)
}

/// After how many bytes and after how long keys are renewed.
fn rekey(section: &mut Section<'_>) -> (u64, Duration) {
    let bytes = section.get_or("rekey_bytes", 1 << 30, size(512..=1 << 36));
    let hours = seconds(1)..=seconds(24 * HOUR);
    let interval = section.get_or("rekey_interval", seconds(HOUR), duration(hours));
    (bytes, interval)
}

fn host_keys(section: &mut Section<'_>) -> Option<Vec<PathBuf>> {
    let listed = section.list("host_keys", path(section.folder()));
    if listed.as_ref().is_none_or(Vec::is_empty) && !section.is_at_fault("host_keys") {
        let write = "host_keys = [\"/etc/poolgate/ssh_host_ed25519_key\"]";
        section.fault("host_keys", format!("names no key; write {write}"));
    }
    let mut seen = HashSet::new();
    for (index, key) in listed.iter().flatten().enumerate() {
        if !seen.insert(key) {
            let message = "names the same file as one before it; remove one of them";
            section.fault(&format!("host_keys[{index}]"), message);
        }
    }
    listed
}

/// More would make the announcement that each login gets longer than some clients read.
const FILES_MAX: usize = 16;

fn few_files(section: &mut Section<'_>, key: &'static str) -> Vec<PathBuf> {
    let listed = section
        .list(key, path(section.folder()))
        .unwrap_or_default();
    if listed.len() > FILES_MAX {
        let count = listed.len();
        section.fault(
            key,
            format!("names {count} files; write at most {FILES_MAX}"),
        );
    }
    listed
}

/// How long a login may take, and how long it stands in line beyond that.
fn login_times(section: &mut Section<'_>) -> (Duration, Duration) {
    let grace = duration(seconds(1)..=seconds(600));
    let queue = duration(seconds(1)..=seconds(24 * HOUR));
    (
        section.get_or("login_grace", seconds(30), grace),
        section.get_or("queue_time", seconds(600), queue),
    )
}

/// How many connections may be without a login: in all, and from one source.
fn startups(section: &mut Section<'_>) -> (usize, usize) {
    let max_startups = section.get_or("max_startups", 1000, number(1..=100_000));
    // A campus or an office behind one address logs in a whole class at once.
    let per_source = 250.min(max_startups);
    let max_startups_per_source =
        section.get_or("max_startups_per_source", per_source, number(1..=100_000));
    if max_startups_per_source > max_startups {
        let message = format!(
            "is {max_startups_per_source}, above ssh.max_startups ({max_startups}); write at most that"
        );
        section.fault("max_startups_per_source", message);
    }
    (max_startups, max_startups_per_source)
}

pub(super) fn https(
    mut section: Section<'_>,
    listening: &mut Listening,
    state_dir: &Path,
) -> Result<Option<HttpsConfig>, Faulty> {
    if !section.is_present() {
        listening.has_door |= section.is_at_fault("");
        return Ok(None);
    }
    let listen = listening.take_door(&mut section, "0.0.0.0:443");
    let redirect = redirect(&mut section, listening, &listen);
    let acme = acme(section.section("acme"), state_dir, &redirect);
    let has_acme = acme.as_ref().map_or(true, Option::is_some);
    let certificates = certificates(&mut section, has_acme);
    let hsts = hsts(&mut section);
    let max_connections = section.get_or("max_connections", 10_000, number(1..=1_000_000));
    // A browser opens a handful, and a campus sits behind one address.
    let max_connections_per_source =
        section.get_or("max_connections_per_source", 1024, number(1..=1_000_000));
    let threads = section.get_or("threads", None, threads_or_auto);
    let proxy_protocol_from = proxies(&mut section);
    let minutes = || seconds(1)..=seconds(600);
    let handshake_timeout = section.get_or("handshake_timeout", seconds(10), duration(minutes()));
    let idle_timeout = section.get_or("idle_timeout", seconds(60), duration(minutes()));
    let answer_timeout = section.get_or("answer_timeout", seconds(10), duration(minutes()));
    let stall_timeout = section.get_or(
        "stall_timeout",
        seconds(60),
        duration(seconds(1)..=seconds(HOUR)),
    );
    let days = || seconds(60)..=seconds(7 * 24 * HOUR);
    let tunnel_idle_timeout =
        section.get_or("tunnel_idle_timeout", seconds(2 * HOUR), duration(days()));
    let connect_timeout = section.get_or(
        "connect_timeout",
        seconds(3),
        duration(seconds(1)..=seconds(60)),
    );
    let presence = section.get_or("presence", seconds(1800), duration(days()));
    let admins = section.list("admins", text).unwrap_or_default();
    let access_log = access_log(section.section("access_log"));
    section.finish();
    let (certificates, acme) = (certificates?, acme?);
    if listen.is_empty() {
        return Ok(None);
    }
    Ok(Some(HttpsConfig {
        listen,
        certificates,
        acme,
        hsts,
        redirect,
        max_connections,
        max_connections_per_source,
        threads,
        proxy_protocol_from,
        handshake_timeout,
        idle_timeout,
        answer_timeout,
        stall_timeout,
        tunnel_idle_timeout,
        connect_timeout,
        presence,
        admins,
        access_log,
        // Known once the pools are read.
        hosts: PoolHosts::default(),
    }))
}

fn access_log(mut section: Section<'_>) -> Option<AccessLogConfig> {
    let folder = section.folder();
    let file = section.get_or("file", None, path_or_off(folder));
    let formats = &[
        ("combined", AccessLogFormat::Combined),
        ("json", AccessLogFormat::Json),
    ];
    let format = section.get_or("format", AccessLogFormat::Combined, word(formats));
    section.finish();
    file.map(|file| AccessLogConfig { file, format })
}
