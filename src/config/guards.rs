//! Keys that keep floods and guessers out of a door: penalties, early drops, and the proxies that are believed.
//!
//! What the values do is decided elsewhere; here they are read, with their defaults and bounds.

use std::time::Duration;

use ::config::{Value, ValueKind};
use ipnet::IpNet;

use super::raw::Section;
use super::units::duration;
use super::validate::seconds;
use super::values::{number, shown, text};
use super::{EarlyDrop, PenaltiesConfig};

impl Default for PenaltiesConfig {
    /// OpenSSH's figures, but for protocol errors, which it has no name for.
    fn default() -> Self {
        Self {
            connection: Duration::ZERO,
            authfail: seconds(5),
            noauth: seconds(1),
            grace_exceeded: seconds(10),
            protocol_error: seconds(10),
            min: seconds(15),
            max: seconds(600),
            max_sources: 65_536,
            exempt: Vec::new(),
        }
    }
}

pub(super) fn penalties(mut section: Section<'_>) -> PenaltiesConfig {
    let default = PenaltiesConfig::default();
    let cost = || duration(Duration::ZERO..=seconds(3600));
    let config = PenaltiesConfig {
        connection: section.get_or("connection", default.connection, cost()),
        authfail: section.get_or("authfail", default.authfail, cost()),
        noauth: section.get_or("noauth", default.noauth, cost()),
        grace_exceeded: section.get_or("grace_exceeded", default.grace_exceeded, cost()),
        protocol_error: section.get_or("protocol_error", default.protocol_error, cost()),
        min: section.get_or("min", default.min, cost()),
        max: section.get_or("max", default.max, duration(seconds(1)..=seconds(86_400))),
        max_sources: section.get_or("max_sources", default.max_sources, number(100..=1_000_000)),
        exempt: section.list("exempt", network).unwrap_or_default(),
    };
    if config.min >= config.max {
        let message = "is not below ssh.penalties.max, so nobody would ever be refused; write a shorter time, such as \"15s\"";
        section.fault("min", message);
    }
    section.finish();
    config
}

/// `START:RATE` below `max_startups`, or `"off"`.
pub(super) fn early_drop(section: &mut Section<'_>, max_startups: usize) -> Option<EarlyDrop> {
    // Half way, as the first sign that logins come faster than they are done.
    let default = Some(EarlyDrop {
        start: max_startups / 2,
        rate_percent: 30,
    });
    let early_drop = section.get_or("early_drop", default, start_and_rate);
    if let Some(EarlyDrop { start, .. }) = early_drop
        && start >= max_startups
    {
        let message = format!(
            "starts at {start}, not below ssh.max_startups ({max_startups}); write such as \"{}:30\"",
            max_startups / 2
        );
        section.fault("early_drop", message);
    }
    early_drop
}

fn start_and_rate(value: &Value) -> Result<Option<EarlyDrop>, String> {
    let write = "write START:RATE such as \"500:30\" (from 500 startups on refuse 30 in 100, growing to all at max_startups), or \"off\"";
    let ValueKind::String(text) = &value.kind else {
        return Err(format!("is {}; {write}", shown(value)));
    };
    if text == "off" {
        return Ok(None);
    }
    let read = |text: &str| {
        let (start, rate) = text.split_once(':')?;
        let rate_percent = rate.parse().ok().filter(|rate| (1..=100).contains(rate))?;
        Some(EarlyDrop {
            start: start.parse().ok()?,
            rate_percent,
        })
    };
    read(text).map(Some).ok_or(format!("is {text:?}; {write}"))
}

/// A network, or one address as a network of its own.
pub(super) fn network(value: &Value) -> Result<IpNet, String> {
    let text = text(value)?;
    let write = "write a network or an address, such as \"10.0.0.0/8\" or \"2001:db8::1\"";
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    match text.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => Err(format!(
            "is {text:?}, whose address has bits beyond its mask; write \"{}\"",
            net.trunc()
        )),
        Err(_) => Err(format!("is {text:?}, which is no network; {write}")),
    }
}

/// Whose PROXY headers are believed, and demanded.
pub(super) fn proxies(section: &mut Section<'_>) -> Vec<IpNet> {
    section
        .list("proxy_protocol_from", network)
        .unwrap_or_default()
}
