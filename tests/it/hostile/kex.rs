//! The transport under attack: Terrapin, packets during the key exchange, length lies, renewals of keys at every state.

use super::Scene;
use super::client::Hostile;
use poolgate::ssh::wire::message::{self, Writer, number};
use poolgate::ssh::wire::userauth::none_request;

fn channel_open() -> Vec<u8> {
    Writer::new(90)
        .string("session")
        .u32(0)
        .u32(1 << 20)
        .u32(1 << 15)
        .finish()
}

fn exec(command: &str) -> Vec<u8> {
    Writer::new(98)
        .u32(0)
        .string("exec")
        .boolean(true)
        .string(command)
        .finish()
}

/// What a man in the middle can add before NEWKEYS, where nothing is authentic.
fn additions() -> [Vec<u8>; 5] {
    [
        message::ignore(b""),
        message::unimplemented(0),
        Writer::new(number::DEBUG)
            .boolean(true)
            .string("x")
            .string("")
            .finish(),
        Writer::new(number::EXT_INFO).u32(0).finish(),
        message::ping(b"x"),
    ]
}

/// Terrapin's first half: a packet added before NEWKEYS shifts the counters, which a strict exchange must not survive.
#[test]
fn cve_2023_48795_terrapin_a_strict_exchange_survives_no_added_packet() {
    let scene = Scene::new();
    for addition in additions() {
        // Before the KEXINIT, after it, and after our public value.
        for place in 0..3 {
            let mut client = Hostile::greeted(scene.port());
            if place == 0 {
                client.send(&addition);
            }
            let own = client.kexinit(true);
            client.send(&own);
            if place == 1 {
                client.send(&addition);
            }
            client.send(&Writer::new(number::KEX_INIT).string([9; 32]).finish());
            if place == 2 {
                client.send(&addition);
            }
            match place {
                // Its goodbye is under keys that nobody else has.
                2 => client.end_of_anything(),
                _ => assert!(
                    client.end().is_some(),
                    "{addition:?} at {place}: no goodbye"
                ),
            }
        }
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// Terrapin's second half: after a strict exchange both counters begin anew, so that nothing can be cut off the front.
#[test]
fn cve_2023_48795_terrapin_counters_begin_anew_after_a_strict_exchange() {
    let scene = Scene::new();
    // This very client counts anew; `service` would fail to open if the gate did not.
    let mut client = Hostile::keyed(scene.port());
    client.send(&message::service_request(message::SERVICE_USERAUTH));
    client.next_of(number::SERVICE_ACCEPT);
    drop(client);
    // The first packet under keys, cut off: the next one has the wrong number.
    let mut client = Hostile::keyed(scene.port());
    client.packet(&message::service_request(message::SERVICE_USERAUTH));
    client.send(&none_request(scene.user()));
    assert!(client.end().is_some_and(|text| text.contains("packet")));
    drop(client);
    scene.nothing_happened();
    scene.ends_well();
}

/// A client that knows nothing of strict exchanges may send IGNORE at any time (RFC 4253 section 11), and nothing else.
#[test]
fn cve_2023_48795_without_strict_exchange_only_what_the_rfc_allows_passes() {
    let scene = Scene::new();
    for (addition, is_legal) in additions().iter().zip([true, true, true, false, false]) {
        let mut client = Hostile::greeted(scene.port());
        let exchange = client.begin_exchange(false);
        let keys = client.finish_exchange(exchange);
        client.send(addition);
        client.send(&[number::NEWKEYS]);
        client.use_sealer(keys.sealer);
        if is_legal {
            client.next_of(number::NEWKEYS);
            client.use_opener(keys.opener);
            client.send(&message::service_request(message::SERVICE_USERAUTH));
            client.next_of(number::SERVICE_ACCEPT);
        } else {
            client.next_of(number::NEWKEYS);
            client.use_opener(keys.opener);
            assert!(client.end().is_some(), "{addition:?}");
        }
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// CVE-2025-32433 (Erlang's sshd): channel messages before the login. None may reach the instance, at any state.
#[test]
fn cve_2025_32433_channel_messages_before_the_login_reach_nobody() {
    let scene = Scene::new();
    let smuggled = [
        channel_open(),
        exec("touch /tmp/owned"),
        vec![94, 0, 0, 0, 0],
        vec![80, 0, 0, 0, 1, b'x', 1],
    ];
    for payload in &smuggled {
        // In the clear before a KEXINIT, and in the middle of the exchange.
        for sends_kexinit in [false, true] {
            let mut client = Hostile::greeted(scene.port());
            if sends_kexinit {
                let own = client.kexinit(true);
                client.send(&own);
            }
            client.send(payload);
            assert!(client.end().is_some());
        }
        // Under keys: before the service, before and after a refused login, and behind an offer of a good key.
        let mut client = Hostile::keyed(scene.port());
        client.send(payload);
        assert!(client.end().is_some());
        for request in [
            none_request(scene.user()),
            Hostile::offer(scene.user(), &scene.key),
        ] {
            let mut client = Hostile::at_login(scene.port());
            client.send(&request);
            assert!(client.verdict().is_some());
            client.send(payload);
            assert!(
                client
                    .end()
                    .is_some_and(|text| text.contains("no place in a login"))
            );
        }
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// libssh's CVE-2018-10933: the server's own messages, sent by a client.
#[test]
fn cve_2018_10933_a_client_that_says_success_is_not_believed() {
    let scene = Scene::new();
    for payload in [
        vec![number::USERAUTH_SUCCESS],
        vec![number::USERAUTH_FAILURE, 0, 0, 0, 0, 1],
        vec![number::USERAUTH_60, 0, 0, 0, 0],
        vec![number::USERAUTH_INFO_RESPONSE, 0, 0, 0, 0],
        message::service_accept(message::SERVICE_CONNECTION),
    ] {
        let mut client = Hostile::at_login(scene.port());
        client.send(&payload);
        assert!(client.end().is_some(), "{payload:?}");
        let mut client = Hostile::at_login(scene.port());
        client.send(&Hostile::offer(scene.user(), &scene.key));
        assert_eq!(client.verdict(), Some(number::USERAUTH_60));
        client.send(&payload);
        assert!(client.end().is_some(), "{payload:?}");
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// The packet's own length fields (CVE-2024-43410): too long, too short, not a multiple, and padding beyond the packet.
#[test]
fn cve_2024_43410_lengths_of_packets_that_lie_end_the_connection_at_once() {
    let scene = Scene::new();
    for length in [0, 1, 11, 65_537, 1 << 18, 1 << 24, u32::MAX >> 1, u32::MAX] {
        let mut client = Hostile::greeted(scene.port());
        client.raw(&length.to_be_bytes());
        client.raw(&[4, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        client.end();
        let mut client = Hostile::keyed(scene.port());
        client.raw(&length.to_be_bytes());
        client.raw(&[0; 64]);
        client.end();
    }
    for padding in [0, 3, 12, 255] {
        let mut client = Hostile::greeted(scene.port());
        client.raw(&[0, 0, 0, 12, padding, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        client.end();
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// The lengths inside messages: each four bytes of a login's messages replaced by lies.
#[test]
fn cve_2024_43410_lengths_of_fields_that_lie_end_the_connection_at_once() {
    let scene = Scene::new();
    let sample = Hostile::at_login(scene.port());
    let honest = [
        Hostile::offer(scene.user(), &scene.key),
        sample.signed(scene.user(), &scene.victims_key),
        Hostile::request(scene.user(), "keyboard-interactive")
            .string("")
            .string("pam")
            .finish(),
        message::service_request(message::SERVICE_USERAUTH),
    ];
    drop(sample);
    for payload in &honest {
        for at in lengths_in(payload) {
            for lie in [0, 1, 0x7fff_ffff, u32::MAX, (payload.len() - at) as u32] {
                let mut forged = payload.clone();
                forged[at..at + 4].copy_from_slice(&lie.to_be_bytes());
                if forged == *payload {
                    continue;
                }
                let mut client = Hostile::at_login(scene.port());
                client.send(&forged);
                assert_ne!(client.verdict(), Some(number::USERAUTH_SUCCESS));
                drop(client);
            }
        }
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// Where the length fields of the strings in a message stand, as far as they can be read one after the other.
fn lengths_in(payload: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 1;
    while let Some(field) = payload.get(at..at + 4) {
        let length = u32::from_be_bytes(field.try_into().unwrap()) as usize;
        if at + 4 + length > payload.len() {
            // A boolean stands here.
            at += 1;
            continue;
        }
        found.push(at);
        at += 4 + length;
    }
    found
}

/// New keys wherever a client may ask for them, and the session goes on as if nothing had been.
#[test]
fn keys_can_be_renewed_at_every_state() {
    let scene = Scene::new();
    let mut client = Hostile::keyed(scene.port());
    client.exchange(true);
    client.send(&message::service_request(message::SERVICE_USERAUTH));
    client.exchange(true);
    client.send(&Hostile::offer(scene.user(), &scene.key));
    client.exchange(true);
    // The signature is over the first exchange's name, whatever came after.
    client.send(&client.signed(scene.user(), &scene.key));
    client.next_of(number::USERAUTH_SUCCESS);
    client.exchange(true);
    client.send(&channel_open());
    // Whoever asks something of a channel before it is there is sent away.
    client.next_of(91);
    client.exchange(true);
    client.send(&exec("cat; echo end"));
    client.next_of(99);
    // In the middle of a channel's data, with data between the KEXINIT and the NEWKEYS of either side.
    let data = |text: &str| Writer::new(94).u32(0).string(text).finish();
    client.send(&data("before "));
    client.exchange(true);
    client.send(&data("after"));
    client.send(&Writer::new(96).u32(0).finish());
    let mut heard = Vec::new();
    while !heard.ends_with(b"end\n") {
        heard.extend_from_slice(&client.next_of(94)[9..]);
    }
    assert_eq!(heard, b"before afterend\n");
    drop(client);
    scene.sshd.wait_accepted(&[scene.user()]);
    scene.ends_well();
}

/// Exchanges without end before a login are work for nothing.
#[test]
fn renewals_without_end_before_the_login_end_the_connection() {
    let scene = Scene::new();
    let mut client = Hostile::keyed(scene.port());
    let renewals = (0..64).take_while(|_| client.renew_if_allowed()).count();
    assert!(
        (1..64).contains(&renewals),
        "{renewals} renewals were taken"
    );
    scene.nothing_happened();
    scene.ends_well();
}

/// The messages of an exchange out of their order, in the first exchange and in a later one.
#[test]
fn messages_of_the_exchange_out_of_order_end_the_connection() {
    let scene = Scene::new();
    let public = Writer::new(number::KEX_INIT).string([9; 32]).finish();
    let reply = Writer::new(number::KEX_REPLY)
        .string("k")
        .string("p")
        .string("s")
        .finish();
    for payload in [
        public,
        reply,
        vec![number::NEWKEYS],
        vec![number::NEWKEYS, 0],
    ] {
        let mut client = Hostile::greeted(scene.port());
        client.send(&payload);
        assert!(client.end().is_some(), "{payload:?} first");
        let mut client = Hostile::keyed(scene.port());
        client.send(&payload);
        assert!(client.end().is_some(), "{payload:?} under keys");
    }
    // Twice in one exchange.
    let mut client = Hostile::keyed(scene.port());
    let own = client.kexinit(true);
    client.send(&own);
    client.send(&own);
    assert!(client.end().is_some());
    scene.nothing_happened();
    scene.ends_well();
}

/// Public values that would make the secret known to anybody.
#[test]
fn public_values_of_no_worth_end_the_exchange() {
    let scene = Scene::new();
    let values: [&[u8]; 5] = [&[0; 32], &[0xff; 31], &[9; 33], b"", &[1; 4096]];
    for value in values {
        let mut client = Hostile::greeted(scene.port());
        let own = client.kexinit(true);
        client.send(&own);
        client.next_of(number::KEXINIT);
        client.send(&Writer::new(number::KEX_INIT).string(value).finish());
        assert!(client.end().is_some(), "{} bytes", value.len());
    }
    scene.nothing_happened();
    scene.ends_well();
}
