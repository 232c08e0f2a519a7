//! A gate on a loopback port, and ways to look into it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::TestInstance;
use super::browser::{Client, Sender};
use crate::config::{CertificateFiles, HttpsConfig, PoolHosts, RedirectConfig};
use crate::files::FileFaults;
use crate::https::Front;
use crate::net::current::Current;
use crate::pool::{Health, Instance, PlacementPolicy, PoolRules, Protocol};
use crate::shared_pool::SharedPool;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// The front door on a port of its own, over a pool named `main`.
pub struct Gate {
    pub address: SocketAddr,
    pub front: Arc<Front>,
    pub pool: SharedPool,
    certificate: CertificateDer<'static>,
    folder: tempfile::TempDir,
    shutdown: CancellationToken,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Gate {
    /// Takes nothing new from here on.
    pub fn close(&self) {
        self.shutdown.cancel();
    }

    pub async fn start(instances: &[&TestInstance]) -> Self {
        Self::with(instances, |_| {}).await
    }

    pub async fn with(instances: &[&TestInstance], change: impl FnOnce(&mut HttpsConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = write_pair(folder.path(), "gate");
        let mut config = config(folder.path(), "gate");
        change(&mut config);
        let pool = SharedPool::new(7);
        pool.configure("main", rules());
        let listing: Vec<Instance> = instances.iter().map(|one| one.instance.clone()).collect();
        pool.sync_instances("main", listing.clone());
        for instance in &listing {
            pool.observe(&instance.id, Protocol::Jupyter, Health::Up);
        }
        let audit = AuditLog::open(Some(&folder.path().join("audit.jsonl"))).unwrap();
        let (pools, metrics) = (BTreeMap::new(), Metrics::new());
        let told = (metrics, Traces::default(), FileFaults::default());
        let front = Front::build(&config, &pools, pool.clone(), &[5; 32], audit, told).unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(pool.clone().publish_changes(shutdown.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, front.clone(), shutdown.clone()));
        Self {
            address,
            front,
            pool,
            certificate: pair,
            folder,
            shutdown,
        }
    }

    /// One more pool, with these instances up.
    pub fn add_pool(&self, name: &str, instances: &[&TestInstance]) {
        let rules = PoolRules {
            default: false,
            ..rules()
        };
        self.pool.configure(name, rules);
        let listing: Vec<Instance> = instances.iter().map(|one| one.instance.clone()).collect();
        self.pool.sync_instances(name, listing.clone());
        for instance in &listing {
            self.pool
                .observe(&instance.id, Protocol::Jupyter, Health::Up);
        }
    }

    pub fn audit_lines(&self) -> Vec<serde_json::Value> {
        assert!(self.front.audit.flush(Duration::from_secs(10)));
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The newest snapshot after every change so far.
    pub async fn sessions(&self) -> Vec<crate::pool::SessionView> {
        self.published(|_| true).await.sessions.clone()
    }

    /// Waits until a snapshot says so.
    pub async fn published(
        &self,
        is_so: impl Fn(&crate::pool::Snapshot) -> bool,
    ) -> Arc<crate::pool::Snapshot> {
        // A change nobody sees, so that a snapshot taken after this call is surely published.
        let mut snapshots = self.pool.subscribe();
        snapshots.mark_unchanged();
        self.pool.configure("main", rules());
        loop {
            tokio::time::timeout(Duration::from_secs(20), snapshots.changed())
                .await
                .unwrap()
                .unwrap();
            let snapshot = snapshots.borrow_and_update().clone();
            if is_so(&snapshot) {
                return snapshot;
            }
        }
    }

    /// Tells the pool so often that the hub is down that it believes it.
    pub async fn mark_down(&self, one: &TestInstance) {
        for _ in 0..rules().fall {
            self.pool
                .observe(&one.instance.id, Protocol::Jupyter, Health::Down);
        }
        let is_down = |view: &crate::pool::InstanceView| {
            view.name == one.instance.id.name && view.services.jupyter == Some(Health::Down)
        };
        self.published(|snapshot| snapshot.instances.iter().any(is_down))
            .await;
    }

    pub async fn tls(&self, alpn: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut tls = client_tls()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.connect(tls).await
    }

    /// The certificate a new connection is shown, whichever it is.
    pub async fn served_certificate(&self) -> CertificateDer<'static> {
        self.shown_to("localhost").await
    }

    /// The certificate that somebody is shown who asks for this name.
    pub async fn shown_to(&self, name: &'static str) -> CertificateDer<'static> {
        let taken = Arc::new(AnyCertificate::default());
        let tls = client_tls()
            .dangerous()
            .with_custom_certificate_verifier(taken.clone());
        self.connect_to(name, tls.with_no_client_auth()).await;
        taken.0.lock().unwrap().take().unwrap()
    }

    /// How a client's first and second handshake went.
    pub async fn two_handshakes(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Vec<Option<rustls::HandshakeKind>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = self.connect(tls.clone()).await;
            // Tickets come with the first answer.
            let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
            kinds.push(stream.get_ref().1.handshake_kind());
        }
        kinds
    }

    async fn connect(&self, tls: rustls::ClientConfig) -> TlsStream<TcpStream> {
        self.connect_to("localhost", tls).await
    }

    async fn connect_to(
        &self,
        name: &'static str,
        tls: rustls::ClientConfig,
    ) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        TlsConnector::from(Arc::new(tls))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// Sends these bytes over HTTP/1 and returns all that comes until the gate closes.
    pub async fn raw(&self, bytes: &str) -> String {
        let mut stream = self.tls(&["http/1.1"]).await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        // A closed connection without a TLS farewell is still an answer.
        let _ = tokio::time::timeout(Duration::from_secs(20), reading)
            .await
            .expect("left open");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn h1(&self) -> Client {
        let stream = TokioIo::new(self.tls(&["http/1.1"]).await);
        let (sender, serving) = http1::handshake(stream).await.unwrap();
        tokio::spawn(serving.with_upgrades());
        Client::new(self.address, Sender::H1(sender))
    }

    pub async fn h2(&self) -> Client {
        let stream = TokioIo::new(self.tls(&["h2"]).await);
        let (sender, serving) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
        tokio::spawn(serving);
        Client::new(self.address, Sender::H2(sender))
    }

    /// One client of each protocol.
    pub async fn both(&self) -> [Client; 2] {
        [self.h1().await, self.h2().await]
    }
}

fn client_tls() -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
}

#[derive(Debug, Default)]
struct AnyCertificate(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some(certificate.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

async fn accept(listener: TcpListener, front: Arc<Front>, shutdown: CancellationToken) {
    let current = Current::new(front);
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = accepted.unwrap();
        tokio::spawn(Front::serve_connection(
            current.clone(),
            stream,
            peer,
            shutdown.clone(),
        ));
    }
}

pub fn write_pair(folder: &Path, file: &str) -> CertificateDer<'static> {
    write_named(folder, file, "localhost")
}

/// A certificate for this name.
pub fn write_named(folder: &Path, file: &str, name: &str) -> CertificateDer<'static> {
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    write(folder, file, &params)
}

/// A certificate whose time is over.
pub fn write_ended(folder: &Path, file: &str) -> CertificateDer<'static> {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    write(folder, file, &params)
}

