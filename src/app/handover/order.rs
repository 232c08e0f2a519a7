//! An upgrade as it is ordered: the program is tried, then started in this gate's place, and what comes of it is told everywhere
//! an operator looks: to whoever asked, in the story, the log and the audit log.
//!
//! The running gate starts the new one, whose unit, account, limits and variables it then has. What the two say to each other is
//! `giving`'s and `taking`'s; whoever starts a new gate by hand needs nothing of this.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use anyhow::{Context, Result};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::giving::may_give;
use super::staying::Keeper;
use super::{launch, trial};
use crate::admin::{AskUpgrade, UpgradeStep, UpgradeWish, Upgrades};
use crate::app::App;
use crate::app::reload::Inside;
use crate::telemetry::events::{EventKind, Events};

/// What carries an upgrade out.
#[derive(Clone)]
pub(in crate::app) struct Upgrader {
    pub keeper: Keeper,
    pub inside: Weak<Mutex<Inside>>,
    pub services: TaskTracker,
    pub events: Events,
    pub upgrades: Upgrades,
}

impl Upgrader {
    pub fn ask(self) -> AskUpgrade {
        Arc::new(move |wish| self.begin(wish))
    }

    /// # Errors
    /// Why nothing is begun.
    pub fn begin(&self, wish: UpgradeWish) -> Result<(), String> {
        let program = match (&wish.program, launch::own_program()) {
            (Some(program), _) => program.clone(),
            (None, Some(program)) => program.to_owned(),
            (None, None) => return Err("this program's own path is not known: name one".to_owned()),
        };
        if self.keeper.shutdown.handed_over.is_cancelled() {
            return Err("another gate has taken this one's place: ask that one".to_owned());
        }
        let begun = self.upgrades.begin(wish.clone(), program.clone());
        begun.map_err(|other| {
            format!(
                "an upgrade to {} is under way, by {}: wait for its end",
                other.program.display(),
                other.by
            )
        })?;
        let upgrader = self.clone();
        self.services
            .spawn(async move { upgrader.carry_out(&wish, &program).await });
        Ok(())
    }

    async fn carry_out(&self, wish: &UpgradeWish, program: &Path) {
        let by = &wish.by;
        let why = wish
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!(": {reason}"));
        let shown = program.display();
        if !wish.is_dry_run {
            tracing::info!(by, program = %shown, "the program is started anew in this gate's place{why}");
        }
        match self.upgrade(wish, program).await {
            Ok(text) => self.upgrades.end(true, text),
            Err(error) => {
                let text = format!("{error:#}");
                if !wish.is_dry_run {
                    for line in text.lines() {
                        tracing::error!(by, "no upgrade, and this gate goes on as before: {line}");
                    }
                    let told = text.lines().collect::<Vec<_>>().join("; ");
                    let pool = self.default_pool().await;
                    let text = format!("{by}: no upgrade, and this gate goes on as before: {told}");
                    self.events
                        .tell(&pool, None, EventKind::UpgradeFailed, text);
                }
                self.upgrades.end(false, text);
            }
        }
    }

    async fn upgrade(&self, wish: &UpgradeWish, program: &Path) -> Result<String> {
        let config = self.judge().await?;
        let version = trial::version(program).await?;
        self.upgrades.note_version(&version);
        trial::check(program, &config).await?;
        let shown = program.display();
        if wish.is_dry_run {
            return Ok(format!(
                "version {version} ({shown}) runs here and takes the configuration: it would be given this gate's place"
            ));
        }
        self.upgrades.step(UpgradeStep::Start);
        launch::launch(program, &config).await?;
        Ok(format!("version {version} ({shown}) serves"))
    }

    /// The configuration's file, if the place can be given away at all.
    async fn judge(&self) -> Result<PathBuf> {
        let inside = self
            .inside
            .upgrade()
            .context("this gate is being stopped")?;
        let inside = inside.lock().await;
        may_give(&inside, &self.keeper).map_err(anyhow::Error::msg)?;
        Ok(inside.config.written.file.clone())
    }

    async fn default_pool(&self) -> String {
        let Some(inside) = self.inside.upgrade() else {
            return String::new();
        };
        inside.lock().await.config.default_pool().to_owned()
    }
}

impl App {
    /// What SIGUSR2 asks for. The log has what comes of it.
    pub fn upgrade(&self) {
        let wish = UpgradeWish {
            by: "a signal".to_owned(),
            reason: None,
            program: None,
            is_dry_run: false,
        };
        if let Err(why) = self.upgrader().begin(wish) {
            tracing::warn!("no upgrade: {why}");
        }
    }

    /// Lets operators ask for an upgrade.
    pub(in crate::app) fn let_upgrade(&self, inside: &mut Inside) {
        inside.admin.ask_upgrade = self.upgrader().ask();
    }

    fn upgrader(&self) -> Upgrader {
        Upgrader {
            keeper: Keeper {
                pool: self.parts.pool.clone(),
                shutdown: self.shutdown.clone(),
                rotations: self.parts.rotations.clone(),
            },
            inside: Arc::downgrade(&self.inside),
            services: self.services.clone(),
            events: self.parts.events.clone(),
            upgrades: self.upgrades.clone(),
        }
    }
}
