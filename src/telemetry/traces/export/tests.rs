//! Spans on their way to collectors of the test: what is sent and what is counted, whatever they answer.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::pool::Snapshot;
use crate::telemetry::traces::tests::config;
use crate::telemetry::traces::works;

const WAIT: Duration = Duration::from_secs(20);

/// What a collector was sent: its head, and what it tells.
struct Received {
    head: String,
    message: ExportTraceServiceRequest,
}

impl Received {
    fn names(&self) -> Vec<&str> {
        let spans = self.message.resource_spans.iter();
        let spans = spans.flat_map(|resource| &resource.scope_spans);
        let spans = spans.flat_map(|scope| &scope.spans);
        spans.map(|span| &*span.name).collect()
    }
}

/// Answers with these, the last to all that follow.
async fn collector(answers: Vec<Vec<u8>>) -> (u16, mpsc::Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, received) = mpsc::channel(8);
    tokio::spawn(async move {
        for count in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let end = loop {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                let end = request.windows(4).position(|part| part == b"\r\n\r\n");
                if let Some(end) = end {
                    break end + 4;
                }
            };
            let head = String::from_utf8(request[..end].to_vec()).unwrap();
            let length = head.split_once("content-length: ").unwrap().1;
            let length: usize = length.split_once('\r').unwrap().0.parse().unwrap();
            while request.len() < end + length {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let message = ExportTraceServiceRequest::decode(&request[end..]).unwrap();
            told.send(Received { head, message }).await.unwrap();
            let answer = answers.get(count).or(answers.last()).unwrap();
            stream.write_all(answer).await.unwrap();
        }
    });
    (port, received)
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Traces that are sent there, and what is counted of them.
fn sending(port: u16, more: &str) -> (Traces, Metrics) {
    let (traces, metrics) = (Traces::default(), Metrics::new());
    let config = config(&format!(
        "endpoint = \"http://127.0.0.1:{port}\"\ninterval = \"100ms\"\ntimeout = \"1s\"\n{more}"
    ));
    change(&traces, Some(Exporter::of(&config).unwrap()), &metrics);
    (traces, metrics)
}

async fn next(received: &mut mpsc::Receiver<Received>) -> Received {
    let next = tokio::time::timeout(WAIT, received.recv()).await;
    next.expect("a message").unwrap()
}

/// How many spans came to this.
fn counted(metrics: &Metrics, outcome: &str) -> u64 {
    let text = metrics.encode(&Snapshot::default());
    let sample = format!("poolgate_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&sample));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_collector_is_told_of_spans_and_of_whom_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(
        &file,
        "# of the team\nAuthorization: Bearer s3cret\n\nx-scope : a b\n",
    )
    .unwrap();
    let (port, mut received) = collector(vec![answer("200 OK", b"")]).await;
    let more = format!(
        "headers_file = {file:?}\nservice_name = \"gate\"\nresource_attributes = [\"a.b=c\"]"
    );
    let (traces, metrics) = sending(port, &more);
    drop(traces.begin(&works::SSH_LOGIN));
    let got = next(&mut received).await;
    assert_eq!(got.names(), ["ssh login"]);
    assert!(
        got.head.starts_with("POST /v1/traces HTTP/1.1\r\n"),
        "{}",
        got.head
    );
    for line in [
        "content-type: application/x-protobuf",
        "authorization: Bearer s3cret",
        "x-scope: a b",
    ] {
        assert!(got.head.contains(line), "{}", got.head);
    }
    let resource = got.message.resource_spans[0].resource.as_ref().unwrap();
    let told = format!("{:?}", resource.attributes);
    for name in [
        "service.name",
        "service.version",
        "service.instance.id",
        "host.name",
        "process.pid",
        "telemetry.sdk.name",
        "a.b",
    ] {
        assert!(told.contains(&format!("{name:?}")), "no {name} in {told}");
    }
    assert!(
        told.contains("\"gate\"") && !told.contains("unknown_service"),
        "{told}"
    );
    // The last spans go out with the end of the process.
    drop(traces.begin(&works::FLEET_LOOK));
    traces.close(WAIT).await;
    assert_eq!(next(&mut received).await.names(), ["fleet look"]);
    assert_eq!(counted(&metrics, "sent"), 2);
    assert!(!traces.begin(&works::FLEET_LOOK).is_kept());
}

#[tokio::test]
async fn what_a_collector_refuses_is_lost_and_what_it_cannot_take_now_is_tried_again() {
    let partial = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "too old".to_owned(),
        }),
    };
    let answers = vec![
        answer("503 Service Unavailable", b""),
        b"what?\r\n\r\n".to_vec(),
        answer("200 OK", &partial.encode_to_vec()),
        answer("400 Bad Request", b"no"),
    ];
    let (port, mut received) = collector(answers).await;
    let (traces, metrics) = sending(port, "");
    drop(traces.begin(&works::SSH_LOGIN));
    for _ in 0..3 {
        assert_eq!(next(&mut received).await.names(), ["ssh login"]);
    }
    drop(traces.begin(&works::FLEET_LOOK));
    assert_eq!(next(&mut received).await.names(), ["fleet look"]);
    traces.close(WAIT).await;
    assert_eq!(
        (counted(&metrics, "sent"), counted(&metrics, "refused")),
        (0, 2)
    );
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (traces, metrics) = sending(port, "queue_max = 64");
    drop(traces.begin(&works::SSH_LOGIN));
    // It has taken the connection and says nothing.
    let (_held, _) = listener.accept().await.unwrap();
    for _ in 0..100 {
        drop(traces.begin(&works::FLEET_LOOK));
    }
    assert!(counted(&metrics, "queue-full") >= 36);
    traces.close(WAIT).await;
    let lost = counted(&metrics, "unreachable") + counted(&metrics, "queue-full");
    assert_eq!((counted(&metrics, "sent"), lost), (0, 101));
}

#[tokio::test]
async fn a_collector_is_examined_without_a_span() {
    let (port, mut received) = collector(vec![answer("200 OK", b""), answer("401 No", b"")]).await;
    let config = config(&format!("endpoint = \"http://127.0.0.1:{port}/v1/traces\""));
    assert_eq!(examine(&config).await, Ok("takes traces".to_owned()));
    assert!(next(&mut received).await.names().is_empty());
    let refused = examine(&config).await.unwrap_err();
    assert!(
        refused.contains("401") && refused.contains("headers_file"),
        "{refused}"
    );
}

#[test]
fn a_file_of_headers_that_holds_others_is_refused_without_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    let more = format!("headers_file = {file:?}");
    let refusal = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Exporter::of(&config(&more)).err().unwrap()
    };
    for text in [
        "a: b\ns3cret",
        "s3cret word: x",
        "authorization: s3cret\u{1}",
    ] {
        let told = refusal(text);
        assert!(told.starts_with("traces.headers_file: line"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    assert!(refusal("").contains("is empty"));
}
