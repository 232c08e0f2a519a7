//! Identification strings (RFC 4253 section 4.2): our own line, the peer's line, and what a client's line says about the
//! ciphers it does best.
//!
//! Deliberately absent: any other quirk by version. A peer's line steers the offered ciphers and nothing that matters for
//! security, because the line is not authenticated until the key exchange has hashed it.

use std::fmt;

/// The longest identification line, CR LF included (RFC 4253 section 4.2).
const LONGEST_LINE: usize = 255;
/// How many lines a server may send before its identification.
const MOST_PREFACE_LINES: usize = 50;
/// How many bytes those lines and the identification may take together.
const MOST_PREFACE_BYTES: usize = 8 * 1024;

/// Our own identification, without CR LF. The software name is our own on purpose: clients switch workarounds on for
/// names they know.
pub const OWN: &str = concat!("SSH-2.0-Poolgate_", env!("CARGO_PKG_VERSION"));

/// A peer's identification line without its line end, as it goes into the exchange hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Ident(String);

/// What a client's identification says about its ciphers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Speaks AES-GCM, and people run it on processors with AES instructions: offer GCM alone, because the client's own
    /// order would otherwise pick something two to three times dearer.
    PrefersGcm,
    /// Anything else: offer every cipher we have.
    Unknown,
}

/// Why a peer's first bytes are no usable identification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentError {
    #[error("the peer's first line is not an SSH identification")]
    NotSsh,
    #[error("the peer speaks SSH protocol version {0:?}, only 2.0 is supported")]
    Version(String),
    #[error("the peer's identification line is longer than {LONGEST_LINE} bytes")]
    TooLong,
    #[error(
        "the peer sent more than {MOST_PREFACE_LINES} lines or {MOST_PREFACE_BYTES} bytes before its identification"
    )]
    TooMuchPreface,
    #[error("the peer's identification line holds a byte that is not printable ASCII")]
    NotPrintable,
}

impl IdentError {
    /// What a server answers in clear, since whoever sent this reads no packets: OpenSSH's words, known to scripts.
    pub fn answer(&self) -> &'static [u8] {
        match self {
            Self::Version(_) => b"Protocol major versions differ.\r\n",
            _ => b"Invalid SSH identification string.\r\n",
        }
    }
}

/// One step of looking for the peer's identification.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The line is not complete yet.
    NeedMore,
    /// A line before the identification; drop that many bytes and look again.
    Preface { consumed: usize },
    /// The identification, and how many bytes it took with its line end.
    Found { consumed: usize, ident: Ident },
}

/// Looks for the identification of the peer, line by line.
#[derive(Clone, Debug)]
pub struct IdentReader {
    preface_allowed: bool,
    lines: usize,
    bytes: usize,
}

impl Ident {
    /// The line as the exchange hash takes it: no CR, no LF.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// `softwareversion`: what stands between the protocol version and the first space.
    pub fn software(&self) -> &str {
        let after = self.0.splitn(3, '-').nth(2).unwrap_or_default();
        after.split(' ').next().unwrap_or_default()
    }

    /// Reads the software name and version of a client.
    pub fn client_kind(&self) -> ClientKind {
        let software = self.software();
        let gcm = GCM_CLIENTS.iter().any(|(prefix, least)| {
            software
                .strip_prefix(prefix)
                .is_some_and(|version| major_minor(version) >= *least)
        });
        if gcm {
            ClientKind::PrefersGcm
        } else {
            ClientKind::Unknown
        }
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names clients go by, and the first version in which AES-GCM works.
const GCM_CLIENTS: [(&str, (u32, u32)); 8] = [
    ("OpenSSH_for_Windows_", (6, 2)),
    ("OpenSSH_", (6, 2)),
    ("libssh_", (0, 9)),
    ("PuTTY_Release_", (0, 78)),
    ("ssh2js", (1, 0)),
    ("AsyncSSH_", (2, 0)),
    ("paramiko_", (3, 5)),
    ("russh_", (0, 40)),
];

/// `9.2p1` -> (9, 2); what is no number counts as zero.
fn major_minor(version: &str) -> (u32, u32) {
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let mut number = || {
        parts
            .next()
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0)
    };
    (number(), number())
}

impl IdentReader {
    /// For the side that accepts: a client has nothing to say before its identification.
    pub fn of_client() -> Self {
        Self {
            preface_allowed: false,
            lines: 0,
            bytes: 0,
        }
    }

