//! Requests that two readers could understand differently, byte by byte through the gate to a hub that keeps what it saw.
//!
//! Each is refused, or reaches the hub in a form that has one reading; and whatever the hub saw, the gate counted.

use std::io::{Read, Write};

use crate::support::raw_hub::{RawScene, Seen};

impl RawScene {
    /// Sends these bytes and reads until the gate closes; the statuses of what it answered.
    fn send(&self, bytes: &[u8]) -> Vec<u16> {
        let mut stream = self.connect("http/1.1");
        // The gate may close while it is still being written to.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let is_open = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!is_open, "left open: {answer}");
        let heads = answer.split("HTTP/1.").skip(1);
        heads
            .map(|head| head[2..5].parse().unwrap_or_else(|_| panic!("{answer}")))
            .collect()
    }

    /// Answers the gate counted, by class.
    fn counted(&self, class: &str) -> usize {
        let (_, metrics) = self.gate.admin("/metrics");
        let name = format!("poolgate_requests_total{{code=\"{class}\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&name));
        found.map_or(0, |count| count.parse().unwrap())
    }
}

const REFUSED: &[(&str, &[u8])] = &[
    ("no host", b"GET /x HTTP/1.1\r\n\r\n"),
    ("two hosts", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("the same host twice", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("two hosts in one", b"GET /x HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    ("a user in the host", b"GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    ("an empty host", b"GET /x HTTP/1.1\r\nHost:\r\n\r\n"),
    ("another authority", b"GET https://b/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("trace", b"TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("connect", b"CONNECT b:22 HTTP/1.1\r\nHost: b:22\r\n\r\n"),
    ("star", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("dots", b"GET /user/a/../b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("coded dots", b"GET /user/a/%2e%2E/b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("dots and a coded slash", b"GET /user/a/..%2fb/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two slashes", b"GET //user/a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("length and coding", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("coding and length", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two lengths", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a list of lengths", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a signed length", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
    ("a hexadecimal length", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
    ("an endless length", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc"),
    ("an unknown coding", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("chunked and more", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ("a tab before chunked's end", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n"),
    ("a blank before the colon", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("a coding in 1.0", b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a folded header", b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    ("NUL", b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    ("a bare CR", b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n"),
    ("a header without a name", b"GET /x HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    ("a blank in a name", b"GET /x HTTP/1.1\r\nHost: a\r\nX y: b\r\n\r\n"),
    ("a chunk without a size", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"),
    ("an endless chunk", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
    ("a signed chunk", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n"),
    ("a chunk of another length", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"),
];

/// What the hub may see of bodies whose fault shows late: their head, and no second request.
#[test]
fn what_has_two_readings_is_refused() {
    let scene = RawScene::new();
    for (what, bytes) in REFUSED {
        let before = scene.hub.seen().len();
        let statuses = scene.send(bytes);
        assert_eq!(statuses, [400], "{what}");
        let seen = scene.hub.seen();
        let is_late = what.contains("chunk") && what.starts_with('a');
        assert!(seen.len() == before || is_late, "{what}: {:?}", seen.last());
    }
    assert!(
        scene
            .hub
            .seen()
            .iter()
            .all(|seen| seen.line().starts_with("POST /x "))
    );
    let version = scene.send(b"GET /x\r\n\r\n");
    assert!(version.iter().all(|status| *status == 400), "{version:?}");
    let rows = scene.gate.instances();
    assert_eq!(
        rows[0]["health"], "up",
        "none of it counts against the instance"
    );
    scene.gate.stop();
}

/// Sent as it stands here, answered with 200s, and seen by the hub as these requests.
struct Framed {
    what: &'static str,
    bytes: &'static [u8],
    seen: &'static [(&'static str, &'static [u8])],
    holds_not: &'static [&'static str],
}

const LAST: &str = "GET /last HTTP/1.1";

const REFRAMED: &[Framed] = &[
    Framed {
        what: "the same length twice",
        bytes: b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcGET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        seen: &[("POST /x HTTP/1.1", b"abc"), (LAST, b"")],
        holds_not: &[],
    },
    Framed {
        what: "a chunk's extension and trailers",
        bytes: b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        seen: &[("POST /x HTTP/1.1", b"abc"), (LAST, b"")],
        holds_not: &["6.6.6.6"],
    },
    Framed {
        what: "line feeds alone",
        bytes: b"GET /x HTTP/1.1\nHost: a\nX: y\n\nGET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        seen: &[("GET /x HTTP/1.1", b""), (LAST, b"")],
        holds_not: &[],
    },
    Framed {
        what: "an upgrade to HTTP/2",
        bytes: b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        seen: &[("GET /x HTTP/1.1", b""), (LAST, b"")],
        holds_not: &["upgrade", "http2-settings", "h2c"],
    },
    Framed {
        what: "headers that a connection lists",
        bytes: b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret, X-Forwarded-For\r\nX-Secret: 1\r\n\r\n",
        seen: &[(LAST, b"")],
        holds_not: &["x-secret"],
    },
    Framed {
        what: "what only a proxy may say",
        bytes: b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nContent_Length: 7\r\nTransfer_Encoding: chunked\r\n\r\n",
        seen: &[(LAST, b"")],
        holds_not: &["6.6.6.6", "content_length", "transfer_encoding"],
    },
    Framed {
        what: "a read with a body",
        bytes: b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 38\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\nX: 12GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        seen: &[("GET /x HTTP/1.1", b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX: 12"), (LAST, b"")],
        holds_not: &[],
    },
];

#[test]
fn what_is_let_through_has_one_reading_and_the_gate_counted_it() {
    let scene = RawScene::new();
    let mut total = 0;
    for case in REFRAMED {
        let what = case.what;
        let before = scene.hub.seen().len();
        let statuses = scene.send(case.bytes);
        let seen: Vec<Seen> = scene.hub.seen().split_off(before);
        let came: Vec<_> = seen.iter().map(|one| (one.line(), &*one.body)).collect();
        assert_eq!(came, case.seen, "{what}");
        assert_eq!(statuses, vec![200; case.seen.len()], "{what}");
        for one in &seen {
            let lengths = one.values("content-length").len();
            let codings = one.values("transfer-encoding").len();
            assert!(lengths + codings <= 1, "{what}: {one:?}");
            assert_eq!(one.values("host"), ["a"], "{what}");
            assert_eq!(one.values("x-forwarded-for"), ["127.0.0.1"], "{what}");
            let head = one.head.to_lowercase();
            assert!(
                !head.replace("\r\n", "").contains(['\r', '\n']),
                "{what}: {head:?}"
            );
            for word in case.holds_not {
                assert!(!head.contains(word), "{what}: {head}");
            }
        }
        total += seen.len();
        assert_eq!(scene.counted("2xx"), total, "{what}");
    }
    scene.gate.stop();
}
