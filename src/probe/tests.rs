//! Probes against real sockets: each kind of server that an instance can turn into.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that does `each` with every connection; returns its port.
async fn server<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    port
}

async fn says(text: &'static str) -> u16 {
    server(move |mut stream| async move {
        let mut request = [0; 512];
        if text.starts_with("HTTP") {
            let _ = stream.read(&mut request).await;
        }
        let _ = stream.write_all(text.as_bytes()).await;
        // Closing only after the peer did keeps a late request from turning the answer into a reset.
        let _ = stream.read(&mut request).await;
    })
    .await
}

async fn silent() -> u16 {
    server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await
}

async fn refusing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

async fn probe(service: Protocol, port: u16, patience_ms: u64) -> Health {
    let deadline = Instant::now() + Duration::from_millis(patience_ms);
    probe_once("127.0.0.1", port, service, &PLAIN, deadline)
        .await
        .health
}

#[tokio::test]
async fn ssh_is_up_only_with_an_identification() {
    let long = 10_000;
    assert_eq!(
        probe(Protocol::Ssh, says("SSH-2.0-x\r\n").await, long).await,
        Health::Up
    );
    let garbage = says("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(probe(Protocol::Ssh, garbage, 300).await, Health::Down);
    assert_eq!(
        probe(Protocol::Ssh, silent().await, 100).await,
        Health::Down
    );
    assert_eq!(
        probe(Protocol::Ssh, refusing().await, long).await,
        Health::Down
    );
    let closing = server(|stream| async move { drop(stream) }).await;
    assert_eq!(probe(Protocol::Ssh, closing, long).await, Health::Down);
}

#[tokio::test]
async fn a_hub_is_up_with_200_and_takes_no_logins_otherwise() {
    let long = 10_000;
    let ok = says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(probe(Protocol::Jupyter, ok, long).await, Health::Up);
    for booting in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n",
    ] {
        let port = says(booting).await;
        assert_eq!(probe(Protocol::Jupyter, port, long).await, Health::NoLogins);
    }
    assert_eq!(
        probe(Protocol::Jupyter, silent().await, 100).await,
        Health::NoLogins
    );
    assert_eq!(
        probe(Protocol::Jupyter, refusing().await, long).await,
        Health::Down
    );
    let closing = server(|stream| async move { drop(stream) }).await;
    assert_eq!(probe(Protocol::Jupyter, closing, long).await, Health::Down);
}

fn instance(name: &str, ssh_port: u16, jupyter_port: Option<u16>) -> Instance {
    Instance {
        id: InstanceId {
            pool: "main".into(),
            name: name.into(),
        },
        address: "127.0.0.1".into(),
        ssh_port,
        jupyter_port,
        capacity: 8,
        generation: 0,
    }
}

const PLAIN: Way<'static> = Way {
    says_proxy: false,
    tls: None,
};

fn health(interval_ms: u64) -> ProbeConfig {
    ProbeConfig {
        health: HealthConfig {
            interval: Duration::from_millis(interval_ms),
            timeout: Duration::from_secs(10),
            rise: 1,
            fall: 3,
        },
        says_proxy: false,
        tls: None,
    }
}

type Seen = Arc<Mutex<Vec<(String, Protocol, Health)>>>;

/// A report that keeps what it was told, and the means to wait until that holds something.
fn recorder() -> (impl Report, Seen, Arc<Notify>) {
    let (seen, told) = (Seen::default(), Arc::new(Notify::new()));
    let (kept, notify) = (Arc::clone(&seen), Arc::clone(&told));
    let report = move |id: &InstanceId, service: Protocol, answer: &Answer, _: Duration| {
        let entry = (id.name.to_string(), service, answer.health);
        kept.lock().unwrap().push(entry);
        notify.notify_one();
        None
    };
    (report, seen, told)
}

async fn until(told: &Notify, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            told.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it never came to that");
}

#[tokio::test]
async fn probes_follow_the_listing() {
    let (ssh, hub) = (
        says("SSH-2.0-x\r\n").await,
        says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await,
    );
    let (report, seen, told) = recorder();
    let (sender, listing) = watch::channel(vec![instance("a", ssh, Some(hub))]);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(follow(health(10), listing, shutdown.clone(), report));
    let has = |name: &str, service| {
        let seen = seen.lock().unwrap();
        seen.contains(&(name.to_string(), service, Health::Up))
    };
    until(&told, || {
        has("a", Protocol::Ssh) && has("a", Protocol::Jupyter)
    })
    .await;

    sender.send_replace(vec![instance("b", ssh, None)]);
    until(&told, || has("b", Protocol::Ssh)).await;
    seen.lock().unwrap().clear();
    let count_b = || seen.lock().unwrap().iter().filter(|s| s.0 == "b").count();
    until(&told, || count_b() >= 5).await;
    let late_a = seen.lock().unwrap().iter().filter(|s| s.0 == "a").count();
    assert!(late_a <= 2, "a is gone and was still probed {late_a} times");
    assert!(!has("b", Protocol::Jupyter), "b runs no hub");

    shutdown.cancel();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_service_that_is_starting_is_found_before_the_interval_is_over() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    // Answers from the third connection on, as a machine does that boots.
    let port = server(move |mut stream| {
        let attempt = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if attempt >= 2 {
                let _ = stream.write_all(b"SSH-2.0-x\r\n").await;
            }
        }
    })
    .await;
    let (report, seen, told) = recorder();
    let (_sender, listing) = watch::channel(vec![instance("a", port, None)]);
    let hour = 3_600_000;
    let task = tokio::spawn(follow(
        health(hour),
        listing,
        CancellationToken::new(),
        report,
    ));
    until(&told, || {
        seen.lock().unwrap().iter().any(|s| s.2 == Health::Up)
    })
    .await;
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    task.abort();
}

#[test]
fn jitter_only_shortens() {
    let interval = Duration::from_secs(2);
    for round in 0..1000 {
        let drawn = jittered(interval, round);
        assert!(
            drawn >= interval.mul_f64(0.8) && drawn <= interval,
            "{drawn:?}"
        );
    }
}
