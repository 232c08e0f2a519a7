//! Which gate is asked.

use super::*;
use crate::cli::args::ConfigArgs;

fn gate_of(config: Option<PathBuf>, socket: Option<PathBuf>) -> Result<Gate, Failure> {
    let config = ConfigArgs { config };
    locate(&GateArgs { config, socket })
}

#[test]
fn the_socket_comes_from_the_arguments_or_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let write = |admin: &str| {
        let text = format!(
            "[ssh]\nlisten = [\"127.0.0.1:2222\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n[admin]\n{admin}\n\
             [pools.a.fleet]\nprovider = \"static\"\ninstances = [{{ name = \"vm1\", address = \"h\" }}]\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("socket = \"admin.sock\"");
    let given = gate_of(Some(file.clone()), Some("/other".into())).unwrap();
    assert_eq!(given, Gate::Socket("/other".into()));
    let configured = gate_of(Some(file.clone()), None).unwrap();
    assert_eq!(configured, Gate::Socket(folder.path().join("admin.sock")));
    write("socket = \"off\"\nlisten = \"127.0.0.1:9999\"");
    let address = "127.0.0.1:9999".parse().unwrap();
    assert_eq!(
        gate_of(Some(file.clone()), None).unwrap(),
        Gate::Address(address)
    );
    write("socket = \"off\"\nlisten = \"off\"");
    assert!(matches!(gate_of(Some(file), None), Err(Failure::Other(_))));
    assert!(matches!(
        gate_of(Some("/nowhere".into()), None),
        Err(Failure::Config(_))
    ));
}

#[tokio::test]
async fn a_gate_answers_over_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let pool = crate::shared_pool::SharedPool::new(1);
    let audit = crate::telemetry::audit::AuditLog::open(None).unwrap();
    let metrics = crate::telemetry::metrics::Metrics::new();
    let state = crate::admin::AdminState::new(pool, metrics, audit);
    let socket = crate::admin::bind_socket(&path).unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn(crate::admin::serve_both(
        state,
        None,
        Some(socket),
        shutdown.clone(),
    ));
    let gate = Gate::Socket(path);
    let answer = gate.ask(&reading("/api/v1/status")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let status: crate::admin::Status = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert!(!status.readiness.ready, "no instance is up");
    shutdown.cancel();
    serving.await.unwrap();
    let refused = gate.ask(&reading("/livez")).await.err().unwrap();
    assert!(
        format!("{refused:#}").contains("is the gate running?"),
        "{refused:#}"
    );
}

fn reading(path: &str) -> Question<'_> {
    Question { path, json: None }
}
