//! What TLS the gate speaks, and what it says about files it cannot use.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::support::{Gate, HTML, TestInstance, config, files, write_named, write_pair};
use crate::files::FileFaults;
use crate::https::Front;
use crate::https::Reread;
use crate::shared_pool::SharedPool;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

fn fault(change: impl FnOnce(&mut crate::config::HttpsConfig, PathBuf)) -> String {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), "gate");
    write_pair(folder.path(), "other");
    std::fs::write(folder.path().join("empty"), "").unwrap();
    std::fs::write(
        folder.path().join("torn"),
        "-----BEGIN CERTIFICATE-----\nAAAA",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("locked"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA",
    )
    .unwrap();
    let mut config = config(folder.path(), "gate");
    change(&mut config, folder.path().to_owned());
    let audit = AuditLog::open(None).unwrap();
    let (pool, metrics) = (SharedPool::new(1), Metrics::new());
    let told = (metrics, Traces::default(), FileFaults::default());
    match Front::build(&config, &BTreeMap::new(), pool, &[0; 32], audit, told) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    }
}

/// As a reload with the same settings does.
fn reload(gate: &Gate) -> Option<String> {
    match gate
        .front
        .renew(&gate.front.config, &BTreeMap::new(), Reread::All)
    {
        Ok(renewed) => drop(renewed.take_over()),
        Err(error) => return Some(error.to_string()),
    }
    None
}

