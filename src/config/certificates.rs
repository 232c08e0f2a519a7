//! Keys of what the browsers' door proves itself with: certificate files, an authority that issues them (ACME), and the
//! listener without TLS that sends people over.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::config::{Value, ValueKind};

use super::doors::{Faulty, Listening};
use super::raw::Section;
use super::units::duration_or_off;
use super::validate::seconds;
use super::values::{boolean, host, listen_address, path, path_or_off, port, shown, text, word};
use super::{AcmeChallenge, AcmeConfig, CertificateFiles, InstanceTls, RedirectConfig};

const DAY: u64 = 24 * 3600;
/// Each costs a handshake nothing, but all are read again together.
const CERTIFICATES_MAX: usize = 100;
/// What Let's Encrypt takes in one certificate.
const DOMAINS_MAX: usize = 100;
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The single pair first, then those of the list. `has_acme`: none of them is needed.
pub(super) fn certificates(
    section: &mut Section<'_>,
    has_acme: bool,
) -> Result<Vec<CertificateFiles>, Faulty> {
    let listed = section.sections("certificates");
    let is_enough = has_acme || listed.as_ref().is_some_and(|list| !list.is_empty());
    let mut read = vec![pair(section, is_enough)];
    for mut item in listed.unwrap_or_default() {
        read.push(pair(&mut item, false));
        item.finish();
    }
    // Every one is read before any fault ends the reading.
    let read: Vec<_> = read.into_iter().collect::<Result<_, _>>()?;
    let all: Vec<_> = read.into_iter().flatten().collect();
    if all.len() > CERTIFICATES_MAX {
        let count = all.len();
        let message = format!("makes {count} certificates; write at most {CERTIFICATES_MAX}");
        section.fault("certificates", message);
    }
    Ok(all)
}

/// Both files of a certificate, which may be missing together if `may_miss`.
pub(super) fn pair(
    section: &mut Section<'_>,
    may_miss: bool,
) -> Result<Option<CertificateFiles>, Faulty> {
    let folder = section.folder();
    let certificate: Option<PathBuf> = section.get("certificate", path(folder));
    let private_key: Option<PathBuf> = section.get("private_key", path(folder));
    let ocsp_response = section.get_or("ocsp_response", None, path_or_off(folder));
    let is_absent = |section: &Section<'_>, key, read: &Option<PathBuf>| {
        read.is_none() && !section.is_at_fault(key)
    };
    let no_certificate = is_absent(section, "certificate", &certificate);
    let no_key = is_absent(section, "private_key", &private_key);
    if no_certificate && no_key && may_miss {
        return Ok(None);
    }
    if no_certificate {
        let write = "write certificate = \"/etc/poolgate/tls/fullchain.pem\"";
        section.fault("certificate", format!("is missing; {write}"));
    }
    if no_key {
        let write =
            "write private_key = \"/etc/poolgate/tls/privkey.pem\", the key of the certificate";
        section.fault("private_key", format!("is missing; {write}"));
    }
    Ok(Some(CertificateFiles {
        key: section.path().to_owned(),
        certificate: certificate.ok_or(Faulty)?,
        private_key: private_key.ok_or(Faulty)?,
        ocsp_response,
    }))
}

/// How long browsers are to ask by https alone; by default as long as Mozilla's guidelines want.
pub(super) fn hsts(section: &mut Section<'_>) -> Option<Duration> {
    let bounds = seconds(60)..=seconds(3650 * DAY);
    section.get_or("hsts", Some(seconds(730 * DAY)), duration_or_off(bounds))
}

pub(super) fn redirect(
    section: &mut Section<'_>,
    listening: &mut Listening,
    https: &[SocketAddr],
) -> RedirectConfig {
    let listen = section.list("redirect_listen", listen_address);
    let listen = listen.unwrap_or_default();
    for address in &listen {
        listening.take(section, "redirect_listen", *address);
    }
    let default = https.first().map_or(443, SocketAddr::port);
    RedirectConfig {
        listen,
        to_port: section.get_or("redirect_port", default, port),
    }
}

