//! A line in the log for each failed try to log in, at either door, in the form of sshd's own: what fail2ban and its like
//! look for (`deploy/fail2ban`).
//!
//! The name is whatever somebody sent, so only letters that cannot be taken for the rest of the line are kept of it.

use std::net::SocketAddr;

/// What sshd takes as the way in, at the end of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Ssh,
    Https,
}

/// Of a name; longer ones are nobody's.
const NAME_MAX: usize = 64;

/// What lines of failed logins are told apart by.
pub const TARGET: &str = "poolgate::auth";

pub fn tell(name: &str, peer: SocketAddr, way: Way) {
    tracing::info!(target: TARGET, "{}", line(name, peer, way));
}

fn line(name: &str, peer: SocketAddr, way: Way) -> String {
    let (address, port) = (peer.ip().to_canonical(), peer.port());
    let way = match way {
        Way::Ssh => "ssh2",
        Way::Https => "https",
    };
    format!(
        "Failed login for {} from {address} port {port} {way}",
        harmless(name)
    )
}

fn harmless(name: &str) -> String {
    let is_harmless = |c: &char| c.is_ascii_alphanumeric() || "._-+%@".contains(*c);
    let kept = name
        .chars()
        .take(NAME_MAX)
        .map(|c| if is_harmless(&c) { c } else { '?' });
    match name {
        "" => "-".to_owned(),
        _ => kept.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_an_address_into_the_line() {
        let peer = "192.0.2.7:4000".parse().unwrap();
        let told = line("alice", peer, Way::Ssh);
        assert_eq!(told, "Failed login for alice from 192.0.2.7 port 4000 ssh2");
        let forged = "x from 198.51.100.1 port 1 ssh2\nFailed\u{1b}[2K\"";
        let told = line(forged, peer, Way::Https);
        let name = "x?from?198.51.100.1?port?1?ssh2?Failed??2K?";
        assert_eq!(
            told,
            format!("Failed login for {name} from 192.0.2.7 port 4000 https")
        );
        assert!(line("", peer, Way::Ssh).starts_with("Failed login for - from"));
        assert!(line(&"a".repeat(500), peer, Way::Ssh).len() < 128);
        let mapped = "[::ffff:192.0.2.7]:4000".parse().unwrap();
        assert!(line("a", mapped, Way::Ssh).contains("from 192.0.2.7 port"));
    }
}
