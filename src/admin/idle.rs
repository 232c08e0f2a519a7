//! Whether an instance is idle, and why not: found out when it is asked, because only the newest answer is worth anything.

use serde::Deserialize;
use utoipa::IntoParams;

use super::named;
use super::problem::Problem;
use crate::pool::InstanceView;
use crate::pool::idle::Idle;
use crate::shared_pool::AskIdle;

/// `?instance=NAME`, or `POOL/NAME`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// `NAME` or `POOL/NAME`.
    #[param(max_length = 127, example = "main/vm1")]
    pub instance: String,
}

impl Asked {
    pub async fn answer(
        &self,
        instances: &[InstanceView],
        ask_idle: &AskIdle,
    ) -> Result<Idle, Problem> {
        let id = named::find(&self.instance, instances)?;
        let idle = ask_idle(id).await;
        idle.ok_or_else(|| named::unknown(&self.instance, instances))
    }
}
