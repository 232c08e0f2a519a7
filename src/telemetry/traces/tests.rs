use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use opentelemetry::trace::{SpanId, Status};

use super::*;
use crate::pool::Snapshot;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRUSTED: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

pub fn config(more: &str) -> TracesConfig {
    let text = format!(
        "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n[traces]\n{more}\n\
         [pools.main.fleet]\nprovider = \"static\"\ninstances = [{{ name = \"vm1\", address = \"10.0.0.4\" }}]"
    );
    let text = match more.contains("endpoint") {
        true => text,
        false => text.replace("[traces]", "[traces]\nendpoint = \"http://127.0.0.1:4318\""),
    };
    let config = crate::config::parse(Path::new("x.toml"), &text, HashMap::new());
    config
        .unwrap_or_else(|faults| panic!("{faults}"))
        .traces
        .unwrap()
}

/// Traces that are on, where their spans come out, and what is counted.
fn on(more: &str) -> (Traces, mpsc::Receiver<SpanData>, Metrics) {
    let (traces, metrics) = (Traces::default(), Metrics::new());
    let nobody = Resource::builder_empty().build();
    let spans = traces.turn_on(config(more), &nobody, &metrics);
    (traces, spans, metrics)
}

fn ended(spans: &mut mpsc::Receiver<SpanData>) -> Vec<SpanData> {
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

fn told(span: &SpanData, attribute: &str) -> Option<String> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|one| one.key.as_str() == attribute)?;
    Some(found.value.as_str().into_owned())
}

fn headers(parent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", parent.parse().unwrap());
    headers
}

#[tokio::test]
async fn where_traces_are_off_there_is_nothing() {
    let traces = Traces::default();
    assert!(traces.begin_request(TRUSTED, &headers(PARENT)).is_none());
    let span = traces.begin(&works::SSH_LOGIN);
    span.tell(works::USER, &"alice");
    span.around(async {
        let part = child(&works::PLACEMENT);
        let mut sent = headers(PARENT);
        part.continue_in(&mut sent);
        assert_eq!(sent, headers(PARENT), "it passes as the browser wrote it");
        assert!(!part.is_kept() && at_work().is_none());
        assert!(!traces.follow(&works::SSH_SESSION).is_kept());
    })
    .await;
}

#[tokio::test]
async fn parts_belong_to_the_span_at_work() {
    let (traces, mut spans, _) = on("");
    let began = SystemTime::now();
    let login = traces.begin_at(&works::SSH_LOGIN, began);
    login
        .around(async {
            tell(works::USER, &"alice");
            let placing = child(&works::PLACEMENT);
            let waits = placing.around(async { child(&works::WAIT_IN_LINE) }).await;
            tokio::task::yield_now().await;
            drop(waits);
            placing.fail("no-seat", &"all are full");
            drop(placing);
            past(&works::KEY_EXCHANGE, began).end_at(began);
            note("failed try", &[(works::REASON, &"a wrong key")]);
            let session = traces.follow(&works::SSH_SESSION);
            assert!(session.is_kept());
        })
        .await;
    assert!(at_work().is_none(), "another task has none");
    drop(login);
    let spans = ended(&mut spans);
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(
        names,
        [
            "wait in line",
            "placement",
            "key exchange",
            "ssh session",
            "ssh login"
        ]
    );
    let [waits, placing, exchange, session, login] = &spans[..] else {
        panic!("{spans:?}");
    };
    let id = |span: &SpanData| span.span_context.span_id();
    assert_eq!(login.parent_span_id, SpanId::INVALID);
    assert_eq!(
        (login.start_time, told(login, works::USER)),
        (began, Some("alice".into()))
    );
    assert_eq!(login.events.len(), 1);
    assert_eq!(
        (placing.parent_span_id, waits.parent_span_id),
        (id(login), id(placing))
    );
    assert_eq!(placing.status, Status::error("all are full"));
    assert_eq!(told(placing, works::ERROR_TYPE).as_deref(), Some("no-seat"));
    assert_eq!((exchange.start_time, exchange.end_time), (began, began));
    let trace = |span: &SpanData| span.span_context.trace_id();
    assert_eq!(trace(waits), trace(login));
    assert_ne!(trace(session), trace(login), "it would last for days");
    assert_eq!(session.links.links[0].span_context.span_id(), id(login));
}

