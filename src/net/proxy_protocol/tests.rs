//! Headers as HAProxy writes them, each of their prefixes, and bytes that are none.

use super::*;
use proptest::prelude::*;

fn v2(version_and_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = V2_START.to_vec();
    header.extend([version_and_command, family]);
    header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    header.extend(body);
    header
}

fn tcp4(tlvs: &[u8]) -> Vec<u8> {
    let mut body = vec![192, 0, 2, 7, 10, 0, 0, 1, 0xc3, 0x50, 0, 22];
    body.extend(tlvs);
    v2(0x21, 0x11, &body)
}

fn tcp6() -> Vec<u8> {
    let mut body = vec![0; 36];
    body[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    body[15] = 7;
    body[32..].copy_from_slice(&[0xc3, 0x50, 0, 22]);
    v2(0x21, 0x21, &body)
}

/// What `read` would make of these bytes, and how many it takes.
fn fed(bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), ProxyError> {
    let mut taken = 0;
    loop {
        match parse(&bytes[..taken])? {
            Parsed::Whole(client) => return Ok((client, taken)),
            Parsed::More(more) => {
                assert!(more > 0);
                taken += more;
                if taken > bytes.len() {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
}

#[test]
fn headers_of_both_versions_name_the_client_and_take_no_byte_more() {
    let tlvs = [0x04, 0, 3, 1, 2, 3];
    let cases: [(Vec<u8>, Option<&str>); 10] = [
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 22\r\n".to_vec(),
            Some("192.0.2.7:50000"),
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 50000 22\r\n".to_vec(),
            Some("[2001:db8::7]:50000"),
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n".to_vec(),
            Some("1.1.1.1:0"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (
            b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(),
            None,
        ),
        (tcp4(&[]), Some("192.0.2.7:50000")),
        (tcp4(&tlvs), Some("192.0.2.7:50000")),
        (tcp6(), Some("[2001:db8::7]:50000")),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x21, 0x00, &[1, 2, 3]), None),
    ];
    for (header, client) in cases {
        let client = client.map(|text| text.parse().unwrap());
        let mut sent = header.clone();
        sent.extend(b"SSH-2.0-x\r\n");
        assert_eq!(fed(&sent).unwrap(), (client, header.len()), "{header:?}");
        for end in 0..header.len() {
            let cut = fed(&header[..end]);
            assert!(
                matches!(cut, Err(ProxyError::Io(_))),
                "{:?}: {cut:?}",
                &header[..end]
            );
        }
    }
}

#[test]
fn whatever_else_comes_is_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let malformed: [&[u8]; 14] = [
        b"PROXY TCP4 192.0.2.7 10.0.0.1 50000\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 22 9\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 50000 22\r\n",
        b"PROXY TCP6 192.0.2.7 10.0.0.1 50000 22\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 +5000 22\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 70000 22\r\n",
        b"PROXY TCP4  192.0.2.7 10.0.0.1 1 22\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 22\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 22\n\n",
        b"PROXY TCP4 \xff 10.0.0.1 50000 22\r\n",
        long.as_bytes(),
        &v2(0x31, 0x11, &[0; 12]),
        &v2(0x21, 0x12, &[0; 12]),
        &v2(0x21, 0x11, &[0; 11]),
    ];
    for bytes in malformed {
        let outcome = fed(bytes);
        assert!(
            matches!(outcome, Err(ProxyError::Malformed(_))),
            "{bytes:?}: {outcome:?}"
        );
    }
    let huge = [V2_START, &[0x21, 0x11, 0xff, 0xff]].concat();
    assert!(matches!(fed(&huge), Err(ProxyError::Malformed(_))));
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"PROXYTCP4 1.1.1.1",
        b"\x16\x03\x01\x02\x00\x01\0\0\0\0\0\0",
    ] {
        assert!(matches!(fed(bytes), Err(ProxyError::NoHeader)), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_taken_for_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0..3) {
        let start = [&b""[..], V1_START, V2_START][usize::try_from(start).unwrap()];
        let bytes = [start, &bytes].concat();
        if let Ok((_, taken)) = fed(&bytes) {
            prop_assert!(taken <= bytes.len() && taken <= V2_MAX);
        }
    }
}