#[test]
fn each_fault_names_the_file_and_the_remedy() {
    let cases = [
        (
            fault(|config, folder| config.certificates[0].private_key = folder.join("locked")),
            "locked",
            "passphrase",
        ),
        (
            fault(|config, folder| config.certificates[0].certificate = folder.join("absent")),
            "absent",
            "https.certificate: cannot read",
        ),
        (
            fault(|config, folder| config.certificates[0].private_key = folder.join("absent")),
            "absent",
            "https.private_key: cannot read",
        ),
        (
            fault(|config, folder| config.certificates[0].certificate = folder.join("empty")),
            "empty",
            "holds no certificate",
        ),
        (
            fault(|config, folder| config.certificates[0].certificate = folder.join("torn")),
            "torn",
            "not sound PEM",
        ),
        (
            fault(|config, folder| config.certificates[0].private_key = folder.join("empty")),
            "empty",
            "holds no private key",
        ),
        (
            fault(|config, folder| config.certificates[0].private_key = folder.join("gate.crt")),
            "gate.crt",
            "holds no private key",
        ),
        (
            fault(|config, folder| config.certificates[0].private_key = folder.join("other.key")),
            "other.key",
            "does not belong",
        ),
    ];
    for (message, file, remedy) in cases {
        assert!(
            message.contains(file) && message.contains(remedy),
            "{message}"
        );
        assert!(!message.contains('\n'), "{message}");
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart() {
    let one = TestInstance::start("vm1").await;
    let mut paths = None;
    let gate = Gate::with(&[&one], |config| {
        paths = Some(config.certificates[0].certificate.clone())
    })
    .await;
    let mut before = gate.h2().await;
    let folder = paths.unwrap().parent().unwrap().to_owned();
    let renewed = write_pair(&folder, "gate");
    assert_eq!(reload(&gate), None);
    let served = gate.served_certificate().await;
    assert!(served == renewed, "the old certificate is still served");
    assert_eq!(before.get("/", &[HTML]).await.status, 200);

    std::fs::write(folder.join("gate.key"), "").unwrap();
    let fault = reload(&gate).unwrap();
    assert!(fault.contains("gate.key"), "{fault}");
    assert!(
        gate.served_certificate().await == renewed,
        "a bad pair must change nothing"
    );
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_others_the_first() {
    let one = TestInstance::start("vm1").await;
    let mut written = Vec::new();
    let gate = Gate::with(&[&one], |config| {
        let folder = config.certificates[0]
            .certificate
            .parent()
            .unwrap()
            .to_owned();
        for (file, names) in [("exact", "GPU.pool.example"), ("wild", "*.pool.example")] {
            written.push(write_named(&folder, file, names));
            config.certificates.push(files(&folder, file));
        }
    })
    .await;
    let first = gate.shown_to("localhost").await;
    assert!(gate.shown_to("gpu.pool.example").await == written[0]);
    assert!(gate.shown_to("cpu.pool.example").await == written[1]);
    for other in ["a.b.pool.example", "pool.example", "elsewhere", "127.0.0.1"] {
        assert!(gate.shown_to(other).await == first, "{other}");
    }
}

#[tokio::test]
async fn changed_files_are_taken_without_a_signal_and_bad_ones_are_not() {
    let one = TestInstance::start("vm1").await;
    let mut paths = None;
    let gate = Gate::with(&[&one], |config| {
        paths = Some(config.certificates[0].clone())
    })
    .await;
    let files = paths.unwrap();
    let folder = files.certificate.parent().unwrap().to_owned();
    let certificates = gate.front.certificates.clone();
    let look = || {
        certificates.reload_changed();
        certificates.reload_changed();
    };
    let before = gate.served_certificate().await;
    look();
    assert!(gate.served_certificate().await == before);

    // Half of a renewal, as between two writes of an ACME client.
    let renewed = write_pair(&folder, "next");
    std::fs::copy(folder.join("next.crt"), &files.certificate).unwrap();
    look();
    assert!(gate.served_certificate().await == before);
    std::fs::rename(folder.join("next.key"), &files.private_key).unwrap();
    certificates.reload_changed();
    assert!(
        gate.served_certificate().await == before,
        "not before it stood still"
    );
    certificates.reload_changed();
    assert!(gate.served_certificate().await == renewed);

    let ended = super::support::write_ended(&folder, "gate");
    look();
    assert!(reload(&gate).unwrap().contains("not valid at this time"));
    assert!(gate.served_certificate().await == renewed && ended != renewed);
    let metrics = gate.front.metrics.encode(&*gate.published(|_| true).await);
    assert!(
        metrics.contains("poolgate_tls_certificate_reloads_total{outcome=\"refused\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("poolgate_tls_certificate_not_after_seconds{certificate=\"localhost\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn browsers_are_told_to_stay_with_https_by_the_gate_alone() {
    let one = TestInstance::start("vm1").await;
    let day = std::time::Duration::from_secs(24 * 3600);
    let gate = Gate::with(&[&one], |config| config.hsts = Some(day)).await;
    for mut client in gate.both().await {
        for path in ["/", "/metrics"] {
            let answer = client.get(path, &[]).await;
            let said: Vec<_> = answer
                .headers
                .get_all("strict-transport-security")
                .iter()
                .collect();
            assert_eq!(said, ["max-age=86400"], "{path}");
        }
    }
}

#[tokio::test]
async fn tickets_resume_sessions_in_both_versions() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let kinds = gate.two_handshakes(version).await;
        assert_eq!(kinds[0], Some(rustls::HandshakeKind::Full));
        assert_eq!(
            kinds[1],
            Some(rustls::HandshakeKind::Resumed),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn without_tls_people_are_sent_over_and_nothing_else_is_done() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let one = TestInstance::start("vm1").await;
    let gate = Gate::with(&[&one], |config| config.redirect.to_port = 8443).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    gate.front
        .certificates
        .challenges
        .answer_with_text("token", "token.proof");
    for (request, status, holds) in [
        (
            "GET /a?b=c HTTP/1.1\r\nHost: pool:80\r\n\r\n",
            "308",
            "location: https://pool:8443/a?b=c\r\n",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 9\r\n\r\n",
            "308",
            "location: https://[::1]:8443/a\r\n",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "400", "no host"),
        ("GET / HTTP/1.1\r\nHost: a@evil\r\n\r\n", "400", "malformed"),
        (
            "GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "400",
            "different hosts",
        ),
        (
            "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a\r\n\r\n",
            "200",
            "token.proof",
        ),
        (
            "GET /.well-known/acme-challenge/other HTTP/1.1\r\nHost: a\r\n\r\n",
            "404",
            "not found",
        ),
    ] {
        let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let serving = gate
            .front
            .clone()
            .serve_redirect(stream, peer, Default::default());
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let (read, ()) = tokio::join!(client.read_to_string(&mut answer), serving);
        read.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(holds),
            "{answer}"
        );
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert!(one.seen().is_empty());
}
