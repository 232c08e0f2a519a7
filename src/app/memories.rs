//! What people would miss after a crash, written down while the gate runs and read before the first of them comes in: where
//! they belong, their places in line, and the notices that stand.
//!
//! What is remembered, and for how long, is the pool's business.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::GOODBYES;
use crate::net::shutdown::Shutdown;
use crate::pool::affinity::Memory;
use crate::pool::queue::TicketMemory;
use crate::shared_pool::{NoticeMemory, SharedPool};
use crate::state::{Folder, StateFile};

/// What a crash may lose of a line, and of notices.
const BEAT: Duration = Duration::from_secs(1);
/// What a crash may lose of where people belong: with many of them that is a long text.
const AFFINITY_EVERY: u32 = 2;
/// Whoever waits is heard of all the time; that is written down so often, for they have a minute to come back.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Those who want it written now.
pub(super) type Asked = mpsc::Receiver<oneshot::Sender<()>>;

#[derive(Default, Serialize, Deserialize)]
struct People {
    #[serde(default)]
    people: Vec<Memory>,
}

#[derive(Default, Serialize, Deserialize)]
struct Line {
    #[serde(default)]
    tickets: Vec<TicketMemory>,
}

#[derive(Default, Serialize, Deserialize)]
struct Notices {
    #[serde(default)]
    notices: Vec<NoticeMemory>,
}

pub(super) struct Memories {
    pool: SharedPool,
    affinity: StateFile,
    told: Option<u64>,
    line: StateFile,
    /// The version of the lines that was written, and when.
    line_written: Option<(u64, Instant)>,
    notices: StateFile,
}

/// Gives the pools, which are configured by now, what the last gate wrote down.
pub(super) fn take_back(folder: &Folder, pool: SharedPool) -> Memories {
    let loss = "people without a session are placed anew";
    let (affinity, page): (_, People) = StateFile::open(folder, "affinity.json", loss);
    pool.take_back(page.people);
    let loss = "people who wait begin at the end of the line";
    let (line, page): (_, Line) = StateFile::open(folder, "queue.json", loss);
    pool.take_back_lines(page.tickets);
    let loss = "notices of operators stand in browsers no longer: send them again";
    let (notices, page): (_, Notices) = StateFile::open(folder, "notices.json", loss);
    pool.take_back_notices(page.notices);
    Memories {
        pool,
        affinity,
        told: None,
        line,
        line_written: None,
        notices,
    }
}

impl Memories {
    /// Until the gate has ended its sessions, which are written down as ended. Whoever asks is answered once what is known
    /// by then is written.
    pub async fn keep(mut self, shutdown: Shutdown, mut asked: Asked) {
        let ending = &shutdown.ending;
        let mut beats: u32 = 0;
        loop {
            let who = tokio::select! {
                () = ending.cancelled() => break,
                () = tokio::time::sleep(BEAT) => None,
                who = asked.recv() => who,
            };
            beats = beats.wrapping_add(1);
            let longest = who.as_ref().map_or(LINE_EVERY, |_| Duration::ZERO);
            self.write_line(longest).await;
            self.write_notices().await;
            if who.is_some() || beats.is_multiple_of(AFFINITY_EVERY) {
                self.write_affinity().await;
            }
            if let Some(who) = who {
                // Who asked may have gone.
                let _: Result<(), ()> = who.send(());
            }
        }
        self.write_line(Duration::ZERO).await;
        self.write_notices().await;
        // Those that take no goodbye are written down as they are.
        drop(tokio::time::timeout(GOODBYES, shutdown.connections.wait()).await);
        self.write_affinity().await;
    }

    async fn write_affinity(&mut self) {
        let Some(mut people) = self.pool.memories(&mut self.told) else {
            return;
        };
        // So that the same is the same text.
        people.sort_unstable();
        if !self.affinity.write(&People { people }).await {
            self.told = None;
        }
    }

    /// When somebody has come or gone, or when it was written longer ago than `at_most` and somebody stands there.
    async fn write_line(&mut self, at_most: Duration) {
        let lines = self.pool.lines();
        let version = lines.version();
        let is_fresh = self.line_written.is_some_and(|(written, at)| {
            written == version && (lines.is_empty() || at.elapsed() < at_most)
        });
        if is_fresh {
            return;
        }
        let tickets = lines.memories();
        self.line_written = match self.line.write(&Line { tickets }).await {
            true => Some((version, Instant::now())),
            false => None,
        };
    }

    async fn write_notices(&mut self) {
        let notices = self.pool.notice_memories();
        self.notices.write(&Notices { notices }).await;
    }
}
