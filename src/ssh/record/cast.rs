//! A terminal's life as lines of asciicast v2: a header, then events of output, input and size, each with its time.
//!
//! Pure: bytes and times in, lines out. A line is whole or absent, so that a file cut between two of them can be played.
//! The format: <https://docs.asciinema.org/manual/asciicast/v2/>.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::echo::Echo;
use super::text::Decoder;

/// What is known of a terminal when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Terminal {
    /// `TERM`, as the client named it.
    pub kind: String,
    pub size: Size,
}

/// In characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Size {
    pub width: u32,
    pub height: u32,
}

/// The largest width or height that is believed.
const CHARACTERS_MAX: u32 = 10_000;
/// Bytes of `TERM` that are kept: no entry of terminfo has a longer name.
const KIND_BYTES_MAX: usize = 128;

impl Size {
    /// A client without a window names no size; players need one.
    fn playable(self) -> Self {
        let playable = |given, usual| match given {
            0 => usual,
            given => u32::min(given, CHARACTERS_MAX),
        };
        Self {
            width: playable(self.width, 80),
            height: playable(self.height, 24),
        }
    }
}

/// Turns what happens at one terminal into lines.
pub(super) struct Cast {
    output: Decoder,
    /// `None`: input is not recorded.
    input: Option<(Decoder, Echo)>,
    last: Duration,
    size: Size,
    text: String,
}

impl Cast {
    /// Begins with the header.
    pub fn begin(
        terminal: &Terminal,
        title: &str,
        unix_s: u64,
        with_input: bool,
        out: &mut Vec<u8>,
    ) -> Self {
        let size = terminal.size.playable();
        let kind = &terminal.kind;
        let kind = kind.get(..kind.floor_char_boundary(KIND_BYTES_MAX));
        let header = Header {
            version: 2,
            width: size.width,
            height: size.height,
            timestamp: unix_s,
            title,
            env: Environment {
                kind: kind.unwrap_or_default(),
            },
        };
        write_json(&header, out);
        out.push(b'\n');
        Self {
            output: Decoder::default(),
            input: with_input.then(Default::default),
            last: Duration::ZERO,
            size,
            text: String::new(),
        }
    }

    pub fn output(&mut self, at: Duration, bytes: &[u8], out: &mut Vec<u8>) {
        let mut text = std::mem::take(&mut self.text);
        self.output.decode(bytes, &mut text);
        if let Some((_, echo)) = &mut self.input {
            echo.shown(&text);
        }
        self.event(at, "o", text, out);
    }

    pub fn input(&mut self, at: Duration, bytes: &[u8], out: &mut Vec<u8>) {
        let Some((decoder, echo)) = &mut self.input else {
            return;
        };
        let mut typed = String::new();
        decoder.decode(bytes, &mut typed);
        let mut echoed = std::mem::take(&mut self.text);
        echo.typed(&typed, &mut echoed);
        zeroize::Zeroize::zeroize(&mut typed);
        self.event(at, "i", echoed, out);
    }

    /// Clients tell of a size more than once; only a new one is an event.
    pub fn resize(&mut self, at: Duration, size: Size, out: &mut Vec<u8>) {
        let size = size.playable();
        if size == self.size {
            return;
        }
        self.size = size;
        let Size { width, height } = size;
        self.event(at, "r", format!("{width}x{height}"), out);
    }

    /// A note that players show beside the recording.
    pub fn mark(&mut self, at: Duration, note: &str, out: &mut Vec<u8>) {
        self.event(at, "m", note.to_owned(), out);
    }

    /// What was held back for the rest of a character.
    pub fn finish(&mut self, at: Duration, out: &mut Vec<u8>) {
        let mut text = std::mem::take(&mut self.text);
        self.output.finish(&mut text);
        self.event(at, "o", text, out);
    }

    fn event(&mut self, at: Duration, code: &str, mut text: String, out: &mut Vec<u8>) {
        if !text.is_empty() {
            // Players take times that run backwards badly.
            self.last = self.last.max(at);
            let (s, us) = (self.last.as_secs(), self.last.subsec_micros());
            // A Vec takes every write.
            drop(write!(out, "[{s}.{us:06}, \"{code}\", "));
            write_json(&text, out);
            out.extend_from_slice(b"]\n");
        }
        text.clear();
        self.text = text;
    }
}

#[derive(Serialize)]
struct Header<'a> {
    version: u8,
    width: u32,
    height: u32,
    timestamp: u64,
    title: &'a str,
    env: Environment<'a>,
}