    /// For the side that dials: a server may send lines of text first.
    pub fn of_server() -> Self {
        Self {
            preface_allowed: true,
            lines: 0,
            bytes: 0,
        }
    }

    /// Takes the next line out of `buffer`, which starts at the first byte not consumed yet.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Step, IdentError> {
        let known = buffer.get(..4).unwrap_or(buffer);
        let is_ident = b"SSH-".starts_with(known);
        if !is_ident && !self.preface_allowed {
            return Err(IdentError::NotSsh);
        }
        let longest = if is_ident {
            LONGEST_LINE
        } else {
            MOST_PREFACE_BYTES.saturating_sub(self.bytes)
        };
        let Some(end) = buffer.iter().take(longest).position(|byte| *byte == b'\n') else {
            return match buffer.len() >= longest {
                true if is_ident => Err(IdentError::TooLong),
                true => Err(IdentError::TooMuchPreface),
                false => Ok(Step::NeedMore),
            };
        };
        let consumed = end + 1;
        if known.len() == 4 && is_ident {
            let line = buffer.get(..end).unwrap_or_default();
            let ident = parse(line.strip_suffix(b"\r").unwrap_or(line))?;
            return Ok(Step::Found { consumed, ident });
        }
        if !self.preface_allowed {
            return Err(IdentError::NotSsh);
        }
        self.lines += 1;
        self.bytes += consumed;
        if self.lines > MOST_PREFACE_LINES || self.bytes > MOST_PREFACE_BYTES {
            return Err(IdentError::TooMuchPreface);
        }
        Ok(Step::Preface { consumed })
    }
}

