//! Light clients of our own, for crowds: a socket from an address of choice, and an SSH client on the engine itself.
//!
//! Real clients start a process each; ten thousand of those would test the machine.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use poolgate::ssh::wire::Entropy;
use poolgate::ssh::wire::message::{self, number};
use poolgate::ssh::wire::transport::{ClientSettings, Event, Transport};

/// Connects to the loopback's `port` from this address of the loopback.
pub fn connect_from(from: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket.into())
}

/// The first line the other side says.
pub fn first_line(stream: &mut TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(super::client::PATIENCE))?;
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// An SSH client up to the point where it may try to log in.
pub struct LightClient {
    stream: TcpStream,
    transport: Transport,
    random: Random,
    incoming: Vec<u8>,
}

struct Random(File);

impl Entropy for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.read_exact(bytes).unwrap();
    }
}

impl LightClient {
    /// `Err` where the gate does not go on, such as a source that is refused.
    pub fn connect(from: Ipv4Addr, port: u16) -> io::Result<Self> {
        let stream = connect_from(from, port)?;
        stream.set_read_timeout(Some(super::client::PATIENCE))?;
        stream.set_nodelay(true)?;
        let (mut random, mut out) = (Random(File::open("/dev/urandom")?), Vec::new());
        let settings = Arc::new(ClientSettings::default());
        let transport = Transport::client(settings, &mut random, Instant::now(), &mut out);
        let mut client = Self {
            stream,
            transport,
            random,
            incoming: Vec::new(),
        };
        client.stream.write_all(&out)?;
        while client.step()?.is_some() {}
        let service = message::service_request(message::SERVICE_USERAUTH);
        match client.ask(&service)?.first() {
            Some(&number::SERVICE_ACCEPT) => Ok(client),
            _ => Err(io::Error::other("no user authentication")),
        }
    }

    /// Sends a message and gives the answer to it; banners are not shown to anybody.
    pub fn ask(&mut self, payload: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.transport
            .send(payload, &mut self.random, &mut out)
            .map_err(io::Error::other)?;
        self.stream.write_all(&out)?;
        loop {
            let is_answer = |message: &Vec<u8>| {
                message
                    .first()
                    .is_some_and(|first| *first != number::USERAUTH_BANNER)
            };
            if let Some(message) = self.step()?.filter(is_answer) {
                return Ok(message);
            }
        }
    }

    /// The answer, and how long it took to come.
    pub fn timed(&mut self, payload: &[u8]) -> io::Result<(Vec<u8>, Duration)> {
        let began = Instant::now();
        Ok((self.ask(payload)?, began.elapsed()))
    }

    /// A message, or `None` once the first keys are agreed on; empty for what is the transport's own.
    fn step(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut out = Vec::new();
            let now = Instant::now();
            let received =
                self.transport
                    .receive(&mut self.incoming, &mut self.random, now, &mut out);
            let received = received.map_err(io::Error::other)?;
            let consumed = received.consumed;
            let step = match received.event {
                Event::NeedMore => None,
                Event::Progress | Event::Rekeyed => Some(Some(Vec::new())),
                Event::Established => Some(None),
                Event::Message(payload) => Some(Some(payload.to_vec())),
                Event::Disconnected { text, .. } => return Err(io::Error::other(text)),
            };
            self.incoming.drain(..consumed);
            self.stream.write_all(&out)?;
            if let Some(step) = step {
                return Ok(step);
            }
            let mut part = [0; 8192];
            match self.stream.read(&mut part)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.incoming.extend(&part[..count]),
            }
        }
    }
}
