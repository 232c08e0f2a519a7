//! HTTP/2 as nobody should speak it, frame by frame: the stream or the connection is refused, and the hub hears nothing.
//!
//! The cases are those of RFC 9113's "MUST treat as an error" that a client can provoke, and requests that would mean
//! something else once they are HTTP/1.1.

use std::io::{Read, Write};

use crate::support::raw_hub::RawScene;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const BOTH: u8 = 5;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HPACK without its tables and without Huffman.
pub fn pack(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (name, value) in fields {
        packed.push(0);
        for text in [name, value] {
            // RFC 7541 5.1, with 7 bits.
            match text.len().checked_sub(127) {
                None => packed.push(u8::try_from(text.len()).unwrap()),
                Some(rest) => {
                    let (low, high) = (rest % 128, rest / 128);
                    let high = u8::try_from(high).unwrap();
                    assert!(high < 128);
                    packed.extend([127, 128 + u8::try_from(low).unwrap(), high]);
                }
            }
            packed.extend(text.bytes());
        }
    }
    packed
}

const FINE: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "a"),
    (":path", "/x"),
];

fn get() -> Vec<u8> {
    pack(&FINE)
}

/// A request that is fine but for these fields after it.
fn and(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, BOTH, 1, &pack(&[&FINE[..], more].concat()))
}

/// The same with a body of three bytes.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = FINE.to_vec();
    fields[0].1 = "POST";
    fields.extend(more);
    let head = frame(HEADERS, END_HEADERS, 1, &pack(&fields));
    [head, frame(DATA, END_STREAM, 1, b"abc")].concat()
}

/// The same with another value for one of the first fields, or none.
fn but(name: &str, value: Option<&str>) -> Vec<u8> {
    let fields = FINE
        .iter()
        .filter_map(|(given, fine)| match given == &name {
            true => value.map(|value| (*given, value)),
            false => Some((*given, *fine)),
        });
    frame(HEADERS, BOTH, 1, &pack(&fields.collect::<Vec<_>>()))
}

fn frames_in_disorder() -> Vec<(&'static str, Vec<u8>)> {
    let open = frame(HEADERS, END_HEADERS, 1, &get());
    let after = |more: Vec<u8>| [open.clone(), more].concat();
    vec![
        ("data on an idle stream", frame(DATA, 1, 1, b"x")),
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("too much padding", after(frame(DATA, 8, 1, &[9, 0]))),
        ("headers on no stream", frame(HEADERS, BOTH, 0, &get())),
        ("an even stream", frame(HEADERS, BOTH, 2, &get())),
        (
            "a stream that went back",
            [
                frame(HEADERS, BOTH, 5, &get()),
                frame(HEADERS, BOTH, 3, &get()),
            ]
            .concat(),
        ),
        (
            "headers twice",
            after(frame(HEADERS, END_HEADERS, 1, &get())),
        ),
        (
            "broken compression",
            frame(HEADERS, BOTH, 1, &[0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("a reset of an idle stream", frame(RESET, 0, 1, &[0; 4])),
        ("a reset of three bytes", after(frame(RESET, 0, 1, &[0; 3]))),
        ("a priority of four bytes", frame(PRIORITY, 0, 1, &[0; 4])),
    ]
}

fn frames_of_the_connection() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("settings on a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "settings with a window too large",
            frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "settings with a frame too small",
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]),
        ),
        (
            "settings that push maybe",
            frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 7]),
        ),
        (
            "an answer to settings with a body",
            frame(SETTINGS, 1, 0, &[0; 6]),
        ),
        ("a push", frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8])),
        ("a ping of six bytes", frame(PING, 0, 0, &[0; 6])),
        ("a farewell on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("a window of nothing", frame(WINDOW, 0, 0, &[0; 4])),
        (
            "a window beyond its end",
            frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        ("a window of three bytes", frame(WINDOW, 0, 0, &[0; 3])),
        (
            "a window of an idle stream",
            frame(WINDOW, 0, 1, &[0, 0, 0, 1]),
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &get()),
        ),
        (
            "a frame between headers",
            [frame(HEADERS, 1, 1, &get()), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        ("a frame too large", frame(DATA, 0, 1, &vec![0; 40_000])),
    ]
}

fn requests_nobody_may_make() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no method", but(":method", None)),
        ("no scheme", but(":scheme", None)),
        ("no path", but(":path", None)),
        ("no authority", but(":authority", None)),
        ("an empty path", but(":path", Some(""))),
        ("dots", but(":path", Some("/user/a/../b/"))),
        ("coded dots", but(":path", Some("/user/a/%2e%2e/b/"))),
        ("two slashes", but(":path", Some("//user/a"))),
        (
            "a line in the path",
            but(":path", Some("/x HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled")),
        ),
        ("a blank in the path", but(":path", Some("/x HTTP/1.1"))),
        (
            "a line in the method",
            but(
                ":method",
                Some("GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\nGET"),
            ),
        ),
        ("a user in the authority", but(":authority", Some("u@a"))),
        ("trace", but(":method", Some("TRACE"))),
    ]
}

