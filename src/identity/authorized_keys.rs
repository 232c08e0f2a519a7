//! Lines of `authorized_keys` files: parsed by [`parse`], and judged for one person, address and moment by [`judge`].
//!
//! Reads no files (`person_files` does) and checks no signatures (`ssh::wire` does). Whatever is not fully understood, or
//! cannot be carried to the instance, grants nothing: the line is skipped, with a reason for the operator's log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::options::{OptionError, Options};
use super::restrictions::Restrictions;
use crate::ssh::wire::keys::{Certificate, check_public};

pub(super) mod from;

/// A longer line is skipped; the longest real one (RSA 16384 with options) stays well below.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// Lines after this many are not read.
pub const LINES_MAX: usize = 4096;

/// Key types that can log in. DSA is left out for good, certificates are never listed in these files.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// One key a file lists, with what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLine {
    /// Counted from 1.
    pub number: usize,
    /// The public key as it goes over the wire (RFC 4253 section 6.6).
    pub key_blob: Vec<u8>,
    pub options: Options,
}

/// A line that lists this key, or the authority of its certificate, for this person, and whose conditions hold for this
/// address at this moment. Half of a proof; the other half is a signature. Only [`judge`] and `certificates` make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedLine {
    user: Arc<str>,
    key_blob: Vec<u8>,
    certificate: Option<Arc<Certificate>>,
    restrictions: Restrictions,
    is_touch_required: bool,
    is_verification_required: bool,
}

impl AuthorizedLine {
    /// What a certificate and the line of its authority allow together.
    pub(super) fn certified(
        user: &str,
        certificate: Arc<Certificate>,
        restrictions: Restrictions,
        is_touch_required: bool,
        is_verification_required: bool,
    ) -> Self {
        Self {
            user: user.into(),
            key_blob: certificate.public_blob.clone(),
            certificate: Some(certificate),
            restrictions,
            is_touch_required,
            is_verification_required,
        }
    }

    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    pub fn key_blob(&self) -> &[u8] {
        &self.key_blob
    }

    /// The very certificate that must be shown with the key; `None` where the plain key is the way in.
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }

    pub fn restrictions(&self) -> &Restrictions {
        &self.restrictions
    }

    /// A security key's signature must carry the "user present" flag.
    pub fn is_touch_required(&self) -> bool {
        self.is_touch_required
    }

    /// A security key's signature must carry the "user verified" flag.
    pub fn is_verification_required(&self) -> bool {
        self.is_verification_required
    }

    /// A line without options, for tests of what builds on one.
    #[cfg(test)]
    pub(crate) fn unrestricted(user: &str, key_blob: &[u8]) -> Self {
        let line = KeyLine {
            number: 1,
            key_blob: key_blob.to_vec(),
            options: Options::default(),
        };
        let client = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        judge(&line, user, client, SystemTime::UNIX_EPOCH).unwrap()
    }
}

/// Why a line is skipped, for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("no key of a supported type: expected [options] TYPE BASE64 [comment]")]
    NoKey,
    #[error(
        "DSA keys are no longer secure and never accepted; make a new key: ssh-keygen -t ed25519"
    )]
    Dsa,
    #[error("the base64 of the key is damaged; copy the line from the .pub file again")]
    Damaged,
    #[error(transparent)]
    Options(#[from] OptionError),
}

/// Why a line that lists the key does not let its owner in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is a certificate authority's (cert-authority), not a person's")]
    CertAuthority,
    #[error("principals= is only for cert-authority lines")]
    Principals,
    #[error("its expiry-time has passed")]
    Expired,
    #[error("from={0:?} does not list the client's address")]
    From(String),
    #[error(
        "from={0:?} has an address with bits beyond its mask; write the network's first address"
    )]
    FromInvalid(String),
    #[error(
        "{0} cannot be carried to the instance in a certificate; use no-port-forwarding or restrict, or remove it"
    )]
    NotCarried(&'static str),
}

/// What a file holds, and what in it is not understood.
#[derive(Clone, Debug, Default)]
pub struct KeyFile {
    pub lines: Vec<KeyLine>,
    /// Line number and reason.
    pub skipped: Vec<(usize, LineError)>,
}

/// Parses a whole file.
pub fn parse(text: &[u8]) -> KeyFile {
    let mut file = KeyFile::default();
    for (index, line) in text
        .split(|byte| *byte == b'\n')
        .enumerate()
        .take(LINES_MAX)
    {
        let number = index + 1;
        match parse_line(number, line) {
            Ok(None) => {}
            Ok(Some(line)) => file.lines.push(line),
            Err(error) => file.skipped.push((number, error)),
        }
    }
    file
}

