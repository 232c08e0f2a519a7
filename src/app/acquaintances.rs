//! Whose names have logged in before, written down while the gate runs and read before the first login.
//!
//! Who counts as known, and for how long, is the pool's business.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::pool::Acquaintance;
use crate::shared_pool::SharedPool;
use crate::state::{Folder, StateFile};

const FILE_NAME: &str = "known.json";
/// What a crash may lose of it; whoever comes again is noted again.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);

#[derive(Default, Serialize, Deserialize)]
struct Page {
    #[serde(default)]
    people: Vec<Acquaintance>,
}

pub(super) struct Acquaintances {
    pool: SharedPool,
    file: StateFile,
    told: Option<u64>,
}

/// Gives the pool what the last gate wrote down.
pub(super) fn take_back(folder: &Folder, pool: SharedPool) -> Acquaintances {
    let loss = "a password wakes no sleeping pool until its person has logged in once more";
    let (file, page): (_, Page) = StateFile::open(folder, FILE_NAME, loss);
    pool.take_back_known(page.people);
    Acquaintances {
        pool,
        file,
        told: None,
    }
}

impl Acquaintances {
    pub async fn keep(mut self, ending: CancellationToken) {
        let mut is_over = false;
        while !is_over {
            let pause = tokio::time::sleep(WRITTEN_EVERY);
            is_over = ending.run_until_cancelled(pause).await.is_none();
            if let Some(mut people) = self.pool.acquaintances(&mut self.told) {
                // So that the same is the same text.
                people.sort_unstable();
                self.file.write(&Page { people }).await;
            }
        }
    }
}
