//! From sections to `PoolConfig`: what a pool is and the rules it is kept by. Which instances it has: `fleets`.

use std::collections::BTreeMap;
use std::path::Path;

use ::config::{Value, ValueKind};

use super::certificates::instance_tls;
use super::fleets::{self, Machines, is_name};
use super::load;
use super::policy;
use super::raw::Section;
use super::recording;
use super::scaling;
use super::units::duration;
use super::validate::seconds;
use super::values::{boolean, host, number, path, port, port_or_off, shown, text, word};
use super::{
    ClientAddressConfig, HealthConfig, InstanceHostKeys, Placement, PoolConfig, PoolHosts,
};

/// All pools; `None` where a fault leaves one without what it needs.
pub(super) fn pools(
    root: &mut Section<'_>,
    state_dir: &Path,
) -> Option<BTreeMap<String, PoolConfig>> {
    let sections = root.named_sections("pools");
    if sections.is_empty() && !root.is_at_fault("pools") {
        root.fault(
            "pools",
            "there is no pool; write [pools.main] with [pools.main.fleet] below it",
        );
    }
    let alone = sections.len() == 1;
    let mut defaults: Vec<String> = Vec::new();
    let mut machines = Machines::default();
    let mut names = BTreeMap::new();
    let mut pools = Some(BTreeMap::new());
    for (name, mut section) in sections {
        if !is_name(&name) || name.contains('.') {
            section.fault("", "is no name for a pool; write up to 63 of a-z, 0-9, - and _, beginning with a letter or a digit");
        }
        let default = section.get_or("default", alone, boolean);
        if default {
            if let Some(other) = defaults.first() {
                section.fault(
                    "default",
                    format!("is true for pools.{other} too; write true for one pool only"),
                );
            }
            defaults.push(name.clone());
        }
        let config = pool(section, default, &name, state_dir);
        if let Some(config) = &config {
            machines.check(root, &name, config);
            check_hosts(root, &name, config, &mut names);
        }
        pools = pools.zip(config).map(|(mut pools, config)| {
            pools.insert(name, config);
            pools
        });
    }
    if defaults.is_empty() && pools.as_ref().is_none_or(|pools| !pools.is_empty()) {
        root.fault(
            "pools",
            "none is the default; write default = true in one of them",
        );
    }
    pools
}

/// The pools by the names under which browsers reach them.
pub(super) fn hosts(pools: &BTreeMap<String, PoolConfig>) -> PoolHosts {
    let named = |(name, pool): (&String, &PoolConfig)| {
        let hosts = pool.hosts.clone().into_iter();
        hosts.map(|host| (host, name.clone())).collect::<Vec<_>>()
    };
    let default = pools.iter().find(|(_, pool)| pool.default);
    PoolHosts {
        pools: pools.iter().flat_map(named).collect(),
        default: default.map(|(name, _)| name.clone()).unwrap_or_default(),
    }
}

fn check_hosts(
    root: &Section<'_>,
    pool: &str,
    config: &PoolConfig,
    names: &mut BTreeMap<String, String>,
) {
    for (index, host) in config.hosts.iter().enumerate() {
        if let Some(other) = names.insert(host.clone(), pool.to_owned()) {
            let key = format!("pools.{pool}.hosts[{index}]");
            root.fault(
                &key,
                format!(
                    "is {host:?}, which is of pools.{other} already; write it in one pool only"
                ),
            );
        }
    }
}

/// A name that browsers write into the address, without a port.
fn host_name(value: &Value) -> Result<String, String> {
    let name = host(value)
        .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
        .ok()
        .filter(|name| name.parse::<std::net::IpAddr>().is_err());
    name.ok_or_else(|| {
        format!(
            "is {}, which is no host name; write one without a port, such as \"gpu.pool.example\"",
            shown(value)
        )
    })
}

