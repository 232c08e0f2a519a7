//! Bodies pass as they come, both ways, and connections to instances are used again with care.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use super::support::{Gate, HTML, TestInstance};

const SIZE: usize = 64 * 1024 * 1024;

async fn one() -> (TestInstance, Gate) {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    (one, gate)
}

#[tokio::test]
async fn each_chunk_arrives_before_the_body_ends() {
    for is_h2 in [false, true] {
        let (one, gate) = one().await;
        let mut client = if is_h2 {
            gate.h2().await
        } else {
            gate.h1().await
        };
        let body = Full::default().boxed();
        let mut response = client
            .open("GET", "/stream", &[("accept", "text/event-stream")], body)
            .await;
        for word in ["first", "second", "third"] {
            one.chunks.send(word).await.unwrap();
            let frame = tokio::time::timeout(Duration::from_secs(10), response.frame()).await;
            assert_eq!(frame.unwrap().unwrap().unwrap().into_data().unwrap(), word);
        }
    }
}

#[tokio::test]
async fn bodies_of_64_mib_pass_both_ways() {
    let (one, gate) = one().await;
    for mut client in gate.both().await {
        let big: Bytes = (0..SIZE).map(|at| (at % 251) as u8).collect();
        let echoed = client.send("POST", "/echo", &[HTML], big.clone()).await;
        assert_eq!(echoed.status, 200);
        assert!(echoed.body == big, "the bytes differ");
        let reply = client.send("PUT", "/upload", &[HTML], big).await;
        assert_eq!(reply.status, 200);
        assert_eq!(one.last().body_len, SIZE);
        assert_eq!(
            client
                .get(&format!("/zeros/{SIZE}"), &[HTML])
                .await
                .body
                .len(),
            SIZE
        );
    }
}

#[tokio::test]
async fn a_get_with_a_body_keeps_it() {
    let (one, gate) = one().await;
    let answer = gate
        .raw(
            "GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             3\r\nabc\r\n0\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(one.last().body_len, 3);
}

#[tokio::test]
async fn an_instance_that_breaks_off_gives_503_and_is_asked_once() {
    let (one, gate) = one().await;
    for mut client in gate.both().await {
        client.get("/", &[HTML]).await;
        let before = one.seen().len();
        let died = client
            .send("POST", "/die", &[HTML], Bytes::from("once"))
            .await;
        assert_eq!(died.status, 503);
        assert!(died.headers.contains_key("retry-after"));
        assert_eq!(one.seen().len(), before + 1, "a POST is never sent twice");
        let died = client.get("/die", &[HTML]).await;
        assert_eq!(died.status, 503);
        assert_eq!(
            client.get("/", &[HTML]).await.status,
            200,
            "the gate goes on"
        );
    }
}

#[tokio::test]
async fn expect_continue_is_answered_by_the_gate() {
    let (one, gate) = one().await;
    let answer = gate
        .raw("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab")
        .await;
    assert!(
        answer.contains("HTTP/1.1 100") && answer.contains("HTTP/1.1 200"),
        "{answer}"
    );
    assert!(!one.last().headers.contains_key("expect"));
}

#[tokio::test]
async fn hanging_up_hangs_up_on_the_instance() {
    let (one, gate) = one().await;
    let mut client = gate.h1().await;
    let asked = client
        .request("GET", "/hang", &[HTML])
        .body(Full::default().boxed())
        .unwrap();
    let arrived = async {
        while !one.seen().iter().any(|seen| seen.target == "/hang") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = client.send_request(asked) => panic!("it answers never"),
        () = arrived => {}
    }
    drop(client);
    while gate.front.presence.count() == 1 {
        gate.front
            .presence
            .sweep(std::time::Instant::now() + Duration::from_secs(100));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_its_connection_over_http2_too() {
    let one = TestInstance::start("vm1").await;
    let limit = Duration::from_millis(300);
    let gate = Gate::with(&[&one], |config| config.stall_timeout = limit).await;
    let mut client = gate.h2().await;
    let empty = || Full::default().boxed();
    // More than both windows of an HTTP/2 client.
    let never_read = client
        .open("GET", "/zeros/50000000", &[HTML], empty())
        .await;
    tokio::time::timeout(limit * 100, client.closed())
        .await
        .expect("it is kept for ever");
    drop(never_read);

    // Beside a tunnel or an event stream the connection lives on.
    let mut client = gate.h2().await;
    let hanging = client
        .request("GET", "/hang", &[HTML])
        .body(empty())
        .unwrap();
    let slow = client
        .open("GET", "/zeros/50000000", &[HTML], empty())
        .await;
    let hung = tokio::time::timeout(limit * 4, client.send_request(hanging)).await;
    assert!(hung.is_err(), "it answers never");
    assert_eq!(client.get("/", &[HTML]).await.status, 200);
    drop(slow);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_keeps_no_gate_that_is_to_end() {
    let one = TestInstance::start("vm1").await;
    let limit = Duration::from_millis(300);
    let gate = Gate::with(&[&one], |config| config.stall_timeout = limit).await;
    let mut client = gate.h2().await;
    let empty = Full::default().boxed();
    let never_read = client.open("GET", "/zeros/50000000", &[HTML], empty).await;
    gate.close();
    let is_ended = || {
        let told = gate.front.metrics.encode(&gate.pool.snapshot());
        told.contains(r#"poolgate_limit_hits_total{limit="https.stall_timeout"} 1"#)
    };
    let ended = async {
        while !is_ended() {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(limit * 100, ended).await;
    ended.expect("it is kept for ever");
    drop(never_read);
}
