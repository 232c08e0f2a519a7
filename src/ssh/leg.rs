//! One side of a session: a socket and the engine that speaks on it.
//!
//! `next` and `send` serve the login, a message at a time. The relay after it works on the same fields in batches
//! (`pipe`); no message is interpreted here.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::{Zeroize, Zeroizing};

use super::entropy::SystemEntropy;
use super::wire::message::DisconnectCode;
use super::wire::transport::{Event, Transport, WireError};

/// Bytes asked of the socket at a time while logging in.
const READ_CHUNK: usize = 8 * 1024;
/// How long whoever needs nothing more from us may take to close.
pub(super) const LINGER: Duration = Duration::from_secs(2);

pub struct Leg {
    pub(super) stream: TcpStream,
    /// Boxed: a leg is moved through futures that each keep room for it, and this is nearly all of its size.
    pub(super) transport: Box<Transport>,
    /// Received and not yet taken by the transport.
    pub(super) incoming: Vec<u8>,
    /// Sealed and not yet taken by the socket: `outgoing[sent..]`.
    pub(super) outgoing: Vec<u8>,
    pub(super) sent: usize,
    pub(super) entropy: SystemEntropy,
}

/// What the transport made of what came.
enum Step {
    Progress,
    Established,
    Message(Zeroizing<Vec<u8>>),
}

/// Why a leg can carry nothing more.
#[derive(Debug, thiserror::Error)]
pub enum LegError {
    #[error("the connection was closed")]
    Closed,
    #[error("the other side disconnected: {text} (code {code})")]
    Disconnected { code: u32, text: String },
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Leg {
    /// `begin` makes the transport and writes its first bytes.
    pub fn new(
        stream: TcpStream,
        begin: impl FnOnce(&mut SystemEntropy, Instant, &mut Vec<u8>) -> Transport,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut entropy = SystemEntropy::default();
        let mut outgoing = Vec::new();
        let transport = Box::new(begin(&mut entropy, Instant::now(), &mut outgoing));
        Ok(Self {
            stream,
            transport,
            incoming: Vec::new(),
            outgoing,
            sent: 0,
            entropy,
        })
    }

    /// Waits until the first key exchange is done.
    pub async fn established(&mut self) -> Result<(), LegError> {
        while !matches!(self.advance().await?, Step::Established) {}
        Ok(())
    }

    /// The next message that is not the transport's own; wiped when dropped, for it may be a password.
    pub async fn next(&mut self) -> Result<Zeroizing<Vec<u8>>, LegError> {
        loop {
            if let Step::Message(message) = self.advance().await? {
                return Ok(message);
            }
        }
    }

    /// Seals a message and hands it to the socket.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), LegError> {
        self.transport
            .send(payload, &mut self.entropy, &mut self.outgoing)?;
        self.flush().await
    }

    /// Comes back when the other side has closed while it had nothing more to say; never if it has said something that
    /// nobody has read.
    pub fn closed(&self) -> impl Future<Output = ()> + use<'_> {
        let stream = &self.stream;
        async move {
            if matches!(stream.peek(&mut [0]).await, Ok(1..)) {
                std::future::pending().await
            }
        }
    }

    /// Tells the other side why and ends the leg: everything under way first, then the goodbye, then up to `linger` for
    /// the other side to close.
    pub async fn disconnect(mut self, code: DisconnectCode, text: &str, linger: Duration) {
        // Packets held back for new keys belong before the goodbye.
        while self.transport.held_bytes() > 0 {
            // Broken off by a fault of its own, the leg has its goodbye written already.
            if self.advance().await.is_err() {
                break;
            }
        }
        self.transport
            .disconnect(code, text, &mut self.entropy, &mut self.outgoing);
        if self.flush().await.is_ok() {
            close(self.stream, linger).await;
        }
    }

    /// The transport's next step, reading from the socket when it needs more.
    async fn advance(&mut self) -> Result<Step, LegError> {
        loop {
            let received = self.transport.receive(
                &mut self.incoming,
                &mut self.entropy,
                Instant::now(),
                &mut self.outgoing,
            )?;
            let consumed = received.consumed;
            let step = match received.event {
                Event::NeedMore => None,
                Event::Progress | Event::Rekeyed => Some(Step::Progress),
                Event::Established => Some(Step::Established),
                Event::Message(payload) => Some(Step::Message(Zeroizing::new(payload.to_vec()))),
                Event::Disconnected { code, text } => {
                    return Err(LegError::Disconnected { code, text });
                }
            };
            // It was opened in place.
            if let Some(done) = self.incoming.get_mut(..consumed) {
                done.zeroize();
            }
            self.incoming.drain(..consumed);
            self.flush().await?;
            if let Some(step) = step {
                return Ok(step);
            }
            self.incoming.reserve(READ_CHUNK);
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(LegError::Closed);
            }
        }
    }

    async fn flush(&mut self) -> Result<(), LegError> {
        while let Some(rest) = self
            .outgoing
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            self.sent += self.stream.write(rest).await?;
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }
}

/// Says one line in the place of an identification, and closes.
pub(super) async fn turn_away(mut stream: TcpStream, line: &str) {
    let said = tokio::time::timeout(LINGER, stream.write_all(line.as_bytes())).await;
    if let Ok(Ok(())) = said {
        close(stream, LINGER).await;
    }
}

/// Closes so that the last bytes arrive: closing with unread input, or input on its way, would reset the connection and
/// lose what the other side has not taken yet.
async fn close(mut stream: TcpStream, linger: Duration) {
    let drained = async {
        if stream.shutdown().await.is_ok() {
            let mut scrap = [0; 512];
            while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
        }
    };
    // Whoever does not stop sending within the time has had its chance.
    let _: Result<(), _> = tokio::time::timeout(linger, drained).await;
}
