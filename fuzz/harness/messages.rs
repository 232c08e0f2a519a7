//! What the transport and the relay read of messages: goodbyes, extensions, pings, global requests, services.

use poolgate::ssh::wire::message::{
    Disconnect, ExtInfo, GlobalRequest, number, parse_service, pong, printable,
};

pub fn run(data: &[u8]) {
    assert!(!printable(data).contains(char::is_control));
    if let Ok(goodbye) = Disconnect::parse(data) {
        assert!(!goodbye.text.contains(char::is_control) && goodbye.text.len() <= 4096);
    }
    if let Ok(info) = ExtInfo::parse(data) {
        assert!(
            info.sig_algs
                .is_none_or(|names| names.iter().all(|name| name.is_ascii()))
        );
    }
    if let Ok(answer) = pong(data) {
        assert_eq!(answer.first(), Some(&number::PONG));
        assert!(answer.len() <= data.len());
    }
    let _ = parse_service(data);
    if let Ok(request) = GlobalRequest::parse(data) {
        let _ = (request.kind(), request.want_reply);
        let keys = request.keys().unwrap_or_default();
        assert!(keys.iter().map(|key| key.len()).sum::<usize>() <= data.len());
    }
}
