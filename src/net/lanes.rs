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
use std::time::Duration;

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
    /// It is given no more, and ends with the last it has.
    retired: CancellationToken,
}

/// A lane that is given no more looks so often whether it is empty. Whoever was about to give it one has done so by then.
const EMPTIED: Duration = Duration::from_secs(5);

impl Lanes {
    /// So many, or one for each core this process may use; they end with `ending`, and with them what they hold.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(count: Option<usize>, ending: &CancellationToken) -> io::Result<Self> {
        let first = Lane::start(ending.clone())?;
        let alone = Self {
            first,
            others: Arc::new([]),
        };
        alone.resized(count, ending)
    }

    /// These and more, or fewer of them: so many, or one for each core. Those that are left out are to be retired.
    ///
    /// # Errors
    /// As `start`.
    pub fn resized(&self, count: Option<usize>, ending: &CancellationToken) -> io::Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let others = count.unwrap_or_else(cores).saturating_sub(1);
        let mut lanes: Vec<Lane> = self.others.iter().take(others).cloned().collect();
        while lanes.len() < others {
            lanes.push(Lane::start(ending.clone())?);
        }
        Ok(Self {
            first: self.first.clone(),
            others: lanes.into(),
        })
    }

    /// Ends those that are not among the others, each with its last connection.
    pub fn retire_all_but(&self, others: &Self) {
        for lane in self.others.iter() {
            let is_same = |other: &Lane| Arc::ptr_eq(&other.open, &lane.open);
            if !others.others.iter().any(is_same) {
                lane.retired.cancel();
            }
        }
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
            retired: CancellationToken::new(),
        };
        let own = lane.clone();
        std::thread::Builder::new()
            .name("lane".to_owned())
            .spawn(move || runtime.block_on(ending.run_until_cancelled(own.emptied())))?;
        Ok(lane)
    }

    async fn emptied(self) {
        self.retired.cancelled().await;
        loop {
            tokio::time::sleep(EMPTIED).await;
            if self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
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
    async fn lanes_are_added_and_those_left_out_are_retired() {
        let ending = CancellationToken::new();
        let three = Lanes::start(Some(3), &ending).unwrap();
        let five = three.resized(Some(5), &ending).unwrap();
        assert_eq!((three.others.len(), five.others.len()), (2, 4));
        three.retire_all_but(&five);
        assert!(!three.others.iter().any(|lane| lane.retired.is_cancelled()));
        let one = five.resized(Some(1), &ending).unwrap();
        five.retire_all_but(&one);
        assert!(five.others.iter().all(|lane| lane.retired.is_cancelled()));
        assert!(!one.first.retired.is_cancelled(), "who accepts is on it");
        ending.cancel();
    }

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