fn write(folder: &Path, file: &str, params: &rcgen::CertificateParams) -> CertificateDer<'static> {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{file}.crt")), made.pem()).unwrap();
    std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    made.der().clone()
}

pub fn files(folder: &Path, name: &str) -> CertificateFiles {
    CertificateFiles {
        key: "https".to_owned(),
        certificate: folder.join(format!("{name}.crt")),
        private_key: folder.join(format!("{name}.key")),
        ocsp_response: None,
    }
}

pub fn config(folder: &Path, name: &str) -> HttpsConfig {
    HttpsConfig {
        listen: Vec::new(),
        certificates: vec![files(folder, name)],
        acme: None,
        hsts: None,
        redirect: RedirectConfig {
            listen: Vec::new(),
            to_port: 443,
        },
        max_connections: 100,
        max_connections_per_source: 100,
        threads: None,
        proxy_protocol_from: Vec::new(),
        handshake_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        answer_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(60),
        tunnel_idle_timeout: Duration::from_secs(600),
        connect_timeout: Duration::from_secs(3),
        presence: Duration::from_secs(900),
        admins: Vec::new(),
        access_log: None,
        hosts: PoolHosts {
            default: "main".to_owned(),
            ..PoolHosts::default()
        },
    }
}

fn rules() -> PoolRules {
    PoolRules {
        default: true,
        placement: PlacementPolicy::Spread,
        affinity: Duration::from_secs(3600),
        rise: 2,
        fall: 3,
    }
}
