//! The new gate's way into the place: built whole, then seen to be ready, and only then serving.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use tokio::time::timeout;

use super::staying::Keeper;
use super::{Giver, Link, STEP, Taken, older, see_up};
use crate::admin::{self, TookOver};
use crate::app::state_dir::{self, Whose};
use crate::app::{App, Begun, systemd};
use crate::config::Config;
use crate::net::handover::{FILE_NAME, FromNew, FromOld, Order, Seen};
use crate::state::Lock;
use crate::telemetry::events::EventKind;

impl App {
    /// Takes the place of the gate that runs with the same state folder: its sockets, its lock, and what it knows. That one
    /// keeps its sessions.
    ///
    /// # Errors
    /// Why the other goes on as before.
    pub async fn take_over(config: Config) -> Result<Self> {
        state_dir::make(&config.state_dir)?;
        let taken = Taken::ask(&config).await?;
        let (pen, up) = (taken.pen, taken.up);
        let built = Self::build(config, taken.inherited, taken.lock, Whose::Another);
        let (app, begun) = match built {
            Ok(built) => built,
            Err(error) => {
                pen.give_away();
                return Err(error);
            }
        };
        let before = Before {
            pid: taken.pid,
            version: taken.program.clone(),
            order: taken.order,
        };
        let (pool, at) = (app.parts.pool.clone(), taken.older);
        let rotated = app.parts.rotations.subscribe();
        let mut link = Link::new(pool, at, taken.pid, rotated).with_line(taken.line);
        link.learn(&taken.program, taken.report);
        let stepping_in = async {
            let still_older = app.meet_older().await?;
            app.step_in(&mut link, begun, &up).await?;
            Ok(still_older)
        };
        let mut links = match stepping_in.await {
            Ok(still_older) => still_older,
            Err(error) => {
                // What it would write is the other's to know.
                pen.give_away();
                app.stop().await;
                return Err(error);
            }
        };
        app.parts.state.make_own();
        app.tell_taken_over(before).await;
        drop(pen);
        app.settle_in(taken.admin_file).await;
        links.push(link);
        app.follow(links);
        app.let_take_over();
        Ok(app)
    }

    /// Learns whom gates hold that gave their place away; those that do not tell may hold anybody.
    ///
    /// # Errors
    /// When it cannot be found out which there are.
    pub(in crate::app) async fn meet_older(&self) -> Result<Vec<Link>> {
        let state_dir = self.parts.state.path();
        let (pool, rotations) = (&self.parts.pool, &self.parts.rotations);
        let links = older::meet(state_dir, pool, rotations).await?;
        for gate in pool.older() {
            let (pid, sessions) = (gate.pid, gate.sessions);
            match gate.is_heard {
                true => tracing::info!(
                    pid,
                    sessions,
                    "an older gate keeps its sessions until they end"
                ),
                false => tracing::warn!(pid, "an older gate has not told yet whom it holds"),
            }
        }
        Ok(links)
    }

    /// Stays in touch with them until they have ended: this gate ends after them.
    pub(in crate::app) fn follow(&self, links: Vec<Link>) {
        for link in links {
            let following = link.follow(self.shutdown.clone());
            self.shutdown.connections.spawn(following);
        }
    }

    async fn tell_taken_over(&self, before: Before) {
        let Before {
            pid,
            version,
            order,
        } = before;
        let (by, reason) = order.map_or((None, None), |order| (Some(order.by), order.reason));
        let own = (env!("CARGO_PKG_VERSION"), std::process::id());
        let mut text = format!(
            "version {} (pid {}) has taken the place of version {version} (pid {pid})",
            own.0, own.1
        );
        if let Some(by) = &by {
            text.push_str(&format!(", by order of {by}"));
        }
        if let Some(reason) = &reason {
            text.push_str(&format!(": {reason}"));
        }
        let pool = self.inside.lock().await.config.default_pool().to_owned();
        self.parts
            .events
            .tell(&pool, None, EventKind::Upgrade, text);
        self.upgrades.took_over(TookOver {
            pid,
            version,
            at: SystemTime::now(),
            by,
            reason,
        });
    }

