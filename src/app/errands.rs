//! What the gate itself does on instances: joins the ssh door, which can log in there, with the probe that wants to know.

use std::pin::Pin;
use std::sync::Arc;

use super::doors::Shell;
use super::pools::Ground;
use crate::config::PoolConfig;
use crate::pool::Instance;
use crate::probe::{self, LoadProbe, OpenShell};
use crate::ssh::errand::Errand;

struct OverSsh(Errand);

impl probe::Shell for OverSsh {
    fn run<'a>(
        &'a mut self,
        script: &'a str,
        bytes_max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        Box::pin(async move {
            let ran = self.0.run(script, bytes_max).await;
            ran.map_err(|error| error.to_string())
        })
    }
}

/// Where no door has what it takes to log in on an instance.
struct NoDoor;

impl probe::Shell for NoDoor {
    fn run<'a>(
        &'a mut self,
        _: &'a str,
        _: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        let why = "load.source asks over ssh, which needs an [ssh] section with a user_ca";
        Box::pin(std::future::ready(Err(why.to_owned())))
    }
}

pub(super) fn load_probe(ground: &Ground, pool: &PoolConfig) -> Option<LoadProbe> {
    Some(LoadProbe {
        pool: ground.parts.pool.clone(),
        config: pool.load.clone()?,
        open_shell: ground.open_shell.clone(),
        metrics: ground.parts.metrics.clone(),
    })
}

/// A reload may open a door later.
pub(super) fn open_shell(door: Shell) -> OpenShell {
    Arc::new(
        move |instance: Arc<Instance>, account: &str| match &*door.get() {
            Some(front) => Box::new(OverSsh(Errand::new(front.clone(), instance, account))),
            None => Box::new(NoDoor),
        },
    )
}
