//! Every metric of Poolgate, by name; `docs/metrics.md` explains each.
//!
//! Instances' states and session counts are read from the pool's snapshot when the metrics are asked for (`seen`); only what
//! no snapshot holds is counted, here and of pools that are resized in `ledger`. Never a label per person: their number has no bound.

mod ledger;
mod process;
mod seen;
mod text;
mod timing;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::pool::{PlacementReason, Protocol, Snapshot};

pub use text::Format;
pub use timing::WebSocketGuard;

/// Counters shared by every task; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let counted = Counted::default();
        counted.register(&mut registry);
        let carried = [Protocol::Ssh, Protocol::Jupyter].map(|protocol| Carried {
            open: counted.connections.get_or_create_owned(&of(protocol)),
            inward: counted.carried_bytes(protocol, "in"),
            outward: counted.carried_bytes(protocol, "out"),
        });
        let [ssh, jupyter] = carried;
        Self {
            inner: Arc::new(Inner {
                registry,
                counted,
                ssh,
                jupyter,
            }),
        }
    }

    /// A login ended in a session (`admitted`) or did not (`refused`, `unreachable`, `timeout`, ...).
    pub fn count_login(&self, protocol: Protocol, outcome: &'static str) {
        let labels = [of_pair(protocol), ("outcome", outcome)];
        self.inner.counted.logins.get_or_create(&labels).inc();
    }

    pub fn count_placement(&self, protocol: Protocol, reason: PlacementReason) {
        let labels = [of_pair(protocol), ("reason", reason.name())];
        self.inner.counted.placements.get_or_create(&labels).inc();
    }

    /// A login form went to the instance its person belongs on: `moved`, `refused` by that hub, or `failed` on the way.
    pub fn count_moved_login(&self, outcome: &'static str) {
        let moved = &self.inner.counted.moved_logins;
        moved.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A limit turned somebody away; `limit` is its config key, such as `ssh.max_startups`.
    pub fn count_limit(&self, limit: &'static str) {
        let hits = &self.inner.counted.limit_hits;
        hits.get_or_create(&[("limit", limit)]).inc();
    }

    /// Something within an ssh session is not allowed; `what` is `local-forwarding`, `terminal`, ...
    pub fn count_refusal(&self, what: &'static str) {
        let refusals = &self.inner.counted.refusals;
        refusals.get_or_create(&[("what", what)]).inc();
    }

    /// A run of `authorized_keys_command`: `answered`, `failed`, `timeout`, or `busy` where no place came free for it.
    pub fn count_keys_command(&self, outcome: &'static str) {
        let runs = &self.inner.counted.keys_commands;
        runs.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// An open connection, until the guard is dropped.
    pub fn connection(&self, protocol: Protocol) -> ConnectionGuard {
        let open = self.carried(protocol).open.clone();
        open.inc();
        ConnectionGuard { open }
    }

    /// A page of the gate's own was shown: `waiting`, `lost`, `notice`, `admin`.
    pub fn count_page(&self, page: &'static str) {
        let pages = &self.inner.counted.pages;
        pages.get_or_create(&[("page", page)]).inc();
    }

    /// How many people wait for a seat in a pool.
    pub fn set_queue(&self, pool: &str, people: usize) {
        let queue = self
            .inner
            .counted
            .queue
            .get_or_create_owned(&[("pool", pool.to_owned())]);
        queue.set(i64::try_from(people).unwrap_or(i64::MAX));
    }

    /// A login on the admin side: `admitted` to a session, `refused`, or `limited` after too many of those.
    pub fn count_admin_login(&self, outcome: &'static str) {
        let logins = &self.inner.counted.admin_logins;
        logins.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// An operator's order: `done` or `refused`.
    pub fn count_admin_order(&self, action: &'static str, outcome: &'static str) {
        let labels = [("action", action), ("outcome", outcome)];
        self.inner.counted.admin_orders.get_or_create(&labels).inc();
    }

    /// An instance was asked how busy it is.
    pub fn count_load_probe(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        let probes = &self.inner.counted.load_probes;
        probes.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Bytes carried for people: `inward` from them to an instance, `outward` to them.
    pub fn count_bytes(&self, protocol: Protocol, inward: u64, outward: u64) {
        let carried = self.carried(protocol);
        carried.inward.inc_by(inward);
        carried.outward.inc_by(outward);
    }

    pub fn count_probe(&self, service: Protocol, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        let labels = [("service", service.name()), ("outcome", outcome)];
        self.inner.counted.probes.get_or_create(&labels).inc();
    }

    pub fn count_hub_poll(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        let polls = &self.inner.counted.hub_polls;
        polls.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A look at what instances a pool's cloud has: `ok`, or the kind of fault that spoiled it.
    pub fn count_fleet_look(&self, pool: &str, outcome: &'static str) {
        let labels = [("pool", pool.to_owned()), ("outcome", outcome.to_owned())];
        self.inner.counted.fleet_looks.get_or_create(&labels).inc();
    }

    /// A command to a pool's cloud: `grow`, `remove`, ..., `ok` or the kind of fault that it met.
    pub fn count_fleet_command(&self, pool: &str, command: &'static str, outcome: &'static str) {
        let labels = [
            ("pool", pool.to_owned()),
            ("command", command.to_owned()),
            ("outcome", outcome.to_owned()),
        ];
        let commands = &self.inner.counted.fleet_commands;
        commands.get_or_create(&labels).inc();
    }

    /// A message for a webhook: `sent`, or `failed` after all tries.
    pub fn count_webhook(&self, webhook: &str, outcome: &'static str) {
        let labels = [
            ("webhook", webhook.to_owned()),
            ("outcome", outcome.to_owned()),
        ];
        let messages = &self.inner.counted.webhook_messages;
        messages.get_or_create(&labels).inc();
    }

    /// Spans of traces: `sent`, or why they are lost: `queue-full`, `refused`, `unreachable`.
    pub fn count_spans(&self, outcome: &'static str, spans: u64) {
        let counted = &self.inner.counted.spans;
        counted.get_or_create(&[("outcome", outcome)]).inc_by(spans);
    }

    /// Takes over how many audit lines are lost, which the audit log counts itself.
    pub fn set_audit_lost(&self, lines: u64) {
        let lost = self.inner.counted.audit_lost.inner();
        lost.fetch_max(lines, std::sync::atomic::Ordering::Relaxed);
    }

    /// Takes over how many lines of the log are lost, which it counts itself.
    pub fn set_log_lost(&self, lines: u64) {
        let lost = self.inner.counted.log_lost.inner();
        lost.fetch_max(lines, std::sync::atomic::Ordering::Relaxed);
    }

    /// Takes over how many lines of the access log are lost, which it counts itself.
    pub fn set_access_log_lost(&self, lines: u64) {
        let lost = self.inner.counted.access_log_lost.inner();
        lost.fetch_max(lines, std::sync::atomic::Ordering::Relaxed);
    }

    /// A file of the state folder could not be written.
    pub fn count_state_write_failure(&self) {
        self.inner.counted.state_write_failures.inc();
    }

    /// A terminal's recording was closed: `complete`, `truncated`, or `failed` before it began.
    pub fn count_recording(&self, outcome: &'static str) {
        let recordings = &self.inner.counted.recordings;
        recordings.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub fn count_recorded_bytes(&self, bytes: u64) {
        self.inner.counted.recorded_bytes.inc_by(bytes);
    }

    /// A certificate's files were read again: `taken`, or `refused` because they are not sound.
    pub fn count_certificate(&self, outcome: &'static str) {
        let reloads = &self.inner.counted.certificate_reloads;
        reloads.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// The configuration was to be read again: `taken`, or `refused` because something in it is not sound.
    pub fn count_config_reload(&self, outcome: &'static str) {
        let reloads = &self.inner.counted.config_reloads;
        reloads.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A file that the configuration names was read again: `taken`, or `refused` because it is of no use.
    pub fn count_file_read(&self, outcome: &'static str) {
        let reads = &self.inner.counted.file_reads;
        reads.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// So many of them are of no use at the moment.
    pub fn set_file_faults(&self, files: usize) {
        let files = i64::try_from(files).unwrap_or(i64::MAX);
        self.inner.counted.file_faults.set(files);
    }

    /// When the configuration in force was read.
    pub fn set_config_loaded(&self, at: SystemTime) {
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = since.as_secs().cast_signed();
        self.inner.counted.config_loaded.set(seconds);
    }

    /// Takes over when each certificate of a door ends; those it had before are forgotten.
    pub fn set_certificate_ends<'a>(
        &self,
        door: &'static str,
        certificates: impl Iterator<Item = (&'a str, SystemTime)>,
    ) {
        let counted = &self.inner.counted;
        let certificates = certificates.map(|(name, end)| (name.to_owned(), end));
        let doors = counted.doors_certificates.lock();
        let mut doors = doors.unwrap_or_else(PoisonError::into_inner);
        doors.insert(door, certificates.collect());
        counted.certificate_ends.clear();
        for (name, end) in doors.values().flatten() {
            let end = end.duration_since(UNIX_EPOCH).unwrap_or_default();
            let end = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
            let labels = [("certificate", name.clone())];
            counted
                .certificate_ends
                .get_or_create_owned(&labels)
                .set(end);
        }
    }

    /// An authority was asked for a certificate: `issued` or `failed`.
    pub fn count_acme_order(&self, outcome: &'static str) {
        let orders = &self.inner.counted.acme_orders;
        orders.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A TLS handshake with a browser: `full`, `resumed` or `failed`; `version` is `1.3`, `1.2` or `none`.
    pub fn count_handshake(&self, version: &'static str, outcome: &'static str) {
        let labels = [("version", version), ("outcome", outcome)];
        self.inner.counted.handshakes.get_or_create(&labels).inc();
    }

    /// Everything, as a scrape wants it.
    pub fn scrape(&self, snapshot: &Snapshot, format: Format) -> String {
        let text = self.encode(snapshot);
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => text::to_prometheus(&text),
        }
    }

    /// Everything as OpenMetrics text.
    pub fn encode(&self, snapshot: &Snapshot) -> String {
        let mut text = String::new();
        let (seen, process) = (seen::seen_in(snapshot), process::process());
        let written = encode_registry(&mut text, &self.inner.registry)
            .and_then(|()| encode_registry(&mut text, &seen))
            .and_then(|()| encode_registry(&mut text, &process))
            .and_then(|()| encode_eof(&mut text));
        if let Err(error) = written {
            // Writing to a String fails only where a metric refuses to encode itself.
            tracing::error!(%error, "the metrics cannot be encoded");
        }
        text
    }

    fn carried(&self, protocol: Protocol) -> &Carried {
        match protocol {
            Protocol::Ssh => &self.inner.ssh,
            Protocol::Jupyter => &self.inner.jupyter,
        }
    }
}

/// Counts one open connection until it is dropped.
pub struct ConnectionGuard {
    open: Gauge,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.open.dec();
    }
}

const PREFIX: &str = "poolgate";

type Label = (&'static str, &'static str);
type OwnedCounters<const N: usize> = Family<[(&'static str, String); N], Counter<u64, AtomicU64>>;
type Counters<const N: usize> = Family<[Label; N], Counter<u64, AtomicU64>>;

struct Inner {
    registry: Registry,
    counted: Counted,
    ssh: Carried,
    jupyter: Carried,
}

/// What is counted for every packet or connection, looked up once.
struct Carried {
    open: Gauge,
    inward: Counter,
    outward: Counter,
}

#[derive(Default)]
struct Counted {
    logins: Counters<2>,
    placements: Counters<2>,
    moved_logins: Counters<1>,
    limit_hits: Counters<1>,
    refusals: Counters<1>,
    keys_commands: Counters<1>,
    connections: Family<[Label; 1], Gauge>,
    timed: timing::Timed,
    pages: Counters<1>,
    queue: Gauges<1>,
    admin_logins: Counters<1>,
    admin_orders: Counters<2>,
    bytes: Counters<2>,
    probes: Counters<2>,
    hub_polls: Counters<1>,
    load_probes: Counters<1>,
    audit_lost: Counter,
    log_lost: Counter,
    access_log_lost: Counter,
    state_write_failures: Counter,
    recordings: Counters<1>,
    recorded_bytes: Counter,
    config_reloads: Counters<1>,
    config_loaded: Gauge,
    file_reads: Counters<1>,
    file_faults: Gauge,
    certificate_reloads: Counters<1>,
    certificate_ends: Gauges<1>,
    doors_certificates: Mutex<BTreeMap<&'static str, Vec<(String, SystemTime)>>>,
    acme_orders: Counters<1>,
    handshakes: Counters<2>,
    fleet_looks: OwnedCounters<2>,
    webhook_messages: OwnedCounters<2>,
    spans: Counters<1>,
    fleet_commands: OwnedCounters<3>,
    resized: ledger::Resized,
}

impl Counted {
    fn register_config(&self, to: &mut Registry) {
        let help = "Times the configuration was to be read again";
        to.register("config_reloads", help, self.config_reloads.clone());
        let help = "When the configuration in force was read, in seconds since 1970";
        to.register("config_loaded_seconds", help, self.config_loaded.clone());
        let help = "Files that the configuration names, read again";
        to.register("config_file_reads", help, self.file_reads.clone());
        let help = "Files that the configuration names whose newest content is of no use";
        to.register("config_file_faults", help, self.file_faults.clone());
    }

    fn register(&self, to: &mut Registry) {
        to.register("logins", "Logins by outcome", self.logins.clone());
        let help = "Placements by what decided them";
        to.register("placements", help, self.placements.clone());
        let help = "Login forms taken to the instance their person belongs on";
        to.register("moved_logins", help, self.moved_logins.clone());
        let help = "People turned away by a limit, by its config key";
        to.register("limit_hits", help, self.limit_hits.clone());
        let help = "What ssh sessions asked for and the policy refused";
        to.register("ssh_refusals", help, self.refusals.clone());
        let help = "Runs of authorized_keys_command by outcome";
        let runs = self.keys_commands.clone();
        to.register("keys_command_runs", help, runs);
        let help = "Connections open at this moment";
        to.register("open_connections", help, self.connections.clone());
        self.timed.register(to);
        let help = "Pages of the gate's own shown to people";
        to.register("pages", help, self.pages.clone());
        let help = "Logins on the admin side by outcome";
        to.register("admin_logins", help, self.admin_logins.clone());
        let help = "Orders of operators by outcome";
        to.register("admin_orders", help, self.admin_orders.clone());
        let help = "People who wait for a seat";
        to.register("queue", help, self.queue.clone());
        to.register("bytes", "Bytes carried for people", self.bytes.clone());
        to.register("probes", "Probes of instances", self.probes.clone());
        let help = "Times a hub was asked who has a server";
        to.register("hub_polls", help, self.hub_polls.clone());
        let help = "Times an instance was asked how busy it is";
        to.register("load_probes", help, self.load_probes.clone());
        let help = "Messages for webhooks by outcome";
        to.register("webhook_messages", help, self.webhook_messages.clone());
        let help = "Spans of traces by what became of them";
        to.register("trace_spans", help, self.spans.clone());
        let help = "Audit lines that could not be written";
        to.register("audit_lines_lost", help, self.audit_lost.clone());
        let help = "Lines of the log that could not be written";
        to.register("log_lines_lost", help, self.log_lost.clone());
        let help = "Lines of the access log that could not be written";
        to.register("access_log_lines_lost", help, self.access_log_lost.clone());
        let help = "Times a file of the state folder could not be written";
        let failures = self.state_write_failures.clone();
        to.register("state_write_failures", help, failures);
        let help = "Recordings of terminals by outcome";
        to.register("recordings", help, self.recordings.clone());
        let help = "Bytes of recordings written";
        to.register("recorded_bytes", help, self.recorded_bytes.clone());
        self.register_config(to);
        let help = "Certificate files read again";
        let reloads = self.certificate_reloads.clone();
        to.register("tls_certificate_reloads", help, reloads);
        let help = "When a certificate ends, in seconds since 1970";
        let ends = self.certificate_ends.clone();
        to.register("tls_certificate_not_after_seconds", help, ends);
        let help = "Certificates asked of an authority";
        to.register("acme_orders", help, self.acme_orders.clone());
        let help = "TLS handshakes with browsers";
        to.register("tls_handshakes", help, self.handshakes.clone());
        let help = "Looks at what instances a cloud has";
        to.register("fleet_looks", help, self.fleet_looks.clone());
        let help = "Commands to a cloud by outcome";
        to.register("fleet_commands", help, self.fleet_commands.clone());
        self.resized.register(to);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "The version of this program", build);
    }

    fn carried_bytes(&self, protocol: Protocol, direction: &'static str) -> Counter {
        let labels = [of_pair(protocol), ("direction", direction)];
        self.bytes.get_or_create_owned(&labels)
    }
}

type Gauges<const N: usize> = Family<[(&'static str, String); N], Gauge>;

fn of(protocol: Protocol) -> [Label; 1] {
    [of_pair(protocol)]
}

fn of_pair(protocol: Protocol) -> Label {
    ("protocol", protocol.name())
}

#[cfg(test)]
mod tests;