fn parse(line: &[u8]) -> Result<Ident, IdentError> {
    if !line.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return Err(IdentError::NotPrintable);
    }
    let line = String::from_utf8(line.to_vec()).map_err(|_| IdentError::NotPrintable)?;
    let mut parts = line.splitn(3, '-').skip(1);
    match (parts.next(), parts.next()) {
        // A server that also speaks version 1 says 1.99 (RFC 4253 section 5.1).
        (Some("2.0" | "1.99"), Some(software)) if !software.is_empty() => Ok(Ident(line)),
        (Some("2.0" | "1.99"), _) => Err(IdentError::NotSsh),
        (version, _) => Err(IdentError::Version(version.unwrap_or_default().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(line: &[u8]) -> Result<Ident, IdentError> {
        match IdentReader::of_client().next(line)? {
            Step::Found { ident, consumed } => {
                assert_eq!(consumed, line.len());
                Ok(ident)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn line_ends_are_stripped_and_versions_checked() {
        assert_eq!(
            found(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
                .unwrap()
                .as_str(),
            "SSH-2.0-OpenSSH_9.2p1 Debian-2"
        );
        assert_eq!(found(b"SSH-2.0-x\n").unwrap().software(), "x");
        assert_eq!(
            found(b"SSH-1.99-Cisco-1.25\r\n").unwrap().software(),
            "Cisco-1.25"
        );
        assert_eq!(
            found(b"SSH-1.5-old\r\n"),
            Err(IdentError::Version("1.5".into()))
        );
        assert_eq!(found(b"SSH-2.0-\r\n"), Err(IdentError::NotSsh));
        assert_eq!(found(b"SSH-2.0\r\n"), Err(IdentError::NotSsh));
        assert_eq!(found(b"SSH-2.0-a\0b\r\n"), Err(IdentError::NotPrintable));
        assert_eq!(found(b"SSH-2.0-a\rb\r\n"), Err(IdentError::NotPrintable));
    }

    #[test]
    fn our_own_line_is_legal() {
        let own = found(format!("{OWN}\r\n").as_bytes()).unwrap();
        // RFC 4253 section 4.2 allows no minus sign in the software version; a pre-release version would bring one.
        assert!(!own.software().contains('-'));
        assert_eq!(own.client_kind(), ClientKind::Unknown);
    }

    #[test]
    fn a_client_may_say_nothing_first_and_is_refused_at_the_first_wrong_byte() {
        let mut reader = IdentReader::of_client();
        assert_eq!(reader.next(b""), Ok(Step::NeedMore));
        assert_eq!(reader.next(b"SS"), Ok(Step::NeedMore));
        assert_eq!(reader.next(b"G"), Err(IdentError::NotSsh));
        assert_eq!(reader.next(b"SS\n"), Err(IdentError::NotSsh));
        let mut long = b"SSH-2.0-".to_vec();
        long.resize(254, b'a');
        assert_eq!(reader.next(&long), Ok(Step::NeedMore));
        long.push(b'a');
        assert_eq!(reader.next(&long), Err(IdentError::TooLong));
    }

    #[test]
    fn a_server_may_send_a_bounded_preface() {
        let mut reader = IdentReader::of_server();
        assert_eq!(
            reader.next(b"hello\r\nSSH-2.0-x\r\n"),
            Ok(Step::Preface { consumed: 7 })
        );
        assert!(matches!(
            reader.next(b"SSH-2.0-x\r\n"),
            Ok(Step::Found { consumed: 11, .. })
        ));
        let mut reader = IdentReader::of_server();
        for _ in 0..MOST_PREFACE_LINES {
            assert_eq!(reader.next(b"x\n"), Ok(Step::Preface { consumed: 2 }));
        }
        assert_eq!(reader.next(b"x\n"), Err(IdentError::TooMuchPreface));
        assert_eq!(
            IdentReader::of_server().next(&[b'x'; MOST_PREFACE_BYTES]),
            Err(IdentError::TooMuchPreface)
        );
    }

    #[test]
    fn kinds_follow_name_and_version() {
        for (line, kind) in [
            (
                "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7",
                ClientKind::PrefersGcm,
            ),
            ("SSH-2.0-OpenSSH_10.0", ClientKind::PrefersGcm),
            ("SSH-2.0-OpenSSH_for_Windows_9.5", ClientKind::PrefersGcm),
            ("SSH-2.0-OpenSSH_6.1", ClientKind::Unknown),
            ("SSH-2.0-libssh_0.11.1", ClientKind::PrefersGcm),
            ("SSH-2.0-libssh2_1.10.0", ClientKind::Unknown),
            ("SSH-2.0-PuTTY_Release_0.83", ClientKind::PrefersGcm),
            ("SSH-2.0-PuTTY_Release_0.77", ClientKind::Unknown),
            ("SSH-2.0-ssh2js1.15.0", ClientKind::PrefersGcm),
            ("SSH-2.0-AsyncSSH_2.14.2", ClientKind::PrefersGcm),
            ("SSH-2.0-paramiko_2.12.0", ClientKind::Unknown),
            ("SSH-2.0-paramiko_4.0.0", ClientKind::PrefersGcm),
            ("SSH-2.0-JSCH_0.2.17", ClientKind::Unknown),
        ] {
            assert_eq!(
                found(format!("{line}\r\n").as_bytes())
                    .unwrap()
                    .client_kind(),
                kind,
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, server: bool) {
            let mut reader = if server { IdentReader::of_server() } else { IdentReader::of_client() };
            let mut rest = &bytes[..];
            while let Ok(Step::Preface { consumed }) = reader.next(rest) {
                rest = &rest[consumed..];
            }
        }
    }
}
