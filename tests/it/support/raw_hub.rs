//! A hub that reads every request to the byte, keeps what it saw, and answers it; and a client that sends what no client would.
//!
//! For what crosses the gate's framing: a real hub would be forgiving, and keeps no record of bytes.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificate::certificate_files;
use super::{Gate, GateSetup, Logins, Sshd, World, free_port};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Request line and headers, with their line ends.
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The values of a header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let named = lines.filter(|(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    }
}

pub struct RawHub {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl RawHub {
    pub fn start() -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let noted = seen.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = noted.clone();
                std::thread::spawn(move || drop(serve(stream, &seen)));
            }
        });
        Self { port, seen }
    }

    /// Everything but the gate's probes.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// A gate before one instance with such a hub.
pub struct RawScene {
    pub gate: Gate,
    pub hub: RawHub,
    pub world: World,
    sshd: Sshd,
}

impl RawScene {
    pub fn new() -> Self {
        let (world, hub) = (World::new(), RawHub::start());
        let port = hub.port;
        Self::with(world, hub, port, |setup| setup)
    }

    /// With this port as the hub's, and more in the gate's config.
    pub fn with(
        world: World,
        hub: RawHub,
        port: u16,
        more: impl FnOnce(GateSetup) -> GateSetup,
    ) -> Self {
        let sshd = Sshd::start(&world, "vm1", Logins::Certificates);
        let gate = more(Self::setup(&sshd, port)).start(&world);
        Self {
            gate,
            hub,
            world,
            sshd,
        }
    }

    /// The same before another gate.
    pub fn replaced(self, port: u16, more: impl FnOnce(GateSetup) -> GateSetup) -> Self {
        let setup = more(Self::setup(&self.sshd, port));
        let gate = self.gate.replaced(&self.world, setup);
        Self { gate, ..self }
    }

    /// TLS to the gate with this protocol, and nothing on top.
    pub fn connect(&self, protocol: &str) -> StreamOwned<ClientConnection, TcpStream> {
        connect(&self.world, self.gate.https_port, protocol).unwrap()
    }

    fn setup(sshd: &Sshd, hub_port: u16) -> GateSetup {
        GateSetup::default()
            .https("")
            // Whoever comes without a cookie takes a seat.
            .pool("capacity = 100000")
            .instance(&sshd.name, sshd.port, Some(hub_port))
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut request = Seen {
            head,
            body: Vec::new(),
        };
        if !request.line().starts_with("GET /hub/health ") {
            // Seen is what has begun to come, whatever becomes of its body.
            seen.lock().unwrap().push(request.clone());
            let at = seen.lock().unwrap().len() - 1;
            read_body(&mut reader, &mut request)?;
            seen.lock().unwrap()[at] = request;
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")?;
    }
}

fn read_body(reader: &mut impl BufRead, request: &mut Seen) -> io::Result<()> {
    if let [length] = request.values("content-length")[..] {
        request.body = vec![0; length.parse().unwrap()];
        return reader.read_exact(&mut request.body);
    }
    if request.values("transfer-encoding").is_empty() {
        return Ok(());
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        request.body.extend(&chunk[..size]);
        if size == 0 {
            return Ok(());
        }
    }
}

/// TLS to a gate with this protocol, and nothing on top.
pub fn connect(
    world: &World,
    port: u16,
    protocol: &str,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let (certificate, _) = certificate_files(world);
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(tls), name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(StreamOwned::new(client, stream))
}
