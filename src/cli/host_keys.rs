//! `poolgate host-keys`: the gate's own host keys in the forms people and their tools take them.
//!
//! Read from the files that the configuration names, as the gate reads them; no gate need run and nothing is asked of one.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, anyhow};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::args::{HostKeysArgs, HostKeysOutput};
use super::{Failure, print};
use crate::config;
use crate::ssh::host_identity::HostIdentity;
use crate::ssh::wire::keys::{Certificate, PrivateKey, SigAlg, fingerprint, key_type};
use crate::ssh::wire::message::{Malformed, Reader};

pub(super) fn run(args: &HostKeysArgs) -> Result<ExitCode, Failure> {
    let config = config::load(args.config.config.as_deref())?;
    let none = || anyhow!("there is no ssh door; write [ssh] in the configuration");
    let ssh = config.ssh.as_ref().ok_or_else(none)?;
    let identity =
        HostIdentity::load(ssh, SystemTime::now(), &[]).map_err(|error| anyhow!("{error}"))?;
    let port = ssh.listen.first().map_or(22, |address| address.port());
    let host = match &args.host {
        Some(text) => Host::parse(text, port)?,
        None => Host {
            name: own_name()?,
            port,
        },
    };
    let keys = Key::all(&identity).context("a host key cannot be read as one")?;
    for warning in keys.iter().filter_map(|key| key.warning(&host)) {
        print::complain(&warning);
    }
    let text = match args.output {
        HostKeysOutput::KnownHosts => known_hosts(&keys, &host),
        HostKeysOutput::Sshfp => keys.iter().map(|key| key.sshfp(&host) + "\n").collect(),
        HostKeysOutput::Fingerprints => keys.iter().map(|key| key.shown(&host) + "\n").collect(),
        HostKeysOutput::Json => {
            let list: Vec<Value> = keys.iter().map(|key| key.json(&host)).collect();
            print::json(&list)?
        }
    };
    print::show(text.as_bytes())
}

/// What people connect to.
struct Host {
    name: String,
    port: u16,
}

impl Host {
    /// `NAME`, `NAME:PORT`, `[NAME]:PORT` or a bare IPv6 address.
    fn parse(text: &str, port: u16) -> anyhow::Result<Self> {
        let bare = text.parse::<std::net::Ipv6Addr>().is_ok();
        let (name, port) = match text.rsplit_once(':') {
            Some((name, number)) if !bare => {
                let wrong = || format!("--host is {text:?}; write NAME or NAME:PORT");
                (name, number.parse().with_context(wrong)?)
            }
            _ => (text, port),
        };
        let name = name.strip_prefix('[').unwrap_or(name);
        let name = name.strip_suffix(']').unwrap_or(name);
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || ",*?!@|#[]".contains(c);
        if name.is_empty() || name.contains(is_odd) {
            return Err(anyhow!("--host is {text:?}; write NAME or NAME:PORT"));
        }
        Ok(Self {
            name: name.to_lowercase(),
            port,
        })
    }

    /// As known_hosts has it.
    fn pattern(&self) -> String {
        match self.port {
            22 => self.name.clone(),
            port => format!("[{}]:{port}", self.name),
        }
    }
}

fn own_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.context("this machine's name is unknown; write --host NAME[:PORT]")?;
    Ok(name.trim().to_lowercase())
}

/// One of the gate's keys, and what is to be told of it.
struct Key {
    blob: Vec<u8>,
    kind: String,
    bits: usize,
    /// Announced, and not in use yet.
    is_standby: bool,
    certificate: Option<Certificate>,
}

impl Key {
    fn all(identity: &HostIdentity) -> anyhow::Result<Vec<Self>> {
        let certificates = identity.certificates();
        let offered = identity.offered().iter().map(|key| (key, false));
        let standby = identity.standby().iter().map(|key| (key, true));
        let read = |(key, is_standby): (&PrivateKey, bool)| {
            let blob = key.public_blob().to_vec();
            let mut certified = certificates.iter();
            let certificate = certified.find(|known| known.public_blob == blob);
            Ok(Self {
                kind: key_type(&blob)?.to_owned(),
                bits: bits(&blob)?,
                is_standby,
                certificate: certificate
                    .map(|known| Certificate::parse(&known.blob))
                    .transpose()?,
                blob,
            })
        };
        offered.chain(standby).map(read).collect()
    }

    fn line(&self, host: &Host) -> String {
        let (pattern, key) = (host.pattern(), STANDARD.encode(&self.blob));
        format!("{pattern} {} {key}", self.kind)
    }

