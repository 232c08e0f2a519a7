//! The new gate's end: what the old one says becomes sessions here, and what is decided about those goes back.

use std::io;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Generations, STEP};
use crate::net::handover::{FromNew, FromOld, Reader, Report, Writer};
use crate::shared_pool::{Elsewhere, Errand, SharedPool};

pub(in crate::app) struct Link {
    reader: Reader,
    writer: Writer,
    elsewhere: Elsewhere,
    errands: mpsc::Receiver<Errand>,
    generations: Generations,
}

impl Link {
    pub fn new(pool: SharedPool, (reader, writer): (Reader, Writer), before: Generations) -> Self {
        let (elsewhere, errands) = Elsewhere::new(pool);
        Self {
            reader,
            writer,
            elsewhere,
            errands,
            generations: before,
        }
    }

    pub fn take(&mut self, report: Report) {
        self.generations.set_before(report.generations);
        for held in report.sessions {
            self.elsewhere.hold(held.session, held.generation);
        }
        for id in report.ended {
            self.elsewhere.release(id);
        }
    }

    pub async fn say(&mut self, word: &FromNew) -> io::Result<()> {
        let saying = self.writer.say(word);
        tokio::time::timeout(STEP, saying).await?
    }

    /// The next word that is no report; `None` at the end of the old gate. Nothing is lost if this is dropped.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn word(&mut self) -> io::Result<Option<FromOld>> {
        loop {
            match self.reader.next().await? {
                Some(FromOld::Report(report)) => self.take(report),
                word => return Ok(word),
            }
        }
    }

    /// Until the old gate has ended. At `ending` its sessions are to end too.
    pub async fn follow(self, ending: CancellationToken) {
        let Self {
            mut reader,
            mut writer,
            mut elsewhere,
            mut errands,
            generations,
        } = self;
        let listening = async {
            loop {
                match reader.next().await {
                    Ok(Some(FromOld::Report(report))) => {
                        generations.set_before(report.generations);
                        for held in report.sessions {
                            elsewhere.hold(held.session, held.generation);
                        }
                        report
                            .ended
                            .into_iter()
                            .for_each(|id| elsewhere.release(id));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "the older gate cannot be heard any more");
                        return;
                    }
                }
            }
        };
        let speaking = async {
            loop {
                let word = tokio::select! {
                    biased;
                    Some(errand) = errands.recv() => word(errand),
                    () = ending.cancelled() => FromNew::End,
                };
                let is_last = matches!(word, FromNew::End);
                let said = tokio::time::timeout(STEP, writer.say(&word)).await;
                if is_last || !matches!(said, Ok(Ok(()))) {
                    return std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = listening => {}
            () = speaking => {}
        }
        generations.set_before(0);
        tracing::info!(
            sessions = elsewhere.len(),
            "the older gate has ended, and its last sessions with it"
        );
    }
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
