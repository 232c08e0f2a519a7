//! What a peer with good keys sends: any messages in any order, mixed with renewals of the keys by either side.

use poolgate::ssh::wire::cipher::Cipher;
use poolgate::ssh::wire::kex::Kex;
use poolgate::ssh::wire::transport::Transport;

use super::pair::{End, settle};
use super::parts;

/// The first byte: which role listens, whether it has let the peer in, and the cipher. Then parts: a lone byte is an act
/// of the two ends, anything longer a message.
pub fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let cipher = Cipher::ALL[usize::from(mode >> 2) % Cipher::ALL.len()];
    let mut server = End::server(Some(cipher));
    let mut client = End::client(Some(cipher), Kex::Curve25519);
    settle(&mut client, &mut server);
    assert!(client.is_established && server.is_established);
    let (victim, attacker) = match mode & 1 {
        0 => (&mut server, &mut client),
        _ => (&mut client, &mut server),
    };
    if mode & 2 != 0 {
        victim.transport.authenticated();
    }
    for part in parts(data) {
        match part {
            [] | [0] => hear(victim, attacker),
            [1] => attacker.rekey(),
            [2] => victim.rekey(),
            [3] => victim.send(b"\x5e\0\0\0\x01\0\0\0\x02hi"),
            [4] => settle(victim, attacker),
            payload => attacker.send(payload),
        }
        let bytes = std::mem::take(&mut attacker.out);
        victim.feed(&bytes);
        assert!(victim.transport.held_bytes() <= Transport::HELD_LIMIT);
    }
}

/// The attacker takes what it is sent, so that its own state goes on.
fn hear(victim: &mut End, attacker: &mut End) {
    let bytes = std::mem::take(&mut victim.out);
    attacker.feed(&bytes);
}
