//! The side of the gate that runs: it gives its place to a new one that asks, or goes on as if nobody had.
//!
//! Its controllers pause and nothing is written while the new gate gets ready; accepting goes on until the new one accepts
//! too. Who asks meanwhile is told to wait. What comes after is `staying`'s.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::staying::{Follower, Keeper, refusal};
use super::{GENERATIONS_MAX, GET_READY, STEP, check_account};
use crate::admin::{AdminSocket, UpgradeStep, Upgrades};
use crate::app::reload::Inside;
use crate::app::systemd;
use crate::net::handover::{self, FromNew, FromOld, Order, Passed, Seen};
use crate::pool::Health;
use crate::state::{Folder, hold_pen};

pub(in crate::app) struct Giver {
    pub keeper: Keeper,
    pub inside: Weak<Mutex<Inside>>,
    /// Ends what only the gate of the place does.
    pub operating: CancellationToken,
    /// Where this gate is found once it has given its place away.
    pub older: PathBuf,
    pub upgrades: Upgrades,
    pub state: Folder,
}

/// A new gate that asks.
struct Asker {
    pid: i32,
    follower: Follower,
}

/// Askers that are told to wait, at one time.
const REFUSED_MAX: usize = 8;

impl Giver {
    /// Waits for a new gate, as long as this one takes logins, and stays in touch with the one that took its place.
    pub async fn listen(self, socket: AdminSocket) {
        let closing = self.keeper.shutdown.closing.clone();
        while let Some(accepted) = closing.run_until_cancelled(socket.accept_one()).await {
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a gate that wants to take over cannot be heard");
                    tokio::time::sleep(STEP).await;
                    continue;
                }
            };
            let giving = tokio::select! {
                given = self.give(stream, &socket) => given,
                () = refuse_others(&socket) => return,
            };
            match giving {
                Ok(asker) => return self.keeper.stay(asker.follower, socket).await,
                Err(error) => {
                    tracing::warn!("no hand-over, and this gate goes on as before: {error:#}");
                }
            }
        }
    }

    async fn give(&self, stream: UnixStream, socket: &AdminSocket) -> Result<Asker> {
        check_account(&stream)?;
        let mut asker = Asker {
            pid: stream.peer_cred()?.pid().unwrap_or_default(),
            follower: Follower::new(stream, &self.keeper.pool),
        };
        let asked = tokio::time::timeout(STEP, asker.follower.reader.next()).await;
        let Some(FromNew::Ask { version, program }) = asked.context("nothing was asked")?? else {
            bail!("the asking process does not ask");
        };
        let inside = self.inside.upgrade().context("the gate is being stopped")?;
        let mut inside = inside.lock().await;
        let may_give = is_of_this_version(version).and_then(|()| may_give(&inside, &self.keeper));
        if let Err(why) = may_give {
            asker.follower.say(&refusal(&why)).await?;
            bail!("it was refused: {why}");
        }
        self.upgrades.step(UpgradeStep::GetReady);
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
                self.retire(&mut inside, &mut asker, socket).await;
                Ok(asker)
            }
            Err(error) => {
                drop(pen);
                inside.pools.resume();
                let why = format!("{error:#}");
                // It may be gone, and then knows.
                drop(asker.follower.say(&FromOld::Withdrawn { why }).await);
                Err(error)
            }
        }
    }

    async fn hand_over(&self, inside: &Inside, asker: &mut Asker) -> Result<()> {
        let snapshot = self.keeper.pool.snapshot();
        let up = snapshot.instances.iter();
        let up = up.filter(|one| one.health == Health::Up).map(|one| Seen {
            pool: one.pool.clone(),
            instance: one.name.clone(),
        });
        let sockets = inside.sockets()?;
        if let Some((file, why)) = self.state.unwritten() {
            let file = file.display();
            bail!(
                "{file} cannot be written ({why}), and the new gate would not know what this one does: free the disk, or correct the \
                 folder's owner and mode"
            );
        }
        let (descriptors, files): (Vec<Passed>, Vec<BorrowedFd<'_>>) = sockets
            .iter()
            .map(|(passed, socket)| (passed.clone(), socket.as_fd()))
            .unzip();
        let (pid, follower) = (asker.pid, &mut asker.follower);
        let offer = FromOld::Offer {
            version: handover::VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            order: self.upgrades.under_way().map(|order| Order {
                by: order.by,
                reason: order.reason,
            }),
            descriptors,
            up: up.collect(),
            report: follower.news().unwrap_or_default(),
        };
        let offering = follower.say_with(&offer, &files).await;
        offering.context("the offer")?;
        let getting_ready = tokio::time::timeout(GET_READY, self.keeper.word(follower));
        let closing = &self.keeper.shutdown.closing;
        let ready = closing.run_until_cancelled(getting_ready).await;
        // Whoever stops this gate does not want another one in its place.
        let ready = ready.context("this gate is being stopped")?;
        let Some(FromNew::Ready) = ready.context("the new gate was not ready in time")?? else {
            bail!("the new gate (pid {pid}) ended before it was ready; its log says why");
        };
        follower.say(&FromOld::Yours).await?;
        let serving = tokio::time::timeout(STEP, self.keeper.word(follower)).await;
        let Some(FromNew::Serving) = serving.context("the new gate does not serve")?? else {
            bail!("the new gate (pid {pid}) ended before it served");
        };
        // It says no more until it is told that it is alone: whatever comes now is its end.
        match tokio::time::timeout(Duration::ZERO, self.keeper.word(follower)).await {
            Err(_) => Ok(()),
            Ok(_) => bail!("the new gate (pid {pid}) ended as soon as it served"),
        }
    }

    /// From here on the place is the new gate's.
    async fn retire(&self, inside: &mut Inside, asker: &mut Asker, socket: &AdminSocket) {
        asker.follower.begin_asking();
        self.keeper.shutdown.handed_over.cancel();
        // Before the lock is let go: whoever has it next finds this gate.
        if let Err(error) = socket.move_to(&self.older) {
            tracing::error!(file = %self.older.display(), %error, "only the gate that has the place now knows this one's sessions");
        }
        // Before the admin side ends: the socket's file stays.
        inside.retire(&self.keeper.shutdown);
        self.operating.cancel();
        // Whoever had put files aside until now may have asked this one, which was about something else.
        self.keeper.rotations.ask();
        systemd::main_process(asker.pid);
        tracing::info!(
            pid = asker.pid,
            sessions = self.keeper.pool.snapshot().sessions.len(),
            "the new gate serves; this one keeps its sessions until they end"
        );
        if let Err(error) = asker.follower.say(&FromOld::Done).await {
            tracing::warn!("the new gate cannot be told that it is alone: {error:#}");
        }
    }
}