#[tokio::test]
async fn whose_trace_is_continued() {
    let (traces, mut spans, _) =
        on("request_sample_ratio = 0\nsample_ratio = 0\ntrust_from = [\"10.0.0.0/8\"]");
    assert!(!traces.begin(&works::SSH_LOGIN).is_kept());
    let mapped: IpAddr = "::ffff:10.0.0.7".parse().unwrap();
    for peer in [TRUSTED, mapped] {
        let span = traces.begin_request(peer, &headers(PARENT)).unwrap();
        assert!(span.is_kept(), "as its parent is");
        let mut sent = headers("forged");
        span.continue_in(&mut sent);
        let sent = sent["traceparent"].to_str().unwrap();
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent.ends_with("-01"));
        assert_ne!(sent, PARENT, "the instance's parent is the gate");
        drop(span);
        let span = ended(&mut spans).remove(0);
        assert!(span.parent_span_is_remote);
        assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
    }
    let span = traces.begin_request(STRANGER, &headers(PARENT)).unwrap();
    assert!(!span.is_kept());
    let mut sent = headers(PARENT);
    sent.insert("tracestate", "a=b".parse().unwrap());
    span.around(async { child(&works::INSTANCE_REQUEST).continue_in(&mut sent) })
        .await;
    let parent = sent["traceparent"].to_str().unwrap();
    assert!(!parent.contains("4bf92f3577b34da6"), "{parent}");
    assert!(
        parent.ends_with("-00"),
        "the instance keeps none either: {parent}"
    );
    assert!(!sent.contains_key("tracestate"));
    drop(span);
    assert_eq!(ended(&mut spans), []);
}

#[tokio::test]
async fn what_finds_no_room_is_lost_and_counted() {
    let (traces, mut spans, metrics) = on("queue_max = 64");
    for _ in 0..70 {
        drop(traces.begin(&works::FLEET_LOOK));
    }
    let text = metrics.encode(&Snapshot::default());
    let counted = r#"poolgate_trace_spans_total{outcome="queue-full"} 6"#;
    assert!(text.contains(counted), "{text}");
    assert_eq!(ended(&mut spans).len(), 64);
}

#[test]
fn what_is_forgotten_was_never_there() {
    let (traces, mut spans, metrics) = on("");
    let forgotten = traces.begin(&works::SSH_LOGIN);
    forgotten.forget();
    forgotten.enter(|| assert_eq!(at_work(), None, "lines of the log tell of it no more"));
    drop(forgotten);
    assert_eq!(ended(&mut spans), []);
    assert!(!metrics.encode(&Snapshot::default()).contains("queue-full"));
    let span = traces.begin(&works::SSH_LOGIN);
    span.tell(works::USER, &"é".repeat(1000));
    drop(span);
    let user = told(&ended(&mut spans)[0], works::USER).unwrap();
    assert!(user.len() < 300 && user.ends_with("é…"), "{user}");
}

#[test]
fn spans_of_before_a_change_are_not_lost() {
    let (traces, mut before, metrics) = on("");
    let span = traces.begin(&works::SSH_LOGIN);
    let nobody = Resource::builder_empty().build();
    let mut after = traces.turn_on(config(""), &nobody, &metrics);
    drop(traces.begin(&works::FLEET_LOOK));
    drop(span);
    assert_eq!(ended(&mut before)[0].name, "ssh login");
    assert_eq!(ended(&mut after)[0].name, "fleet look");
    assert!(before.is_closed(), "its exporter ends with its last span");
    traces.turn_off();
    assert!(!traces.begin(&works::FLEET_LOOK).is_kept());
}

/// Name, role and attributes of each span, of the table in docs/telemetry.md.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/telemetry.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("\n## Traces").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let names = cells[4]
            .split(',')
            .map(|name| name.trim().trim_matches('`'));
        let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
        let name = cells[1].trim_matches('`').to_owned();
        (name, (cells[2].to_owned(), names.collect()))
    })
    .collect()
}

#[test]
fn the_table_says_which_spans_there_are_and_what_they_tell() {
    let works = works::ALL.iter().map(|work| {
        let role = format!("{:?}", work.role).to_lowercase();
        let tells = work.tells.iter().map(|name| (*name).to_owned());
        (work.name.to_owned(), (role, tells.collect()))
    });
    assert_eq!(documented(), works.collect());
    for work in works::ALL {
        let personal = ["url.query", "url.full", "http.request.header", "user_agent"];
        let found = personal.iter().find(|name| work.tells.contains(*name));
        assert_eq!(found, None, "{}", work.name);
    }
}
