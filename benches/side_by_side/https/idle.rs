//! What a connection costs that has asked once and is open.

use std::io::{Read, Write};

use super::client;
use super::peers::{Peer, Peers};
use crate::side_by_side::process::memory_kib;

/// Private memory of each of `count`, above what was used before them.
pub fn kib(peers: &Peers, peer: Peer, count: usize) -> f64 {
    let ask_one = || {
        let mut stream = client::connect(peers.port(peer)).expect("it takes connections");
        let cookie = &peers.cookie;
        write!(
            stream,
            "GET /user/alice/api/small HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: cors\r\nCookie: {cookie}\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !answer.ends_with(&[b'x'; 200]) {
            let len = stream.read(&mut part).expect("it answers");
            assert!(len > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend(&part[..len]);
        }
        stream
    };
    // What the first connections of all cost is no later one's.
    drop((0..50).map(|_| ask_one()).collect::<Vec<_>>());
    let before = memory_kib(&[peers.pid(peer)]);
    let open: Vec<_> = (0..count).map(|_| ask_one()).collect();
    let during = memory_kib(&[peers.pid(peer)]);
    drop(open);
    (during - before) / count as f64
}
