//! The side of the gate that runs: it gives its place to a new one that asks, or goes on as if nobody had.
//!
//! Its controllers pause and nothing is written while the new gate gets ready; accepting goes on until the new one accepts
//! too. After that it keeps its sessions to their end, and tells the new gate of them.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Weak};

use anyhow::{Context, Result, bail};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::reports::Reports;
use super::{GENERATIONS_MAX, GET_READY, Generations, STEP};
use crate::admin::AdminSocket;
use crate::app::GOODBYES;
use crate::app::reload::Inside;
use crate::app::systemd;
use crate::net::handover::{self, FromNew, FromOld, Passed, Reader, Seen, Writer};
use crate::net::shutdown::Shutdown;
use crate::pool::{Health, Snapshot};
use crate::shared_pool::SharedPool;
use crate::state::hold_pen;

pub(in crate::app) struct Giver {
    pub pool: SharedPool,
    pub shutdown: Shutdown,
    pub inside: Weak<Mutex<Inside>>,
    pub generations: Generations,
    /// Ends what only the gate of the place does.
    pub operating: CancellationToken,
}

/// A new gate that asks, and what it has been told so far.
struct Asker {
    pid: i32,
    reader: Reader,
    writer: Writer,
    reports: Reports,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Giver {
    /// Waits for a new gate, as long as this one takes logins, and stays in touch with the one that took its place.
    pub async fn listen(self, socket: AdminSocket) {
        let closing = self.shutdown.closing.clone();
        while let Some(accepted) = closing.run_until_cancelled(socket.accept_one()).await {
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a gate that wants to take over cannot be heard");
                    tokio::time::sleep(STEP).await;
                    continue;
                }
            };
            match self.give(stream).await {
                Ok(asker) => {
                    // Its own goes to this very path.
                    drop(socket);
                    return self.stay_in_touch(asker).await;
                }
                Err(error) => {
                    tracing::warn!("no hand-over, and this gate goes on as before: {error:#}");
                }
            }
        }
    }

    async fn give(&self, stream: UnixStream) -> Result<Asker> {
        let peer = stream.peer_cred()?;
        if peer.uid() != nix::unistd::geteuid().as_raw() {
            bail!(
                "the asking process has account {}, not this gate's",
                peer.uid()
            );
        }
        let (reader, writer) = handover::join(stream);
        let mut asker = Asker {
            pid: peer.pid().unwrap_or_default(),
            reader,
            writer,
            reports: Reports::default(),
            snapshots: self.pool.subscribe(),
        };
        let asked = tokio::time::timeout(STEP, asker.reader.next()).await;
        let Some(FromNew::Ask { version, program }) = asked.context("nothing was asked")?? else {
            bail!("the asking process does not ask");
        };
        let inside = self.inside.upgrade().context("the gate is being stopped")?;
        let mut inside = inside.lock().await;
        if let Err(why) = self.may_give(&inside, version) {
            let refused = FromOld::Refused {
                version: handover::VERSION,
                why: why.clone(),
            };
            asker.say(&refused).await?;
            bail!("it was refused: {why}");
        }
        tracing::info!(
            pid = asker.pid,
            program,
            "a new gate is to take this one's place"
        );
        inside.pools.pause().await;
        inside.flush().await;
        let pen = hold_pen().await;
        match self.hand_over(&inside, &mut asker).await {
            Ok(()) => {
                pen.give_away();
                self.retire(&mut inside, &asker);
                Ok(asker)
            }
            Err(error) => {
                drop(pen);

                inside.pools.resume();
                let why = format!("{error:#}");
                // It may be gone, and then knows.
                drop(asker.say(&FromOld::Withdrawn { why }).await);
                Err(error)
            }
        }
    }

    fn may_give(&self, inside: &Inside, version: u32) -> Result<(), String> {
        if version != handover::VERSION {
            return Err(format!(
                "it speaks version {version} of the hand-over, this gate {}: stop this one, and start the other",
                handover::VERSION
            ));
        }
        if self.shutdown.closing.is_cancelled() {
            return Err("this gate is being stopped".to_owned());
        }
        if let Some(pool) = inside.pools.of_processes() {
            return Err(format!(
                "the instances of pool {pool} are processes of this gate (provider = \"process\") and end with it: they cannot be \
                 handed over"
            ));
        }
        let alive = self.generations.alive();
        if alive >= GENERATIONS_MAX {
            return Err(format!(
                "{alive} gates hold sessions already, and each takes memory: wait until the oldest has ended, or end its sessions"
            ));
        }
        Ok(())
    }

    async fn hand_over(&self, inside: &Inside, asker: &mut Asker) -> Result<()> {
        let snapshot = self.pool.snapshot();
        let up = snapshot.instances.iter();
        let up = up.filter(|one| one.health == Health::Up).map(|one| Seen {
            pool: one.pool.clone(),
            instance: one.name.clone(),
        });
        let sockets = inside.sockets()?;
        let (descriptors, files): (Vec<Passed>, Vec<BorrowedFd<'_>>) = sockets
            .iter()
            .map(|(passed, socket)| (passed.clone(), socket.as_fd()))
            .unzip();
        let report = asker.reports.next(&snapshot, self.generations.alive());
        let offer = FromOld::Offer {
            version: handover::VERSION,
            descriptors,
            up: up.collect(),
            report: report.unwrap_or_default(),
        };
        let saying = asker.writer.say_with(&offer, &files);
        tokio::time::timeout(STEP, saying)
            .await
            .context("the offer")??;
        let ready = tokio::time::timeout(GET_READY, self.word(asker)).await;
        let Some(FromNew::Ready) = ready.context("the new gate was not ready in time")?? else {
            bail!(
                "the new gate (pid {}) ended before it was ready; its log says why",
                asker.pid
            );
        };
        asker.say(&FromOld::Yours).await?;
        let serving = tokio::time::timeout(STEP, self.word(asker)).await;
        let Some(FromNew::Serving) = serving.context("the new gate does not serve")?? else {
            bail!("the new gate (pid {}) ended before it served", asker.pid);
        };
        Ok(())
    }

    /// From here on the place is the new gate's.
    fn retire(&self, inside: &mut Inside, asker: &Asker) {
        self.shutdown.handed_over.cancel();
        // Before the admin side ends: the socket's file stays.
        inside.retire(&self.shutdown);
        self.operating.cancel();
        systemd::main_process(asker.pid);
        tracing::info!(
            pid = asker.pid,
            sessions = self.pool.snapshot().sessions.len(),
            "the new gate serves; this one keeps its sessions until they end"
        );
    }

    async fn stay_in_touch(&self, mut asker: Asker) {
        if let Err(error) = asker.say(&FromOld::Done).await {
            tracing::warn!(%error, "the new gate cannot be told that it is alone");
        }
        let ending = self.shutdown.ending.clone();
        let lost = tokio::select! {
            lost = self.word(&mut asker) => lost,
            // What ends with this gate is told to the last.
            () = self.goodbyes(&ending) => {
                drop(self.report(&mut asker).await);
                return;
            }
        };
        tracing::warn!(
            cause = ?lost,
            "the new gate is gone; this one keeps its sessions all the same"
        );
    }

    /// Until this gate ends and its sessions have, or take no goodbye.
    async fn goodbyes(&self, ending: &CancellationToken) {
        ending.cancelled().await;
        drop(tokio::time::timeout(GOODBYES, self.shutdown.connections.wait()).await);
    }

    /// The new gate's next step; what it has for sessions is done, and what changes of them is told.
    async fn word(&self, asker: &mut Asker) -> Result<Option<FromNew>> {
        loop {
            tokio::select! {
                said = asker.reader.next() => match said? {
                    Some(FromNew::Evict { session, reason }) => {
                        match reason {
                            Some(reason) => self.pool.evict_because(session, &reason),
                            None => self.pool.evict(session),
                        };
                    }
                    Some(FromNew::Tell { session, line }) => {
                        self.pool.tell(session, line);
                    }
                    Some(FromNew::End) => self.shutdown.end(),
                    word => return Ok(word),
                },
                changed = asker.snapshots.changed() => {
                    changed?;
                    self.report(asker).await?;
                }
            }
        }
    }

    async fn report(&self, asker: &mut Asker) -> Result<()> {
        let snapshot = asker.snapshots.borrow_and_update().clone();
        match asker.reports.next(&snapshot, self.generations.alive()) {
            Some(report) => asker.say(&FromOld::Report(report)).await,
            None => Ok(()),
        }
    }
}

impl Asker {
    async fn say(&mut self, word: &FromOld) -> Result<()> {
        let saying = self.writer.say(word);
        let said = tokio::time::timeout(STEP, saying).await;
        Ok(said.context("the new gate does not listen")??)
    }
}
