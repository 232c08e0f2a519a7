//! Too much of everything before a login: each connection ends by a limit of its own, and the gate's memory stays small.

use std::time::{Duration, Instant};

use super::Scene;
use super::client::Hostile;
use crate::support::Logins;
use poolgate::ssh::wire::message::{self, Writer, number};
use poolgate::ssh::wire::userauth::none_request;

/// How much the gate may grow over one of these tests, in KiB: some connections' buffers, no multiple of what was sent.
const GROWTH_MAX: u64 = 24 * 1024;

impl Scene {
    /// Memory of the gate that is in use, in KiB.
    fn memory(&self) -> u64 {
        self.gate.status_kib("VmRSS:")
    }

    #[track_caller]
    fn has_grown_little_since(&self, before: u64) {
        let now = self.memory();
        assert!(
            now < before + GROWTH_MAX,
            "{before} KiB have become {now} KiB"
        );
    }
}

/// Sends `payload` until the gate hangs up; how often that was. Panics if it takes them all.
#[track_caller]
fn flood(client: &mut Hostile, payload: &[u8], most: usize) -> String {
    for _ in 0..most {
        client.send(payload);
    }
    let said = client.end();
    said.unwrap_or_else(|| panic!("no goodbye after a flood of {:?}", payload.first()))
}

/// CVE-2025-26466: PING before a login, each answered from memory. Also everything else that carries nothing.
#[test]
fn cve_2025_26466_messages_that_carry_nothing_are_counted_before_the_login() {
    let scene = Scene::new();
    let before = scene.memory();
    let nothing = [
        message::ping(&[7; 4096]),
        message::ignore(&[7; 4096]),
        message::unimplemented(0),
        Writer::new(number::DEBUG)
            .boolean(true)
            .string("x")
            .string("")
            .finish(),
        Writer::new(number::EXT_INFO).u32(0).finish(),
        vec![number::PONG, 0, 0, 0, 0],
        vec![200],
    ];
    for payload in &nothing {
        let mut client = Hostile::at_login(scene.port());
        let said = flood(&mut client, payload, 300);
        assert!(said.contains("carry nothing"), "{said}");
    }
    scene.has_grown_little_since(before);
    scene.nothing_happened();
    scene.ends_well();
}

/// CVE-2025-26466's worse half: PINGs while keys are being renewed, whose answers have to wait in memory.
#[test]
fn cve_2025_26466_answers_that_wait_for_keys_are_bounded_before_the_login() {
    let scene = Scene::new();
    let before = scene.memory();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Hostile::keyed(scene.port());
        let own = client.kexinit(true);
        client.send(&own);
        for _ in 0..200 {
            client.send(&message::ping(&[7; 32 * 1024]));
        }
        clients.push(client);
    }
    for client in &mut clients {
        client.end();
    }
    scene.has_grown_little_since(before);
    scene.nothing_happened();
    scene.ends_well();
}

/// Requests without end: offers and tries have limits of their own, and all of it together has one too.
#[test]
fn requests_without_end_are_cut_off() {
    let scene = Scene::new();
    let user = scene.user();
    let floods = [
        (none_request(user), "too many messages"),
        (
            message::service_request(message::SERVICE_USERAUTH),
            "too many messages",
        ),
        (Hostile::offer(user, &scene.key), "too many keys"),
        (Hostile::offer(user, &scene.victims_key), "too many keys"),
        (
            Hostile::request(user, "password")
                .boolean(false)
                .string("x")
                .finish(),
            "too many failed",
        ),
    ];
    for (payload, why) in floods {
        let mut client = Hostile::at_login(scene.port());
        let said = flood(&mut client, &payload, 400);
        assert!(said.contains(why), "{said}");
    }
    let mut client = Hostile::at_login(scene.port());
    let forged = client.signed(user, &scene.victims_key);
    assert!(flood(&mut client, &forged, 20).contains("too many failed"));
    scene.nothing_happened();
    scene.ends_well();
}

/// An agent may hold twenty keys: that many offers are no attack.
#[test]
fn twenty_offers_are_no_flood() {
    let scene = Scene::new();
    let mut client = Hostile::at_login(scene.port());
    for _ in 0..19 {
        client.send(&Hostile::offer(scene.user(), &scene.victims_key));
        assert_eq!(client.verdict(), Some(number::USERAUTH_FAILURE));
    }
    client.send(&Hostile::offer(scene.user(), &scene.key));
    assert_eq!(client.verdict(), Some(number::USERAUTH_60));
    client.send(&client.signed(scene.user(), &scene.key));
    assert_eq!(client.verdict(), Some(number::USERAUTH_SUCCESS));
    drop(client);
    scene.ends_well();
}

