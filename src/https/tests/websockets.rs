//! WebSockets over both protocols: the switch, the bytes, the end, and answers that do not switch.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Client, Gate, HTML, TestInstance};

const SUBPROTOCOL: (&str, &str) = ("sec-websocket-protocol", "v1.kernel.websocket.jupyter.org");
const DEFLATE: (&str, &str) = ("sec-websocket-extensions", "permessage-deflate");

async fn ask(client: &mut Client, path: &str) -> http::Response<hyper::body::Incoming> {
    let common = [SUBPROTOCOL, DEFLATE, ("sec-websocket-version", "13")];
    let request = if client.is_h2() {
        let request = client.request("CONNECT", path, &common);
        request.extension(Protocol::from_static("websocket"))
    } else {
        let switch = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZQ=="),
        ];
        let mut request = client.request("GET", path, &common);
        for (name, value) in switch {
            request = request.header(name, value);
        }
        request
    };
    client
        .send_request(request.body(Empty::new().boxed()).unwrap())
        .await
}

#[tokio::test]
async fn both_kinds_are_relayed_byte_for_byte() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    for mut client in gate.both().await {
        client.get("/", &[HTML]).await;
        let response = ask(&mut client, "/user/alice/ws").await;
        assert_eq!(response.status(), if client.is_h2() { 200 } else { 101 });
        assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL.1);
        assert_eq!(
            response.headers().contains_key("sec-websocket-accept"),
            !client.is_h2()
        );
        let seen = one.last();
        assert_eq!(seen.method, "GET");
        assert_eq!(seen.target, "/user/alice/ws");
        assert_eq!(seen.headers["upgrade"], "websocket");
        assert_eq!(seen.headers["sec-websocket-extensions"], DEFLATE.1);
        assert_eq!(seen.headers["sec-websocket-version"], "13");
        assert!(seen.headers["sec-websocket-key"].len() >= 16);
        assert!(!seen.headers.contains_key("cookie"), "the pin stays here");

        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        for word in ["a frame", "and another"] {
            tunnel.write_all(word.as_bytes()).await.unwrap();
            tunnel.flush().await.unwrap();
            let mut answer = vec![0; word.len()];
            tunnel.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, word.to_uppercase().as_bytes());
        }
        tunnel.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(20), tunnel.read_to_end(&mut rest));
        let _ = end.await.expect("the tunnel did not end");
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_does_not_switch_is_passed_on() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    for mut client in gate.both().await {
        client.get("/", &[HTML]).await;
        let success = if client.is_h2() { 400 } else { 200 };
        for (path, status) in [("/forbidden", 403), ("/not-a-socket", success)] {
            let response = ask(&mut client, path).await;
            assert_eq!(response.status(), status);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "vm1");
        }
        assert_eq!(client.get("/", &[HTML]).await.status, 200);
    }
}

#[tokio::test]
async fn other_protocols_are_not_switched_to() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    let mut client = gate.h1().await;
    let h2c = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AA"),
    ];
    assert_eq!(client.get("/", &h2c).await.status, 200);
    let headers = one.last().headers;
    assert!(!headers.contains_key("upgrade") && !headers.contains_key("http2-settings"));
}

#[tokio::test]
async fn a_tunnel_ends_with_its_session() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    for mut client in gate.both().await {
        client.get("/", &[HTML]).await;
        let response = ask(&mut client, "/ws").await;
        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        tunnel.write_all(b"x").await.unwrap();
        assert_eq!(tunnel.read_u8().await.unwrap(), b'X');
        // As long as the tunnel is open, its browser is there.
        gate.front
            .presence
            .sweep(std::time::Instant::now() + Duration::from_secs(100_000));
        let sessions = gate
            .published(|snapshot| snapshot.sessions.len() == 1)
            .await
            .sessions
            .clone();
        gate.pool.evict(sessions[0].id);
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(20), tunnel.read_to_end(&mut rest));
        let _ = end.await.expect("the tunnel did not end");
        gate.front.presence.sweep(std::time::Instant::now());
    }
}

#[tokio::test]
async fn a_tunnel_to_a_dead_instance_is_503() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    let mut client = gate.h2().await;
    client.get("/", &[HTML]).await;
    one.kill().await;
    assert_eq!(ask(&mut client, "/ws").await.status(), 503);
}
