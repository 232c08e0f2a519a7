//! `[pools.NAME.ssh.policy]`: what people may do within their ssh sessions, for all and for groups of them.
//!
//! Reads and checks the rules only; what a request amounts to is judged in `ssh::policy`.

use std::net::IpAddr;

use ::config::Value;
use ipnet::IpNet;

use super::raw::Section;
use super::values::{boolean, shown, text, word};

/// The rules of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    pub rules: PolicyRules,
    /// Never reached by a forwarding, whoever asks.
    pub deny_forward_to: Vec<Endpoint>,
    /// The first group a person is in counts in place of `rules`.
    pub groups: Vec<PolicyGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyGroup {
    pub users: Vec<String>,
    /// Groups of the gate's own host, as `id -Gn USER` prints them there.
    pub unix_groups: Vec<String>,
    pub rules: PolicyRules,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRules {
    pub programs: Programs,
    pub agent_forwarding: bool,
    pub x11_forwarding: bool,
    pub unix_sockets: bool,
    /// Targets of `-L` and `-D`.
    pub permit_open: Vec<Endpoint>,
    /// Listeners of `-R`.
    pub permit_listen: Vec<Endpoint>,
}

/// What may run in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    Any,
    /// Commands and subsystems, but no shell and no terminal.
    Exec,
    /// The sftp subsystem and nothing else.
    Sftp,
}

/// `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: HostPattern,
    /// `None`: any.
    pub port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    Any,
    Network(IpNet),
    /// In lower case, with `*` and `?`; never looked up. `localhost` is every name and address of the machine itself.
    Name(String),
}

/// What forwardings never reach unless configured otherwise: where clouds hand out machines' identities, and services that
/// trust whoever can connect to them on the instance (Docker, etcd, the hub's proxy and API, Poolgate's own admin side,
/// the kubelet).
const DENIED: [&str; 14] = [
    "169.254.169.254:*",
    "[fd00:ec2::254]:*",
    "[fd20:ce::254]:*",
    "metadata.google.internal:*",
    "168.63.129.16:80",
    "168.63.129.16:32526",
    "*:2379",
    "*:2380",
    "localhost:2375",
    "localhost:2376",
    "localhost:8001",
    "localhost:8081",
    "localhost:9180",
    "localhost:10250",
];

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            rules: PolicyRules::open_to(Programs::Any),
            deny_forward_to: DENIED.iter().filter_map(|text| parse(text)).collect(),
            groups: Vec::new(),
        }
    }
}

impl PolicyRules {
    /// What holds where nothing else is written. People who may only move files are not meant to tunnel.
    fn open_to(programs: Programs) -> Self {
        let forwards = programs != Programs::Sftp;
        let anything = Endpoint {
            host: HostPattern::Any,
            port: None,
        };
        let all = || {
            if forwards {
                vec![anything.clone()]
            } else {
                Vec::new()
            }
        };
        Self {
            programs,
            agent_forwarding: forwards,
            x11_forwarding: forwards,
            unix_sockets: forwards,
            permit_open: all(),
            permit_listen: all(),
        }
    }
}

pub(super) fn policy(mut section: Section<'_>) -> PolicyConfig {
    let default = PolicyConfig::default();
    let rules = rules(&mut section, &default.rules);
    let deny_forward_to = section
        .list("deny_forward_to", endpoint)
        .unwrap_or(default.deny_forward_to);
    let groups = section.sections("groups").unwrap_or_default();
    let groups = groups
        .into_iter()
        .map(|section| group(section, &rules))
        .collect();
    section.finish();
    PolicyConfig {
        rules,
        deny_forward_to,
        groups,
    }
}

fn group(mut section: Section<'_>, pool: &PolicyRules) -> PolicyGroup {
    let users = section.list("users", text).unwrap_or_default();
    let unix_groups = section.list("unix_groups", text).unwrap_or_default();
    let names_nobody = users.is_empty() && unix_groups.is_empty();
    if names_nobody && !section.is_at_fault("users") && !section.is_at_fault("unix_groups") {
        let message = "names nobody; write users = [\"alice\"] or unix_groups = [\"students\"]";
        section.fault("users", message);
    }
    let rules = rules(&mut section, pool);
    section.finish();
    PolicyGroup {
        users,
        unix_groups,
        rules,
    }
}

/// `outer` holds for what is not written, unless other programs are allowed: then their own defaults do.
fn rules(section: &mut Section<'_>, outer: &PolicyRules) -> PolicyRules {
    let words = &[
        ("any", Programs::Any),
        ("exec", Programs::Exec),
        ("sftp", Programs::Sftp),
    ];
    let programs = section.get_or("programs", outer.programs, word(words));
    let base = match programs == outer.programs {
        true => outer.clone(),
        false => PolicyRules::open_to(programs),
    };
    PolicyRules {
        programs,
        agent_forwarding: section.get_or("agent_forwarding", base.agent_forwarding, boolean),
        x11_forwarding: section.get_or("x11_forwarding", base.x11_forwarding, boolean),
        unix_sockets: section.get_or("unix_sockets", base.unix_sockets, boolean),
        permit_open: section
            .list("permit_open", endpoint)
            .unwrap_or(base.permit_open),
        permit_listen: section
            .list("permit_listen", endpoint)
            .unwrap_or(base.permit_listen),
    }
}

fn endpoint(value: &Value) -> Result<Endpoint, String> {
    let text = text(value)?;
    parse(&text).ok_or_else(|| {
        format!(
            "is {}; write HOST:PORT, such as \"db.example:5432\", \"*:443\", \"10.0.0.0/8:*\" or \"[fd00::1]:22\"",
            shown(value)
        )
    })
}

/// A host name with `*` and `?`, an address or a network; IPv6 in brackets; a port or `*`.
fn parse(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let port = match port {
        "*" => None,
        port => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let network = |text: &str| {
        let single = text.parse::<IpAddr>().ok().map(IpNet::from);
        single.or_else(|| text.parse::<IpNet>().ok().filter(|net| net.trunc() == *net))
    };
    let is_name = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_*?".contains(&byte);
        !text.is_empty() && text.bytes().all(fits)
    };
    let host = match (bare, host) {
        (Some(bare), _) => HostPattern::Network(network(bare).filter(|net| net.addr().is_ipv6())?),
        (None, "*") => HostPattern::Any,
        (None, host) => match network(host).filter(|net| net.addr().is_ipv4()) {
            Some(net) => HostPattern::Network(net),
            None if is_name(host) => HostPattern::Name(host.to_ascii_lowercase()),
            None => return None,
        },
    };
    Some(Endpoint { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_or_refused() {
        for text in DENIED {
            assert!(parse(text).is_some(), "{text}");
        }
        let network = |text: &str| HostPattern::Network(text.parse().unwrap());
        let cases = [
            ("10.0.0.0/8:*", network("10.0.0.0/8"), None),
            ("10.1.2.3:22", network("10.1.2.3/32"), Some(22)),
            ("[fd00::/8]:443", network("fd00::/8"), Some(443)),
            (
                "*.Example.org:443",
                HostPattern::Name("*.example.org".into()),
                Some(443),
            ),
            ("*:*", HostPattern::Any, None),
        ];
        for (text, host, port) in cases {
            assert_eq!(parse(text), Some(Endpoint { host, port }), "{text}");
        }
        for text in [
            "db",
            ":22",
            "db:",
            "db:0",
            "db:65536",
            "fd00::1:22",
            "[10.0.0.1]:22",
            "10.0.0.1/8:1",
            "a b:1",
            "[::1:2",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
