//! Renewing keys: by either side, by both, at any moment, while data flows both ways.

use proptest::prelude::*;

use super::*;
use crate::ssh::wire::packet::RekeyLimits;

/// One step of a schedule.
#[derive(Clone, Copy, Debug)]
enum Move {
    ClientSends,
    ServerSends,
    ClientRekeys,
    ServerRekeys,
    Up(usize),
    Down(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => Just(Move::ClientSends),
        4 => Just(Move::ServerSends),
        1 => Just(Move::ClientRekeys),
        1 => Just(Move::ServerRekeys),
        4 => (1..400usize).prop_map(Move::Up),
        4 => (1..400usize).prop_map(Move::Down),
    ];
    prop::collection::vec(one, 1..120)
}

fn play(schedule: &[Move]) {
    let (mut client, mut server) = established();
    let session = client.transport.session_id().unwrap().to_vec();
    let (mut up, mut down) = (0, 0);
    for step in schedule {
        match *step {
            Move::ClientSends => {
                client.send(&message(up, up as usize % 70)).unwrap();
                up += 1;
            }
            Move::ServerSends => {
                server.send(&message(down, down as usize % 70)).unwrap();
                down += 1;
            }
            Move::ClientRekeys => client.rekey(),
            Move::ServerRekeys => server.rekey(),
            Move::Up(most) => carry(&mut client, &mut server, most).unwrap(),
            Move::Down(most) => carry(&mut server, &mut client, most).unwrap(),
        }
    }
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert!(client.is_settled() && server.is_settled());
    let expected = |count: u32| {
        (0..count)
            .map(|n| message(n, n as usize % 70))
            .collect::<Vec<_>>()
    };
    assert_eq!(server.messages(), expected(up));
    assert_eq!(client.messages(), expected(down));
    assert_eq!(client.transport.session_id(), Some(&session[..]));
    assert_eq!(client.count(&Seen::Rekeyed), server.count(&Seen::Rekeyed));
    assert_eq!(
        (client.transport.held_bytes(), server.transport.held_bytes()),
        (0, 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn order_is_kept_whoever_renews_whenever(schedule in moves()) {
        play(&schedule);
    }
}

#[test]
fn both_at_once_is_one_exchange() {
    let (mut client, mut server) = established();
    client.rekey();
    server.rekey();
    client.rekey();
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(
        (client.count(&Seen::Rekeyed), server.count(&Seen::Rekeyed)),
        (1, 1)
    );
}

#[test]
fn what_was_under_way_before_the_peers_kexinit_still_arrives() {
    let (mut client, mut server) = established();
    server.send(&message(1, 10)).unwrap();
    client.rekey();
    client.send(&message(2, 10)).unwrap();
    assert!(client.transport.held_bytes() > 0);
    let late = std::mem::take(&mut server.out);
    client.feed(&late).unwrap();
    assert_eq!(client.messages(), [message(1, 10)]);
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.messages(), [message(2, 10)]);
}

#[test]
fn every_limit_renews_the_keys() {
    let limited = |bytes, packets| RekeyLimits {
        bytes,
        packets,
        ..RekeyLimits::default()
    };
    for (limits, body) in [
        (limited(50_000, 1 << 31), 10_000),
        (limited(1 << 40, 20), 1),
    ] {
        for client_sends in [true, false] {
            let settings = ClientSettings {
                rekey: limits,
                ..Default::default()
            };
            let mut client = Peer::client(settings);
            let mut server = Peer::server(server_settings(&[ED25519]));
            settle(&mut client, &mut server, usize::MAX).unwrap();
            client.transport.authenticated();
            server.transport.authenticated();
            for count in 0..30 {
                let sender = if client_sends {
                    &mut client
                } else {
                    &mut server
                };
                sender.send(&message(count, body)).unwrap();
                settle(&mut client, &mut server, usize::MAX).unwrap();
            }
            let received = if client_sends {
                server.messages()
            } else {
                client.messages()
            };
            assert_eq!(received.len(), 30);
            assert!(
                server.count(&Seen::Rekeyed) >= 1,
                "{limits:?} {client_sends}"
            );
        }
    }
}

#[test]
fn keys_are_not_renewed_before_the_login_is_done() {
    let rekey = RekeyLimits {
        bytes: 1,
        ..RekeyLimits::default()
    };
    let mut client = Peer::client(ClientSettings::default());
    let mut server = Peer::server(ServerSettings {
        rekey,
        ..server_settings(&[ED25519])
    });
    settle(&mut client, &mut server, usize::MAX).unwrap();
    server.send(&message(1, 10_000)).unwrap();
    client.send(&message(1, 10_000)).unwrap();
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(client.count(&Seen::Rekeyed), 0);
    client.transport.authenticated();
    server.transport.authenticated();
    server.send(&message(2, 10)).unwrap();
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(client.count(&Seen::Rekeyed), 1);
}

#[test]
fn payloads_are_relayed_in_place_in_order_across_renewals() {
    let small = RekeyLimits {
        bytes: 200_000,
        ..RekeyLimits::default()
    };
    let (mut client, mut near) = established();
    let mut far = Peer::client(ClientSettings {
        rekey: small,
        ..Default::default()
    });
    let mut instance = Peer::server(server_settings(&[ED25519]));
    settle(&mut far, &mut instance, usize::MAX).unwrap();
    far.transport.authenticated();
    instance.transport.authenticated();
    let (mut within, mut sent) = (0, 0);
    for round in 0..20 {
        for _ in 0..3 {
            client.send(&message(sent, 20_000)).unwrap();
            sent += 1;
        }
        if round % 5 == 0 {
            client.rekey();
        }
        let mut buffer = std::mem::take(&mut client.out);
        let mut at = 0;
        loop {
            let (entropy, now, out) = (&mut near.entropy, near.now, &mut near.out);
            let received = near.transport.receive(&mut buffer[at..], entropy, now, out);
            let Received {
                consumed,
                payload,
                event,
            } = received.unwrap();
            let end = match event {
                Event::NeedMore => break,
                Event::Message(_) => at + consumed,
                _ => {
                    at += consumed;
                    continue;
                }
            };
            let (entropy, out) = (&mut far.entropy, &mut far.out);
            let frame = &mut buffer[at..end];
            let placed = far.transport.send_within(frame, payload, entropy, out);
            if let Some(place) = placed.unwrap() {
                within += 1;
                instance.feed(&buffer[at..][place]).unwrap();
            }
            at = end;
        }
        settle(&mut client, &mut near, usize::MAX).unwrap();
        settle(&mut far, &mut instance, usize::MAX).unwrap();
    }
    let expected: Vec<_> = (0..sent).map(|body| message(body, 20_000)).collect();
    assert_eq!(instance.messages(), expected);
    assert!(within > 30, "{within}");
    assert!(instance.count(&Seen::Rekeyed) > 3);
}

#[test]
fn time_renews_the_keys() {
    let (mut client, mut server) = established();
    for side in [&mut client, &mut server] {
        side.transport.authenticated();
    }
    let deadline = client.transport.next_deadline().unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(deadline, client.now + hour);
    let early = deadline - Duration::from_secs(1);
    client
        .transport
        .tick(early, &mut client.entropy, &mut client.out)
        .unwrap();
    assert!(client.out.is_empty());
    client.now = deadline;
    client
        .transport
        .tick(deadline, &mut client.entropy, &mut client.out)
        .unwrap();
    assert_eq!(client.transport.next_deadline(), None);
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.count(&Seen::Rekeyed), 1);
    assert_eq!(client.transport.next_deadline(), Some(deadline + hour));
}

#[test]
fn what_is_held_is_bounded() {
    let (mut client, _server) = established();
    client.transport.authenticated();
    client.rekey();
    let body = message(1, 32 * 1024);
    let error = loop {
        if let Err(error) = client.send(&body) {
            break error;
        }
    };
    assert!(matches!(error, WireError::HeldTooMuch(_)));
    let held = client.transport.held_bytes();
    assert!(held <= Transport::HELD_LIMIT && held > Transport::HELD_LIMIT - 40_000);
}

#[test]
fn the_host_key_may_not_change() {
    let mut client = Peer::client(ClientSettings::default());
    let mut server = Peer::server(server_settings(&[ED25519]));
    settle(&mut client, &mut server, usize::MAX).unwrap();
    let other = PrivateKey::generate_ed25519(&mut Seeded(99)).unwrap();
    let settings = ServerSettings::new(Arc::new(vec![other]));
    server.transport.side = Side::Server(Arc::new(settings));
    server.rekey();
    let result = settle(&mut client, &mut server, usize::MAX);
    assert!(matches!(result, Err(WireError::HostKeyChanged)));
}
