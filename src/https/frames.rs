//! Reads along with the HTTP/2 parser, only to count frames that carry nothing: the stuff of floods.
//!
//! The HTTP library bounds some of them (streams that are reset, headers that go on) and answers others for ever (PING,
//! SETTINGS, DATA without data). Here all of them have one budget, far above what any client needs. WINDOW_UPDATE is not
//! among them: downloads need as many as they like, and they cost the least.

use std::time::{Duration, Instant};

/// So many at once, and so many a second in the long run. Leaving a busy page resets some hundred streams.
const BURST: u32 = 2000;
const PER_SECOND: u32 = 100;

const PREFACE_LEN: usize = 24;
const HEAD_LEN: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;

pub struct FrameWatch {
    /// Bytes until the next frame's head.
    skip: usize,
    head: Vec<u8>,
    left: u32,
    refilled: Instant,
}

impl FrameWatch {
    pub fn new(now: Instant) -> Self {
        Self {
            skip: PREFACE_LEN,
            head: Vec::with_capacity(HEAD_LEN),
            left: BURST,
            refilled: now,
        }
    }

    /// True once the budget is spent.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = HEAD_LEN.saturating_sub(self.head.len()).min(bytes.len());
            if wanted == 0 {
                return false;
            }
            self.head.extend(bytes.iter().take(wanted));
            bytes = bytes.get(wanted..).unwrap_or_default();
            if let [high, middle, low, kind, flags, ..] = *self.head
                && self.head.len() == HEAD_LEN
            {
                let len = u32::from_be_bytes([0, high, middle, low]);
                self.head.clear();
                self.skip = usize::try_from(len).unwrap_or(usize::MAX);
                if carries_nothing(len, kind, flags) && !self.take_one(now) {
                    return true;
                }
            }
        }
    }

    fn take_one(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.refilled);
        if since >= Duration::from_secs(1) {
            let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
            let more = seconds.saturating_mul(PER_SECOND);
            self.left = self.left.saturating_add(more).min(BURST);
            self.refilled = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

fn carries_nothing(len: u32, kind: u8, flags: u8) -> bool {
    match kind {
        DATA => len == 0 && flags & END_STREAM == 0,
        HEADERS | WINDOW_UPDATE => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: u32, kind: u8, flags: u8) -> Vec<u8> {
        let mut frame = len.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.resize(HEAD_LEN + usize::try_from(len).unwrap(), 0);
        frame
    }

    fn watch() -> (FrameWatch, Instant) {
        let now = Instant::now();
        let mut watch = FrameWatch::new(now);
        assert!(!watch.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now));
        (watch, now)
    }

    #[test]
    fn each_kind_of_flood_is_seen_however_the_bytes_are_cut() {
        for (what, flood) in [
            ("empty data", frame(0, DATA, 0)),
            ("reset", frame(4, 3, 0)),
            ("settings", frame(6, 4, 0)),
            ("ping", frame(8, 6, 0)),
            ("priority", frame(5, 2, 0)),
            ("continuation", frame(0, 9, 0)),
            ("unknown", frame(3, 200, 0)),
        ] {
            for step in [1, 7, 9, 4096] {
                let (mut watch, now) = watch();
                let bytes = flood.repeat(usize::try_from(BURST).unwrap());
                assert!(
                    !bytes.chunks(step).any(|part| watch.feed(part, now)),
                    "{what}"
                );
                assert!(
                    flood.chunks(step).any(|part| watch.feed(part, now)),
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn honest_traffic_goes_on_for_ever() {
        let (mut watch, mut now) = watch();
        for _ in 0..10 {
            let page = [frame(200, HEADERS, 5), frame(4, WINDOW_UPDATE, 0)].concat();
            assert!(!watch.feed(&page.repeat(2000), now));
            let upload = [frame(16_384, DATA, 0), frame(0, DATA, END_STREAM)].concat();
            assert!(!watch.feed(&upload.repeat(50), now));
            assert!(!watch.feed(&frame(8, 6, 0).repeat(100), now));
            now += Duration::from_secs(1);
        }
    }
}
