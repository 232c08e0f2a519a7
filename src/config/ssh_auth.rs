//! From `[ssh.auth]` to `SshAuthConfig`: how people prove who they are.

use super::raw::Section;
use super::values::{number, path, path_or_off, shown, text, word};
use super::{AuthMethod, EmptyPrincipals, KeysCommandConfig, PasswordSource, SshAuthConfig};

/// Ways through `methods`, and methods in one of them.
const WAYS_MAX: usize = 16;
const STEPS_MAX: usize = 8;

pub(super) fn ssh_auth(mut section: Section<'_>) -> SshAuthConfig {
    let folder = section.folder();
    let default = vec!["%h/.ssh/authorized_keys".to_owned()];
    let config = SshAuthConfig {
        authorized_keys: section
            .list("authorized_keys", key_pattern)
            .unwrap_or(default),
        authorized_keys_command: keys_command(&mut section),
        trusted_user_ca_keys: section
            .list("trusted_user_ca_keys", path(folder))
            .unwrap_or_default(),
        authorized_principals: section
            .list("authorized_principals", key_pattern)
            .unwrap_or_default(),
        empty_principals: section.get_or(
            "empty_principals",
            EmptyPrincipals::Nobody,
            word(&[
                ("nobody", EmptyPrincipals::Nobody),
                ("anybody", EmptyPrincipals::Anybody),
            ]),
        ),
        revoked_keys: section.get_or("revoked_keys", None, path_or_off(folder)),
        password: section.get_or("password", PasswordSource::Instance, |value| {
            if let Ok(later @ ("ldap" | "oidc")) = text(value).as_deref() {
                return Err(format!(
                    "is {later:?}, which is not in this version; write \"instance\" or \"off\""
                ));
            }
            word(&[
                ("instance", PasswordSource::Instance),
                ("off", PasswordSource::Off),
            ])(value)
        }),
        methods: section.list("methods", way).unwrap_or_default(),
        max_tries: section.get_or("max_tries", 6, number(1..=100)),
        max_offers: section.get_or("max_offers", 20, number(1..=1000)),
    };
    check_ways_in(&section, &config);
    section.finish();
    config
}

/// What each value for itself does not show.
fn check_ways_in(section: &Section<'_>, config: &SshAuthConfig) {
    let is_off = config.password == PasswordSource::Off;
    let no_keys = config.authorized_keys.is_empty()
        && config.trusted_user_ca_keys.is_empty()
        && config.authorized_keys_command.is_none();
    if no_keys && is_off {
        let message = "is off and no keys are trusted, so nobody can log in; write password = \"instance\" or name authorized_keys";
        section.fault("password", message);
    }
    if !config.authorized_principals.is_empty() && config.trusted_user_ca_keys.is_empty() {
        let message = "serves only certificates of trusted_user_ca_keys, and there are none; name the authorities' files there";
        section.fault("authorized_principals", message);
    }
    if config.methods.len() > WAYS_MAX {
        let message = format!("lists more than {WAYS_MAX} ways; write fewer");
        section.fault("methods", message);
    }
    for (index, way) in config.methods.iter().enumerate() {
        let relayed = way.iter().find(|method| **method != AuthMethod::PublicKey);
        if let Some(method) = relayed.filter(|_| is_off) {
            let name = method.name();
            let message = format!(
                "wants {name}, which password = \"off\" forbids; write password = \"instance\" or another way"
            );
            section.fault(&format!("methods[{index}]"), message);
        }
    }
}

/// Methods in the order in which they must succeed, separated by commas.
fn way(value: &::config::Value) -> Result<Vec<AuthMethod>, String> {
    let text = text(value)?;
    let methods: Option<Vec<AuthMethod>> = text
        .split(',')
        .map(|name| {
            AuthMethod::ALL
                .into_iter()
                .find(|method| method.name() == name)
        })
        .collect();
    methods.filter(|methods| methods.len() <= STEPS_MAX).ok_or_else(|| {
        format!(
            "is {text:?}; write one to {STEPS_MAX} of publickey, password and keyboard-interactive with commas between, such as \"publickey,password\""
        )
    })
}

fn keys_command(section: &mut Section<'_>) -> Option<KeysCommandConfig> {
    let user = section.get_or("authorized_keys_command_user", "nobody".to_owned(), text);
    let words = section.list("authorized_keys_command", text)?;
    let program = words.first()?;
    if !program.starts_with('/') {
        let message = format!(
            "is {program:?}, which is no absolute path; write one, such as [\"/usr/local/bin/list-keys\", \"%u\"]"
        );
        section.fault("authorized_keys_command[0]", message);
    }
    Some(KeysCommandConfig { words, user })
}

/// A path with `%u`, `%h` and `%%`. Without a person's name in it, everybody's keys would open every account.
fn key_pattern(value: &::config::Value) -> Result<String, String> {
    let pattern = text(value)?;
    let write = "such as \"/home/%u/.ssh/authorized_keys\" or \"%h/.ssh/authorized_keys\"";
    let mut tokens = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if c == '%' {
            // A sign at the very end stands alone.
            tokens.extend(rest.next().map_or(vec!['%', '\0'], |token| vec![token]));
        }
    }
    if tokens.contains(&'\0') {
        return Err(format!(
            "is {pattern:?}, which ends with a %; write %u, %h or %%, {write}"
        ));
    }
    if let Some(token) = tokens.iter().find(|token| !"uh%".contains(**token)) {
        return Err(format!(
            "is {}, but %{token} has no meaning; write %u, %h or %%, {write}",
            shown(value)
        ));
    }
    if !tokens.iter().any(|token| "uh".contains(*token)) {
        return Err(format!(
            "is {pattern:?}, the same file for everybody; write %u or %h in it, {write}"
        ));
    }
    if !pattern.starts_with('/') && !pattern.starts_with("%h/") {
        return Err(format!(
            "is {pattern:?}, which is no absolute path; write one, {write}"
        ));
    }
    Ok(pattern)
}
