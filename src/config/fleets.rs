//! From sections to `FleetConfig`: which instances a pool has, by a list or as local processes. Clouds: `clouds`.

use std::collections::HashMap;
use std::path::Path;

use ::config::Value;

use super::clouds;
use super::raw::Section;
use super::units::duration;
use super::validate::seconds;
use super::values::{host, number, path, port, port_or_off, text, word};
use super::{FleetConfig, PoolConfig, ProcessFleet, StaticInstance};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    Static,
    Process,
    Azure,
    Command,
}

/// Each key that not every provider has, and those that have it.
const OWN_KEYS: [(&str, &[Provider], &str); 15] = {
    use Provider::{Azure, Command, Process, Static};
    const AZURE: &str = "provider = \"azure\"";
    const PROCESS: &str = "provider = \"process\"";
    [
        ("instances", &[Static], "provider = \"static\""),
        ("count", &[Process], PROCESS),
        (
            "command",
            &[Process, Command],
            "provider = \"process\" or \"command\"",
        ),
        ("state_dir", &[Process], PROCESS),
        ("stop_timeout", &[Process], PROCESS),
        (
            "interval",
            &[Azure, Command],
            "provider = \"azure\" or \"command\"",
        ),
        ("timeout", &[Command], "provider = \"command\""),
        ("subscription", &[Azure], AZURE),
        ("resource_group", &[Azure], AZURE),
        ("scale_set", &[Azure], AZURE),
        ("cloud", &[Azure], AZURE),
        ("credential", &[Azure], AZURE),
        ("tenant_id", &[Azure], AZURE),
        ("client_id", &[Azure], AZURE),
        ("client_secret_file", &[Azure], AZURE),
    ]
};

pub(super) fn fleet(section: &mut Section<'_>, state_dir: &Path) -> Option<FleetConfig> {
    let write =
        "provider = \"static\" and instances = [{ name = \"vm1\", address = \"10.0.0.4\" }]";
    let words = word(&[
        ("static", Provider::Static),
        ("process", Provider::Process),
        ("azure", Provider::Azure),
        ("command", Provider::Command),
    ]);
    let Some(provider) = section.required("provider", write, words) else {
        section.ignore(&OWN_KEYS.map(|(key, ..)| key));
        section.ignore_rest();
        return None;
    };
    for (key, providers, only) in OWN_KEYS {
        if !providers.contains(&provider) {
            section.refuse(&[key], only);
        }
    }
    match provider {
        Provider::Static => static_list(section),
        Provider::Process => process(section, state_dir),
        Provider::Azure => clouds::azure(section).map(FleetConfig::Azure),
        Provider::Command => clouds::command(section).map(FleetConfig::Command),
    }
}

fn static_list(section: &mut Section<'_>) -> Option<FleetConfig> {
    let listed = section.sections("instances");
    if listed.as_ref().is_none_or(Vec::is_empty) {
        if !section.is_at_fault("instances") {
            let write = "instances = [{ name = \"vm1\", address = \"10.0.0.4\" }]";
            section.fault("instances", format!("lists no instance; write {write}"));
        }
        return None;
    }
    let mut instances = Some(Vec::new());
    for mut entry in listed.into_iter().flatten() {
        let name = entry.required("name", "name = \"vm1\"", instance_name);
        let address = entry.required("address", "address = \"10.0.0.4\"", host);
        let ssh_port = entry.get("ssh_port", port);
        let jupyter_port = entry.get("jupyter_port", port_or_off);
        let capacity = entry.get("capacity", number(1..=100_000));
        entry.finish();
        let whole = name.zip(address).map(|(name, address)| StaticInstance {
            name,
            address,
            ssh_port,
            jupyter_port,
            capacity,
        });
        instances = instances.zip(whole).map(|(mut instances, instance)| {
            instances.push(instance);
            instances
        });
    }
    instances.map(|instances| FleetConfig::Static { instances })
}

