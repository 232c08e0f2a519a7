//! A gate that has given its place away: it keeps its sessions to their end, and tells whoever has the place by now of them.
//!
//! That is the gate that took the place, and whichever comes after it: by the line of the hand-over, and at the socket that the
//! gate had for those who ask for its place. All may decide about its sessions; there is no one else who could. One of them is
//! asked for a seat for each login that this gate still has.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::reports::Reports;
use super::{STEP, check_account};
use crate::admin::AdminSocket;
use crate::app::GOODBYES;
use crate::app::rotations::Rotations;
use crate::net::handover::{self, FromNew, FromOld, Reader, Report, Writer};
use crate::net::shutdown::Shutdown;
use crate::pool::{Reply, Snapshot};
use crate::shared_pool::{Asked, Newer, SharedPool};

/// One has the place, one may be about to take it, and a killed one may not be known to be gone yet.
const FOLLOWERS_MAX: usize = 8;

/// What sessions are reached by, and what is written about them.
#[derive(Clone)]
pub(super) struct Keeper {
    pub pool: SharedPool,
    pub shutdown: Shutdown,
    pub rotations: Rotations,
}

/// Somebody who is told of this gate's sessions, and what they have been told so far.
pub(super) struct Follower {
    pub reader: Reader,
    writer: Writer,
    reports: Reports,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    pool: SharedPool,
    pleas: Pleas,
}

/// What a newer gate is asked.
#[derive(Default)]
struct Pleas {
    /// Those that it has not answered, by number.
    waiting: BTreeMap<u64, Asked>,
    last: u64,
    /// As long as this gate has its place nobody is asked.
    newer: Option<Newer>,
}

impl Pleas {
    async fn next(&mut self) -> Asked {
        match &mut self.newer {
            Some(newer) if self.waiting.len() < handover::PLEAS_MAX => newer.next().await,
            _ => std::future::pending().await,
        }
    }
}

