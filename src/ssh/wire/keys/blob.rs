//! Reading and writing the strings and numbers that blobs are made of (RFC 4251 section 5), without copies.
//!
//! Every error names the thing that was read, so that a log says which part of a certificate was wrong.

use super::KeyError;

/// What is left to read of a blob.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) const fn malformed(&self) -> KeyError {
        KeyError::Malformed(self.what)
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, KeyError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, KeyError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, KeyError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], KeyError> {
        let len = usize::try_from(self.u32()?).map_err(|_| self.malformed())?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    /// A string that is UTF-8 without NUL.
    pub(super) fn text(&mut self) -> Result<&'a str, KeyError> {
        let text = std::str::from_utf8(self.string()?).map_err(|_| self.malformed())?;
        if text.contains('\0') {
            Err(self.malformed())
        } else {
            Ok(text)
        }
    }

    /// A non-negative mpint in its shortest form, without the byte that carries its sign.
    pub(super) fn unsigned(&mut self) -> Result<&'a [u8], KeyError> {
        match self.string()? {
            [0, digits @ ..] if digits.first().is_some_and(|first| *first >= 0x80) => Ok(digits),
            digits @ [first, ..] if (1..0x80).contains(first) => Ok(digits),
            [] => Ok(&[]),
            _ => Err(self.malformed()),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub(super) const fn finish(self) -> Result<(), KeyError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }
}

/// Appends a string. What is written here is far below 4 GiB.
pub(super) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend_from_slice(
        &u32::try_from(string.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    out.extend_from_slice(string);
}

/// Appends a big-endian number as a positive mpint.
pub(super) fn put_unsigned(out: &mut Vec<u8>, number: &[u8]) {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    let mut mpint = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_some_and(|byte| *byte >= 0x80) {
        mpint.push(0);
    }
    mpint.extend_from_slice(digits);
    put_string(out, &mpint);
}

/// The string of another's making, short enough and fit for a log.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..64).unwrap_or(name)).into_owned()
}
