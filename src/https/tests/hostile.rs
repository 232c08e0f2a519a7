//! The hostile requests of every reverse proxy's history: each is refused, and the instance never hears of it.

use super::support::{Gate, HTML, TestInstance};

#[tokio::test]
async fn ambiguous_requests_are_refused_with_400() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    for (what, request) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (
            "another authority",
            "GET https://evil/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("trace", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("connect", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
        (
            "dot segments",
            "GET /user/alice/../bob/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "coded dots",
            "GET /user/alice/%2e%2E/bob/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("empty segment", "GET //user/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "both lengths",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "both lengths, the other way",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "signed length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        ),
        (
            "odd coding",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        ),
        (
            "chunked not last",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        ),
        (
            "space before colon",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        ),
        (
            "coding in 1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "folded header",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        ),
    ] {
        let answer = gate.raw(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{what}: {answer}"
        );
    }
    assert!(one.seen().is_empty(), "{:?}", one.seen());
    assert!(gate.sessions().await.is_empty());
}

#[tokio::test]
async fn bad_chunks_are_the_clients_fault() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    let head = "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for _ in 0..5 {
        let answer = gate.raw(&format!("{head}3\r\nabc\r\nnot a size\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let snapshot = gate.published(|_| true).await;
    assert_eq!(
        snapshot.instances[0].services.jupyter,
        Some(crate::pool::Health::Up)
    );
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    let answer = gate.raw(&request).await;
    assert!(
        answer.starts_with("HTTP/1.1 431") || answer.is_empty(),
        "{answer}"
    );
    assert!(one.seen().is_empty());
}

#[tokio::test]
async fn what_only_a_proxy_may_say_cannot_be_said_by_a_client() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    for mut client in gate.both().await {
        let spoofed = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded_host", "evil"),
            ("x-forwarded-proto", "http"),
            ("x-scheme", "http"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
        ];
        client.get("/", &spoofed).await;
        let headers = one.last().headers;
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-real-ip"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-scheme"], "https");
        let host = format!("localhost:{}", gate.address.port());
        assert_eq!(headers["host"], host.as_str());
        assert_eq!(headers["x-forwarded-host"], host.as_str());
        for gone in ["x_forwarded_for", "x-forwarded_host", "forwarded"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }
}

#[tokio::test]
async fn paths_that_are_not_public_are_404() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    for mut client in gate.both().await {
        for path in [
            "/metrics",
            "/hub/metrics",
            "/hub/metrics/",
            "/%68ub/metrics",
            "/.poolgate/",
            "/.poolgate/wait",
        ] {
            assert_eq!(client.get(path, &[HTML]).await.status, 404, "{path}");
        }
        assert_eq!(client.get("/hub/api/", &[]).await.status, 200);
    }
    assert_eq!(one.seen().len(), 2);
}

#[tokio::test]
async fn silence_after_the_handshake_is_ended() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let one = TestInstance::start("vm1").await;
    let limit = std::time::Duration::from_millis(200);
    let gate = Gate::with(&[&one], |config| config.idle_timeout = limit).await;
    for (protocol, sent) in [
        ("http/1.1", ""),
        ("http/1.1", "PR"),
        ("http/1.1", "GET / HTTP/1.1\r\nHo"),
        ("h2", ""),
        ("h2", "PRI * HT"),
        ("h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let mut stream = gate.tls(&[protocol]).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = tokio::time::timeout(limit * 100, stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{protocol} {sent:?} stayed open");
    }
    let mut idle = gate.h2().await;
    idle.get("/", &[]).await;
    tokio::time::timeout(limit * 100, idle.closed())
        .await
        .expect("an idle connection stayed open");
}

#[tokio::test]
async fn a_body_that_stands_still_is_ended_and_is_the_clients_fault() {
    let one = TestInstance::start("vm1").await;
    let limit = std::time::Duration::from_millis(200);
    let gate = Gate::with(&[&one], |config| config.stall_timeout = limit).await;
    let answer = gate
        .raw("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let snapshot = gate.published(|_| true).await;
    assert_eq!(
        snapshot.instances[0].services.jupyter,
        Some(crate::pool::Health::Up)
    );
}