fn process(section: &mut Section<'_>, state_dir: &Path) -> Option<FleetConfig> {
    let folder = section.folder();
    let count = section.required("count", "count = 3", number(0..=1000));
    let command = section.list("command", argument);
    let command = command.map(|words| beside(folder, words));
    let state_dir = section.get_or("state_dir", state_dir.to_path_buf(), path(folder));
    let stop_timeout = section.get_or(
        "stop_timeout",
        seconds(10),
        duration(seconds(0)..=seconds(600)),
    );
    if command.as_ref().is_none_or(Vec::is_empty) && !section.is_at_fault("command") {
        let write = "command = [\"/opt/start\", \"--port\", \"{ssh_port}\"]";
        section.fault("command", format!("names no program; write {write}"));
    }
    Some(FleetConfig::Process(ProcessFleet {
        count: count?,
        command: command?,
        state_dir,
        stop_timeout,
    }))
}

/// The command with its program as it is found: a bare name in PATH, anything else as a path like the others of the file.
pub(super) fn beside(folder: &Path, mut words: Vec<String>) -> Vec<String> {
    if let Some(program) = words.first_mut()
        && program.contains('/')
        && !program.starts_with('{')
    {
        *program = folder.join(&*program).to_string_lossy().into_owned();
    }
    words
}

/// A word of a command; `{name}` and the like are checked, a brace that encloses anything but a name is left alone.
fn argument(value: &Value) -> Result<String, String> {
    const KNOWN: [&str; 4] = ["name", "ssh_port", "jupyter_port", "state_dir"];
    let text = text(value)?;
    let is_key =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    for part in text.split('{').skip(1) {
        let name = part.split_once('}').map(|(name, _)| name);
        if let Some(name) = name.filter(|name| is_key(name) && !KNOWN.contains(name)) {
            return Err(format!(
                "is {text:?}, but {{{name}}} stands for nothing; write {{{}}}",
                KNOWN.join("}, {")
            ));
        }
    }
    Ok(text)
}

fn instance_name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    match is_name(&name) {
        true => Ok(name),
        false => Err(format!(
            "is {name:?}; write up to 63 of a-z, 0-9, '.', - and _, beginning with a letter or a digit"
        )),
    }
}

/// What can stand after `+` or `%` in a login name.
pub(super) fn is_name(name: &str) -> bool {
    let first = name.bytes().next();
    name.len() <= 63
        && first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}

/// Names and addresses seen so far. A machine listed twice would be given twice its share of people.
#[derive(Default)]
pub(super) struct Machines {
    by_address: HashMap<(String, u16), String>,
}

impl Machines {
    pub fn check(&mut self, root: &Section<'_>, pool: &str, config: &PoolConfig) {
        let FleetConfig::Static { instances } = &config.fleet else {
            return;
        };
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (index, instance) in instances.iter().enumerate() {
            let key = format!("pools.{pool}.fleet.instances[{index}]");
            if names.insert(&instance.name, index).is_some() {
                let message = format!(
                    "is {:?}, as another instance of this pool; write another name",
                    instance.name
                );
                root.fault(&format!("{key}.name"), message);
            }
            let ssh = instance.ssh_port.unwrap_or(config.ssh_port);
            let jupyter = instance.jupyter_port.unwrap_or(config.jupyter_port);
            if Some(ssh) == jupyter {
                let message = format!(
                    "answers ssh and Jupyter on one port ({ssh}); write two different ports"
                );
                root.fault(&key, message);
                continue;
            }
            let ports = [Some(ssh), jupyter].into_iter().flatten();
            let taken: Vec<_> = ports
                .filter_map(|port| {
                    let at = (instance.address.clone(), port);
                    let whole = format!("{pool}/{}", instance.name);
                    Some((port, self.by_address.insert(at, whole)?))
                })
                .collect();
            if let Some((port, other)) = taken.first() {
                let message = format!(
                    "is {:?}, but {other} answers there on port {port} already; write another address or port",
                    instance.address
                );
                root.fault(&format!("{key}.address"), message);
            }
        }
    }
}
