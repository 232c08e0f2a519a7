//! Reads along with the HTTP/1 parser, only to see a request that names both a Content-Length and a Transfer-Encoding.
//!
//! The HTTP library drops the length of such a request and goes on (RFC 9112 6.1 allows it), so nobody above can tell.
//! This changes no byte and decides nothing about framing: where it loses the thread it stops watching.

use memchr::memchr;

/// The longest line start that matters: a header name, and a length of 20 digits.
const LINE_KEPT: usize = 64;

#[derive(Default)]
pub struct Watch {
    state: State,
    /// The start of the line being read, without its end.
    line: Vec<u8>,
    has_length: Option<u64>,
    is_chunked: bool,
    has_request_line: bool,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    /// So many bytes of body are still to come.
    Body(u64),
    ChunkSize,
    /// A chunk's data and its line end.
    Chunk(u64),
    Trailers,
    /// Not HTTP/1 any more, or never was.
    Off,
}

impl Watch {
    pub fn new() -> Self {
        Self::default()
    }

    /// True if a request among these bytes has both lengths.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut conflict = false;
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Off => return conflict,
                State::Body(left) | State::Chunk(left) => {
                    let len = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    *left = left.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
                    let is_over = *left == 0;
                    if is_over {
                        let in_chunk = matches!(self.state, State::Chunk(_));
                        self.state = if in_chunk {
                            State::ChunkSize
                        } else {
                            State::Head
                        };
                    }
                    bytes.get(len..).unwrap_or_default()
                }
                State::Head | State::ChunkSize | State::Trailers => {
                    let (start, rest, is_whole) = match memchr(b'\n', bytes) {
                        Some(at) => (bytes.get(..at), bytes.get(at.saturating_add(1)..), true),
                        None => (Some(bytes), None, false),
                    };
                    let room = LINE_KEPT.saturating_sub(self.line.len());
                    let start = start.unwrap_or_default();
                    self.line
                        .extend_from_slice(start.get(..room).unwrap_or(start));
                    if is_whole {
                        conflict |= self.end_line();
                        self.line.clear();
                    }
                    rest.unwrap_or_default()
                }
            };
        }
        conflict
    }

    fn end_line(&mut self) -> bool {
        let line = self.line.trim_ascii_end();
        match self.state {
            State::Head if line.is_empty() => return self.has_request_line && self.end_head(),
            State::Head if !self.has_request_line => {
                self.has_request_line = true;
                if !line.first().is_some_and(u8::is_ascii_graphic) {
                    self.state = State::Off;
                }
            }
            State::Head => {
                let mut parts = line.splitn(2, |byte| *byte == b':');
                let name = parts.next().unwrap_or_default().trim_ascii();
                let value = parts.next().unwrap_or_default().trim_ascii();
                if name.eq_ignore_ascii_case(b"content-length") {
                    let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
                    self.has_length = Some(length.unwrap_or(0));
                } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                    self.is_chunked = true;
                }
            }
            State::ChunkSize => {
                let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let size = std::str::from_utf8(size.trim_ascii()).unwrap_or("?");
                self.state = match u64::from_str_radix(size, 16) {
                    Ok(0) => State::Trailers,
                    Ok(size) => State::Chunk(size.saturating_add(2)),
                    Err(_) => State::Off,
                };
            }
            State::Trailers if line.is_empty() => self.state = State::Head,
            State::Trailers | State::Body(_) | State::Chunk(_) | State::Off => {}
        }
        false
    }

    fn end_head(&mut self) -> bool {
        let conflict = self.is_chunked && self.has_length.is_some();
        self.state = match self.has_length {
            _ if self.is_chunked => State::ChunkSize,
            Some(length) if length > 0 => State::Body(length),
            _ => State::Head,
        };
        self.has_length = None;
        self.is_chunked = false;
        self.has_request_line = false;
        conflict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = "\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\nTransfer-Encoding: x\n\
        PUT /b HTTP/1.1\nTransfer-Encoding: chunked\n\n14;ext=1\r\nContent-Length: 5\r\n\n\r\n0\r\nContent-Length: 1\r\n\r\n\
        GET /c HTTP/1.1\r\n\r\n";
    const HOSTILE: &str =
        "POST /d HTTP/1.1\r\ncontent-LENGTH: 3\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn both_lengths_are_seen_however_the_bytes_are_cut() {
        let bytes = format!("{FINE}{HOSTILE}");
        for step in [1, 2, 3, 7, 64, bytes.len()] {
            let mut watch = Watch::new();
            let mut seen_at = None;
            for (at, part) in bytes.as_bytes().chunks(step).enumerate() {
                if watch.feed(part) {
                    seen_at = Some((at + 1) * step);
                }
            }
            let seen_at = seen_at.unwrap_or_else(|| panic!("not seen in steps of {step}"));
            assert!(
                seen_at > FINE.len(),
                "a body was taken for a head in steps of {step}"
            );
        }
    }

    #[test]
    fn honest_bodies_raise_no_alarm() {
        let mut watch = Watch::new();
        for _ in 0..3 {
            assert!(!watch.feed(FINE.as_bytes()));
        }
    }

    #[test]
    fn other_protocols_switch_it_off() {
        let mut watch = Watch::new();
        assert!(!watch.feed(b"\x81\x05hello\n"));
        assert!(!watch.feed(HOSTILE.as_bytes()));
    }
}