    /// RFC 4255, with the numbers of RFC 6594 and RFC 7479. The record knows no port.
    fn sshfp(&self, host: &Host) -> String {
        let number = match SigAlg::for_key_type(&self.kind).first() {
            Some(SigAlg::Ed25519) => 4,
            Some(SigAlg::RsaSha256 | SigAlg::RsaSha512) => 1,
            _ => 3,
        };
        let hash = digest(&SHA256, &self.blob);
        let hex: String = hash.as_ref().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String does not fail.
            let _: Result<(), _> = write!(hex, "{byte:02x}");
            hex
        });
        format!("{} IN SSHFP {number} 2 {hex}", host.name)
    }

    fn shown(&self, host: &Host) -> String {
        let kind = match SigAlg::for_key_type(&self.kind).first() {
            Some(SigAlg::Ed25519) => "ED25519",
            Some(SigAlg::RsaSha256 | SigAlg::RsaSha512) => "RSA",
            _ => "ECDSA",
        };
        let (bits, print) = (self.bits, fingerprint(&self.blob));
        format!("{bits} {print} {} ({kind})", host.pattern())
    }

    fn authority_line(&self, host: &Host) -> Option<String> {
        let blob = &self.certificate.as_ref()?.ca_blob;
        let kind = key_type(blob).ok()?;
        let (pattern, key) = (host.pattern(), STANDARD.encode(blob));
        Some(format!("@cert-authority {pattern} {kind} {key}"))
    }

    /// A name that clients would look for in the certificate, and not find.
    fn warning(&self, host: &Host) -> Option<String> {
        let certificate = self.certificate.as_ref()?;
        let names = &certificate.principals;
        let is_named = names.iter().any(|name| name.to_lowercase() == host.name);
        let listed = names.join(", ");
        (!is_named && !listed.contains(['*', '?'])).then(|| {
            format!(
                "poolgate: warning: the certificate of the {} key is for {listed} and not for {}; clients will not take it under that name",
                self.kind, host.name
            )
        })
    }

    fn json(&self, host: &Host) -> Value {
        let certificate = self.certificate.as_ref().map(|certificate| {
            json!({
                "key_id": certificate.key_id,
                "principals": certificate.principals,
                "valid_before": certificate.valid_before,
                "authority": fingerprint(&certificate.ca_blob),
                "known_hosts": self.authority_line(host),
            })
        });
        json!({
            "type": self.kind,
            "bits": self.bits,
            "state": if self.is_standby { "standby" } else { "offered" },
            "fingerprint": fingerprint(&self.blob),
            "known_hosts": self.line(host),
            "sshfp": self.sshfp(host),
            "certificate": certificate,
        })
    }
}

/// Lines for every key, and below them the shorter way where a host CA has signed.
fn known_hosts(keys: &[Key], host: &Host) -> String {
    let mut text: String = keys.iter().map(|key| key.line(host) + "\n").collect();
    let mut authorities: Vec<_> = keys
        .iter()
        .filter_map(|key| key.authority_line(host))
        .collect();
    authorities.sort();
    authorities.dedup();
    for line in authorities {
        text.push_str("# Whoever trusts the host CA needs only this line:\n# ");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The size of a key as people name it.
fn bits(blob: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(blob);
    let most = blob.len();
    Ok(match reader.string(most)? {
        b"ssh-rsa" => {
            let _exponent = reader.string(most)?;
            let modulus = reader.string(most)?;
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let digits = modulus.get(zeros..).unwrap_or_default();
            let first = digits
                .first()
                .map_or(0, |byte| byte.leading_zeros() as usize);
            digits.len() * 8 - first
        }
        b"ecdsa-sha2-nistp384" => 384,
        b"ecdsa-sha2-nistp521" => 521,
        _ => 256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_people_do() {
        let pattern = |text: &str| Host::parse(text, 2222).map(|host| host.pattern());
        for (text, expected) in [
            ("Gate.example", "[gate.example]:2222"),
            ("gate.example:22", "gate.example"),
            ("192.0.2.1:2200", "[192.0.2.1]:2200"),
            ("2001:db8::1", "[2001:db8::1]:2222"),
            ("[2001:db8::1]:22", "2001:db8::1"),
        ] {
            assert_eq!(pattern(text).unwrap(), expected);
        }
        for text in [
            "",
            ":22",
            "gate:ssh",
            "gate:70000",
            "a b",
            "*.example",
            "a,b",
        ] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }
}