impl Keeper {
    /// Until this gate has ended, and its sessions have or take no goodbye.
    pub async fn stay(self, first: Follower, socket: AdminSocket) {
        let mut followers = JoinSet::new();
        followers.spawn(self.clone().keep_in_touch(first));
        let goodbyes = self.goodbyes();
        tokio::pin!(goodbyes);
        loop {
            tokio::select! {
                () = &mut goodbyes => break,
                Some(_) = followers.join_next() => {}
                accepted = socket.accept_one(), if followers.len() < FOLLOWERS_MAX => match accepted {
                    Ok(stream) => {
                        followers.spawn(self.clone().meet(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a newer gate cannot be heard");
                        tokio::time::sleep(STEP).await;
                    }
                },
            }
        }
        // Whoever loses the line finds nobody here any more.
        drop(socket);
        while followers.join_next().await.is_some() {}
    }

    async fn goodbyes(&self) {
        self.shutdown.ending.cancelled().await;
        drop(tokio::time::timeout(GOODBYES, self.shutdown.connections.wait()).await);
    }

    async fn meet(self, stream: UnixStream) {
        match self.welcome(stream).await {
            Ok(mut follower) => {
                follower.begin_asking();
                self.keep_in_touch(follower).await;
            }
            Err(error) => tracing::warn!("somebody is not told of this gate's sessions: {error:#}"),
        }
    }

    async fn welcome(&self, stream: UnixStream) -> Result<Follower> {
        check_account(&stream)?;
        let mut follower = Follower::new(stream, &self.pool);
        let asked = tokio::time::timeout(STEP, follower.reader.next()).await;
        let version = match asked.context("nothing was asked")?? {
            Some(FromNew::Follow { version } | FromNew::Ask { version, .. })
                if version != handover::VERSION =>
            {
                let why = format!(
                    "the gate that holds sessions yet speaks version {} of the hand-over, and the other {version}",
                    handover::VERSION
                );
                follower.say(&refusal(&why)).await?;
                bail!("it was refused: {why}");
            }
            Some(FromNew::Follow { version }) => version,
            Some(FromNew::Ask { .. }) => {
                let why = "this gate has given its place away a moment ago: ask again";
                follower.say(&refusal(why)).await?;
                bail!("it came too late to be given this gate's place");
            }
            _ => bail!("the asking process does not ask"),
        };
        let holds = FromOld::Holds {
            version,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            report: follower.news().unwrap_or_default(),
        };
        follower.say(&holds).await?;
        Ok(follower)
    }

    /// Until one of both ends.
    async fn keep_in_touch(self, mut follower: Follower) {
        let lost = tokio::select! {
            lost = self.word(&mut follower) => lost,
            // What ends with this gate is told to the last.
            () = self.goodbyes() => {
                drop(follower.report().await);
                return;
            }
        };
        tracing::info!(
            cause = ?lost,
            "a newer gate is gone; this one keeps its sessions all the same, and tells the next of them"
        );
    }

    /// The other's next word that is none about sessions; what it has for those is done, and what changes of them is told.
    pub async fn word(&self, follower: &mut Follower) -> Result<Option<FromNew>> {
        loop {
            tokio::select! {
                said = follower.reader.next() => match said? {
                    Some(FromNew::Evict { session, reason }) => {
                        match reason {
                            Some(reason) => self.pool.evict_because(session, &reason),
                            None => self.pool.evict(session),
                        };
                    }
                    Some(FromNew::Tell { session, line }) => {
                        self.pool.tell(session, line);
                    }
                    Some(FromNew::Reopen) => self.rotations.ask(),
                    Some(FromNew::End) => self.shutdown.end(),
                    Some(FromNew::Reply { number, reply }) => follower.pass_on(number, *reply).await?,
                    word => return Ok(word),
                },
                asked = follower.pleas.next() => follower.plead(asked).await?,
                changed = follower.snapshots.changed() => {
                    changed?;
                    follower.report().await?;
                }
            }
        }
    }
}

impl Follower {
    pub fn new(stream: UnixStream, pool: &SharedPool) -> Self {
        let (reader, writer) = handover::join(stream);
        Self {
            reader,
            writer,
            reports: Reports::default(),
            snapshots: pool.subscribe(),
            pool: pool.clone(),
            pleas: Pleas::default(),
        }
    }

    /// The place is theirs, or will be: they give seats from here on.
    pub fn begin_asking(&mut self) {
        self.pleas.newer = Some(self.pool.ask_newer());
    }

    async fn plead(&mut self, asked: Asked) -> Result<()> {
        let number = self.pleas.last.wrapping_add(1);
        self.pleas.last = number;
        let plea = Box::new(asked.plea().clone());
        self.pleas.waiting.insert(number, asked);
        self.say(&FromOld::Plea { number, plea }).await
    }

    async fn pass_on(&mut self, number: u64, reply: Reply) -> Result<()> {
        if let Reply::Given(given) = &reply {
            self.reports.expect(given.session);
        }
        if let Some(asked) = self.pleas.waiting.remove(&number) {
            asked.pass_on(&self.pool, reply);
        }
        self.report().await
    }

    pub async fn say(&mut self, word: &FromOld) -> Result<()> {
        self.say_with(word, &[]).await
    }

    pub async fn say_with(&mut self, word: &FromOld, files: &[BorrowedFd<'_>]) -> Result<()> {
        let saying = self.writer.say_with(word, files);
        let said = tokio::time::timeout(STEP, saying).await;
        Ok(said.context("the other gate does not listen")??)
    }

    /// What they have not been told yet.
    pub fn news(&mut self) -> Option<Report> {
        let snapshot = self.snapshots.borrow_and_update().clone();
        let is_held = |session| self.pool.holds(session);
        self.reports.next(&snapshot, is_held)
    }

    async fn report(&mut self) -> Result<()> {
        match self.news() {
            Some(report) => self.say(&FromOld::Report(report)).await,
            None => Ok(()),
        }
    }
}

pub(super) fn refusal(why: &str) -> FromOld {
    FromOld::Refused {
        version: handover::VERSION,
        why: why.to_owned(),
    }
}
