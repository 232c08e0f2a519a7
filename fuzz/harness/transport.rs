//! A connection from its first byte on, before there are keys: identification, KEXINIT, negotiation, the exchange.

use poolgate::ssh::wire::kex::Kex;
use poolgate::ssh::wire::packet::Outbound;

use super::pair::{End, Seeded};
use super::parts;

/// The first byte: whether it is a server or a client that listens, and whether raw bytes follow or messages, which are
/// framed here so that most of the input is about what is in them.
pub fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let mut victim = match mode & 1 {
        0 => End::server(None),
        _ => End::client(None, Kex::Curve25519),
    };
    if mode & 2 == 0 {
        let chunk = usize::from(mode >> 2).max(1) * 16;
        data.chunks(chunk).for_each(|bytes| victim.feed(bytes));
        return;
    }
    let ident: &[u8] = match mode & 4 {
        0 => b"SSH-2.0-OpenSSH_9.2\r\n",
        _ => b"SSH-2.0-other\r\n",
    };
    victim.feed(ident);
    let (mut outbound, mut entropy) = (Outbound::clear(), Seeded(7));
    for payload in parts(data) {
        let mut packet = Vec::new();
        if outbound.seal(payload, &mut entropy, &mut packet).is_ok() {
            victim.feed(&packet);
        }
    }
    assert_eq!(victim.messages, 0, "a message under no keys");
}
