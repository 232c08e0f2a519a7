//! From `[webhooks.NAME]` to `WebhookConfig`: who is told of what, and where the secret address is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::raw::Section;
use super::units::duration;
use super::validate::seconds;
use super::values::{number, path, text, word};

/// Each is a task of its own.
const WEBHOOKS_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 32;
/// Kinds of events that are told, in the words of `poolgate events`.
const KINDS: &[(&str, &str)] = &[
    ("wake-failed", "wake-failed"),
    ("evict", "evict"),
    ("certificate-expiry", "certificate-expiry"),
    ("freeze", "freeze"),
    ("reload-refused", "reload-refused"),
    ("fault", "fault"),
    ("grow", "grow"),
    ("start", "start"),
    ("up", "up"),
    ("cordon", "cordon"),
    ("drain", "drain"),
    ("undrain", "undrain"),
    ("remove", "remove"),
    ("gone", "gone"),
    ("keep", "keep"),
    ("move", "move"),
    ("notice", "notice"),
    ("order", "order"),
    ("begin", "begin"),
    ("reload", "reload"),
    ("upgrade", "upgrade"),
    ("upgrade-failed", "upgrade-failed"),
];
/// Those that want somebody's attention.
const DEFAULT_KINDS: usize = 6;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Holds the address, which is a secret.
    pub url_file: PathBuf,
    pub form: WebhookForm,
    /// Kinds of events, in the words of `poolgate events`.
    pub events: BTreeSet<&'static str>,
    /// Of these pools; empty for all.
    pub pools: BTreeSet<String>,
    /// Authorities that are believed in place of the system's.
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
    pub messages_per_minute: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookForm {
    Slack,
    Teams,
    Json,
}

/// `known`: the pools that there are; `None` where they are at fault themselves.
pub(super) fn webhooks<T>(
    root: &mut Section<'_>,
    known: Option<&BTreeMap<String, T>>,
) -> Option<BTreeMap<String, WebhookConfig>> {
    let sections = root.named_sections("webhooks");
    if sections.len() > WEBHOOKS_MAX {
        let message = format!("are {}; write at most {WEBHOOKS_MAX}", sections.len());
        root.fault("webhooks", message);
    }
    let mut webhooks = BTreeMap::new();
    let mut is_whole = true;
    for (name, section) in sections {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.chars().all(is_name) || name.is_empty() || name.len() > NAME_BYTES_MAX {
            let message = "is no name of a webhook; write at most 32 of a-z, 0-9 and -";
            section.fault("", message);
        }
        match webhook(section, known) {
            Some(webhook) => drop(webhooks.insert(name, webhook)),
            None => is_whole = false,
        }
    }
    is_whole.then_some(webhooks)
}

fn webhook<T>(
    mut section: Section<'_>,
    known: Option<&BTreeMap<String, T>>,
) -> Option<WebhookConfig> {
    let folder = section.folder();
    let forms = &[
        ("slack", WebhookForm::Slack),
        ("teams", WebhookForm::Teams),
        ("json", WebhookForm::Json),
    ];
    let write =
        "a file that holds the address, as it is a secret, such as \"/etc/poolgate/team.url\"";
    let url_file = section.required("url_file", write, path(folder));
    let form = section.required("form", "\"slack\", \"teams\" or \"json\"", word(forms));
    let events = section.list("events", word(KINDS));
    let defaults = || KINDS.iter().take(DEFAULT_KINDS).map(|(_, kind)| *kind);
    let pools = section.list("pools", text).unwrap_or_default();
    for (at, pool) in pools.iter().enumerate() {
        if known.is_some_and(|known| !known.contains_key(pool)) {
            let message =
                format!("is {pool:?}, and there is no [pools.{pool}]; write the name of one");
            section.fault(&format!("pools[{at}]"), message);
        }
    }
    let webhook = WebhookConfig {
        events: events.map_or_else(|| defaults().collect(), |kinds| kinds.into_iter().collect()),
        pools: pools.into_iter().collect(),
        ca_file: section.get("ca_file", path(folder)),
        timeout: section.get_or("timeout", seconds(10), duration(seconds(1)..=seconds(60))),
        messages_per_minute: section.get_or("messages_per_minute", 6, number(1..=60)),
        url_file: url_file.unwrap_or_default(),
        form: form.unwrap_or(WebhookForm::Json),
    };
    section.finish();
    (url_file_is_there(&webhook) && form.is_some()).then_some(webhook)
}

fn url_file_is_there(webhook: &WebhookConfig) -> bool {
    !webhook.url_file.as_os_str().is_empty()
}
