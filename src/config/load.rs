//! From a section to `LoadConfig`: whether and how a pool's instances are asked how busy they are.

use ::config::Value;

use super::raw::Section;
use super::units::duration;
use super::validate::seconds;
use super::values::{boolean, number, path_or_off, port, text, word};
use super::{LoadConfig, LoadSource};

#[derive(Clone, Copy)]
enum Kind {
    Off,
    Ssh,
    Agent,
}

pub(super) fn load(mut section: Section<'_>) -> Option<LoadConfig> {
    let kinds = &[
        ("off", Kind::Off),
        ("ssh", Kind::Ssh),
        ("agent", Kind::Agent),
    ];
    let kind = section.get_or("source", Kind::Off, word(kinds));
    let source = match kind {
        Kind::Off => None,
        Kind::Ssh => {
            let account = section.required("user", "user = \"poolgate-probe\"", account);
            account.map(|account| LoadSource::Ssh { account })
        }
        Kind::Agent => {
            let port = section.required("agent_port", "agent_port = 9777", port);
            port.map(|port| LoadSource::Agent { port })
        }
    };
    let is_ssh = matches!(kind, Kind::Ssh);
    if !is_ssh {
        section.refuse(&["user"], "source = \"ssh\"");
    }
    if !matches!(kind, Kind::Agent) {
        section.refuse(&["agent_port"], "source = \"agent\"");
    }
    let folder = section.folder();
    let config = LoadConfig {
        source: source.clone().unwrap_or(LoadSource::Agent { port: 0 }),
        interval: section.get_or("interval", seconds(10), duration(seconds(1)..=seconds(300))),
        timeout: section.get_or("timeout", seconds(8), duration(seconds(1)..=seconds(60))),
        stale_after: section.get_or("stale_after", 3, number(1..=100)),
        shared_drive: section.get_or("shared_drive", None, path_or_off(folder)),
        scheduled_events: section.get_or("scheduled_events", false, boolean),
    };
    for (key, is_set) in [
        ("shared_drive", config.shared_drive.is_some()),
        ("scheduled_events", config.scheduled_events),
    ] {
        if is_set && !is_ssh {
            section.fault(
                key,
                "is asked by the script; write source = \"ssh\" or remove it",
            );
        }
    }
    section.finish();
    source.map(|_| config)
}

/// A name that sshd, a certificate's principal and a shell take alike.
fn account(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match !name.is_empty() && name.len() <= 32 && name.chars().all(is_fit) && !name.starts_with('-')
    {
        true => Ok(name),
        false => Err(format!(
            "is {name:?}; write the name of an account of the instances that is for nothing else, such as \"poolgate-probe\""
        )),
    }
}
