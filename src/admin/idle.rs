//! Whether an instance is idle, and why not: found out when it is asked, because only the newest answer is worth anything.

use axum::http::StatusCode;
use serde::Deserialize;

use super::problem::Problem;
use crate::pool::idle::Idle;
use crate::pool::{InstanceId, InstanceView};
use crate::shared_pool::AskIdle;

/// `?instance=NAME`, or `POOL/NAME` where several pools have one of that name.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    instance: String,
}

impl Asked {
    pub async fn answer(
        &self,
        instances: &[InstanceView],
        ask_idle: &AskIdle,
    ) -> Result<Idle, Problem> {
        let id = self.find(instances)?;
        ask_idle(id).await.ok_or_else(|| self.unknown())
    }

    fn find(&self, instances: &[InstanceView]) -> Result<InstanceId, Problem> {
        let (pool, name) = match self.instance.split_once('/') {
            Some((pool, name)) => (Some(pool), name),
            None => (None, self.instance.as_str()),
        };
        let is_meant = |view: &&InstanceView| {
            *view.name == *name && pool.is_none_or(|pool| *view.pool == *pool)
        };
        let mut found = instances.iter().filter(is_meant);
        let view = found.next().ok_or_else(|| self.unknown())?;
        if let Some(other) = found.next() {
            let (one, other) = (&view.pool, &other.pool);
            return Err(Problem {
                status: StatusCode::CONFLICT,
                detail: format!(
                    "pools {one} and {other} both have an instance named {name}: ask for {one}/{name}"
                ),
            });
        }
        Ok(InstanceId {
            pool: view.pool.clone(),
            name: view.name.clone(),
        })
    }

    fn unknown(&self) -> Problem {
        Problem {
            status: StatusCode::NOT_FOUND,
            detail: format!(
                "there is no instance named {:?}: `poolgate instances` lists them",
                self.instance
            ),
        }
    }
}
