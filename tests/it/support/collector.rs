//! A collector of traces: rotel, as operators run one, and behind it a receiver that keeps every span it passes on.
//!
//! What the test reads has been taken apart and put together again by somebody else's code. Without rotel, which `tests/run` installs,
//! the gate speaks to the receiver itself, and the test says so.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Wire;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as WireSpan;
use prost::Message;

use super::client::PATIENCE;
use super::{GateSetup, Running, World, free_port, tool, wait_until};

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    /// `server`, `client` or `internal`.
    pub kind: &'static str,
    pub trace: String,
    pub id: String,
    /// Empty for the first of a trace.
    pub parent: String,
    pub begin_ns: u64,
    pub end_ns: u64,
    pub tells: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// The spans it is linked to.
    pub links: Vec<String>,
    pub is_error: bool,
    /// Of whoever sent it.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    #[track_caller]
    pub fn tells(&self, attribute: &str) -> &str {
        let found = self.tells.get(attribute);
        found.unwrap_or_else(|| panic!("no {attribute} in {self:#?}"))
    }

    /// Whether all of it lies within the other.
    pub fn is_within(&self, other: &Self) -> bool {
        self.begin_ns >= other.begin_ns && self.end_ns <= other.end_ns
    }
}

pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    /// Where the gate sends.
    port: u16,
    _rotel: Option<Running>,
}

impl Collector {
    pub fn start(world: &World) -> Self {
        let (own, spans) = receive();
        let Some(program) = rotel() else {
            eprintln!("without rotel, which tests/run installs: the receiver takes its place");
            return Self {
                spans,
                port: own,
                _rotel: None,
            };
        };
        let (port, grpc) = (free_port(), free_port());
        let log = std::fs::File::create(world.path("rotel.log")).unwrap();
        let mut rotel = tool(program.to_str().unwrap());
        rotel.args(["start", "--batch-timeout", "50ms"]);
        rotel.args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"]);
        rotel.arg(format!("--otlp-exporter-endpoint=http://127.0.0.1:{own}"));
        rotel.arg(format!("--otlp-http-endpoint=127.0.0.1:{port}"));
        rotel.arg(format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"));
        let rotel = Running::start_logged(&mut rotel, log);
        wait_until("rotel", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            spans,
            port,
            _rotel: Some(rotel),
        }
    }

    /// A gate that sends its spans here, all of them and soon.
    pub fn told_by(&self, setup: GateSetup) -> GateSetup {
        told_by(self.port, setup)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of this name, once there are so many.
    #[track_caller]
    pub fn wait(&self, name: &str, count: usize) -> Vec<Span> {
        let named = || {
            let spans = self.spans().into_iter();
            let spans: Vec<_> = spans.filter(|span| span.name == name).collect();
            (spans.len() >= count).then_some(spans)
        };
        wait_until(&format!("{count} spans {name:?}"), PATIENCE, named)
    }

    /// The last of this name, and everything of its trace once `parts` are there.
    #[track_caller]
    pub fn wait_trace(&self, name: &str, parts: &[&str]) -> (Span, Vec<Span>) {
        wait_until(&format!("{name:?} with {parts:?}"), PATIENCE, || {
            let spans = self.spans();
            let of_trace = |first: &Span| {
                let of = spans.iter().filter(|span| span.trace == first.trace);
                of.cloned().collect::<Vec<_>>()
            };
            let mut firsts = spans.iter().rev().filter(|span| span.name == name);
            firsts.find_map(|first| {
                let of = of_trace(first);
                let has = |part: &&str| of.iter().any(|span| span.name == **part);
                parts.iter().all(has).then(|| (first.clone(), of))
            })
        })
    }
}

/// In the environment that `tests/run` makes, whatever its python is.
fn rotel() -> Option<PathBuf> {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/venv-rotel/lib");
    let pythons = std::fs::read_dir(libraries).ok()?.flatten();
    let program = |python: DirEntry| python.path().join("site-packages/rotel/rotel-agent");
    pythons.map(program).find(|program| program.exists())
}

/// A gate that sends its spans to this port, all of them and soon.
pub fn told_by(port: u16, setup: GateSetup) -> GateSetup {
    setup
        .variable(
            "POOLGATE__TRACES__ENDPOINT",
            &format!("http://127.0.0.1:{port}"),
        )
        .variable("POOLGATE__TRACES__INTERVAL", "100ms")
        .variable("POOLGATE__TRACES__REQUEST_SAMPLE_RATIO", "1")
}

/// Takes messages at a port, and keeps what they tell.
fn receive() -> (u16, Arc<Mutex<Vec<Span>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
    let kept = spans.clone();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = kept.clone();
            std::thread::spawn(move || while take(&stream, &kept).is_some() {});
        }
    });
    (port, spans)
}

fn take(mut stream: &TcpStream, kept: &Mutex<Vec<Span>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut is_packed) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        is_packed |= lower.starts_with("content-encoding: gzip");
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if is_packed {
        body = unpacked(body);
    }
    let message = ExportTraceServiceRequest::decode(&*body).unwrap();
    for of_resource in message.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let resource = attributes(&resource.attributes);
        let spans = of_resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        let spans = spans.map(|span| read(&span, &resource));
        kept.lock().unwrap().extend(spans);
    }
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer.as_bytes()).ok()
}

/// rotel packs what it sends, whatever it is told.
fn unpacked(body: Vec<u8>) -> Vec<u8> {
    let mut gzip = tool("gzip");
    gzip.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut gzip = gzip.spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || input.write_all(&body));
    let unpacked = gzip.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    assert!(unpacked.status.success());
    unpacked.stdout
}

fn read(span: &WireSpan, resource: &BTreeMap<String, String>) -> Span {
    Span {
        name: span.name.clone(),
        kind: match span.kind {
            1 => "internal",
            2 => "server",
            3 => "client",
            _ => "other",
        },
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        begin_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        tells: attributes(&span.attributes),
        events: span.events.iter().map(|event| event.name.clone()).collect(),
        links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
        is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
        resource: resource.clone(),
    }
}

#[track_caller]
fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for one in list {
        let value = match &one.value {
            Some(AnyValue {
                value: Some(Wire::StringValue(text)),
            }) => text.clone(),
            Some(AnyValue {
                value: Some(Wire::IntValue(number)),
            }) => number.to_string(),
            other => panic!("{}: {other:?}", one.key),
        };
        let before = read.insert(one.key.clone(), value);
        assert_eq!(before, None, "{} is told twice", one.key);
    }
    read
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
