//! What TLS the gate speaks, and what it says about files it cannot use.

use std::path::PathBuf;

use super::support::{Gate, HTML, TestInstance, config, write_pair};
use crate::https::Front;
use crate::shared_pool::SharedPool;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;

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
    match Front::build(&config, SharedPool::new(1), &[0; 32], audit, Metrics::new()) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_fault_names_the_file_and_the_remedy() {
    let cases = [
        (
            fault(|config, folder| config.private_key = folder.join("locked")),
            "locked",
            "passphrase",
        ),
        (
            fault(|config, folder| config.certificate = folder.join("absent")),
            "absent",
            "https.certificate: cannot read",
        ),
        (
            fault(|config, folder| config.private_key = folder.join("absent")),
            "absent",
            "https.private_key: cannot read",
        ),
        (
            fault(|config, folder| config.certificate = folder.join("empty")),
            "empty",
            "holds no certificate",
        ),
        (
            fault(|config, folder| config.certificate = folder.join("torn")),
            "torn",
            "not sound PEM",
        ),
        (
            fault(|config, folder| config.private_key = folder.join("empty")),
            "empty",
            "holds no private key",
        ),
        (
            fault(|config, folder| config.private_key = folder.join("gate.crt")),
            "gate.crt",
            "holds no private key",
        ),
        (
            fault(|config, folder| config.private_key = folder.join("other.key")),
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
    let gate = Gate::with(&[&one], |config| paths = Some(config.certificate.clone())).await;
    let mut before = gate.h2().await;
    let folder = paths.unwrap().parent().unwrap().to_owned();
    let renewed = write_pair(&folder, "gate");
    gate.front.reload_certificate().unwrap();
    let served = gate.served_certificate().await;
    assert!(served == renewed, "the old certificate is still served");
    assert_eq!(before.get("/", &[HTML]).await.status, 200);

    std::fs::write(folder.join("gate.key"), "").unwrap();
    assert!(gate.front.reload_certificate().is_err());
    assert!(
        gate.served_certificate().await == renewed,
        "a bad pair must change nothing"
    );
}
