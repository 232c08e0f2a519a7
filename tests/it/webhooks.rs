//! A channel that is told: a receiver over TLS, a real gate, and each thing that wants attention really happening.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::support::client::host;
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World};

const WAIT: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Whoever the gate tells: takes every message, over TLS with a certificate of its own.
struct Channel {
    port: u16,
    messages: Receiver<Value>,
}

impl Channel {
    fn open(world: &World) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(world.path("channel.pem"), made.cert.pem()).unwrap();
        let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, messages) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                // Who does not believe the certificate sends nothing.
                if let Some(message) = message(&mut stream) {
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    let _ = stream.write_all(answer.as_bytes());
                    if told.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        Self { port, messages }
    }

    /// Lines for the environment of a gate that tells this channel.
    fn told_by(&self, world: &World, setup: GateSetup, form: &str, authority: &str) -> GateSetup {
        let url = world.path("team.url");
        let address = format!("https://127.0.0.1:{}/hook/s3cret\n", self.port);
        std::fs::write(&url, address).unwrap();
        let file = world.path(authority);
        setup
            .variable("POOLGATE__WEBHOOKS__TEAM__URL_FILE", url.to_str().unwrap())
            .variable("POOLGATE__WEBHOOKS__TEAM__FORM", form)
            .variable("POOLGATE__WEBHOOKS__TEAM__CA_FILE", file.to_str().unwrap())
    }

    /// The first message that holds this.
    fn wait(&self, text: &str) -> Value {
        loop {
            let message = self.messages.recv_timeout(WAIT);
            let message = message.unwrap_or_else(|_| panic!("nobody tells of {text:?}"));
            if message.to_string().contains(text) {
                return message;
            }
        }
    }
}

fn message(stream: &mut impl Read) -> Option<Value> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if let Some(Ok(message)) = body.map(serde_json::from_str) {
            assert!(text.starts_with("POST /hook/s3cret HTTP/1.1\r\n"), "{text}");
            return Some(message);
        }
    }
}

/// A certificate of the browsers' door that ends in five days of ninety.
fn ending_certificate(world: &World) {
    let now = SystemTime::now();
    let mut params = CertificateParams::new(vec!["pool.example".to_owned()]).unwrap();
    params.not_before = (now - DAY * 85).into();
    params.not_after = (now + DAY * 5).into();
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    std::fs::write(world.path("tls.pem"), made.pem()).unwrap();
    std::fs::write(world.path("tls.key"), key.serialize_pem()).unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.path("tls.key"), mode).unwrap();
}

fn stay(gate: &Gate, world: &World) -> Running {
    let person = world.person(1);
    let log = std::fs::File::create(world.path("client")).unwrap();
    let mut ssh = gate.door(world).ssh(&person);
    ssh.arg(host(&person))
        .arg("while echo .; do sleep 0.2; done");
    Running::start_logged(&mut ssh, log)
}

#[test]
fn a_channel_hears_of_an_eviction_an_end_and_a_refused_reload() {
    let world = World::new();
    ending_certificate(&world);
    let channel = Channel::open(&world);
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let setup = GateSetup::over(&sshds).https("");
    let gate = channel
        .told_by(&world, setup, "slack", "channel.pem")
        .start(&world);
    let told = channel.wait("certificate pool.example ends in 1");
    assert!(
        told["text"]
            .as_str()
            .unwrap()
            .contains("a certificate ends soon"),
        "{told}"
    );

    let _client = stay(&gate, &world);
    gate.wait_sessions(1);
    let session = gate.sessions()[0]["id"].as_str().unwrap().to_owned();
    let reason = "<!channel> out of hours & more";
    gate.cli(&["evict", &session, "--reason", reason]).ok();
    let told = channel.wait("a session was ended");
    let text = told["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(
        text.contains("main/vm1: ") && text.contains("&lt;!channel&gt; out of hours &amp; more"),
        "{told}"
    );
    assert!(!told.to_string().contains("<!"), "{told}");

    std::fs::write(&gate.config, "[ssh\n").unwrap();
    gate.hang_up();
    channel.wait("a reload was refused");
    let metrics = gate.admin("/metrics").1;
    assert!(
        metrics.contains("poolgate_webhook_messages_total{webhook=\"team\",outcome=\"sent\"}"),
        "{metrics}"
    );
    assert!(!gate.log().contains("s3cret"), "{}", gate.log());
    gate.stop();
}

/// The cloud gives no machine to a pool that sleeps, and somebody waits at the door.
#[test]
fn a_channel_hears_that_people_wait_and_nothing_comes_up() {
    let world = World::new();
    let channel = Channel::open(&world);
    let script = world.path("fleet");
    let refusal = "{\"error\":{\"kind\":\"quota\",\"message\":\"16 of 16 cores used\"}}";
    let text = format!(
        "#!/bin/sh\nread -r request\ncase $request in *'\"list\"'*) echo '{{\"machines\":[]}}' ;; *) echo '{refusal}' ;; esac\n"
    );
    std::fs::write(&script, text).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let setup = GateSetup::default()
        .scaling("max = 3")
        .fleet(&format!("provider = \"command\"\ncommand = [{script:?}]"));
    let gate = channel
        .told_by(&world, setup, "teams", "channel.pem")
        .start(&world);
    let _client = stay(&gate, &world);
    let told = channel.wait("people wait and no machine comes up");
    assert!(told.to_string().contains("16 of 16 cores used"), "{told}");
    let content = &told["attachments"][0]["content"];
    assert_eq!(content["type"], "AdaptiveCard");
    gate.stop();
}

#[test]
fn a_webhook_is_tried_from_the_command_line() {
    let world = World::new();
    let channel = Channel::open(&world);
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let url = world.path("team.url");
    let gate = GateSetup::over(&sshds).start(&world);
    let config = std::fs::read_to_string(&gate.config).unwrap();
    let write = |address: &str, authority: &str| {
        std::fs::write(&url, address).unwrap();
        let authority = world.path(authority);
        let more = format!(
            "[webhooks.team]\nurl_file = {url:?}\nform = \"teams\"\nca_file = {authority:?}\n"
        );
        std::fs::write(&gate.config, format!("{config}{more}")).unwrap();
    };
    let address = format!("https://127.0.0.1:{}/hook/s3cret", channel.port);
    write(&address, "channel.pem");
    let tried = gate.cli(&["webhook", "team"]).ok();
    assert_eq!(tried.stdout, "webhooks.team: taken, 200 OK\n");
    channel.wait("if you can read this, the webhook team works");

    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(world.path("other.pem"), other.cert.pem()).unwrap();
    write(&address, "other.pem");
    let refused = gate.cli(&["webhook", "team"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = &refused.stderr;
    assert!(
        told.contains("certificate") && !told.contains("s3cret"),
        "{told}"
    );

    write("http://169.254.169.254/metadata/s3cret", "channel.pem");
    let refused = gate.cli(&["webhook", "team"]);
    let told = &refused.stderr;
    assert!(
        told.contains("169.254.169.254 has no address that may be asked"),
        "{told}"
    );
    let unknown = gate.cli(&["webhook", "teams"]);
    assert!(
        unknown
            .stderr
            .contains("no webhook is called teams: there are team"),
        "{}",
        unknown.stderr
    );
    gate.stop();
}
