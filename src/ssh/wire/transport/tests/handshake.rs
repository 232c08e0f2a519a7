//! First key exchanges: every combination of algorithms, every chunking, extensions.

use super::*;
use crate::ssh::wire::cipher::{Cipher, Mac};
use crate::ssh::wire::kex::Kex;
use crate::ssh::wire::keys::SigAlg;
use crate::ssh::wire::negotiate::HostKeyAlgorithm;

fn talk(client: &mut Peer, server: &mut Peer) {
    for (body, length) in [(1, 0), (2, 11), (3, 32 * 1024), (4, 60_000)] {
        client.send(&message(body, length)).unwrap();
        server.send(&message(body, length + 1)).unwrap();
    }
    settle(client, server, usize::MAX).unwrap();
    let lengths = |peer: &Peer| peer.messages().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(server), [5, 16, 32 * 1024 + 5, 60_005]);
    assert_eq!(lengths(client), [6, 17, 32 * 1024 + 6, 60_006]);
    assert_eq!(client.transport.session_id(), server.transport.session_id());
    assert!(client.transport.session_id().is_some());
    assert_eq!(client.transport.algorithms(), server.transport.algorithms());
}

fn run(kex: Kex, host_key: SigAlg, cipher: Cipher, mac: Mac) {
    let mut client = Peer::client(ClientSettings {
        host_key_algorithms: vec![HostKeyAlgorithm {
            signature: host_key,
            certificate: false,
        }],
        kex: vec![kex],
        ciphers: vec![cipher],
        macs: vec![mac],
        ..ClientSettings::default()
    });
    let mut server = Peer::server(server_settings(&[ED25519, ECDSA, RSA]));
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(
        client.seen,
        [Seen::Established],
        "{kex:?} {host_key:?} {cipher:?} {mac:?}"
    );
    talk(&mut client, &mut server);
    let chosen = client.transport.algorithms().unwrap();
    assert_eq!((chosen.kex, chosen.host_key.signature), (kex, host_key));
    assert_eq!(chosen.client_to_server.cipher, cipher);
    assert_eq!(chosen.server_to_client.mac.is_none(), cipher.is_aead());
    let Side::Server(settings) = &server.transport.side else {
        panic!()
    };
    let used = settings
        .host_keys
        .iter()
        .find(|key| key.algorithms().contains(&host_key))
        .unwrap();
    assert_eq!(client.transport.host_key(), Some(used.public_blob()));
}

#[test]
fn every_exchange_and_host_key() {
    let host_keys = [
        SigAlg::Ed25519,
        SigAlg::EcdsaP256,
        SigAlg::RsaSha512,
        SigAlg::RsaSha256,
    ];
    for kex in Kex::ALL {
        for host_key in host_keys {
            run(kex, host_key, Cipher::Aes128Gcm, Mac::HmacSha256Etm);
        }
    }
}

#[test]
fn every_cipher_and_mac() {
    for kex in Kex::ALL {
        for cipher in Cipher::ALL {
            for mac in Mac::ALL {
                run(kex, SigAlg::Ed25519, cipher, mac);
            }
        }
    }
}

#[test]
fn bytes_may_come_one_at_a_time() {
    for cipher in Cipher::ALL {
        for mac in [Mac::HmacSha256, Mac::HmacSha256Etm] {
            let settings = ClientSettings {
                ciphers: vec![cipher],
                macs: vec![mac],
                ..Default::default()
            };
            let mut client = Peer::client(settings);
            let mut server = Peer::server(server_settings(&[ED25519]));
            client.send(&message(7, 300)).unwrap();
            settle(&mut client, &mut server, 1).unwrap();
            assert_eq!(
                server.seen,
                [Seen::Established, Seen::Message(message(7, 300))]
            );
        }
    }
}

#[test]
fn what_is_sent_too_early_waits_for_the_keys() {
    let mut client = Peer::client(ClientSettings::default());
    let mut server = Peer::server(server_settings(&[ED25519]));
    for body in 0..3 {
        client.send(&message(body, 9)).unwrap();
        server.send(&message(body, 8)).unwrap();
    }
    assert!(client.transport.held_bytes() > 0);
    settle(&mut client, &mut server, 100).unwrap();
    assert_eq!(
        client.messages(),
        [message(0, 8), message(1, 8), message(2, 8)]
    );
    assert_eq!(
        server.messages(),
        [message(0, 9), message(1, 9), message(2, 9)]
    );
    assert_eq!(
        (client.transport.held_bytes(), server.transport.held_bytes()),
        (0, 0)
    );
}