pub(super) fn acme(
    mut section: Section<'_>,
    state_dir: &Path,
    redirect: &RedirectConfig,
) -> Result<Option<AcmeConfig>, Faulty> {
    if !section.is_present() {
        return Ok(None);
    }
    let folder = section.folder();
    let directory = section.get_or("directory", LETS_ENCRYPT.to_owned(), https_address);
    let contact = section.list("contact", mail_address).unwrap_or_default();
    let domains = domains(&mut section);
    let challenges = &[
        ("tls-alpn-01", AcmeChallenge::TlsAlpn01),
        ("http-01", AcmeChallenge::Http01),
    ];
    let challenge = section.get_or("challenge", AcmeChallenge::TlsAlpn01, word(challenges));
    if challenge == AcmeChallenge::Http01 && redirect.listen.is_empty() {
        let message = "is \"http-01\", which is answered without TLS; write redirect_listen = [\"0.0.0.0:80\"] in [https], or \"tls-alpn-01\"";
        section.fault("challenge", message);
    }
    let ca_file = section.get("ca_file", path(folder));
    let agrees = section.get_or("agree_to_terms", false, boolean);
    if !agrees && !section.is_at_fault("agree_to_terms") {
        let message =
            "is not true; read the authority's terms of service, then write agree_to_terms = true";
        section.fault("agree_to_terms", message);
    }
    section.finish();
    Ok(Some(AcmeConfig {
        directory,
        contact,
        domains: domains.ok_or(Faulty)?,
        challenge,
        ca_file,
        folder: state_dir.join("acme"),
    }))
}

fn domains(section: &mut Section<'_>) -> Option<Vec<String>> {
    let domains = section.list("domains", domain);
    if domains.as_ref().is_none_or(Vec::is_empty) && !section.is_at_fault("domains") {
        section.fault("domains", "names none; write domains = [\"pool.example\"]");
    }
    let count = domains.as_ref().map_or(0, Vec::len);
    if count > DOMAINS_MAX {
        let message = format!("names {count}; write at most {DOMAINS_MAX}");
        section.fault("domains", message);
    }
    domains
}

fn domain(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    if name.starts_with("*.") {
        return Err(format!(
            "is {name:?}, which needs the dns-01 challenge, and that is not done here; write each name, or certificate and private_key of a wildcard certificate"
        ));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "is {name:?}, an address; write a name, such as \"pool.example\""
        ));
    }
    host(value).map(|name| name.trim_end_matches('.').to_ascii_lowercase())
}

fn https_address(value: &Value) -> Result<String, String> {
    let address = text(value)?;
    let is_one = address.strip_prefix("https://").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match is_one {
        true => Ok(address),
        false => Err(format!(
            "is {address:?}; write the https:// address of an authority's directory, such as {LETS_ENCRYPT:?}"
        )),
    }
}

fn mail_address(value: &Value) -> Result<String, String> {
    let address = text(value)?;
    let is_one = address.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.contains('.')
            && address.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match is_one && !address.contains(':') {
        true => Ok(address),
        false => Err(format!(
            "is {address:?}; write a mail address, such as \"admin@pool.example\""
        )),
    }
}

/// `"off"`, `"ca:/path"` or `"pin:FINGERPRINT"`, where several are parted by commas.
pub(super) fn instance_tls(
    folder: &Path,
) -> impl Fn(&Value) -> Result<Option<InstanceTls>, String> {
    move |value| {
        let text = match &value.kind {
            ValueKind::String(text) => text.as_str(),
            _ => "",
        };
        let pins = |listed: &str| {
            listed
                .split(',')
                .map(|pin| fingerprint(pin.trim()))
                .collect()
        };
        match text.split_once(':') {
            None if text == "off" => Ok(None),
            Some(("ca", file)) if !file.is_empty() => {
                path(folder)(&Value::new(None, file)).map(|file| Some(InstanceTls::Ca(file)))
            }
            Some(("pin", listed)) => {
                let pins: Option<Vec<_>> = pins(listed);
                let message = || {
                    format!(
                        "is {text:?}; write \"pin:\" and the SHA-256 fingerprint that openssl x509 -fingerprint -sha256 shows of an instance's certificate"
                    )
                };
                pins.map(|pins| Some(InstanceTls::Pins(pins)))
                    .ok_or_else(message)
            }
            _ => Err(format!(
                "is {}; write \"off\", \"ca:/path\" or \"pin:\" and a SHA-256 fingerprint",
                shown(value)
            )),
        }
    }
}

/// 64 hexadecimal digits, with colons or without.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    (digits.len() == 64)
        .then(|| bytes.try_into().ok())
        .flatten()
}
