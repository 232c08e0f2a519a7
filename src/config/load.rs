//! From a section to `LoadConfig`: whether and how a pool's instances are asked how busy they are.

use std::path::PathBuf;
use std::time::Duration;

use ::config::Value;

use super::raw::Section;
use super::units::duration;
use super::validate::seconds;
use super::values::{boolean, number, path_or_off, text};

/// How instances are asked how busy they are.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadConfig {
    pub source: LoadSource,
    pub interval: Duration,
    pub timeout: Duration,
    /// Looks in a row that fail until the last figures are forgotten.
    pub stale_after: u32,
    /// What must be mounted and writable for anybody new.
    pub shared_drive: Option<PathBuf>,
    /// The cloud's own announcements are asked for.
    pub scheduled_events: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadSource {
    /// A script over ssh, as this account.
    Ssh { account: String },
    /// An agent's word on this port, as HAProxy's `agent-check` has it.
    Agent { port: u16 },
}

pub(super) fn load(mut section: Section<'_>) -> Option<LoadConfig> {
    let source = section.get_or("source", None, source_or_off);
    let folder = section.folder();
    let interval = section.get_or("interval", seconds(10), duration(seconds(1)..=seconds(300)));
    let timeout = section.get_or("timeout", seconds(8), duration(seconds(1)..=seconds(60)));
    let stale_after = section.get_or("stale_after", 3, number(1..=100));
    let shared_drive = section.get_or("shared_drive", None, path_or_off(folder));
    let scheduled_events = section.get_or("scheduled_events", false, boolean);
    let has_script =
        matches!(source, Some(LoadSource::Ssh { .. })) || section.is_at_fault("source");
    for (key, is_set) in [
        ("shared_drive", shared_drive.is_some()),
        ("scheduled_events", scheduled_events),
    ] {
        if is_set && !has_script {
            let message = "is asked by the script; write source = \"ssh:ACCOUNT\", or remove it";
            section.fault(key, message);
        }
    }
    section.finish();
    Some(LoadConfig {
        source: source?,
        interval,
        timeout,
        stale_after,
        shared_drive,
        scheduled_events,
    })
}

/// `"ssh:ACCOUNT"`, `"agent:PORT"` or `"off"`. The account's name is one that sshd, a certificate and a shell take alike.
fn source_or_off(value: &Value) -> Result<Option<LoadSource>, String> {
    let source = text(value)?;
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_account = |name: &str| {
        (1..=32).contains(&name.len()) && name.chars().all(is_fit) && !name.starts_with('-')
    };
    let read = match source.split_once(':') {
        None if source == "off" => return Ok(None),
        Some(("ssh", account)) if is_account(account) => Some(LoadSource::Ssh {
            account: account.to_owned(),
        }),
        Some(("agent", port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            port.map(|port| LoadSource::Agent { port })
        }
        _ => None,
    };
    let write = "write \"ssh:ACCOUNT\" with an account of the instances that is for nothing else, \"agent:PORT\" or \"off\"";
    read.map(Some)
        .ok_or_else(|| format!("is {source:?}; {write}"))
}
