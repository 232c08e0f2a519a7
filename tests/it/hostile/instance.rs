//! An instance that does as a script says: an honest key exchange, and then anything.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use poolgate::ssh::wire::Entropy;
use poolgate::ssh::wire::keys::PrivateKey;
use poolgate::ssh::wire::message::{self, number, service_accept};
use poolgate::ssh::wire::transport::{Event, ServerSettings, Transport};

use crate::support::{World, free_port};

/// How often a waiting thread looks whether its test is over.
const LOOK: Duration = Duration::from_millis(50);

/// What it does with one connection.
pub type Script = fn(&mut Peer);

/// Listens at a port of its own until dropped; each connection runs the script.
pub struct ScriptedInstance {
    pub port: u16,
    /// Connections that got as far as the script.
    pub logins: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The gate, as the instance sees it.
pub struct Peer {
    stream: TcpStream,
    pub transport: Transport,
    entropy: Random,
    buffer: Vec<u8>,
    is_over: Arc<AtomicBool>,
}

struct Random(u64);

impl Entropy for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0 as u8;
        }
    }
}

impl ScriptedInstance {
    /// `before` may spoil a connection before anything is said, but for the first, which is the gate's probe.
    pub fn start(world: &World, name: &str, before: fn(&mut TcpStream), script: Script) -> Self {
        let key = super::client::private_key(&world.make_key(&format!("{name}/host_key")));
        let keys = Arc::new(vec![key]);
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (is_over, logins) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (over, count) = (is_over.clone(), logins.clone());
        let accept = move || {
            let mut sessions = Vec::new();
            let mut before_next: fn(&mut TcpStream) = |_| {};
            while !over.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(LOOK);
                    continue;
                };
                let (keys, over, count) = (keys.clone(), over.clone(), count.clone());
                let before = std::mem::replace(&mut before_next, before);
                sessions.push(std::thread::spawn(move || {
                    serve(stream, keys, over, &count, before, script);
                }));
            }
            sessions
                .into_iter()
                .for_each(|session| session.join().unwrap());
        };
        Self {
            port,
            logins,
            is_over,
            thread: Some(std::thread::spawn(accept)),
        }
    }
}

impl Drop for ScriptedInstance {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(
    mut stream: TcpStream,
    keys: Arc<Vec<PrivateKey>>,
    is_over: Arc<AtomicBool>,
    logins: &AtomicUsize,
    before: fn(&mut TcpStream),
    script: Script,
) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LOOK)).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    before(&mut stream);
    let (mut entropy, mut out) = (Random(0x1257_a9ce), Vec::new());
    let settings = Arc::new(ServerSettings::new(keys));
    let transport = Transport::server(settings, &mut entropy, Instant::now(), &mut out);
    let mut peer = Peer {
        stream,
        transport,
        entropy,
        buffer: Vec::new(),
        is_over,
    };
    peer.raw(&out);
    // A probe hangs up behind the identification.
    if peer.until(number::SERVICE_REQUEST) {
        logins.fetch_add(1, Ordering::Relaxed);
        peer.send(&service_accept(message::SERVICE_USERAUTH));
        script(&mut peer);
    }
}

impl Peer {
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// False: the gate has hung up.
    pub fn send(&mut self, payload: &[u8]) -> bool {
        let mut out = Vec::new();
        let sealed = self.transport.send(payload, &mut self.entropy, &mut out);
        sealed.is_ok() && self.raw(&out)
    }

    /// Waits for a message with this number; false: there will be none.
    pub fn until(&mut self, wanted: u8) -> bool {
        while let Some(payload) = self.next() {
            if payload.first() == Some(&wanted) {
                return true;
            }
        }
        false
    }

    pub fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut out = Vec::new();
            let received = self
                .transport
                .receive(
                    &mut self.buffer,
                    &mut self.entropy,
                    Instant::now(),
                    &mut out,
                )
                .ok()?;
            let consumed = received.consumed;
            let found = match received.event {
                Event::NeedMore => None,
                Event::Message(payload) => Some(payload.to_vec()),
                Event::Disconnected { .. } => return None,
                _ => Some(Vec::new()),
            };
            self.buffer.drain(..consumed);
            self.raw(&out);
            match found {
                Some(payload) if !payload.is_empty() => return Some(payload),
                Some(_) => {}
                None => self.read_more()?,
            }
        }
    }

    /// Says nothing until the gate hangs up.
    pub fn stall(&mut self) {
        while self.next().is_some() {}
    }

    /// The same, looked after seldom: for crowds.
    pub fn rest(&mut self) {
        let seldom = Some(Duration::from_secs(2));
        self.stream.set_read_timeout(seldom).unwrap();
        self.stall();
    }

    fn read_more(&mut self) -> Option<()> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    return Some(());
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if self.is_over.load(Ordering::Relaxed) {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }
}