/// Parses one line; `None` for an empty one and a comment.
pub fn parse_line(number: usize, line: &[u8]) -> Result<Option<KeyLine>, LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let text = String::from_utf8_lossy(line);
    let text = text.trim_matches([' ', '\t', '\r']);
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    if let Some(key_blob) = parse_key(text)? {
        return Ok(Some(KeyLine {
            number,
            key_blob,
            options: Options::default(),
        }));
    }
    let (options, rest) = split_options(text);
    let key_blob = parse_key(rest.trim_start_matches([' ', '\t']))?.ok_or(LineError::NoKey)?;
    Ok(Some(KeyLine {
        number,
        key_blob,
        options: Options::parse(options)?,
    }))
}

/// Whether this line lets its key's owner in: as this user, from this address, at this moment.
pub fn judge(
    line: &KeyLine,
    user: &str,
    client: IpAddr,
    now: SystemTime,
) -> Result<AuthorizedLine, Refusal> {
    let options = &line.options;
    if options.is_cert_authority {
        return Err(Refusal::CertAuthority);
    }
    if options.principals.is_some() {
        return Err(Refusal::Principals);
    }
    judge_conditions(options, client, now)?;
    Ok(AuthorizedLine {
        user: user.into(),
        key_blob: line.key_blob.clone(),
        certificate: None,
        restrictions: options.restrictions.clone(),
        is_touch_required: options.is_touch_required,
        is_verification_required: options.is_verification_required,
    })
}

/// What a line's options ask of the login itself, whoever the line is about.
pub(super) fn judge_conditions(
    options: &Options,
    client: IpAddr,
    now: SystemTime,
) -> Result<(), Refusal> {
    let limits = &options.restrictions;
    if limits.not_after.is_some_and(|end| end <= now) {
        return Err(Refusal::Expired);
    }
    if let Some(patterns) = &options.from {
        match from::is_listed(patterns, client) {
            Ok(true) => {}
            Ok(false) => return Err(Refusal::From(patterns.clone())),
            Err(from::BitsBeyondMask) => return Err(Refusal::FromInvalid(patterns.clone())),
        }
    }
    // No certificate holds `permitopen=` and `permitlisten=` either, but the gate's own policy does.
    match &options.tunnel {
        Some(_) => Err(Refusal::NotCarried("tunnel=")),
        None => Ok(()),
    }
}

/// A file of plain public keys, one a line: authorities. An error if any line is something else.
pub fn parse_plain_list(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    parse_list(text, |line| {
        parse_key(line).map_err(|error| error.to_string())
    })
}

/// The same for revoked keys, where a certificate stands for the key in it.
pub fn parse_revoked_list(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    parse_list(text, |line| {
        let blob = line
            .split([' ', '\t'])
            .nth(1)
            .map(|word| STANDARD.decode(word));
        match blob
            .and_then(Result::ok)
            .map(|blob| Certificate::parse(&blob))
        {
            Some(Ok(certificate)) => Ok(Some(certificate.public_blob)),
            _ => parse_key(line).map_err(|error| error.to_string()),
        }
    })
}

fn parse_list(
    text: &[u8],
    parse: impl Fn(&str) -> Result<Option<Vec<u8>>, String>,
) -> Result<Vec<Vec<u8>>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        // DSA keys log nobody in, listed or not.
        if line.is_empty() || line.starts_with('#') || line.starts_with("ssh-dss ") {
            continue;
        }
        let at = |why: String| format!("line {}: {why}", index + 1);
        let key = parse(line).map_err(at)?;
        let key =
            key.ok_or_else(|| at("no public key; expected TYPE BASE64 [comment]".to_owned()))?;
        // A key that was cut would match nothing, and whoever listed it would not know.
        check_public(&key).map_err(|error| at(error.to_string()))?;
        keys.push(key);
    }
    Ok(keys)
}

/// `TYPE BASE64 ...`; `None` if the text does not begin with a key type.
fn parse_key(text: &str) -> Result<Option<Vec<u8>>, LineError> {
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let Some(name) = words.next() else {
        return Ok(None);
    };
    if name == "ssh-dss" {
        return Err(LineError::Dsa);
    }
    if !KEY_TYPES.contains(&name) {
        return Ok(None);
    }
    let blob = words.next().and_then(|word| STANDARD.decode(word).ok());
    let blob = blob.ok_or(LineError::Damaged)?;
    // The blob names its own type; a line that says another was tampered with or cut.
    let named = blob.split_first_chunk::<4>().and_then(|(len, rest)| {
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        rest.get(..len)
    });
    if named != Some(name.as_bytes()) {
        return Err(LineError::Damaged);
    }
    Ok(Some(blob))
}

/// Cuts at the first white space outside double quotes.
fn split_options(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            ' ' | '\t' if !is_quoted => return text.split_at_checked(at).unwrap_or((text, "")),
            '"' if !is_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        is_escaped = c == '\\';
    }
    (text, "")
}

#[cfg(test)]
mod tests;
