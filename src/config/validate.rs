//! From sections to `Config`: the keys of the whole program, their defaults and what depends on what. The doors' keys are in
//! `doors`, the pools' in `pools`.
//!
//! Files that keys name are not opened here: a configuration can be checked on another machine than it is for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::diff::Written;
use super::doors::{self, Listening};
use super::raw::{Raw, Section};
use super::units::duration;
use super::values::{boolean, path};
use super::{Config, FleetConfig, LoadSource, PoolConfig, admin, logs, pools, traces, webhooks};

/// `None` where something needed is missing or at fault; `raw` knows what.
pub(super) fn validate(raw: &Raw) -> Option<Config> {
    let mut root = raw.root();
    let folder = root.folder();
    let state_dir = root.get_or("state_dir", "/var/lib/poolgate".into(), path(folder));
    let reload_on_change = root.get_or("reload_on_change", true, boolean);
    let longest = seconds(30 * 86_400);
    let drain_limit = root.get_or(
        "drain_limit",
        seconds(86_400),
        duration(seconds(1)..=longest),
    );
    let mut listening = Listening::default();
    let ssh = doors::ssh(root.section("ssh"), &mut listening);
    let https = doors::https(root.section("https"), &mut listening, &state_dir);
    let admin = admin::admin(root.section("admin"), &mut listening);
    if !listening.has_door {
        let write = "[ssh] listen = [\"0.0.0.0:22\"] or [https] listen = [\"0.0.0.0:443\"]";
        root.fault(
            "ssh.listen",
            format!("no door has an address to listen on; write {write}"),
        );
    }
    let audit = logs::audit(root.section("audit"));
    let log = logs::log(root.section("log"));
    let pools = pools::pools(&mut root, &state_dir);
    if let (Ok(None), Some(pools)) = (&ssh, &pools) {
        check_load_sources(&root, pools);
    }
    let webhooks = webhooks::webhooks(&mut root, pools.as_ref());
    let traces = traces::traces(root.section("traces"));
    root.finish();
    let mut https = https.ok()?;
    let mut pools = pools?;
    if let Some(https) = &mut https {
        https.hosts = pools::hosts(&pools);
    }
    if https.is_none() {
        pools.values_mut().for_each(forget_hubs);
    }
    Some(Config {
        written: Written::default(),
        reload_on_change,
        drain_limit,
        state_dir,
        ssh: ssh.ok()?,
        https,
        admin: admin.ok()?,
        audit,
        log,
        pools,
        webhooks: webhooks?,
        traces: traces.ok()?,
    })
}

/// Only the ssh door has what it takes to log in on an instance.
fn check_load_sources(root: &Section<'_>, pools: &BTreeMap<String, PoolConfig>) {
    let by_ssh = pools.iter().filter(|(_, pool)| {
        let source = pool.load.as_ref().map(|load| &load.source);
        matches!(source, Some(LoadSource::Ssh { .. }))
    });
    for (name, _) in by_ssh {
        root.fault(
            &format!("pools.{name}.load.source"),
            "runs a script over ssh, which needs an [ssh] section with a user_ca; write one, or \"agent:PORT\"",
        );
    }
}

/// Without a browser's door nobody asks for hubs: an instance that runs none is not half ill.
fn forget_hubs(pool: &mut PoolConfig) {
    pool.jupyter_port = None;
    if let FleetConfig::Static { instances } = &mut pool.fleet {
        for instance in instances {
            instance.jupyter_port = None;
        }
    }
}

pub(super) const fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}
