//! Every span by name, what its role is, and what it may tell: the one place of names, as `metrics` is for metrics.
//! `docs/telemetry.md` explains each, and a test holds that table against this file.
//!
//! Names and attributes are OpenTelemetry's semantic conventions where those have a word, and begin with `poolgate.` where not.
//! Deliberately absent: queries of addresses, cookies, keys, what people type or run.

use opentelemetry::trace::SpanKind;

/// Something that takes time, as a trace shows it.
#[derive(Debug)]
pub struct Work {
    pub name: &'static str,
    pub role: SpanKind,
    /// Attributes that it may have.
    pub tells: &'static [&'static str],
}

pub const CLIENT_ADDRESS: &str = "client.address";
pub const CLIENT_PORT: &str = "client.port";
pub const ERROR_TYPE: &str = "error.type";
pub const METHOD: &str = "http.request.method";
pub const ROUTE: &str = "http.route";
pub const STATUS_CODE: &str = "http.response.status_code";
pub const BODY_SIZE: &str = "http.response.body.size";
pub const PROTOCOL_NAME: &str = "network.protocol.name";
pub const PROTOCOL_VERSION: &str = "network.protocol.version";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";
pub const SESSION: &str = "session.id";
pub const URL_PATH: &str = "url.path";
pub const URL_SCHEME: &str = "url.scheme";
pub const USER: &str = "user.name";

pub const AUTH_METHOD: &str = "poolgate.auth.method";
pub const BYTES_IN: &str = "poolgate.bytes_in";
pub const BYTES_OUT: &str = "poolgate.bytes_out";
pub const CAPACITY: &str = "poolgate.capacity";
pub const CAUSE: &str = "poolgate.cause";
pub const COMMAND: &str = "poolgate.command";
pub const HEALTH: &str = "poolgate.health";
pub const INSTANCE: &str = "poolgate.instance";
pub const MACHINES: &str = "poolgate.machines";
pub const OUTCOME: &str = "poolgate.outcome";
pub const POOL: &str = "poolgate.pool";
pub const REASON: &str = "poolgate.reason";
pub const SERVICE: &str = "poolgate.service";

/// What the collector is told of the gate itself rather than of a span.
pub const INSTRUMENTATION: &str = "poolgate";

const fn work(name: &'static str, role: SpanKind, tells: &'static [&'static str]) -> Work {
    Work { name, role, tells }
}

pub static SSH_LOGIN: Work = work(
    "ssh login",
    SpanKind::Server,
    &[
        CLIENT_ADDRESS,
        CLIENT_PORT,
        PROTOCOL_NAME,
        USER,
        SESSION,
        POOL,
        INSTANCE,
        REASON,
        OUTCOME,
        ERROR_TYPE,
    ],
);
pub static KEY_EXCHANGE: Work = work("key exchange", SpanKind::Internal, &[]);
pub static AUTHENTICATION: Work = work(
    "authentication",
    SpanKind::Internal,
    &[AUTH_METHOD, ERROR_TYPE],
);
pub static KEYS_COMMAND: Work = work("keys command", SpanKind::Internal, &[OUTCOME, ERROR_TYPE]);
pub static PLACEMENT: Work = work(
    "placement",
    SpanKind::Internal,
    &[POOL, INSTANCE, REASON, ERROR_TYPE],
);
pub static WAIT_IN_LINE: Work = work("wait in line", SpanKind::Internal, &[POOL]);
pub static CONNECT: Work = work(
    "connect",
    SpanKind::Client,
    &[
        POOL,
        INSTANCE,
        PROTOCOL_NAME,
        SERVER_ADDRESS,
        SERVER_PORT,
        ERROR_TYPE,
    ],
);
pub static INSTANCE_LOGIN: Work = work(
    "instance login",
    SpanKind::Client,
    &[POOL, INSTANCE, AUTH_METHOD, OUTCOME, ERROR_TYPE],
);
pub static SSH_SESSION: Work = work(
    "ssh session",
    SpanKind::Server,
    &[
        CLIENT_ADDRESS,
        CLIENT_PORT,
        PROTOCOL_NAME,
        USER,
        SESSION,
        POOL,
        INSTANCE,
        BYTES_IN,
        BYTES_OUT,
        CAUSE,
    ],
);

pub static REQUEST: Work = work(
    "{method} {route}",
    SpanKind::Server,
    &[
        CLIENT_ADDRESS,
        PROTOCOL_VERSION,
        METHOD,
        ROUTE,
        URL_SCHEME,
        URL_PATH,
        SERVER_ADDRESS,
        USER,
        POOL,
        INSTANCE,
        STATUS_CODE,
        BODY_SIZE,
        ERROR_TYPE,
    ],
);
pub static INSTANCE_REQUEST: Work = work(
    "{method}",
    SpanKind::Client,
    &[
        METHOD,
        POOL,
        INSTANCE,
        SERVER_ADDRESS,
        SERVER_PORT,
        STATUS_CODE,
        ERROR_TYPE,
    ],
);
pub static WEBSOCKET: Work = work(
    "websocket",
    SpanKind::Server,
    &[POOL, INSTANCE, BYTES_IN, BYTES_OUT, ERROR_TYPE],
);

pub static WAKE: Work = work("wake", SpanKind::Internal, &[POOL, OUTCOME]);
pub static SCALING_STEPS: Work = work("scaling steps", SpanKind::Internal, &[POOL]);
pub static FLEET_COMMAND: Work = work(
    "fleet command",
    SpanKind::Client,
    &[POOL, COMMAND, CAPACITY, MACHINES, ERROR_TYPE],
);
pub static FLEET_LOOK: Work = work(
    "fleet look",
    SpanKind::Client,
    &[POOL, MACHINES, ERROR_TYPE],
);
pub static CLOUD_REQUEST: Work = work(
    "cloud request",
    SpanKind::Client,
    &[METHOD, COMMAND, SERVER_ADDRESS, STATUS_CODE, ERROR_TYPE],
);
pub static HEALTH_CHANGE: Work = work(
    "health change",
    SpanKind::Client,
    &[POOL, INSTANCE, SERVICE, HEALTH, REASON],
);

/// All of them.
pub static ALL: [&Work; 18] = [
    &SSH_LOGIN,
    &KEY_EXCHANGE,
    &AUTHENTICATION,
    &KEYS_COMMAND,
    &PLACEMENT,
    &WAIT_IN_LINE,
    &CONNECT,
    &INSTANCE_LOGIN,
    &SSH_SESSION,
    &REQUEST,
    &INSTANCE_REQUEST,
    &WEBSOCKET,
    &WAKE,
    &SCALING_STEPS,
    &FLEET_COMMAND,
    &FLEET_LOOK,
    &CLOUD_REQUEST,
    &HEALTH_CHANGE,
];
