//! Bytes of a WebSocket, both ways, unread: after the switch of protocols nothing here knows of frames.
//!
//! Ends when either side has closed and the other had a moment to, when nothing moved for long, or when the session is
//! ended from outside.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
    {
        let (client_read, client_write) = tokio::io::split(TokioIo::new(client));
        let (instance_read, instance_write) = tokio::io::split(TokioIo::new(instance));
        let up = copy(
            client_read,
            instance_write,
            &beat,
            [&carried.inward, &meter.bytes_in],
        );
        let down = copy(
            instance_read,
            client_write,
            &beat,
            [&carried.outward, &meter.bytes_out],
        );
        tokio::pin!(up, down);
        let other_side = async {
            tokio::select! {
                failed = &mut up => {
                    if failed.is_ok() { let _ = tokio::time::timeout(CLOSE_LIMIT, &mut down).await; }
                }
                failed = &mut down => {
                    if failed.is_ok() { let _ = tokio::time::timeout(CLOSE_LIMIT, &mut up).await; }
                }
            }
        };
        tokio::select! {
            () = other_side => {}
            () = beat.silence(idle) => {}
            () = ended.cancelled() => {}
        }
    }
    carried
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    beat: &Beat,
    counters: [&AtomicU64; 2],
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let len = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(bytes).await?;
        to.flush().await?;
        beat.touch();
        for counter in counters {
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