/// CVE-2026-42189: answers that nobody asked for, and counts of answers that would be memory.
#[test]
fn cve_2026_42189_answers_without_a_question_end_the_connection() {
    let scene = Scene::with(Logins::KeyboardInteractive, |setup| {
        setup.auth("password = \"instance\"")
    });
    let before = scene.memory();
    let answers = |count: u32| Writer::new(number::USERAUTH_INFO_RESPONSE).u32(count);
    for payload in [
        answers(0).finish(),
        answers(1).string("x").finish(),
        answers(u32::MAX).finish(),
    ] {
        let mut client = Hostile::at_login(scene.port());
        client.send(&payload);
        assert!(client.end().is_some());
    }
    assert_eq!(scene.dialled(), 0);
    // Asked once, and answered with more than any number of questions, or for a second time.
    let ask = Hostile::request(scene.user(), "keyboard-interactive")
        .string("")
        .string("")
        .finish();
    let many = (0..65)
        .fold(answers(65), |message, _| message.string("x"))
        .finish();
    for payload in [
        answers(u32::MAX).finish(),
        answers(2).string("x").finish(),
        many,
    ] {
        let mut client = Hostile::at_login(scene.port());
        client.send(&ask);
        assert_eq!(client.verdict(), Some(number::USERAUTH_60));
        client.send(&payload);
        assert!(client.end().is_some());
    }
    assert!(scene.sshd.accepted().is_empty() && scene.gate.audit("login").is_empty());
    scene.has_grown_little_since(before);
    scene.ends_well();
}

/// Packets as large as they may be, and fields as long as they may be, kept by connections that never go on.
#[test]
fn huge_strings_of_many_connections_stay_within_bounds() {
    let scene = Scene::new();
    let before = scene.memory();
    let user = "a".repeat(60_000);
    let huge = [
        Hostile::request(&user, "none").finish(),
        Hostile::request(scene.user(), &user).finish(),
        Hostile::request(scene.user(), "publickey")
            .boolean(false)
            .string("ssh-ed25519")
            .string(&user)
            .finish(),
        Hostile::request(scene.user(), "password")
            .boolean(false)
            .string(&user)
            .finish(),
        Writer::new(number::EXT_INFO)
            .u32(u32::MAX)
            .string(&user)
            .finish(),
        Writer::new(number::SERVICE_REQUEST).string(&user).finish(),
    ];
    for payload in &huge {
        let mut client = Hostile::at_login(scene.port());
        client.send(payload);
        assert_ne!(client.verdict(), Some(number::USERAUTH_SUCCESS));
    }
    // Most of a large packet, and then silence.
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut client = Hostile::at_login(scene.port());
        let packet = client.packet(&message::ignore(&[7; 60_000]));
        client.raw(&packet[..packet.len() - 1]);
        silent.push(client);
    }
    scene.has_grown_little_since(before);
    drop(silent);
    scene.nothing_happened();
    scene.ends_well();
}

/// CVE-2026-48108: identification without end, of a client; none of it is kept.
#[test]
fn cve_2026_48108_an_identification_without_end_is_not_waited_for() {
    let scene = Scene::new();
    for line in [
        &b"SSH-2.0-"[..],
        b"A",
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"SSH-1.5-x\r\n",
        b"\x16\x03\x01\x02\0\x01",
    ] {
        let mut client = Hostile::connect(scene.port());
        client.raw(line);
        let began = Instant::now();
        client.raw(&b"a".repeat(10_000));
        client.end_of_anything();
        assert!(began.elapsed() < Duration::from_secs(10), "{line:?}");
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// CVE-2026-46702: there is no compression to be bombed with, whatever a client asks for.
#[test]
fn cve_2026_46702_compression_is_not_negotiated() {
    let scene = Scene::new();
    for name in ["zlib", "zlib@openssh.com"] {
        let mut client = Hostile::greeted(scene.port());
        let own = client.kexinit(true);
        let own = String::from_utf8_lossy(&own)
            .contains("none")
            .then_some(own)
            .unwrap();
        client.send(&with_compression(&own, name));
        let server = client.next();
        let offered = server.unwrap();
        assert!(!String::from_utf8_lossy(&offered).contains("zlib"));
        assert!(
            client
                .end()
                .is_some_and(|text| text.contains("compression")),
            "{name}"
        );
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// A KEXINIT with another name in both of its lists of compressions.
fn with_compression(kexinit: &[u8], name: &str) -> Vec<u8> {
    let none = Writer::bare().string("none").finish();
    let wanted = Writer::bare().string(name).finish();
    let mut forged = Vec::new();
    let mut rest = kexinit;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(&none[..]) {
            forged.extend_from_slice(&wanted);
            rest = after;
        } else {
            forged.push(rest[0]);
            rest = &rest[1..];
        }
    }
    forged
}