    async fn step_in(&self, link: &mut Link, begun: Begun, up: &[Seen]) -> Result<()> {
        tokio::select! {
            seen = see_up(self.parts.pool.subscribe(), up) => seen?,
            word = link.word() => bail!(withdrawn(word.context("the running gate")?)),
        }
        let spared = self.parts.state.spared();
        if !spared.is_empty() {
            bail!(
                "{}: stop the running gate and start this program without --take-over, which does without that",
                spared.join("; ")
            );
        }
        // Where it has gone meanwhile, what it said last can still be read.
        drop(link.say(&FromNew::Ready).await);
        let word = timeout(STEP, link.word()).await;
        match word.context("the running gate does not answer")? {
            Ok(Some(FromOld::Yours)) => {}
            Ok(other) => bail!(withdrawn(other)),
            Err(_) => bail!(withdrawn(None)),
        }
        self.serve(begun).await?;
        let told = link.say(&FromNew::Serving).await;
        let done = match told {
            Ok(()) => timeout(STEP, link.word()).await,
            Err(error) => Ok(Err(error)),
        };
        match done {
            Ok(Ok(Some(FromOld::Done))) => return Ok(()),
            Ok(Ok(Some(other))) => bail!(withdrawn(Some(other))),
            Ok(Ok(None) | Err(_)) if systemd::is_there() => {
                bail!(
                    "the gate before has ended in the middle of the hand-over; systemd starts another one"
                )
            }
            // Somebody must have the place.
            _ => tracing::warn!("the gate before has ended in the middle of the hand-over"),
        }
        Ok(())
    }

    /// Lock and socket file are this gate's: whoever finds the folder locked reads by whom.
    async fn settle_in(&self, admin_file: Option<PathBuf>) {
        let mut inside = self.inside.lock().await;
        if let Some(Err(error)) = inside.lock.as_mut().map(Lock::sign) {
            tracing::warn!(%error, "the lock still names the gate before");
        }
        if let (Some(open), Some(path)) = (&inside.socket, admin_file)
            && let Err(error) = open.file.adopt(&path)
        {
            tracing::warn!(file = %path.display(), %error, "the operators' socket has no file any more");
        }
        // They may have been put aside since this gate opened them, and who did it knew of the other alone.
        self.parts.rotations.ask();
    }

    /// From here on a newer gate may ask for this one's place.
    pub(in crate::app) fn let_take_over(&self) {
        let state_dir = self.parts.state.path();
        let path = state_dir.join(FILE_NAME);
        let bound = older::make_folder(state_dir).and_then(|()| Ok(admin::bind_socket(&path)?));
        let socket = match bound {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "no newer gate can take over from this one");
                return;
            }
        };
        let giver = Giver {
            keeper: Keeper {
                pool: self.parts.pool.clone(),
                shutdown: self.shutdown.clone(),
                rotations: self.parts.rotations.clone(),
            },
            inside: std::sync::Arc::downgrade(&self.inside),
            operating: self.operating.clone(),
            upgrades: self.upgrades.clone(),
            state: self.parts.state.clone(),
            older: older::path(state_dir, std::process::id()),
        };
        self.services.spawn(giver.listen(socket));
    }
}

/// The gate whose place is taken, and whose wish that is.
struct Before {
    pid: u32,
    version: String,
    order: Option<Order>,
}

fn withdrawn(word: Option<FromOld>) -> String {
    match word {
        Some(FromOld::Withdrawn { why }) => format!("the running gate keeps its place: {why}"),
        Some(_) => "the running gate says something else than it should".to_owned(),
        None => "the running gate has ended the hand-over; its log says why".to_owned(),
    }
}
