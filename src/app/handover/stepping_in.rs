//! The new gate's way into the place: built whole, then seen to be ready, and only then serving.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tokio::time::timeout;

use super::{Giver, Link, STEP, Taken, see_up};
use crate::admin;
use crate::app::{App, Begun, state_dir};
use crate::config::Config;
use crate::net::handover::{FILE_NAME, FromNew, FromOld, Seen};
use crate::state::Lock;

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
        let built = Self::build(config, taken.inherited, taken.lock);
        let (app, begun) = match built {
            Ok(built) => built,
            Err(error) => {
                pen.give_away();
                return Err(error);
            }
        };
        let mut link = Link::new(app.parts.pool.clone(), taken.line, app.generations.clone());
        link.take(taken.report);
        if let Err(error) = app.step_in(&mut link, begun, &up).await {
            // What it would write is the other's to know.
            pen.give_away();
            app.stop().await;
            return Err(error);
        }
        drop(pen);
        app.settle_in(taken.admin_file).await;
        let following = link.follow(app.shutdown.ending.clone());
        app.shutdown.connections.spawn(following);
        app.let_take_over().await;
        Ok(app)
    }

    async fn step_in(&self, link: &mut Link, begun: Begun, up: &[Seen]) -> Result<()> {
        tokio::select! {
            seen = see_up(self.parts.pool.subscribe(), up) => seen?,
            word = link.word() => bail!(withdrawn(word.context("the running gate")?)),
        }
        link.say(&FromNew::Ready)
            .await
            .context("the running gate")?;
        match timeout(STEP, link.word())
            .await
            .context("the running gate does not answer")??
        {
            Some(FromOld::Yours) => {}
            other => bail!(withdrawn(other)),
        }
        self.serve(begun)?;
        link.say(&FromNew::Serving)
            .await
            .context("the running gate")?;
        match timeout(STEP, link.word()).await {
            Ok(Ok(Some(FromOld::Done))) => {}
            Ok(Ok(Some(other))) => bail!(withdrawn(Some(other))),
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
        if let (Some((_, file)), Some(path)) = (&inside.socket, admin_file)
            && let Err(error) = file.adopt(&path)
        {
            tracing::warn!(file = %path.display(), %error, "the operators' socket has no file any more");
        }
    }

    /// From here on a newer gate may ask for this one's place.
    pub(in crate::app) async fn let_take_over(&self) {
        let path = self.inside.lock().await.config.state_dir.join(FILE_NAME);
        let socket = match admin::bind_socket(&path) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "no newer gate can take over from this one");
                return;
            }
        };
        let giver = Giver {
            pool: self.parts.pool.clone(),
            shutdown: self.shutdown.clone(),
            inside: std::sync::Arc::downgrade(&self.inside),
            generations: self.generations.clone(),
            operating: self.operating.clone(),
        };
        self.services.spawn(giver.listen(socket));
    }
}

fn withdrawn(word: Option<FromOld>) -> String {
    match word {
        Some(FromOld::Withdrawn { why }) => format!("the running gate keeps its place: {why}"),
        Some(_) => "the running gate says something else than it should".to_owned(),
        None => "the running gate has ended the hand-over; its log says why".to_owned(),
    }
}
