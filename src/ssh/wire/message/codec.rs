//! Reading and writing SSH's data types (RFC 4251 section 5) with a bound on everything read.
//! Deliberately absent: mpint, which only the key exchange and the keys need.

/// Why a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a message ends in the middle of a field")]
    Short,
    #[error("a message goes on after its last field")]
    Trailing,
    #[error("a field is {length} bytes long, at most {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    #[error("a list in a message has too many entries")]
    TooMany,
    #[error("a text field is not UTF-8")]
    NotUtf8,
    #[error("a name list holds something other than printable ASCII")]
    NotAscii,
    #[error("message number {0} where another was expected")]
    Number(u8),
}

/// A cursor over one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Starts after the message number, which must be `number`.
    pub fn of(payload: &'a [u8], number: u8) -> Result<Self, Malformed> {
        let mut reader = Self::new(payload);
        match reader.byte()? {
            found if found == number => Ok(reader),
            found => Err(Malformed::Number(found)),
        }
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        Ok(self.byte()? != 0)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        let (first, rest) = self.rest.split_first_chunk::<4>().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*first))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        let (first, rest) = self.rest.split_first_chunk::<8>().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(u64::from_be_bytes(*first))
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Exactly `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (first, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(first)
    }

    /// A `string` of at most `limit` bytes.
    pub fn string(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed::Short)?;
        if length > limit {
            return Err(Malformed::TooLong { length, limit });
        }
        self.bytes(length)
    }

    /// A UTF-8 `string` of at most `limit` bytes.
    pub fn text(&mut self, limit: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.string(limit)?).map_err(|_| Malformed::NotUtf8)
    }

    /// A `name-list` of at most `limit` bytes, not split.
    pub fn name_list(&mut self, limit: usize) -> Result<&'a str, Malformed> {
        ascii(self.string(limit)?)
    }

    /// Everything not read yet.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may follow.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Trailing)
        }
    }
}

/// Bytes that must be printable ASCII.
pub(super) fn ascii(bytes: &[u8]) -> Result<&str, Malformed> {
    if !bytes.iter().all(|byte| (0x21..0x7f).contains(byte)) {
        return Err(Malformed::NotAscii);
    }
    std::str::from_utf8(bytes).map_err(|_| Malformed::NotAscii)
}

/// Builds one message, field by field.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts a message with its number.
    pub fn new(number: u8) -> Self {
        Self {
            bytes: vec![number],
        }
    }

    /// Starts with nothing: for data that is signed, not sent.
    pub fn bare() -> Self {
        Self { bytes: Vec::new() }
    }

    /// The same with room for `capacity` bytes, so that a secret is never left behind by a growing buffer.
    pub fn with_capacity(number: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity.max(1));
        bytes.push(number);
        Self { bytes }
    }

    pub fn byte(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }

    pub fn boolean(self, value: bool) -> Self {
        self.byte(u8::from(value))
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Bytes as they are, without a length.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A `string`. What does not fit the 32-bit length cannot be built: no caller holds 4 GiB.
    pub fn string(self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.u32(length).raw(value)
    }

    pub fn name_list(self, names: &[&str]) -> Self {
        self.string(names.join(","))
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
