use proptest::prelude::*;

use super::*;

#[test]
fn disconnect_text_is_bounded_and_clean() {
    let payload = disconnect(DisconnectCode::ByApplication, &"ü".repeat(1000));
    let read = Disconnect::parse(&payload).unwrap();
    assert_eq!((read.code, read.text.chars().count()), (11, 512));
    let nasty = Writer::new(number::DISCONNECT)
        .u32(2)
        .string(b"a\x1b[2Jb\n\xff")
        .finish();
    assert_eq!(
        Disconnect::parse(&nasty).unwrap().text,
        "a\u{fffd}[2Jb\u{fffd}\u{fffd}"
    );
    let terse = Writer::new(number::DISCONNECT).u32(11).finish();
    assert_eq!(Disconnect::parse(&terse).unwrap().text, "");
}

#[test]
fn ext_info_says_what_we_verify() {
    let info = ExtInfo::parse(&ExtInfo::of_server()).unwrap();
    assert!(info.ping);
    let names = info.sig_algs.unwrap();
    assert_eq!(names.len(), 8);
    assert_eq!(names[0], "ssh-ed25519");
    assert!(names.iter().all(|name| !name.contains(' ')));
    let many = Writer::new(number::EXT_INFO).u32(u32::MAX).finish();
    assert_eq!(ExtInfo::parse(&many), Err(Malformed::TooMany));
}

#[test]
fn services_round_trip() {
    assert_eq!(
        parse_service(&service_request(SERVICE_USERAUTH)),
        Ok(SERVICE_USERAUTH)
    );
    assert_eq!(
        parse_service(&service_accept(SERVICE_CONNECTION)),
        Ok(SERVICE_CONNECTION)
    );
    assert_eq!(parse_service(&[number::IGNORE]), Err(Malformed::Number(2)));
    assert_eq!(
        pong(&ping(b"abc")).unwrap(),
        [&[number::PONG, 0, 0, 0, 3][..], b"abc"].concat()
    );
}

#[test]
fn global_requests_are_told_apart() {
    let payload = hostkeys_announcement(&[b"one".to_vec(), b"two".to_vec()]);
    let request = GlobalRequest::parse(&payload).unwrap();
    assert_eq!(
        (request.kind(), request.want_reply),
        (GlobalKind::HostKeys, false)
    );
    assert_eq!(request.keys().unwrap(), [b"one", b"two"]);
    let other = Writer::new(number::GLOBAL_REQUEST)
        .string("tcpip-forward")
        .boolean(true)
        .raw(b"xyz");
    let payload = other.finish();
    let request = GlobalRequest::parse(&payload).unwrap();
    assert_eq!(
        (request.kind(), request.want_reply, request.data),
        (GlobalKind::Other, true, &b"xyz"[..])
    );
}

#[test]
fn fields_are_bounded() {
    let payload = Writer::new(1).string("12345").finish();
    let mut reader = Reader::of(&payload, 1).unwrap();
    assert_eq!(
        reader.string(4),
        Err(Malformed::TooLong {
            length: 5,
            limit: 4
        })
    );
    assert_eq!(
        Reader::new(&[0, 0, 0, 9, 1]).string(100),
        Err(Malformed::Short)
    );
    assert_eq!(
        Reader::new(&[0, 0, 0, 2, b'a', b' ']).name_list(9),
        Err(Malformed::NotAscii)
    );
}

proptest! {
    #[test]
    fn any_bytes_never_panic(mut bytes: Vec<u8>, number: u8) {
        bytes.insert(0, number);
        let _ = Disconnect::parse(&bytes);
        let _ = ExtInfo::parse(&bytes);
        let _ = parse_service(&bytes);
        let _ = pong(&bytes);
        if let Ok(request) = GlobalRequest::parse(&bytes) {
            let _ = request.keys();
        }
    }
}