fn is_of_this_version(version: u32) -> Result<(), String> {
    match version == handover::VERSION {
        true => Ok(()),
        false => Err(format!(
            "it speaks version {version} of the hand-over, this gate {}: stop this one, and start the other",
            handover::VERSION
        )),
    }
}

/// Whether the place can be given away at all.
///
/// # Errors
/// Why not, and what to do instead.
pub(super) fn may_give(inside: &Inside, keeper: &Keeper) -> Result<(), String> {
    if keeper.shutdown.closing.is_cancelled() {
        return Err("this gate is being stopped".to_owned());
    }
    if let Some(pool) = inside.pools.of_processes() {
        return Err(format!(
            "the instances of pool {pool} are processes of this gate (provider = \"process\") and end with it, so they cannot be \
             handed over: stop the gate, which lets sessions end (drain_limit), and start the new version"
        ));
    }
    let alive = keeper.pool.older().len().saturating_add(1);
    if alive >= GENERATIONS_MAX {
        return Err(format!(
            "{alive} gates hold sessions already, and each takes memory: wait until the oldest has ended, or end its sessions \
             (`poolgate status` names the gates, `poolgate sessions` their sessions)"
        ));
    }
    Ok(())
}

/// Others that ask while one is given the place.
async fn refuse_others(socket: &AdminSocket) {
    let mut refused = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = refused.join_next() => {}
            accepted = socket.accept_one(), if refused.len() < REFUSED_MAX => match accepted {
                Ok(stream) => {
                    refused.spawn(refuse(stream));
                }
                // It is met again by whoever listens next.
                Err(_) => tokio::time::sleep(STEP).await,
            }
        }
    }
}

async fn refuse(stream: UnixStream) -> Result<()> {
    check_account(&stream)?;
    let (mut reader, mut writer) = handover::join(stream);
    // What is said before it has asked would be lost.
    let _: Option<FromNew> = tokio::time::timeout(STEP, reader.next()).await??;
    let why =
        "another new gate is being given this one's place: ask again once that has come to an end";
    Ok(tokio::time::timeout(STEP, writer.say(&refusal(why))).await??)
}
