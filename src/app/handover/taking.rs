//! The side of the gate that takes over: it asks, is given sockets and lock, and waits until it sees what the old one sees.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::older;
use crate::config::Config;
use crate::net::handover::{self, FromNew, FromOld, Order, Passed, Reader, Report, Seen, Writer};
use crate::net::inherited::Inherited;
use crate::pool::{Health, Snapshot};
use crate::state::{HeldPen, Lock, hold_pen};

/// What the old gate gave.
pub(in crate::app) struct Taken {
    pub inherited: Inherited,
    /// The operators' socket file, where the gate made it.
    pub admin_file: Option<PathBuf>,
    pub lock: Lock,
    /// Held until the place is this gate's.
    pub pen: HeldPen,
    pub up: Vec<Seen>,
    pub pid: u32,
    /// The version of its program.
    pub program: String,
    pub order: Option<Order>,
    /// Where it is found once the place is this gate's.
    pub older: PathBuf,
    pub report: Report,
    pub line: (Reader, Writer),
}

/// How long the offer may take: controllers end what they are about first.
const OFFER: Duration = Duration::from_secs(60);
/// How long instances may take to be listed and to answer.
const SEEN_UP: Duration = Duration::from_secs(30);

impl Taken {
    /// # Errors
    /// When no gate answers there, or it refuses; it then goes on as before.
    pub async fn ask(config: &Config) -> Result<Self> {
        let path = config.state_dir.join(handover::FILE_NAME);
        let stream = UnixStream::connect(&path).await.with_context(|| {
            format!(
                "no running gate answers at {}: leave --take-over out to start one, or compare state_dir with the other's",
                path.display()
            )
        })?;
        let pid = stream.peer_cred()?.pid();
        let pid = pid
            .and_then(|pid| u32::try_from(pid).ok())
            .context("the running gate has no process number here")?;
        let (mut reader, mut writer) = handover::join(stream);
        let pen = hold_pen().await;
        let ask = FromNew::Ask {
            version: handover::VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        writer.say(&ask).await.context("the running gate")?;
        let answer = tokio::time::timeout(OFFER, reader.next()).await;
        let answer = answer.context("the running gate does not answer")?;
        match answer.context("the running gate")? {
            Some(FromOld::Offer {
                version: handover::VERSION,
                program,
                order,
                descriptors,
                up,
                report,
            }) => {
                let passed = descriptors.into_iter().zip(reader.take_descriptors());
                let (inherited, lock, admin_file) = sort(passed, config)?;
                Ok(Self {
                    inherited,
                    admin_file,
                    lock,
                    pen,
                    up,
                    pid,
                    program,
                    order,
                    older: older::path(&config.state_dir, pid),
                    report,
                    line: (reader, writer),
                })
            }
            Some(FromOld::Withdrawn { why }) => bail!("the running gate keeps its place: {why}"),
            Some(FromOld::Refused { why, .. }) => {
                bail!("the running gate does not give its place: {why}")
            }
            Some(FromOld::Offer { version, .. }) => {
                bail!(
                    "the running gate speaks version {version} of the hand-over, this one {}",
                    handover::VERSION
                )
            }
            _ => bail!("the running gate has ended the hand-over; its log says why"),
        }
    }
}

fn sort(
    passed: impl Iterator<Item = (Passed, OwnedFd)>,
    config: &Config,
) -> Result<(Inherited, Lock, Option<PathBuf>)> {
    let inherited = Inherited::default();
    let (mut lock, mut admin_file) = (None, None);
    for (Passed { name, file }, descriptor) in passed {
        if name == handover::LOCK {
            lock = Some(Lock::inherit(descriptor));
            continue;
        }
        if file.is_some() && file != config.admin.socket {
            // Operators find the new one where the config says; the old gate removes its own.
            continue;
        }
        admin_file = admin_file.or(file);
        let from = format!("the socket for {name} of the gate before");
        inherited.add(&name, &from, descriptor)?;
    }
    let lock = lock.context("the running gate has passed no lock on")?;
    Ok((inherited, lock, admin_file))
}

/// Waits until this gate sees up what the old one does, as far as it lists it.
///
/// # Errors
/// When of a whole pool none is.
pub(in crate::app) async fn see_up(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    awaited: &[Seen],
) -> Result<()> {
    let looking = async {
        while !missing(&snapshots.borrow_and_update(), awaited).is_empty() {
            if snapshots.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    if tokio::time::timeout(SEEN_UP, looking).await.is_ok() {
        return Ok(());
    }
    let snapshot = snapshots.borrow().clone();
    let missing = missing(&snapshot, awaited);
    for seen in awaited {
        let of_pool = |one: &&Seen| one.pool == seen.pool;
        let lacking = missing.iter().filter(|one| one.pool == seen.pool).count();
        if lacking > 0 && lacking == awaited.iter().filter(of_pool).count() {
            bail!(
                "of pool {} the running gate sees {lacking} instances up, and this one none within {} s",
                seen.pool,
                SEEN_UP.as_secs()
            );
        }
    }
    for Seen { pool, instance } in missing {
        tracing::warn!(%pool, %instance, "an instance that is up for the gate before is not for this one");
    }
    Ok(())
}

/// A pool that the config no longer names, and an instance that its pool lists no more, are not missed.
fn missing<'a>(snapshot: &Snapshot, awaited: &'a [Seen]) -> Vec<&'a Seen> {
    let is_missing = |seen: &&Seen| {
        let Some(pool) = snapshot.pool(&seen.pool) else {
            return snapshot.pools.is_empty();
        };
        let view = snapshot.instance(&seen.pool, &seen.instance);
        pool.instances == 0 || view.is_some_and(|view| view.health != Health::Up)
    };
    awaited.iter().filter(is_missing).collect()
}
