//! Bytes of a terminal as text: a character that two packets share is put together, what is no UTF-8 is replaced.
//!
//! Pure. Holds at most the three bytes that a character can be short of.

/// One direction of one terminal.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a character whose rest has not come.
    held: Vec<u8>,
}

impl Decoder {
    /// Appends the text of `bytes` to `out`.
    pub fn decode(&mut self, bytes: &[u8], out: &mut String) {
        if self.held.is_empty() {
            self.held = decode_whole(bytes, out);
            return;
        }
        let mut joined = std::mem::take(&mut self.held);
        joined.extend_from_slice(bytes);
        self.held = decode_whole(&joined, out);
    }

    /// Nothing follows: what waits for its rest will not become a character.
    pub fn finish(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.held).is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Appends all whole characters; the bytes left over begin one more.
fn decode_whole(bytes: &[u8], out: &mut String) -> Vec<u8> {
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        out.push_str(chunk.valid());
        let invalid = chunk.invalid();
        if invalid.is_empty() {
            continue;
        }
        if chunks.peek().is_none() && begins_a_character(invalid) {
            return invalid.to_vec();
        }
        out.push(char::REPLACEMENT_CHARACTER);
    }
    Vec::new()
}

fn begins_a_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut decoder = Decoder::default();
        let mut out = String::new();
        for packet in packets {
            decoder.decode(packet, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn a_character_between_two_packets_is_whole() {
        let euro = "1 \u{20ac}".as_bytes();
        assert_eq!(decoded([&euro[..3], &euro[3..]]), "1 \u{20ac}");
        assert_eq!(decoded(euro.chunks(1)), "1 \u{20ac}");
        let mut decoder = Decoder::default();
        let mut out = String::new();
        decoder.decode(&euro[..4], &mut out);
        assert_eq!(out, "1 ", "half a character is not shown");
    }

    #[test]
    fn what_is_no_text_is_replaced_and_goes_on() {
        assert_eq!(decoded([&b"a\xffb"[..], b"\xe2\x82"]), "a\u{fffd}b\u{fffd}");
        assert_eq!(decoded([&b"\xe2"[..], b"x"]), "\u{fffd}x");
    }

    proptest! {
        #[test]
        fn borders_of_packets_change_nothing(bytes: Vec<u8>, sizes in prop::collection::vec(1usize..7, 1..40)) {
            let mut rest = &bytes[..];
            let mut packets = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (first, after) = rest.split_at((*size).min(rest.len()));
                packets.push(first);
                rest = after;
            }
            prop_assert_eq!(decoded(packets), String::from_utf8_lossy(&bytes));
        }
    }
}
