//! Threads that each keep their connections to themselves, with everything a connection asks for.
//!
//! Whoever relays a request wakes three times: for the client, for the instance, for the answer. On threads that share
//! their work each of these may wake another thread, which costs more than the request (docs/decisions/0010). So a
//! connection stays on the lane it was given to, and the connections to instances it needs are of that lane too. Nobody
//! moves between lanes: a new connection goes to the one with the fewest.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Clone)]
pub struct Lanes {
    first: Lane,
    others: Arc<[Lane]>,
}

#[derive(Clone)]
struct Lane {
    runtime: Handle,
    /// Connections it has.
    open: Arc<AtomicUsize>,
}

impl Lanes {
    /// So many, or one for each core this process may use; they end with `ending`, and with them what they hold.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(count: Option<usize>, ending: &CancellationToken) -> io::Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = count.unwrap_or_else(cores);
        let first = Lane::start(ending.clone())?;
        let others: io::Result<Vec<Lane>> =
            (1..count).map(|_| Lane::start(ending.clone())).collect();
        Ok(Self {
            first,
            others: others?.into(),
        })
    }

    /// Where whoever accepts should run: its own lane's connections then wake no other thread.
    pub fn first(&self) -> &Handle {
        &self.first.runtime
    }

    /// Serves the connection on the lane with the fewest, and `tracker` waits for it. Returns when it has ended, or when
    /// another lane has it.
    pub async fn carry<F, T>(&self, stream: TcpStream, tracker: &TaskTracker, serve: F)
    where
        F: FnOnce(TcpStream) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let open = |lane: &&Lane| lane.open.load(Ordering::Relaxed);
        let lanes = std::iter::once(&self.first).chain(self.others.iter());
        let lane = lanes.min_by_key(open).unwrap_or(&self.first);
        let place = Place::take(&lane.open);
        let here = Handle::try_current().map(|runtime| runtime.id());
        if here.is_ok_and(|here| here == lane.runtime.id()) {
            Box::pin(serve(stream)).await;
            return drop(place);
        }
        // Events of a socket come to the thread it is registered with.
        let moved = stream.into_std();
        let served = async move {
            match moved.and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(failed) => {
                    tracing::warn!(error = %failed, "a connection was lost between threads")
                }
            }
            drop(place);
        };
        drop(tracker.spawn_on(served, &lane.runtime));
    }
}

impl Lane {
    fn start(ending: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let lane = Self {
            runtime: runtime.handle().clone(),
            open: Arc::default(),
        };
        std::thread::Builder::new()
            .name("lane".to_owned())
            .spawn(move || runtime.block_on(ending.cancelled()))?;
        Ok(lane)
    }
}

/// A connection counts for as long as this lives.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn connections_go_where_the_fewest_are_and_stay_on_their_thread() {
        let ending = CancellationToken::new();
        let lanes = Lanes::start(Some(3), &ending).unwrap();
        let tracker = TaskTracker::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, threads) = mpsc::channel();
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(TcpStream::connect(address).await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            let serve = move |stream: TcpStream| async move {
                let first = std::thread::current().id();
                told.send(first).unwrap();
                // Until the client is gone.
                stream.readable().await.unwrap();
                assert_eq!(std::thread::current().id(), first);
            };
            lanes.carry(stream, &tracker, serve).await;
        }
        let mut count = std::collections::HashMap::new();
        for thread in threads.iter().take(6) {
            *count.entry(thread).or_insert(0) += 1;
        }
        assert_eq!(count.into_values().collect::<Vec<_>>(), [2, 2, 2]);
        drop(held);
        tracker.close();
        tracker.wait().await;
        let all = std::iter::once(&lanes.first).chain(lanes.others.iter());
        assert!(
            all.into_iter()
                .all(|lane| lane.open.load(Ordering::Relaxed) == 0)
        );
    }
}
