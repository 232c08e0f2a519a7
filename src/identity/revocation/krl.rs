//! OpenSSH's binary revocation list (PROTOCOL.krl), format version 1.
//!
//! Signatures within a list are not looked at, and a list that holds one is refused, as OpenSSH does since 9.4. A section,
//! or a critical extension, of an unknown type refuses the list.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use crate::ssh::wire::keys::Certificate;
use crate::ssh::wire::message::{Malformed, Reader};

const MAGIC: &[u8] = b"SSHKRL\n\0";
const FORMAT: u32 = 1;

const CERTIFICATES: u8 = 1;
const EXPLICIT_KEYS: u8 = 2;
const FINGERPRINTS_SHA1: u8 = 3;
const SIGNATURE: u8 = 4;
const FINGERPRINTS_SHA256: u8 = 5;
const EXTENSION: u8 = 255;

const SERIAL_LIST: u8 = 0x20;
const SERIAL_RANGE: u8 = 0x21;
const SERIAL_BITMAP: u8 = 0x22;
const KEY_ID: u8 = 0x23;
const CERTIFICATE_EXTENSION: u8 = 0x39;

#[derive(Debug, Default)]
pub(super) struct Krl {
    /// Plain key blobs.
    keys: HashSet<Vec<u8>>,
    sha1: HashSet<Vec<u8>>,
    sha256: HashSet<Vec<u8>>,
    authorities: Vec<Authority>,
}

/// What is revoked of one authority's certificates.
#[derive(Debug, Default)]
struct Authority {
    /// Empty: any authority.
    ca_blob: Vec<u8>,
    serials: HashSet<u64>,
    ranges: Vec<RangeInclusive<u64>>,
    bitmaps: Vec<Bitmap>,
    key_ids: HashSet<String>,
}

/// Serials from `first` on, one a bit, the lowest bit of the last byte first.
#[derive(Debug)]
struct Bitmap {
    first: u64,
    bits: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KrlError {
    #[error("{0}; make it again with ssh-keygen -k")]
    Malformed(#[from] Malformed),
    #[error("its format version is {0}, and only {FORMAT} is known")]
    Format(u32),
    #[error("it holds a section of type {0}, which is not known")]
    Section(u8),
    #[error("it is signed, and signatures of revocation lists are not checked; make one without")]
    Signed,
    #[error("it holds the critical extension {0:?}, which is not known")]
    Critical(String),
    #[error("a range of serials ends before it begins")]
    Range,
}

impl Krl {
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, KrlError> {
        let most = bytes.len();
        let mut reader = Reader::new(bytes.strip_prefix(MAGIC).unwrap_or_default());
        let format = reader.u32()?;
        if format != FORMAT {
            return Err(KrlError::Format(format));
        }
        // Version of the list, date, flags.
        for _ in 0..3 {
            reader.u64()?;
        }
        reader.string(most)?; // reserved
        reader.string(most)?; // comment
        let mut krl = Self::default();
        while !reader.is_empty() {
            let kind = reader.byte()?;
            let section = Reader::new(reader.string(most)?);
            krl.read_section(kind, section, most)?;
        }
        Ok(krl)
    }

    fn read_section(
        &mut self,
        kind: u8,
        mut section: Reader<'_>,
        most: usize,
    ) -> Result<(), KrlError> {
        let set = match kind {
            CERTIFICATES => {
                self.authorities.push(Authority::parse(section, most)?);
                return Ok(());
            }
            EXTENSION => return read_extension(section, most),
            SIGNATURE => return Err(KrlError::Signed),
            EXPLICIT_KEYS => &mut self.keys,
            FINGERPRINTS_SHA1 => &mut self.sha1,
            FINGERPRINTS_SHA256 => &mut self.sha256,
            other => return Err(KrlError::Section(other)),
        };
        while !section.is_empty() {
            set.insert(section.string(most)?.to_vec());
        }
        Ok(())
    }

    pub fn lists_key(&self, key_blob: &[u8]) -> bool {
        let has = |set: &HashSet<Vec<u8>>, algorithm| {
            !set.is_empty() && set.contains(digest(algorithm, key_blob).as_ref())
        };
        self.keys.contains(key_blob)
            || has(&self.sha256, &SHA256)
            || has(&self.sha1, &SHA1_FOR_LEGACY_USE_ONLY)
    }

    pub fn lists_certificate(&self, certificate: &Certificate) -> bool {
        let authorities = self.authorities.iter();
        let mut of_it =
            authorities.filter(|one| one.ca_blob.is_empty() || one.ca_blob == certificate.ca_blob);
        of_it.any(|authority| authority.lists(certificate))
    }
}

impl Authority {
    fn parse(mut section: Reader<'_>, most: usize) -> Result<Self, KrlError> {
        let mut authority = Self {
            ca_blob: section.string(most)?.to_vec(),
            ..Self::default()
        };
        section.string(most)?; // reserved
        while !section.is_empty() {
            let kind = section.byte()?;
            let part = Reader::new(section.string(most)?);
            authority.read_part(kind, part, most)?;
        }
        Ok(authority)
    }

    fn read_part(&mut self, kind: u8, mut part: Reader<'_>, most: usize) -> Result<(), KrlError> {
        match kind {
            SERIAL_LIST => {
                while !part.is_empty() {
                    self.serials.insert(part.u64()?);
                }
            }
            SERIAL_RANGE => {
                let (first, last) = (part.u64()?, part.u64()?);
                if first > last {
                    return Err(KrlError::Range);
                }
                self.ranges.push(first..=last);
            }
            SERIAL_BITMAP => self.bitmaps.push(Bitmap {
                first: part.u64()?,
                bits: part.string(most)?.to_vec(),
            }),
            KEY_ID => {
                while !part.is_empty() {
                    self.key_ids.insert(part.text(most)?.to_owned());
                }
            }
            CERTIFICATE_EXTENSION => return read_extension(part, most),
            other => return Err(KrlError::Section(other)),
        }
        part.finish()?;
        Ok(())
    }

    fn lists(&self, certificate: &Certificate) -> bool {
        if self.key_ids.contains(&certificate.key_id) {
            return true;
        }
        let serial = certificate.serial;
        // 0 is what an authority writes that does not number: it names nobody.
        serial != 0
            && (self.serials.contains(&serial)
                || self.ranges.iter().any(|range| range.contains(&serial))
                || self.bitmaps.iter().any(|bitmap| bitmap.holds(serial)))
    }
}

impl Bitmap {
    fn holds(&self, serial: u64) -> bool {
        let Some(bit) = serial.checked_sub(self.first) else {
            return false;
        };
        let Ok(byte) = usize::try_from(bit / 8) else {
            return false;
        };
        let byte = self.bits.iter().rev().nth(byte);
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}

fn read_extension(mut section: Reader<'_>, most: usize) -> Result<(), KrlError> {
    let name = section.text(most)?;
    let is_critical = section.boolean()?;
    section.string(most)?;
    section.finish()?;
    if is_critical {
        return Err(KrlError::Critical(name.chars().take(64).collect()));
    }
    Ok(())
}
