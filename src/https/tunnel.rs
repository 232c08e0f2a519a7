//! Bytes of a WebSocket, both ways, unread: after the switch of protocols nothing here knows of frames.
//!
//! Ends when either side has closed and the other had a moment to, when nothing moved for long, or when the session is
//! ended from outside.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shared_pool::Meter;

const BUFFER: usize = 16 * 1024;
/// After one side has closed, the other has this long.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Bytes from and to the client.
#[derive(Default)]
pub struct Carried {
    pub inward: AtomicU64,
    pub outward: AtomicU64,
}

/// Runs until the tunnel has ended; `idle` is how long nothing may move.
pub async fn relay(
    client: Upgraded,
    instance: Upgraded,
    idle: Duration,
    ended: CancellationToken,
    meter: Option<Arc<Meter>>,
) -> Carried {
    let carried = Carried::default();
    let beat = Beat::new();
    let meter = meter.unwrap_or_default();
    let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
    let mut up = Way::new([&carried.inward, &meter.bytes_in]);
    let mut down = Way::new([&carried.outward, &meter.bytes_out]);
    {
        // One future for both ways: each message wakes it, and two would each be asked about both.
        let one_over = poll_fn(|cx| {
            let way_up = up.poll(cx, Pin::new(&mut client), Pin::new(&mut instance), &beat)?;
            let way_down = down.poll(cx, Pin::new(&mut instance), Pin::new(&mut client), &beat)?;
            match way_up.is_ready() || way_down.is_ready() {
                true => Poll::Ready(io::Result::Ok(())),
                false => Poll::Pending,
            }
        });
        tokio::select! {
            biased;
            over = one_over => if over.is_err() { return carried },
            () = beat.silence(idle) => return carried,
            () = ended.cancelled() => return carried,
        }
    }
    let both_over = poll_fn(|cx| {
        let way_up = up.poll(cx, Pin::new(&mut client), Pin::new(&mut instance), &beat)?;
        let way_down = down.poll(cx, Pin::new(&mut instance), Pin::new(&mut client), &beat)?;
        match way_up.is_ready() && way_down.is_ready() {
            true => Poll::Ready(io::Result::Ok(())),
            false => Poll::Pending,
        }
    });
    tokio::select! {
        _ = tokio::time::timeout(CLOSE_LIMIT, both_over) => {}
        () = ended.cancelled() => {}
    }
    carried
}

/// One direction, and what of it was read and has yet to be written.
struct Way<'a> {
    buffer: Box<[u8]>,
    filled: Range<usize>,
    has_unflushed: bool,
    state: State,
    counters: [&'a AtomicU64; 2],
}

#[derive(PartialEq)]
enum State {
    Open,
    /// No more will come; the other side has yet to be told.
    Closing,
    Over,
}

impl<'a> Way<'a> {
    fn new(counters: [&'a AtomicU64; 2]) -> Self {
        Self {
            buffer: vec![0; BUFFER].into(),
            filled: 0..0,
            has_unflushed: false,
            state: State::Open,
            counters,
        }
    }

    /// Ready once the sender has closed and the receiver knows.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut impl AsyncRead>,
        mut to: Pin<&mut impl AsyncWrite>,
        beat: &Beat,
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.buffer.get(self.filled.clone())
                && !rest.is_empty()
            {
                let written = ready!(to.as_mut().poll_write(cx, rest))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.filled.start = self.filled.start.saturating_add(written);
                self.has_unflushed = true;
                self.count(written);
                beat.touch();
            }
            if self.state == State::Closing {
                ready!(to.as_mut().poll_shutdown(cx))?;
                self.state = State::Over;
            }
            if self.state == State::Over {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut self.buffer);
            match from.as_mut().poll_read(cx, &mut buf)? {
                Poll::Ready(()) => {
                    let len = buf.filled().len();
                    self.filled = 0..len;
                    if len == 0 {
                        self.state = State::Closing;
                    }
                }
                Poll::Pending => {
                    if self.has_unflushed {
                        ready!(to.as_mut().poll_flush(cx))?;
                        self.has_unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn count(&self, len: usize) {
        for counter in self.counters {
            counter.fetch_add(u64::try_from(len).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// When something last moved.
struct Beat {
    start: Instant,
    last_ms: AtomicU64,
}

impl Beat {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    async fn silence(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let until = self.start + last + limit;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}
