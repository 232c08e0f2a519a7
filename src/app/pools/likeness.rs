//! What two configurations of a pool have alike: what is alike goes on as it runs.

use anyhow::{Context, Result};

use crate::app::named_files;
use crate::config::{FleetConfig, PoolConfig};
use crate::files::Stamp;
use crate::net::client_tls::ClientTls;

/// What was in files that a pool is built of.
#[derive(Clone, PartialEq)]
pub struct Held {
    /// How hubs prove themselves.
    pub tls: Option<ClientTls>,
    /// By which its cloud is asked.
    pub secret: Option<Stamp>,
}

impl Held {
    /// # Errors
    /// Why hubs could prove nothing.
    pub fn read(name: &str, pool: &PoolConfig) -> Result<Self> {
        let tls = pool.instance_tls.as_ref().map(ClientTls::new).transpose();
        Ok(Self {
            tls: tls.with_context(|| format!("pools.{name}.jupyter.tls"))?,
            secret: named_files::cloud_secret(pool).and_then(Stamp::at),
        })
    }
}

/// A fleet of local processes goes on as it is: to begin it anew would end its instances under their people.
pub fn as_it_can_be(running: &PoolConfig, wanted: &PoolConfig) -> PoolConfig {
    let mut config = wanted.clone();
    if matches!(running.fleet, FleetConfig::Process(_)) {
        config.fleet = running.fleet.clone();
        config.capacity = running.capacity;
        config.ssh_port = running.ssh_port;
        config.jupyter_port = running.jupyter_port;
    }
    config
}

pub fn has_same_fleet(one: &PoolConfig, other: &PoolConfig) -> bool {
    let made_of = |pool: &PoolConfig| {
        let ports = (pool.ssh_port, pool.jupyter_port);
        (pool.fleet.clone(), pool.capacity, ports)
    };
    made_of(one) == made_of(other)
}

pub fn is_watched_alike(one: &PoolConfig, other: &PoolConfig) -> bool {
    let by = |pool: &PoolConfig| {
        let hub = (pool.api_token_file.clone(), pool.hub_poll_interval);
        let tls = pool.instance_tls.clone();
        let says_proxy = pool.client_address.proxy_v2;
        (pool.health.clone(), pool.load.clone(), hub, tls, says_proxy)
    };
    by(one) == by(other)
}

pub fn is_resized_alike(one: &PoolConfig, other: &PoolConfig) -> bool {
    one.scaling == other.scaling && one.placement == other.placement
}