fn fields_nobody_may_send() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("another host", and(&[("host", "b")])),
        ("two paths", and(&[(":path", "/y")])),
        ("an unknown pseudo-header", and(&[(":admin", "1")])),
        ("a status", and(&[(":status", "200")])),
        ("a pseudo-header behind others", {
            let fields = [&FINE[..3], &[("x", "y")], &FINE[3..]].concat();
            frame(HEADERS, BOTH, 1, &pack(&fields))
        }),
        ("upper case", and(&[("X-Upper", "1")])),
        ("a line in a value", and(&[("x", "y\r\nHost: b")])),
        ("a line in a name", and(&[("x\r\nhost", "b")])),
        ("NUL in a value", and(&[("x", "a\0b")])),
        ("a colon in a name", and(&[("x:y", "z")])),
        ("connection", and(&[("connection", "close")])),
        ("keep-alive", and(&[("keep-alive", "1")])),
        (
            "transfer-encoding",
            post(&[("transfer-encoding", "chunked")]),
        ),
        ("te", and(&[("te", "chunked")])),
        (
            "a length above the body's",
            post(&[("content-length", "4")]),
        ),
        (
            "a length below the body's",
            post(&[("content-length", "2")]),
        ),
        (
            "two lengths",
            post(&[("content-length", "3"), ("content-length", "4")]),
        ),
        ("a length that is none", post(&[("content-length", "x")])),
        ("plain connect", {
            let fields = [(":method", "CONNECT"), (":authority", "b:22")];
            frame(HEADERS, BOTH, 1, &pack(&fields))
        }),
        ("another protocol", {
            let fields = [
                &FINE[1..],
                &[(":method", "CONNECT"), (":protocol", "connect-udp")],
            ]
            .concat();
            frame(HEADERS, BOTH, 1, &pack(&fields))
        }),
    ]
}

/// What came of it: an answer's status where it is 200 or 400, and whether stream or connection were refused.
fn outcome(scene: &RawScene, sent: &[u8]) -> Result<u16, String> {
    let mut stream = scene.connect("h2");
    let begun = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(SETTINGS, 0, 0, &[]),
        sent,
    ];
    // What the gate has refused it need not read to its end.
    let _ = stream.write_all(&begun.concat());
    loop {
        let mut head = [0; 9];
        if let Err(error) = stream.read_exact(&mut head) {
            let is_open = error.kind() == std::io::ErrorKind::WouldBlock;
            assert!(!is_open, "neither answered nor refused");
            return Err("closed".to_owned());
        }
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        if stream.read_exact(&mut payload).is_err() {
            return Err("closed".to_owned());
        }
        match (head[3], payload.first()) {
            (HEADERS, Some(0x88)) => return Ok(200),
            (HEADERS, Some(0x8c)) => return Ok(400),
            (HEADERS, first) => return Err(format!("another status: {first:x?}")),
            (RESET, _) => return Err(format!("reset {payload:?}")),
            (GOAWAY, _) if payload[4..8] != [0; 4] => return Err(format!("goaway {payload:?}")),
            _ => {}
        }
    }
}

#[test]
fn every_error_of_the_protocol_is_one() {
    let scene = RawScene::new();
    let hub = &scene.hub;
    assert_eq!(outcome(&scene, &and(&[("te", "trailers")])), Ok(200));
    assert_eq!(outcome(&scene, &post(&[("content-length", "3")])), Ok(200));
    assert_eq!(hub.seen().len(), 2);
    for (what, sent) in frames_in_disorder()
        .into_iter()
        .chain(frames_of_the_connection())
    {
        let outcome = outcome(&scene, &sent);
        assert!(outcome.is_err(), "{what}: {outcome:?}");
    }
    let seen = hub.seen().len();
    for (what, sent) in requests_nobody_may_make()
        .into_iter()
        .chain(fields_nobody_may_send())
    {
        let outcome = outcome(&scene, &sent);
        assert!(outcome != Ok(200), "{what}: {outcome:?}");
        // A body that is not as long as was said is known only after its head.
        if !what.starts_with("a length") {
            assert_eq!(hub.seen().len(), seen, "{what}: {:?}", hub.seen().last());
        }
    }
    assert!(!hub.seen().iter().any(|one| one.line().contains("smuggled")));
    let rows = scene.gate.instances();
    assert_eq!(
        rows[0]["health"], "up",
        "none of it counts against the instance"
    );
    scene.gate.stop();
}
