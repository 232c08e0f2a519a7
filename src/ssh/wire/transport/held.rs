//! Messages that wait for the end of a key exchange, in order, in one bounded buffer.

use super::WireError;

/// Most bytes that may wait: more than two TCP windows, since a peer may have sent all of one leg before it heard of the other leg's renewal.
pub(super) const LIMIT: usize = 24 * 1024 * 1024;
/// The same before the peer has logged in, when all that can wait is answers: a stranger may make us keep no more.
pub(super) const EARLY_LIMIT: usize = 256 * 1024;
const HEADER: usize = size_of::<u32>();

/// Payloads, each behind its length.
#[derive(Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), WireError> {
        let after = self
            .bytes
            .len()
            .saturating_add(HEADER)
            .saturating_add(payload.len());
        let length = u32::try_from(payload.len()).ok().filter(|_| after <= limit);
        let length = length.ok_or(WireError::HeldTooMuch(limit))?;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(payload);
        Ok(())
    }

    /// Hands every payload to `send`, first one first, and frees the buffer.
    pub(super) fn release(
        &mut self,
        mut send: impl FnMut(&[u8]) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let bytes = zeroize::Zeroizing::new(std::mem::take(&mut self.bytes));
        let mut rest = &bytes[..];
        while let Some((length, after)) = rest.split_first_chunk::<HEADER>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            send(payload)?;
            rest = after;
        }
        Ok(())
    }
}