#[test]
fn ciphers_offered_follow_the_clients_identification() {
    let chosen = |ident: &str, own: Option<Vec<Cipher>>| {
        let ciphers = vec![
            Cipher::Chacha20Poly1305,
            Cipher::Aes256Gcm,
            Cipher::Aes128Gcm,
        ];
        let ident = ident.to_owned();
        let mut client = Peer::client(ClientSettings {
            ident,
            ciphers,
            ..Default::default()
        });
        let settings = ServerSettings {
            ciphers: own,
            ..server_settings(&[ED25519])
        };
        let mut server = Peer::server(settings);
        settle(&mut client, &mut server, usize::MAX).unwrap();
        server
            .transport
            .algorithms()
            .unwrap()
            .server_to_client
            .cipher
    };
    assert_eq!(
        chosen("SSH-2.0-OpenSSH_9.2p1 Debian-2", None),
        Cipher::Aes256Gcm
    );
    assert_eq!(chosen("SSH-2.0-Go", None), Cipher::Chacha20Poly1305);
    let wanted = Some(vec![Cipher::Aes128Gcm]);
    assert_eq!(chosen("SSH-2.0-Go", wanted), Cipher::Aes128Gcm);
}

#[test]
fn the_server_says_what_it_verifies() {
    let (mut client, mut server) = established();
    let names = client.transport.peer_sig_algs().unwrap();
    assert!(names.contains(&"rsa-sha2-512".to_owned()));
    assert!(client.transport.peer_supports_ping());
    assert_eq!(server.transport.peer_sig_algs(), None);
    let ping = crate::ssh::wire::message::ping(b"there?");
    client.send(&ping).unwrap();
    let sent = client.out.len();
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert!(
        sent > 0 && server.seen.len() == 1,
        "a ping is answered below the layers above"
    );
}

#[test]
fn nothing_in_common_ends_both_with_a_reason() {
    let settings = ClientSettings {
        kex: vec![Kex::EcdhP256],
        ..Default::default()
    };
    let mut client = Peer::client(settings);
    let kex = vec![Kex::Curve25519];
    let mut server = Peer::server(ServerSettings {
        kex,
        ..server_settings(&[ED25519])
    });
    let bytes = std::mem::take(&mut client.out);
    let error = server.feed(&bytes).unwrap_err().to_string();
    assert!(
        error.contains("key exchange method") && error.contains("ecdh-sha2-nistp256"),
        "{error}"
    );
    let bytes = std::mem::take(&mut server.out);
    assert!(matches!(client.feed(&bytes), Err(WireError::Negotiate(_))));
    assert!(matches!(server.feed(&[]), Err(WireError::Ended)));
    assert!(matches!(server.send(&message(1, 1)), Err(WireError::Ended)));
}

/// Changes a client's KEXINIT before the server has seen it.
fn propose_anew(client: &mut Peer, change: impl FnOnce(&mut KexInit)) {
    let Phase::Identifying(Some(own)) = &mut client.transport.phase else {
        panic!()
    };
    change(own);
    let payload = own.payload().to_vec();
    client.out.truncate(crate::ssh::wire::ident::OWN.len() + 2);
    client.transport.outbound = Outbound::clear();
    client.force(&payload);
}

#[test]
fn a_peer_without_strict_exchange_is_served() {
    for cipher in Cipher::ALL {
        let ciphers = vec![cipher];
        let mut client = Peer::client(ClientSettings {
            ciphers,
            ..Default::default()
        });
        propose_anew(&mut client, KexInit::forget_strict);
        client.force(&crate::ssh::wire::message::ignore(b"tolerated"));
        let mut server = Peer::server(server_settings(&[ED25519]));
        settle(&mut client, &mut server, usize::MAX).unwrap();
        assert!(!client.transport.is_strict && !server.transport.is_strict);
        talk(&mut client, &mut server);
        client.rekey();
        settle(&mut client, &mut server, usize::MAX).unwrap();
        client.send(&message(9, 9)).unwrap();
        settle(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(server.seen.last(), Some(&Seen::Message(message(9, 9))));
    }
}

#[test]
fn a_wrong_guess_is_ignored_and_a_right_one_used() {
    for (kex, is_right) in [(Kex::EcdhP256, false), (Kex::MlKem768X25519, true)] {
        let kex = vec![kex, Kex::Curve25519];
        let mut client = Peer::client(ClientSettings {
            kex,
            ..Default::default()
        });
        propose_anew(&mut client, KexInit::announce_guess);
        if !is_right {
            client.force(&[number::KEX_INIT, 1, 2, 3]);
        }
        let mut server = Peer::server(server_settings(&[ED25519]));
        settle(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(server.seen, [Seen::Established]);
    }
}

#[test]
fn a_goodbye_arrives() {
    let (mut client, mut server) = established();
    let code = DisconnectCode::ByApplication;
    client
        .transport
        .disconnect(code, "done", &mut client.entropy, &mut client.out);
    let sent = client.out.len();
    client
        .transport
        .disconnect(code, "again", &mut client.entropy, &mut client.out);
    assert_eq!(client.out.len(), sent);
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.seen.last(), Some(&Seen::Disconnected(11)));
    assert!(matches!(server.step(), Err(WireError::Ended)));
}
