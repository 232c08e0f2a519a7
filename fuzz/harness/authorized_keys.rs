//! A person's `authorized_keys` file and the options in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use poolgate::identity::authorized_keys::{LINE_BYTES_MAX, LINES_MAX, judge, parse, parse_line};
use poolgate::identity::options::Options;

pub fn run(data: &[u8]) {
    let file = parse(data);
    assert!(file.lines.len() + file.skipped.len() <= LINES_MAX);
    for (_, error) in &file.skipped {
        let _ = error.to_string();
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let clients = [
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    for line in &file.lines {
        assert!(line.key_blob.len() <= LINE_BYTES_MAX);
        for client in clients {
            match judge(line, "alice", client, now) {
                Ok(authorized) => {
                    assert_eq!(authorized.key_blob(), line.key_blob);
                    assert!(!line.options.is_cert_authority && line.options.principals.is_none());
                    let end = line.options.restrictions.not_after;
                    assert!(end.is_none_or(|end| end > now), "an expired key was let in");
                }
                Err(error) => drop(error.to_string()),
            }
        }
    }
    for line in data.split(|byte| *byte == b'\n').take(8) {
        let _ = parse_line(1, line);
        let _ = Options::parse(&String::from_utf8_lossy(line));
    }
}
