//! The PROXY header in front of a balancer's connection, both versions, and whatever else comes first.

use std::net::{IpAddr, SocketAddr};

use poolgate::net::proxy_header::on_behalf_of;
use poolgate::net::proxy_protocol::{Parsed, parse};

/// The longest header of version 2 that is taken.
const LONGEST: usize = 4096;

pub fn run(data: &[u8]) {
    if let Some((client, taken)) = read(data) {
        let header = &data[..taken];
        assert!((12..=LONGEST).contains(&taken));
        let is_v1 = header.starts_with(b"PROXY ");
        assert!(!is_v1 || (header.ends_with(b"\r\n") && taken <= 107));
        if let (true, Some(client)) = (is_v1, client) {
            let line = std::str::from_utf8(header).expect("a line with an address in it is ASCII");
            let said = line.split(' ').nth(2).map(str::parse::<IpAddr>);
            assert_eq!(said, Some(Ok(client.ip())));
        }
    }
    write_and_read(data);
}

/// As from a socket: only what was asked for. The client, and how many bytes the header took.
fn read(data: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut taken = 0;
    loop {
        match parse(&data[..taken]) {
            Ok(Parsed::Whole(client)) => return Some((client, taken)),
            Ok(Parsed::More(bytes)) => {
                assert!(bytes > 0, "it would ask for ever");
                taken += bytes;
                assert!(taken <= LONGEST, "it asks for {taken} bytes");
                if taken > data.len() {
                    return None;
                }
            }
            Err(error) => {
                let _ = error.to_string();
                return None;
            }
        }
    }
}

/// What the gate itself writes, for addresses out of the input, is read as meant, and not a byte behind it.
fn write_and_read(data: &[u8]) {
    let Some((addresses, rest)) = data.split_first_chunk::<37>() else {
        return;
    };
    let address = |at: usize, is_v4: bool| -> SocketAddr {
        let octets: [u8; 16] = addresses[at..at + 16].try_into().expect("16 bytes");
        let port = u16::from_be_bytes([addresses[at + 16], addresses[at + 17]]);
        let ip = match (is_v4, octets) {
            (true, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
            _ => IpAddr::from(octets),
        };
        SocketAddr::new(ip, port)
    };
    let client = address(1, addresses[0] & 1 == 0);
    let gate = address(19, addresses[0] & 2 == 0);
    let mut sent = on_behalf_of(client, gate);
    let length = sent.len();
    sent.extend_from_slice(rest);
    let Some((Some(seen), taken)) = read(&sent) else {
        panic!("the gate's own header is not understood");
    };
    assert_eq!(taken, length);
    assert_eq!(seen.ip().to_canonical(), client.ip().to_canonical());
    assert_eq!(seen.port(), client.port());
}
