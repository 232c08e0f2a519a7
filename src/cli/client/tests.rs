//! Which gate is asked.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::cli::args::ConfigArgs;

fn gate_of(config: Option<PathBuf>, socket: Option<PathBuf>) -> Result<String, Failure> {
    let config = ConfigArgs { config };
    let args = GateArgs {
        config,
        socket,
        url: None,
        token_file: None,
    };
    locate(&args).map(|gate| gate.to_string())
}

/// What a gate at this address is asked as, or why not.
fn at(url: &str, token: Option<&Path>) -> Result<String, String> {
    let args = GateArgs {
        config: ConfigArgs { config: None },
        socket: None,
        url: Some(url.to_owned()),
        token_file: token.map(Path::to_owned),
    };
    match locate(&args) {
        Ok(gate) => Ok(gate.to_string()),
        Err(Failure::Other(error)) => Err(format!("{error:#}")),
        Err(failure) => panic!("{failure:?}"),
    }
}

#[test]
fn an_address_is_asked_over_tls_unless_it_is_this_machines() {
    for url in [
        "https://gate.example",
        "https://10.0.0.4:9180/",
        "http://localhost:9180",
        "http://[::1]:9180",
        "http://127.0.0.1",
    ] {
        assert!(at(url, None).is_ok(), "{url}");
    }
    for url in ["http://gate.example", "http://10.0.0.4:9180"] {
        assert!(at(url, None).unwrap_err().contains("in the clear"), "{url}");
    }
    for url in [
        "gate.example",
        "ftp://gate.example",
        "https://gate.example/api/v1",
        "https://ada@gate.example",
        "https://gate.example/?x=1",
        "",
        "https://",
        "https://a b",
    ] {
        let told = at(url, None).unwrap_err();
        assert!(told.contains("write https://HOST"), "{url}: {told}");
    }
}

#[test]
fn a_token_comes_from_a_file_that_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let put = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        at("https://gate.example", Some(&file))
    };
    assert!(put("pgt_x\n", 0o600).is_ok());
    assert!(put("pgt_x\n", 0o640).unwrap_err().contains("chmod 600"));
    assert!(put("token: pgt_x\nline of admin.tokens_file: x\n", 0o600).is_ok());
    for text in ["", "\n", "a b\n", "pgt_x\nolivia viewer 00\n"] {
        let told = put(text, 0o600).unwrap_err();
        assert!(told.contains("holds no token"), "{told}");
    }
    let missing = folder.path().join("none");
    let told = at("https://gate.example", Some(&missing)).unwrap_err();
    assert!(told.contains("cannot read the token"), "{told}");
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
    assert_eq!(given, "/other");
    let configured = gate_of(Some(file.clone()), None).unwrap();
    assert_eq!(
        configured,
        folder.path().join("admin.sock").to_str().unwrap()
    );
    write("socket = \"off\"\nlisten = \"127.0.0.1:9999\"");
    assert_eq!(gate_of(Some(file.clone()), None).unwrap(), "127.0.0.1:9999");
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
    let state =
        crate::admin::AdminState::new(pool, (metrics, crate::files::FileFaults::default()), audit);
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
