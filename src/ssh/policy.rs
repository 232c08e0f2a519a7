//! Which channels a person may open and what may be asked on them: a pool's rules, narrowed by the person's own key.
//!
//! Pure. Says yes or no and the text a person sees; when an answer goes out is `channels`' business. `permitopen=` and
//! `permitlisten=` of a key are compared as OpenSSH does; no certificate can carry them, so they hold only here.

mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::target::{Host, is_listed};
use super::channels::Side;
use super::wire::message::channel::{ChannelOpen, ChannelRequest};
use super::wire::message::{GlobalRequest, Malformed, Reader, printable};
use crate::config::{Endpoint, PolicyConfig, PolicyRules, Programs};
use crate::identity::{Restrictions, glob};

const LONGEST_HOST: usize = 4096;

/// What is not allowed, for the metric, the log and the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub what: &'static str,
    pub text: String,
}

impl Refusal {
    /// The client renounced further sessions before it asked for one.
    pub fn sessions_over() -> Self {
        Self::new("session", "this connection has renounced further sessions")
    }

    pub fn too_many_channels(limit: usize) -> Self {
        Self::new("channels", format!("more than {limit} channels are open"))
    }

    /// Of keys that are not the gate's, or more proofs than anybody needs.
    pub fn no_proof() -> Self {
        Self::new("host-key-proof", "this proof of host keys is not given")
    }

    fn new(what: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { what, text }
    }
}

/// What one session may do; never changed.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Arc<PolicyRules>,
    denied: Arc<[Endpoint]>,
    own: Restrictions,
}

impl Default for Policy {
    /// What holds where nothing is configured, for a key without options.
    fn default() -> Self {
        let config = PolicyConfig::default();
        let (rules, denied) = (config.rules.into(), config.deny_forward_to.into());
        Self::new(rules, denied, Restrictions::unrestricted())
    }
}

impl Policy {
    pub fn new(rules: Arc<PolicyRules>, denied: Arc<[Endpoint]>, own: Restrictions) -> Self {
        Self { rules, denied, own }
    }

    pub fn check_open(&self, from: Side, open: &ChannelOpen<'_>) -> Result<(), Refusal> {
        match from {
            Side::Client => self.check_own_open(open),
            Side::Instance => self.check_instance_open(open),
        }
    }

    fn check_own_open(&self, open: &ChannelOpen<'_>) -> Result<(), Refusal> {
        match open.kind {
            b"session" => Ok(()),
            b"direct-tcpip" => {
                let target = open.tcp_target();
                let (host, port) = target.map_err(|_| local("a target that cannot be read"))?;
                self.check_target(host, port)
            }
            b"direct-streamlocal@openssh.com" => {
                match self.rules.unix_sockets && self.opens_anything() {
                    true => Ok(()),
                    false => Err(local("unix sockets")),
                }
            }
            // A network device reaches everything.
            b"tun@openssh.com" => match self.opens_anything() && self.rules.opens_anything() {
                true => Ok(()),
                false => Err(local("a network device")),
            },
            // What nobody here knows is the instance's to judge, where people may run programs there anyway.
            _ if self.rules.programs == Programs::Any => Ok(()),
            kind => {
                let text = format!("channels of type {} are not allowed here", printable(kind));
                Err(Refusal::new("channel", text))
            }
        }
    }

    /// The key limits forwarding to nothing that is not listed in it.
    fn opens_anything(&self) -> bool {
        self.own.permit_port_forwarding && self.own.permit_open.is_empty()
    }

    fn check_target(&self, host: &[u8], port: u32) -> Result<(), Refusal> {
        let shown = format!("{}:{port}", printable(host));
        let text = std::str::from_utf8(host).map_err(|_| local(&shown))?;
        let host = Host::parse(text);
        let is_own = self.own.permit_open.is_empty()
            || self
                .own
                .permit_open
                .iter()
                .any(|listed| opens(listed, text, port));
        let is_allowed = self.own.permit_port_forwarding
            && is_own
            && is_listed(&self.rules.permit_open, &host, port)
            && !is_listed(&self.denied, &host, port);
        match is_allowed {
            true => Ok(()),
            false => Err(local(&shown)),
        }
    }

    /// What an instance opens towards the person's machine: only what could have been asked of it.
    fn check_instance_open(&self, open: &ChannelOpen<'_>) -> Result<(), Refusal> {
        let (is_allowed, what) = match open.kind {
            b"forwarded-tcpip" => (self.listens(), "remote-forwarding"),
            b"forwarded-streamlocal@openssh.com" => {
                (self.listens_on_sockets(), "remote-forwarding")
            }
            b"auth-agent@openssh.com" | b"auth-agent" => {
                (self.forwards_agent(), "agent-forwarding")
            }
            b"x11" => (self.forwards_x11(), "x11-forwarding"),
            _ => (true, ""),
        };
        match is_allowed {
            true => Ok(()),
            false => Err(Refusal::new(what, format!("{what} is not allowed"))),
        }
    }

