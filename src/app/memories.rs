//! Where people belong, written down while the gate runs and read before the first of them comes in.
//!
//! What is remembered, and for how long, is the pool's business.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GOODBYES;
use crate::net::shutdown::Shutdown;
use crate::pool::affinity::Memory;
use crate::shared_pool::SharedPool;
use crate::state::StateFile;

const FILE_NAME: &str = "affinity.json";
/// What a crash may lose of it.
const WRITTEN_EVERY: Duration = Duration::from_secs(2);

#[derive(Default, Serialize, Deserialize)]
struct Page {
    #[serde(default)]
    people: Vec<Memory>,
}

pub(super) struct Memories {
    pool: SharedPool,
    file: StateFile,
    told: Option<u64>,
}

/// Gives the pools, which are configured by now, what the last gate wrote down.
pub(super) fn take_back(state_dir: &Path, pool: SharedPool) -> Memories {
    let (file, page): (_, Page) = StateFile::open(&state_dir.join(FILE_NAME));
    pool.take_back(page.people);
    Memories {
        pool,
        file,
        told: None,
    }
}

impl Memories {
    /// Until the gate has ended its sessions, which are written down as ended.
    pub async fn keep(mut self, shutdown: Shutdown) {
        let ending = &shutdown.ending;
        while ending
            .run_until_cancelled(tokio::time::sleep(WRITTEN_EVERY))
            .await
            .is_some()
        {
            self.write().await;
        }
        // Those that take no goodbye are written down as they are.
        drop(tokio::time::timeout(GOODBYES, shutdown.connections.wait()).await);
        self.write().await;
    }

    async fn write(&mut self) {
        let Some(mut people) = self.pool.memories(&mut self.told) else {
            return;
        };
        // So that the same is the same text.
        people.sort_unstable();
        self.file.write(&Page { people }).await;
    }
}
