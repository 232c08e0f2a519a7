//! Files that parts of the gate are built of, looked at every second: what stands still again after a change is judged by itself, and
//! the part is built anew of it. Sessions go on with what they began with.
//!
//! The configuration is not read for that: it stays as it is in force. A file of no use changes nothing, is told, and keeps no other
//! part from its own. Deliberately absent: files that their readers follow (lists of keys, tokens, certificates of TLS).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::sync::MutexGuard;

use super::named_files::{self, NamedFile, Part};
use super::reload::{Inside, Shared, Stamps};
use crate::config::Config;
use crate::files::{Settling, Stamp};
use crate::https::Reread;
use crate::telemetry::traces::export::{self, Exporter};
use crate::webhooks::Webhooks;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const MEANWHILE: &str = "what was read before stays in force";

/// By key and file.
type Watched = BTreeMap<(String, PathBuf), Watch>;

struct Watch {
    /// What the file was when it was read, by this or by a reload.
    read: Option<Stamp>,
    settling: Settling<Option<Stamp>>,
}

/// Until the gate takes no more logins, or another has its place.
pub(super) async fn follow(shared: Shared) {
    let mut watched = Watched::new();
    let until = shared.shutdown.closing.clone();
    let rounds = async {
        while let Some(inside) = shared.inside.upgrade() {
            let (files, read) = {
                let inside = inside.lock().await;
                (files_of(&inside.config), inside.stamps.clone())
            };
            let (seen, changed) = look(watched, files, read).await;
            watched = seen;
            if !changed.is_empty() {
                renew(&shared, &mut inside.lock().await, changed).await;
            }
            drop(inside);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    until.run_until_cancelled(rounds).await;
}

fn files_of(config: &Config) -> Vec<NamedFile> {
    let mut files = named_files::files_of(config);
    files.retain(|file| file.part.is_some());
    files
}

/// Those that have changed since they were read, and come to rest; each change is told once.
async fn look(before: Watched, files: Vec<NamedFile>, read: Stamps) -> (Watched, Vec<NamedFile>) {
    let looking = tokio::task::spawn_blocking(move || {
        let (mut before, mut watched, mut changed) = (before, Watched::new(), Vec::new());
        for file in files {
            let id = (file.key.clone(), file.path.clone());
            let read = read.get(&id).copied().flatten();
            let known = before.remove(&id).filter(|watch| watch.read == read);
            let mut watch = known.unwrap_or_else(|| Watch {
                read,
                settling: Settling::new(read),
            });
            if watch.settling.has_settled(Stamp::at(&file.path)) {
                changed.push(file);
            }
            watched.insert(id, watch);
        }
        (watched, changed)
    });
    looking.await.unwrap_or_default()
}

async fn renew(shared: &Shared, inside: &mut MutexGuard<'_, Inside>, changed: Vec<NamedFile>) {
    let parts: BTreeSet<_> = changed
        .iter()
        .filter_map(|file| file.part.clone())
        .collect();
    for part in parts {
        let is_of_part = |file: &&NamedFile| file.part.as_ref() == Some(&part);
        let of_part: Vec<_> = files_of(&inside.config)
            .into_iter()
            .filter(|file| is_of_part(&file))
            .collect();
        let judged = tokio::task::spawn_blocking(move || {
            let account = nix::unistd::geteuid().as_raw();
            let fault = |file: NamedFile| (file.fault(account), file);
            of_part.into_iter().map(fault).collect::<Vec<_>>()
        });
        let judged = judged.await.unwrap_or_default();
        let mut is_sound = true;
        for (fault, file) in &judged {
            if let Some(why) = fault {
                is_sound = false;
                let files = &shared.parts.files;
                files.refuse(&file.key, &file.path, why, MEANWHILE);
            }
        }
        if !is_sound {
            continue;
        }
        match build(shared, inside, &part).await {
            Ok(()) => {
                for (_, file) in judged {
                    let id = (file.key.clone(), file.path.clone());
                    inside.stamps.insert(id, Stamp::at(&file.path));
                    match changed.iter().any(|one| one.path == file.path) {
                        true => shared.parts.files.take(&file.key, &file.path),
                        false => shared.parts.files.settle(&file.key, &file.path),
                    }
                }
            }
            Err(error) => {
                let why = format!("{error:#}");
                for file in changed.iter().filter(is_of_part) {
                    let files = &shared.parts.files;
                    files.refuse(&file.key, &file.path, &why, MEANWHILE);
                }
            }
        }
    }
}

async fn build(shared: &Shared, inside: &mut Inside, part: &Part) -> Result<()> {
    let config = inside.config.clone();
    let (parts, tasks) = (&shared.parts, shared.tasks());
    match part {
        Part::Ssh => {
            let next = inside.doors.prepare_ssh(&config, parts, &shared.shutdown)?;
            inside.doors.change_ssh(next, parts, &tasks);
        }
        Part::Pools => {
            let doors = &mut inside.doors;
            let browsers = doors.prepare_https(&config, parts, Reread::OfInstances)?;
            let pools = inside.pools.prepare(&config)?;
            inside.doors.change_https((browsers, None), parts, &tasks);
            inside.pools.change(pools).await;
        }
        Part::Webhook(name) => {
            let mut named = config.webhooks;
            named.retain(|other, _| other == name);
            let next = Webhooks::prepare(&named).map_err(|why| anyhow!(why))?;
            let ending = &shared.shutdown.ending;
            inside.webhooks.put(next, &shared.services, ending);
        }
        Part::Collector => {
            let exporter = config.traces.as_ref().map(Exporter::of).transpose();
            let exporter = exporter.map_err(|why| anyhow!(why))?;
            export::change(&parts.traces, exporter, &parts.metrics);
        }
        Part::Provider => {
            let next = inside.admin.access.prepare(&config.admin)?;
            inside.admin.access.change(next);
        }
    }
    Ok(())
}
