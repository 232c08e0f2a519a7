//! Asks the gate, and has it do things. What it says is passed on as it is: names are made harmless where they are shown.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::anyhow;

use super::super::client::Gate;
use super::super::explain::encode;
use super::super::{Failure, in_one_line};
use super::model::Question;
use super::order::Order;
use super::picture::{Picture, Standing};
use crate::admin::{ConfigState, Done, Given, HealthStory, KernelsView, Me, Status, UserStory};
use crate::config;
use crate::pool::InstanceId;
use crate::pool::idle::Idle;

pub(super) async fn me(gate: &Gate) -> Result<Me, Failure> {
    gate.read("/api/v1/me").await
}

/// Looks at a gate again and again, and at its file when that has changed.
pub(super) struct Onlooker {
    gate: Arc<Gate>,
    /// What was compared the last time, and what came of it.
    compared: Option<(Compared, Standing)>,
}

/// What the comparison of a gate with its file depends on.
#[derive(PartialEq, Eq)]
struct Compared {
    file: PathBuf,
    written: Option<SystemTime>,
    loaded: SystemTime,
}

impl Onlooker {
    pub fn new(gate: Arc<Gate>) -> Self {
        let compared = None;
        Self { gate, compared }
    }

    pub async fn look(&mut self) -> Result<Picture, Failure> {
        let gate = &self.gate;
        let status: Status = gate.read("/api/v1/status").await?;
        let kernels: Vec<KernelsView> = gate.read("/api/v1/kernels").await?;
        let kernels = kernels.into_iter().map(|view| {
            let (pool, name) = (view.pool, view.instance);
            (InstanceId { pool, name }, view.kernels)
        });
        Ok(Picture {
            kernels: kernels.collect(),
            instances: gate.read("/api/v1/instances").await?,
            sessions: gate.read("/api/v1/sessions").await?,
            waiters: gate.read("/api/v1/queue").await?,
            config: self.compare(&status.config).await?,
            at: SystemTime::now(),
            status,
        })
    }

    async fn compare(&mut self, config: &ConfigState) -> Result<Standing, Failure> {
        let file = config.written.file.clone();
        let written = fs::metadata(&file).and_then(|file| file.modified()).ok();
        let loaded = config.loaded;
        let now = Compared {
            file,
            written,
            loaded,
        };
        if let Some((before, standing)) = &self.compared
            && *before == now
        {
            return Ok(standing.clone());
        }
        let running: ConfigState = self.gate.read("/api/v1/config").await?;
        let standing = standing(&running, &now);
        self.compared = Some((now, standing.clone()));
        Ok(standing)
    }
}

fn standing(running: &ConfigState, compared: &Compared) -> Standing {
    let file = &compared.file;
    if file.as_os_str().is_empty() {
        return Standing::Unknown("without a file".to_owned());
    }
    if let Err(error) = fs::File::open(file) {
        let kind = error.kind();
        return Standing::Unknown(format!("{} cannot be read: {kind}", file.display()));
    }
    match config::load(Some(file)) {
        Err(_) => Standing::Faulty,
        Ok(config) => match running.written.changes_to(&config.written).len() {
            0 => Standing::AsWritten,
            keys => Standing::Differs(keys),
        },
    }
}

/// What a dry run would do, or what was done.
pub(super) async fn order(gate: &Gate, order: &Order) -> Result<String, String> {
    let done = match order {
        Order::Cordon(order) => gate.order("/api/v1/cordon", order).await,
        Order::Uncordon(order) => gate.order("/api/v1/uncordon", order).await,
        Order::Drain(order) => gate.order("/api/v1/drain", order).await,
        Order::Evict(order) => gate.order("/api/v1/evict", order).await,
        Order::Notify(notice) => {
            let given = gate.order("/api/v1/notices", notice).await;
            let verb = match notice.is_dry_run {
                true => "would be given",
                false => "given",
            };
            let told = given.map(|given: Given| format!("{verb} to {} sessions", given.sessions));
            return told.map_err(|failure| in_words(&failure));
        }
    };
    done.map(|done: Done| done.text)
        .map_err(|failure| in_words(&failure))
}

/// Why something is as it is, in sentences.
pub(super) async fn explain(gate: &Gate, question: &Question) -> Result<Vec<String>, String> {
    let answer = match question {
        Question::Machine(instance) => explain_machine(gate, instance).await,
        Question::Person { user, pool } => {
            let (user, pool) = (encode(user), encode(pool));
            let path = format!("/api/v1/explain/user?user={user}&pool={pool}");
            gate.read::<UserStory>(&path).await.map(|story| story.text)
        }
    };
    answer.map_err(|failure| in_words(&failure))
}

/// Whether it is up, and whether it is in use.
async fn explain_machine(gate: &Gate, instance: &str) -> Result<Vec<String>, Failure> {
    let instance = encode(instance);
    let health = format!("/api/v1/explain/health?instance={instance}");
    let health: Vec<HealthStory> = gate.read(&health).await?;
    let mut lines: Vec<_> = health.into_iter().flat_map(|story| story.text).collect();
    lines.push(String::new());
    let idle: Idle = gate
        .read(&format!("/api/v1/idle?instance={instance}"))
        .await?;
    lines.extend(idle.to_string().lines().map(str::to_owned));
    Ok(lines)
}

fn in_words(failure: &Failure) -> String {
    match failure {
        Failure::Config(faults) => in_one_line(&anyhow!("{faults}")),
        Failure::Other(error) | Failure::Lasting(error) => in_one_line(error),
    }
}
