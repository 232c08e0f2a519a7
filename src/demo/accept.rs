//! The accept loop of a demo instance's two servers.
//!
//! Deliberately absent: the limits by source and the metrics of the gate's own doors (`net::accept`): only the gate, which
//! has counted people already, comes here.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections of one server at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 256;
/// After a failed accept: a full table of files is not emptied by trying at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Spawns what `serve` makes of each connection into `tasks`, until `shutdown`.
pub(super) async fn accept_each<F>(
    listener: TcpListener,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            continue;
        };
        let served = serve(stream);
        tasks.spawn(async move {
            served.await;
            drop(seat);
        });
    }
}