    fn listens(&self) -> bool {
        self.own.permit_port_forwarding && !self.rules.permit_listen.is_empty()
    }

    fn listens_on_sockets(&self) -> bool {
        self.own.permit_port_forwarding
            && self.own.permit_listen.is_empty()
            && self.rules.unix_sockets
    }

    fn forwards_agent(&self) -> bool {
        self.own.permit_agent_forwarding && self.rules.agent_forwarding
    }

    fn forwards_x11(&self) -> bool {
        self.own.permit_x11_forwarding && self.rules.x11_forwarding
    }

    pub fn check_global(&self, request: &GlobalRequest<'_>) -> Result<(), Refusal> {
        let (is_allowed, shown) = match request.name {
            b"tcpip-forward" => match tcp_listener(request.data) {
                Ok((host, port)) => {
                    let shown = format!("{}:{port}", printable(host));
                    (self.listens_on(host, port), shown)
                }
                Err(_) => (false, "an address that cannot be read".to_owned()),
            },
            b"streamlocal-forward@openssh.com" => {
                (self.listens_on_sockets(), "unix sockets".to_owned())
            }
            _ => return Ok(()),
        };
        match is_allowed {
            true => Ok(()),
            false => {
                let text = format!("listening on {shown} is not allowed");
                Err(Refusal::new("remote-forwarding", text))
            }
        }
    }

    fn listens_on(&self, host: &[u8], port: u32) -> bool {
        let Ok(host) = std::str::from_utf8(host) else {
            return false;
        };
        let own = &self.own.permit_listen;
        let is_own = own.is_empty() || own.iter().any(|listed| listens(listed, host, port));
        // To nobody in particular, which no name or address stands for.
        let asked = match host {
            "" | "*" => Host::Name("*".to_owned()),
            host => Host::parse(host),
        };
        self.listens() && is_own && is_listed(&self.rules.permit_listen, &asked, port)
    }

    pub fn check_request(&self, request: &ChannelRequest<'_>) -> Result<(), Refusal> {
        let programs = self.rules.programs;
        let refused = |what, text: &str| Err(Refusal::new(what, text));
        match request.name {
            b"pty-req" if !self.own.permit_pty || programs != Programs::Any => {
                refused("terminal", "terminals are not allowed here")
            }
            b"shell" if programs == Programs::Exec => refused(
                "program",
                "this service runs commands only: name one, as in `ssh HOST COMMAND`",
            ),
            b"shell" | b"exec" if programs == Programs::Sftp => {
                refused("program", "this service allows sftp connections only")
            }
            b"subsystem" if programs == Programs::Sftp && request.program() != Ok(b"sftp") => {
                refused("program", "this service allows sftp connections only")
            }
            b"auth-agent-req@openssh.com" | b"auth-agent-req" if !self.forwards_agent() => refused(
                "agent-forwarding",
                "your agent is not forwarded: it is not allowed here",
            ),
            b"x11-req" if !self.forwards_x11() => {
                refused("x11-forwarding", "X11 forwarding is not allowed here")
            }
            _ => Ok(()),
        }
    }
}

impl PolicyRules {
    fn opens_anything(&self) -> bool {
        let is_any = |endpoint: &Endpoint| {
            endpoint.host == crate::config::HostPattern::Any && endpoint.port.is_none()
        };
        self.permit_open.iter().any(is_any)
    }
}

fn local(target: &str) -> Refusal {
    Refusal::new(
        "local-forwarding",
        format!("forwarding to {target} is not allowed"),
    )
}

/// Address and port of a `tcpip-forward` (RFC 4254 section 7.1).
fn tcp_listener(data: &[u8]) -> Result<(&[u8], u32), Malformed> {
    let mut reader = Reader::new(data);
    Ok((reader.string(LONGEST_HOST)?, reader.u32()?))
}

/// `permitopen=` as OpenSSH compares it: the very text of the host, or `*`.
fn opens(listed: &str, host: &str, port: u32) -> bool {
    let Some((name, listed_port)) = listed.rsplit_once(':') else {
        return false;
    };
    let name = without_brackets(name);
    port_fits(listed_port, port) && (name == "*" || name == host)
}

/// `permitlisten=`: `*` and `?` match within the host, letter case does not count, and a bare port stands for any host.
fn listens(listed: &str, host: &str, port: u32) -> bool {
    let (name, listed_port) = listed.rsplit_once(':').unwrap_or(("*", listed));
    let name = without_brackets(name);
    port_fits(listed_port, port) && glob::matches(name, &host.to_ascii_lowercase())
}

fn without_brackets(host: &str) -> &str {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host)
}

fn port_fits(listed: &str, port: u32) -> bool {
    listed == "*" || listed.parse() == Ok(port)
}