#[derive(Serialize)]
struct Environment<'a> {
    #[serde(rename = "TERM")]
    kind: &'a str,
}

/// Text and numbers always have a form in JSON, and a Vec takes every write.
fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    drop(serde_json::to_writer(out, value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn terminal() -> Terminal {
        Terminal {
            kind: "xterm-256color".into(),
            size: Size {
                width: 80,
                height: 24,
            },
        }
    }

    fn lines(out: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(out).unwrap();
        assert!(text.ends_with('\n'));
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        text.lines().map(parse).collect()
    }

    #[test]
    fn a_cast_is_what_the_format_asks_for() {
        let mut out = Vec::new();
        let ms = Duration::from_millis;
        let mut cast = Cast::begin(&terminal(), "alice on vm1", 1_800_000_000, false, &mut out);
        cast.output(ms(250), b"$ \x1b[1m\"\\\xff", &mut out);
        cast.input(ms(300), b"ls\r", &mut out);
        let wider = Size {
            width: 132,
            height: 50,
        };
        cast.resize(ms(200), wider, &mut out);
        cast.resize(ms(210), wider, &mut out);
        cast.finish(ms(400), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"version":2,"width":80,"height":24,"timestamp":1800000000,"title":"alice on vm1","env":{"TERM":"xterm-256color"}}"#,
                "\n",
                r#"[0.250000, "o", "$ \u001b[1m\"\\�"]"#,
                "\n",
                r#"[0.250000, "r", "132x50"]"#,
                "\n",
            )
        );
    }

    #[test]
    fn sizes_that_nobody_can_play_are_replaced() {
        let size = |width, height| Size { width, height }.playable();
        assert_eq!(
            size(0, 0),
            Size {
                width: 80,
                height: 24
            }
        );
        assert_eq!(
            size(u32::MAX, 1),
            Size {
                width: CHARACTERS_MAX,
                height: 1
            }
        );
    }

    #[test]
    fn a_long_name_of_a_terminal_is_cut() {
        let mut out = Vec::new();
        let kind = "\u{20ac}".repeat(1000);
        let terminal = Terminal { kind, ..terminal() };
        Cast::begin(&terminal, "", 0, false, &mut out);
        assert_eq!(lines(&out)[0]["env"]["TERM"].as_str().unwrap().len(), 126);
    }

    #[test]
    fn echoed_input_comes_between_the_output() {
        let mut out = Vec::new();
        let ms = Duration::from_millis;
        let mut cast = Cast::begin(&terminal(), "", 0, true, &mut out);
        cast.output(ms(0), b"$ ", &mut out);
        for (at, key) in [(1, b"l"), (2, b"s")] {
            cast.input(ms(at), key, &mut out);
            cast.output(ms(at), key, &mut out);
        }
        cast.input(ms(3), b"\r", &mut out);
        cast.output(ms(4), b"\r\nPassword: ", &mut out);
        cast.input(ms(5), b"secret\r", &mut out);
        cast.output(ms(6), b"\r\n", &mut out);
        let inputs: Vec<_> = lines(&out)
            .into_iter()
            .filter(|line| line[1] == "i")
            .collect();
        assert_eq!(inputs, [serde_json::json!([0.003, "i", "ls\r"])]);
        assert!(!String::from_utf8(out).unwrap().contains("secret"));
    }

    proptest! {
        /// Any bytes in any packets become lines of JSON whose times do not run back and whose text is what was shown.
        #[test]
        fn every_cast_can_be_read(
            packets in prop::collection::vec((0u64..100_000, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            kind: String,
            width: u32,
        ) {
            let mut out = Vec::new();
            let terminal = Terminal { kind, size: Size { width, height: 24 } };
            let mut cast = Cast::begin(&terminal, "t", 0, true, &mut out);
            let mut whole = Vec::new();
            for (at, packet) in &packets {
                cast.input(Duration::from_micros(*at), packet, &mut out);
                cast.output(Duration::from_micros(*at), packet, &mut out);
                whole.extend_from_slice(packet);
            }
            cast.finish(Duration::ZERO, &mut out);
            let lines = lines(&out);
            prop_assert_eq!(&lines[0]["version"], 2);
            let mut shown = String::new();
            let mut last = 0.0;
            for line in &lines[1..] {
                let at = line[0].as_f64().unwrap();
                prop_assert!(at >= last);
                last = at;
                if line[1] == "o" {
                    shown.push_str(line[2].as_str().unwrap());
                }
            }
            prop_assert_eq!(shown, String::from_utf8_lossy(&whole));
        }
    }
}
