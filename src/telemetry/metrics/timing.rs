//! How long things took, as histograms, and answers to requests, which are counted with their time.
//!
//! What happens for every request is looked up once, at the start: an observation is an addition under a lock of its own.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Counters, Label, Metrics};
use crate::pool::Protocol;

/// From a page in the cache to a computation that somebody waits for.
const REQUEST: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// Up to `connect_timeout`'s and a probe's highest.
const CONNECT: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];
/// People type passwords and touch keys meanwhile.
const LOGIN: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// A seat that comes free at once, a boot, a boot that fails and another.
const WAIT: [f64; 12] = [
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 450.0, 600.0, 900.0,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

type Times<L> = Family<L, Histogram, fn() -> Histogram>;

pub(super) struct Timed {
    requests: Counters<1>,
    request_times: Times<[Label; 1]>,
    classes: [Class; 5],
    logins: Histogram,
    connects: Times<[Label; 1]>,
    probes: Times<[Label; 1]>,
    waits: Times<[(&'static str, String); 2]>,
    wakes: Times<[(&'static str, String); 1]>,
    websockets: Gauge,
}

/// Answers of one class of status codes.
struct Class {
    count: Counter<u64, AtomicU64>,
    time: Histogram,
}

impl Default for Timed {
    fn default() -> Self {
        let requests = Counters::default();
        let request_times = times(|| Histogram::new(REQUEST));
        let classes = CLASSES.map(|class| Class {
            count: requests.get_or_create_owned(&[("code", class)]),
            time: request_times.get_or_create_owned(&[("code", class)]),
        });
        Self {
            requests,
            request_times,
            classes,
            logins: Histogram::new(LOGIN),
            connects: times(|| Histogram::new(CONNECT)),
            probes: times(|| Histogram::new(CONNECT)),
            waits: times(|| Histogram::new(WAIT)),
            wakes: times(|| Histogram::new(WAIT)),
            websockets: Gauge::default(),
        }
    }
}

fn times<L: Clone + std::hash::Hash + Eq>(make: fn() -> Histogram) -> Times<L> {
    Family::new_with_constructor(make)
}

impl Timed {
    pub fn register(&self, to: &mut Registry) {
        let help = "HTTP answers given to people";
        to.register("requests", help, self.requests.clone());
        let help = "Seconds from a request's head to its answer's, tunnels aside";
        let times = self.request_times.clone();
        to.register("request_duration_seconds", help, times);
        let help = "Seconds from an ssh connection to its session, waits in line aside";
        let logins = self.logins.clone();
        to.register("ssh_login_duration_seconds", help, logins);
        let help = "Seconds until an instance had taken a connection";
        to.register("instance_connect_seconds", help, self.connects.clone());
        let help = "Seconds until a probe had its answer, or gave up";
        to.register("probe_duration_seconds", help, self.probes.clone());
        let help = "Seconds people stood in line who got a seat";
        to.register("queue_wait_seconds", help, self.waits.clone());
        let help =
            "Seconds from the first who waited at a pool with nothing up to an instance that is";
        to.register("wake_seconds", help, self.wakes.clone());
        let help = "WebSockets of people open at this moment";
        to.register("open_websockets", help, self.websockets.clone());
    }
}

/// Counts one open WebSocket until it is dropped.
pub struct WebSocketGuard {
    open: Gauge,
}

impl Drop for WebSocketGuard {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Metrics {
    /// An HTTP answer given to a person; `code` is its status, `took` the time to its head, of what is no tunnel.
    pub fn count_request(&self, code: u16, took: Option<Duration>) {
        let [informational, ok, moved, refused, failed] = &self.inner.counted.timed.classes;
        let class = match code {
            100..=199 => informational,
            200..=299 => ok,
            300..=399 => moved,
            400..=499 => refused,
            _ => failed,
        };
        class.count.inc();
        if let Some(took) = took {
            class.time.observe(took.as_secs_f64());
        }
    }

    /// An ssh login became a session.
    pub fn time_ssh_login(&self, took: Duration) {
        self.inner.counted.timed.logins.observe(took.as_secs_f64());
    }

    /// An instance took a connection: for ssh with the exchange of keys, for browsers with TLS where that is spoken.
    pub fn time_connect(&self, protocol: Protocol, took: Duration) {
        let connects = &self.inner.counted.timed.connects;
        let labels = [("protocol", protocol.name())];
        connects.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub fn time_probe(&self, service: Protocol, took: Duration) {
        let probes = &self.inner.counted.timed.probes;
        let labels = [("service", service.name())];
        probes.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Somebody who stood in line got a seat.
    pub fn time_wait(&self, pool: &str, protocol: Protocol, took: Duration) {
        let waits = &self.inner.counted.timed.waits;
        let labels = [
            ("pool", pool.to_owned()),
            ("protocol", protocol.name().to_owned()),
        ];
        waits
            .get_or_create_owned(&labels)
            .observe(took.as_secs_f64());
    }

    /// A pool with nothing up and somebody in line has an instance that is up.
    pub fn time_wake(&self, pool: &str, took: Duration) {
        let wakes = &self.inner.counted.timed.wakes;
        let labels = [("pool", pool.to_owned())];
        wakes
            .get_or_create_owned(&labels)
            .observe(took.as_secs_f64());
    }

    /// An open WebSocket, until the guard is dropped.
    pub fn websocket(&self) -> WebSocketGuard {
        let open = self.inner.counted.timed.websockets.clone();
        open.inc();
        WebSocketGuard { open }
    }
}
