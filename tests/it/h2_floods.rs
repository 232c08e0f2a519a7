//! HTTP/2 frames by the hundred thousand that ask for nothing: the connection ends, and others notice nothing.

use std::io::{Read, Write};
use std::time::Duration;

use crate::support::raw_hub::RawScene;
use crate::support::{finish, tool, wait_until};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// GET https://a/ in HPACK.
const GET: &[u8] = &[0x82, 0x87, 0x84, 0x01, 0x01, b'a'];
/// POST https://a/.
const POST: &[u8] = &[0x83, 0x87, 0x84, 0x01, 0x01, b'a'];
const FRAMES: u32 = 400_000;
/// What the gate may keep of a flood it has ended.
const GROWTH_KIB: u64 = 60 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The first frames, and the n-th of those that follow.
struct Flood {
    what: &'static str,
    first: Vec<u8>,
    then: fn(u32) -> Vec<u8>,
}

fn floods() -> Vec<Flood> {
    let flood = |what, first, then| Flood { what, first, then };
    vec![
        flood("rapid reset", Vec::new(), |n| {
            let stream = 2 * n + 1;
            [frame(1, 5, stream, GET), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
        }),
        flood("continuation", frame(1, 1, 1, GET), |_| {
            frame(9, 0, 1, &[0x00, 0x01, b'x', 0x01, b'y'].repeat(50))
        }),
        flood("empty continuation", frame(1, 1, 1, GET), |_| {
            frame(9, 0, 1, &[])
        }),
        flood("empty data", frame(1, 4, 1, POST), |_| frame(0, 0, 1, &[])),
        flood("padding alone", frame(1, 4, 1, POST), |_| {
            frame(0, 8, 1, &[1, 0])
        }),
        flood("settings", Vec::new(), |n| {
            frame(
                4,
                0,
                0,
                &[&[0, 4][..], &(65_535 + n % 7).to_be_bytes()].concat(),
            )
        }),
        flood("ping", Vec::new(), |n| {
            frame(6, 0, 0, &u64::from(n).to_be_bytes())
        }),
        flood("priority", Vec::new(), |n| {
            frame(2, 0, 2 * n + 1, &[0, 0, 0, 0, 1])
        }),
        flood("unknown", Vec::new(), |_| frame(0xbb, 0, 0, b"?")),
    ]
}

/// Whether the gate ended the connection before the flood was over.
fn is_ended(scene: &RawScene, flood: &Flood) -> bool {
    let mut stream = scene.connect("h2");
    let begun = [PREFACE, &frame(4, 0, 0, &[]), &flood.first].concat();
    stream.write_all(&begun).unwrap();
    let mut batch = Vec::new();
    for n in 0..FRAMES {
        batch.extend((flood.then)(n));
        if n % 500 == 499 {
            if stream.write_all(&batch).is_err() {
                return true;
            }
            batch.clear();
        }
    }
    let mut rest = Vec::new();
    stream
        .sock
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn floods_of_frames_end_their_connection_and_nothing_else() {
    let scene = RawScene::new();
    let gate = &scene.gate;
    let address = format!("https://127.0.0.1:{}/", gate.https_port);
    let before = gate.rss_kib();
    for flood in floods() {
        let what = flood.what;
        let mut curl = tool("curl");
        curl.args(["-q", "-sSk", "--noproxy", "*", "--max-time", "10"]);
        curl.args(["-w", "%{http_code}", "-o", "/dev/null", &address]);
        std::thread::scope(|threads| {
            let flooding = threads.spawn(|| is_ended(&scene, &flood));
            let other = finish(&mut curl, Duration::from_secs(20));
            assert_eq!(other.text(), "200", "{what}: {other}");
            assert!(flooding.join().unwrap(), "{what}: it goes on");
        });
    }
    wait_until(
        "the floods' memory to be given back",
        Duration::from_secs(20),
        || (gate.rss_kib() < before + GROWTH_KIB).then_some(()),
    );
    let rows = gate.instances();
    assert_eq!(
        rows[0]["health"], "up",
        "none of it counts against the instance"
    );
    let (_, metrics) = gate.admin("/metrics");
    let counted = metrics.contains("poolgate_limit_hits_total{limit=\"https.h2_frames\"}");
    assert!(counted, "{metrics}");
    scene.gate.stop();
}
