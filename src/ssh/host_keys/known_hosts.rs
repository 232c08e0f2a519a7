//! Lines of a known_hosts file, as sshd(8) describes them: plain, hashed, wildcard and negated names, `[host]:port`,
//! `@cert-authority` and `@revoked`.
//!
//! An instance is looked up by its name and by its address; at another port than 22 the address counts only as
//! `[host]:port`, as ssh-keyscan writes it, since machines may share an address.

use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::authority::{is_certificate, judge};
use super::error::{CertificateFault, HostKeyError};
use super::lists::parse_key;
use super::plain_algorithms;
use crate::identity::glob;
use crate::pool::Instance;
use crate::ssh::wire::keys::Certificate;
use crate::ssh::wire::negotiate::HostKeyAlgorithm;

#[derive(Debug, PartialEq, Eq)]
pub struct KnownHosts(Vec<Line>);

#[derive(Debug, PartialEq, Eq)]
struct Line {
    marker: Marker,
    hosts: Hosts,
    key_blob: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    CertAuthority,
    Revoked,
}

#[derive(Debug, PartialEq, Eq)]
enum Hosts {
    /// Lower-case patterns, and whether each is negated.
    Patterns(Vec<(bool, String)>),
    /// `|1|SALT|HASH`: HMAC-SHA1 of one name, so that a stolen file does not list machines.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl KnownHosts {
    /// A line that is not one of this format is an error: a damaged `@revoked` must not go unseen.
    pub fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            lines.push(parse_line(line).map_err(|reason| (index + 1, reason))?);
        }
        Ok(Self(lines))
    }

    /// `path` is named in what is refused.
    pub fn check(
        &self,
        instance: &Instance,
        blob: &[u8],
        now: SystemTime,
        path: &Path,
    ) -> Result<(), HostKeyError> {
        if is_certificate(blob) {
            let verdict = self.judge_certificate(instance, blob, now);
            return verdict.map_err(|reason| HostKeyError::certificate(instance, reason));
        }
        let mut is_trusted = false;
        let mut is_listed = false;
        for line in self.lines_of(instance) {
            let is_this = line.key_blob == blob;
            match line.marker {
                Marker::Revoked if is_this => return Err(HostKeyError::revoked(instance, blob)),
                Marker::None => {
                    is_listed = true;
                    is_trusted |= is_this;
                }
                Marker::Revoked | Marker::CertAuthority => {}
            }
        }
        match (is_trusted, is_listed) {
            (true, _) => Ok(()),
            (false, true) => Err(HostKeyError::other_than_listed(instance, blob, path.into())),
            (false, false) => Err(HostKeyError::not_listed(instance, blob, path.into())),
        }
    }

    fn judge_certificate(
        &self,
        instance: &Instance,
        blob: &[u8],
        now: SystemTime,
    ) -> Result<(), CertificateFault> {
        let certificate = Certificate::parse(blob)?;
        let parts = [&certificate.ca_blob, &certificate.public_blob];
        let is_revoked =
            |line: &Line| line.marker == Marker::Revoked && parts.contains(&&line.key_blob);
        if self.lines_of(instance).any(is_revoked) {
            return Err(CertificateFault::Revoked);
        }
        let is_trusted = |ca: &[u8]| {
            self.lines_of(instance)
                .any(|line| line.marker == Marker::CertAuthority && line.key_blob == ca)
        };
        judge(instance, &certificate, now, is_trusted)
    }

    /// The algorithms of what is listed for the instance.
    pub fn algorithms_of(&self, instance: &Instance) -> Vec<HostKeyAlgorithm> {
        let mut algorithms = Vec::new();
        for line in self.lines_of(instance) {
            match line.marker {
                Marker::None => algorithms.extend(plain_algorithms(&line.key_blob)),
                Marker::CertAuthority => algorithms.extend(HostKeyAlgorithm::CERTIFIED),
                Marker::Revoked => {}
            }
        }
        algorithms
    }

    fn lines_of(&self, instance: &Instance) -> impl Iterator<Item = &Line> {
        let name = instance.id.name.to_lowercase();
        let address = instance.address.to_lowercase();
        let address = match instance.ssh_port {
            22 => address,
            port => format!("[{address}]:{port}"),
        };
        let is_ours = move |line: &&Line| line.hosts.hold(&address) || line.hosts.hold(&name);
        self.0.iter().filter(is_ours)
    }
}

impl Hosts {
    fn hold(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                let mut is_held = false;
                for (is_negated, pattern) in patterns {
                    if !glob::matches(pattern, name) {
                        continue;
                    }
                    if *is_negated {
                        return false;
                    }
                    is_held = true;
                }
                is_held
            }
            Self::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
        }
    }
}

fn parse_line(line: &str) -> Result<Line, &'static str> {
    let mut words = line.split_whitespace().peekable();
    let marker = match words.peek() {
        Some(&"@cert-authority") => Marker::CertAuthority,
        Some(&"@revoked") => Marker::Revoked,
        Some(word) if word.starts_with('@') => {
            return Err("unknown marker; known are @cert-authority and @revoked");
        }
        _ => Marker::None,
    };
    if marker != Marker::None {
        words.next();
    }
    let (Some(hosts), Some(kind), Some(key)) = (words.next(), words.next(), words.next()) else {
        return Err("expected [@MARKER] HOSTS TYPE KEY, as ssh-keyscan prints it");
    };
    let key_blob = parse_key(kind, key);
    let key_blob = key_blob.ok_or("the key is damaged; take the line from ssh-keyscan again")?;
    let hosts = parse_hosts(hosts).ok_or("the hashed name is damaged; expected |1|SALT|HASH")?;
    Ok(Line {
        marker,
        hosts,
        key_blob,
    })
}

fn parse_hosts(text: &str) -> Option<Hosts> {
    if let Some(hashed) = text.strip_prefix('|') {
        let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
        let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
        return Some(Hosts::Hashed { salt, hash });
    }
    let patterns = text
        .split(',')
        .map(|pattern| match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern.to_lowercase()),
            None => (false, pattern.to_lowercase()),
        });
    Some(Hosts::Patterns(patterns.collect()))
}

#[cfg(test)]
mod tests;
