//! Deadlines the HTTP library does not keep: the first bytes of a connection, and a peer that stops reading.
//!
//! Its header timer starts only once HTTP/1 was chosen, and HTTP/2 waits for a preface without any; both let a silent
//! client stay for ever. Bodies have their own timer in `body`, whole connections theirs in `listener`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::frames::FrameWatch;
use super::framing::Watch;

/// Fires when nothing has moved for a while. Its timer exists only while somebody waits.
pub struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
}

impl Stall {
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            is_armed: false,
        }
    }

    pub fn moved(&mut self) {
        self.is_armed = false;
    }

    /// To be asked whenever nothing moved; ready when that has lasted too long.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.is_armed {
            timer.as_mut().reset(Instant::now() + limit);
            self.is_armed = true;
        }
        timer.as_mut().poll(cx)
    }
}

/// A stream whose first bytes must come in time and whose peer must go on reading.
pub struct Guarded<S> {
    inner: S,
    first: Option<FirstBytes>,
    write: Stall,
    watch: Option<(Watching, Arc<AtomicBool>)>,
}

enum Watching {
    Lengths(Watch),
    Frames(FrameWatch),
}

struct FirstBytes {
    deadline: Pin<Box<Sleep>>,
    missing: usize,
}

impl<S> Guarded<S> {
    /// `write_limit`: how long the peer may take none of what it is sent.
    pub fn new(inner: S, write_limit: Duration) -> Self {
        Self {
            inner,
            first: None,
            write: Stall::new(write_limit),
            watch: None,
        }
    }

    /// The first `count` bytes must be here within `limit`.
    pub fn expect_first(mut self, count: usize, limit: Duration) -> Self {
        self.first = Some(FirstBytes {
            deadline: Box::pin(tokio::time::sleep(limit)),
            missing: count,
        });
        self
    }

    /// Raises `flag` when an HTTP/1 request has two lengths.
    pub fn watch_framing(mut self, flag: Arc<AtomicBool>) -> Self {
        self.watch = Some((Watching::Lengths(Watch::new()), flag));
        self
    }

    /// Raises `flag`, and reads no further, when HTTP/2 frames that carry nothing come in floods.
    pub fn watch_frames(mut self, flag: Arc<AtomicBool>) -> Self {
        let watch = FrameWatch::new(Instant::now().into_std());
        self.watch = Some((Watching::Frames(watch), flag));
        self
    }

    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.write.poll_stalled(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer has stopped reading",
        )))
    }

    fn take_note(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(first) = &mut self.first {
            first.missing = first.missing.saturating_sub(bytes.len());
            if first.missing == 0 || bytes.is_empty() {
                self.first = None;
            }
        }
        let Some((watching, flag)) = &mut self.watch else {
            return Ok(());
        };
        match watching {
            Watching::Lengths(watch) => {
                if watch.feed(bytes) {
                    flag.store(true, Ordering::Relaxed);
                }
            }
            Watching::Frames(watch) => {
                if watch.feed(bytes, Instant::now().into_std()) {
                    flag.store(true, Ordering::Relaxed);
                    return Err(io::Error::other("a flood of frames that carry nothing"));
                }
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let taken = buf.filled().get(before..).unwrap_or_default();
                Poll::Ready(this.take_note(taken))
            }
            Poll::Pending => match &mut this.first {
                Some(first) => {
                    ready!(first.deadline.as_mut().poll(cx));
                    let cause = "the first bytes did not come in time";
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, cause)))
                }
                None => Poll::Pending,
            },
            failed => failed,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, buf) {
            Poll::Pending => self.poll_stalled(cx),
            ready => {
                self.write.moved();
                ready
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write_vectored(cx, bufs) {
            Poll::Pending => self.poll_stalled(cx),
            ready => {
                self.write.moved();
                ready
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Pending => self.poll_stalled(cx),
            ready => {
                self.write.moved();
                ready
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_shutdown(cx) {
            Poll::Pending => self.poll_stalled(cx),
            ready => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn silence_and_half_a_preface_end_at_the_deadline() {
        for sent in [&b""[..], b"PR"] {
            let (mut client, server) = tokio::io::duplex(64);
            client.write_all(sent).await.unwrap();
            let mut guarded = Guarded::new(server, LIMIT).expect_first(24, LIMIT);
            let started = Instant::now();
            let mut buf = [0; 24];
            let failed = guarded.read_exact(&mut buf).await.unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
            assert!(started.elapsed() < LIMIT * 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_first_bytes_reading_may_wait() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut guarded = Guarded::new(server, LIMIT).expect_first(2, LIMIT);
        client.write_all(b"ab").await.unwrap();
        let mut buf = [0; 2];
        guarded.read_exact(&mut buf).await.unwrap();
        let waited = tokio::time::timeout(LIMIT * 50, guarded.read_exact(&mut buf)).await;
        assert!(waited.is_err(), "it must still be waiting");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_reading_is_given_up() {
        let (_client, server) = tokio::io::duplex(8);
        let mut guarded = Guarded::new(server, LIMIT);
        let failed = guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }
}
