//! The end of the gate that has the place, one for each older gate: what that one says becomes sessions here, what is decided
//! about those goes back, and so do seats for its logins.
//!
//! A line that breaks is no end: the older gate is asked again, and gone only once nobody answers at its socket. Meanwhile what
//! it held counts, and nobody takes a machine away.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{STEP, check_account, older};
use crate::net::handover::{self, FromNew, FromOld, Held, Reader, Report, Writer};
use crate::net::shutdown::Shutdown;
use crate::shared_pool::{Elsewhere, Errand, SharedPool};

/// Until an older gate that cannot be understood is asked again; the first time sooner, since it may just be ending.
const AGAIN: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(100);

pub(in crate::app) struct Link {
    /// Where the older gate answers once it has given its place away.
    path: PathBuf,
    line: Option<(Reader, Writer)>,
    elsewhere: Elsewhere,
    errands: mpsc::Receiver<Errand>,
    /// Changes when files of lines are to be opened anew.
    rotated: watch::Receiver<()>,
    /// What could not be said before the line broke.
    unsaid: Option<FromNew>,
}

impl Link {
    pub fn new(pool: SharedPool, path: PathBuf, pid: u32, rotated: watch::Receiver<()>) -> Self {
        let (elsewhere, errands) = Elsewhere::new(pool, pid);
        Self {
            path,
            line: None,
            elsewhere,
            errands,
            rotated,
            unsaid: None,
        }
    }

    /// Goes on by the line of the hand-over.
    pub fn with_line(mut self, line: (Reader, Writer)) -> Self {
        self.line = Some(line);
        self
    }

    /// All that the older gate holds, as it has just told.
    pub fn learn(&mut self, version: &str, report: Report) {
        let held = report.sessions.into_iter();
        let held = held.map(
            |Held {
                 session,
                 generation,
             }| (session, generation),
        );
        self.elsewhere.hold_only(held.collect());
        self.elsewhere.hear(version);
    }

    pub async fn say(&mut self, word: &FromNew) -> io::Result<()> {
        let Some((_, writer)) = &mut self.line else {
            return Err(ErrorKind::NotConnected.into());
        };
        tokio::time::timeout(STEP, writer.say(word)).await?
    }

    /// The next word that is no report; `None` at the end of the older gate. Nothing is lost if this is dropped.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn word(&mut self) -> io::Result<Option<FromOld>> {
        loop {
            let Some((reader, _)) = &mut self.line else {
                return Ok(None);
            };
            match reader.next().await? {
                Some(FromOld::Report(report)) => take(&mut self.elsewhere, report),
                word => return Ok(word),
            }
        }
    }

    /// Asks the older gate whom it holds, and waits for as long as it takes to answer. False if it is gone.
    ///
    /// # Errors
    /// When it is there, and whom it holds cannot be understood.
    pub async fn meet(&mut self) -> Result<bool> {
        let stream = match UnixStream::connect(&self.path).await {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        check_account(&stream)?;
        let (mut reader, mut writer) = handover::join(stream);
        let version = handover::VERSION;
        writer.say(&FromNew::Follow { version }).await?;
        match reader.next().await? {
            Some(FromOld::Holds {
                version: handover::VERSION,
                program,
                report,
            }) => {
                self.learn(&program, report);
                self.line = Some((reader, writer));
                Ok(true)
            }
            Some(FromOld::Refused { why, .. }) => bail!("{why}"),
            Some(FromOld::Holds { version, .. }) => {
                bail!(
                    "it speaks version {version} of the hand-over, this gate {}",
                    handover::VERSION
                )
            }
            _ => bail!("it has ended the conversation"),
        }
    }

    /// It is gone.
    pub fn forget(self) {
        older::forget_socket(&self.path);
    }

    /// Until the older gate has ended, or this one gives its place to another, which then does the same. When this one ends,
    /// the older one's sessions are to end too.
    pub async fn follow(mut self, shutdown: Shutdown) {
        let following = self.follow_to_its_end(&shutdown.ending);
        if shutdown
            .handed_over
            .run_until_cancelled(following)
            .await
            .is_none()
        {
            return;
        }
        older::forget_socket(&self.path);
        tracing::info!(
            pid = self.elsewhere.pid(),
            sessions = self.elsewhere.len(),
            "the older gate has ended, and its last sessions with it"
        );
    }

    async fn follow_to_its_end(&mut self, ending: &CancellationToken) {
        let mut failures = 0_u32;
        loop {
            if self.line.is_some() {
                self.converse(ending).await;
                self.elsewhere.lose_sight();
            }
            let error = match self.meet().await {
                Ok(true) => {
                    failures = 0;
                    continue;
                }
                Ok(false) => return,
                Err(error) => error,
            };
            failures = failures.saturating_add(1);
            if failures == 2 {
                tracing::warn!(
                    pid = self.elsewhere.pid(),
                    "whom an older gate holds is not known, and no machine is drained or removed until it is: {error:#}"
                );
            }
            tokio::time::sleep(if failures == 1 { SOON } else { AGAIN }).await;
        }
    }

    /// For as long as the line holds.
    async fn converse(&mut self, ending: &CancellationToken) {
        let Some((mut reader, mut writer)) = self.line.take() else {
            return;
        };
        let (elsewhere, unsaid) = (&mut self.elsewhere, &mut self.unsaid);
        let (errands, rotated) = (&mut self.errands, &mut self.rotated);
        // Who asked by another line waits for no answer any more.
        if matches!(unsaid, Some(FromNew::Reply { .. })) {
            *unsaid = None;
        }
        let (replies, mut answered) = mpsc::channel(handover::PLEAS_MAX);
        let listening = async {
            while let Ok(Some(said)) = reader.next().await {
                match said {
                    FromOld::Report(report) => take(elsewhere, report),
                    FromOld::Plea { number, plea } => {
                        let reply = Box::new(elsewhere.answer(*plea));
                        // More than a gate asks at one time, and none of ours.
                        if replies.try_send(FromNew::Reply { number, reply }).is_err() {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        };
        let speaking = async {
            loop {
                if unsaid.is_none() {
                    *unsaid = tokio::select! {
                        biased;
                        // What is decided about a session comes after its seat.
                        Some(reply) = answered.recv() => Some(reply),
                        Some(errand) = errands.recv() => Some(word(errand)),
                        Ok(()) = rotated.changed() => Some(FromNew::Reopen),
                        () = ending.cancelled() => Some(FromNew::End),
                    };
                }
                let Some(word) = &*unsaid else { continue };
                let said = tokio::time::timeout(STEP, writer.say(word)).await;
                if !matches!(said, Ok(Ok(()))) {
                    return;
                }
                if matches!(unsaid.take(), Some(FromNew::End)) {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            () = listening => {}
            () = speaking => {}
        }
    }
}

fn take(elsewhere: &mut Elsewhere, report: Report) {
    for held in report.sessions {
        elsewhere.hold(held.session, held.generation);
    }
    for id in report.ended {
        elsewhere.release(id);
    }
}

/// Nobody answers there any more: the process has ended.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

fn word(errand: Errand) -> FromNew {
    match errand {
        Errand::Evict { session, reason } => FromNew::Evict {
            session,
            reason: reason.map(|reason| reason.to_string()),
        },
        Errand::Tell { session, line } => FromNew::Tell { session, line },
    }
}