fn pool(
    mut section: Section<'_>,
    default: bool,
    name: &str,
    state_dir: &Path,
) -> Option<PoolConfig> {
    let placements = &[
        ("spread", Placement::Spread),
        ("pack", Placement::Pack),
        ("auto", Placement::Auto),
    ];
    let placement = section.get_or("placement", Placement::Auto, word(placements));
    let capacity = section.get_or("capacity", 8, number(1..=100_000));
    let month = seconds(31 * 24 * 3600);
    let affinity = section.get_or("affinity", seconds(12 * 3600), duration(seconds(0)..=month));
    let hosts = section.list("hosts", host_name).unwrap_or_default();
    let ssh_port = section.get_or("ssh_port", 22, port);
    let jupyter_port = section.get_or("jupyter_port", Some(8000), port_or_off);
    let folder = section.folder();
    let mut ssh = section.section("ssh");
    let first_use = InstanceHostKeys::FirstUse;
    let instance_host_keys = ssh.get_or("instance_host_keys", first_use, host_keys(folder));
    let client_address = ClientAddressConfig {
        proxy_v2: ssh.get_or(
            "client_address",
            false,
            word(&[("off", false), ("proxy-v2", true)]),
        ),
        env: ssh.get_or("client_address_env", None, variable_or_off),
    };
    let policy = policy::policy(ssh.section("policy"));
    ssh.finish();
    let mut jupyter = section.section("jupyter");
    let api_token_file = jupyter.get("api_token_file", path(folder));
    let instance_tls = jupyter.get_or("tls", None, instance_tls(folder));
    let minutes = duration(seconds(1)..=seconds(300));
    let hub_poll_interval = jupyter.get_or("poll_interval", seconds(15), minutes);
    jupyter.finish();
    let recordings = state_dir.join("recordings").join(name);
    let recording = recording::recording(section.section("recording"), recordings);
    let health = health(section.section("health"));
    let load = load::load(section.section("load"));
    let scaling = scaling::scaling(section.section("scaling"));
    let mut fleet_section = section.section("fleet");
    let instances = state_dir.join("instances").join(name);
    let fleet = fleets::fleet(&mut fleet_section, &instances);
    fleet_section.finish();
    section.finish();
    Some(PoolConfig {
        default,
        hosts,
        placement,
        capacity,
        affinity,
        ssh_port,
        jupyter_port,
        instance_host_keys,
        client_address,
        policy,
        api_token_file,
        instance_tls,
        hub_poll_interval,
        recording,
        health,
        load,
        fleet: fleet?,
        scaling,
    })
}

fn host_keys(folder: &Path) -> impl Fn(&Value) -> Result<InstanceHostKeys, String> {
    move |value| {
        let file = |file: &str| path(folder)(&Value::new(None, file));
        let text = match &value.kind {
            ValueKind::String(text) => text.as_str(),
            _ => "",
        };
        match text.split_once(':') {
            None if text == "first-use" => Ok(InstanceHostKeys::FirstUse),
            Some(("known_hosts", name)) if !name.is_empty() => {
                file(name).map(InstanceHostKeys::KnownHosts)
            }
            Some(("ca", name)) if !name.is_empty() => file(name).map(InstanceHostKeys::Ca),
            _ => Err(format!(
                "is {}; write \"first-use\", \"known_hosts:/path\" or \"ca:/path\"",
                shown(value)
            )),
        }
    }
}

/// The name of a variable that a shell understands.
fn variable_or_off(value: &Value) -> Result<Option<String>, String> {
    let name = text(value)?;
    let is_fit = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    match name.as_str() {
        "off" => Ok(None),
        _ if name.len() <= 64
            && name.chars().all(is_fit)
            && !name.starts_with(char::is_numeric) =>
        {
            Ok(Some(name))
        }
        _ => Err(format!(
            "is {name:?}; write the name of a variable in A-Z, 0-9 and _, such as \"POOLGATE_CLIENT\", or \"off\""
        )),
    }
}

fn health(mut section: Section<'_>) -> HealthConfig {
    let bounds = || seconds(1)..=seconds(300);
    let config = HealthConfig {
        interval: section.get_or("interval", seconds(2), duration(bounds())),
        timeout: section.get_or("timeout", seconds(3), duration(bounds())),
        rise: section.get_or("rise", 2, number(1..=100)),
        fall: section.get_or("fall", 3, number(1..=100)),
    };
    section.finish();
    config
}
