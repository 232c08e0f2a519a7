//! Hostile clients that have logged in: the instance judges their channels, the gate what is the gate's, and every end is
//! clean.

use super::Scene;
use super::client::Hostile;
use poolgate::ssh::wire::message::{Writer, number};

const WINDOW: u32 = 1 << 20;

fn open(channel: u32, window: u32) -> Vec<u8> {
    Writer::new(90)
        .string("session")
        .u32(channel)
        .u32(window)
        .u32(1 << 15)
        .finish()
}

fn request(name: &str, want_reply: bool) -> Writer {
    Writer::new(98).u32(0).string(name).boolean(want_reply)
}

/// Data on channels that nobody opened: the instance ends the session and says why; the gate passes that on.
#[test]
fn data_on_a_channel_that_nobody_opened_ends_the_session_cleanly() {
    let scene = Scene::new();
    for payload in [
        Writer::new(94).u32(7).string("x").finish(),
        Writer::new(95).u32(u32::MAX).u32(1).string("x").finish(),
        Writer::new(97).u32(7).finish(),
        Writer::new(91).u32(7).u32(0).u32(1).u32(1).finish(),
    ] {
        let mut client = scene.logged_in();
        client.send(&payload);
        assert!(client.end().is_some(), "{payload:?}: no goodbye");
    }
    scene.ends_well();
}

/// GHSA-h5rc-j5f5-3gcm: windows run end to end, so one that overflows or is overrun is the instance's to punish.
#[test]
fn ghsa_h5rc_j5f5_3gcm_windows_that_overflow_hurt_nobody_else() {
    let scene = Scene::new();
    let mut neighbour = scene.logged_in();
    neighbour.send(&open(0, WINDOW));
    neighbour.next_of(91);
    neighbour.send(&request("exec", true).string("cat").finish());
    neighbour.next_of(99);

    let mut client = scene.logged_in();
    client.send(&open(0, u32::MAX));
    client.next_of(91);
    client.send(&Writer::new(93).u32(0).u32(u32::MAX).finish());
    client.send(&Writer::new(93).u32(0).u32(u32::MAX).finish());
    client.send(&open(1, 1));
    drop(client);

    // Twice the instance's window at once, into a command that reads nothing.
    let mut client = scene.logged_in();
    client.send(&open(0, WINDOW));
    client.next_of(91);
    client.send(&request("exec", true).string("sleep 60").finish());
    client.next_of(99);
    let data = Writer::new(94).u32(0).string([7; 32 * 1024]).finish();
    for _ in 0..160 {
        client.send(&data);
    }
    drop(client);

    neighbour.send(&Writer::new(94).u32(0).string("still here").finish());
    assert_eq!(&neighbour.next_of(94)[9..], b"still here");
    drop(neighbour);
    scene.ends_well();
}

/// What ends at a leg must not pass it: a login again, host keys to be proved, answers that nobody asked for.
#[test]
fn messages_of_one_leg_do_not_reach_the_other() {
    let scene = Scene::new();
    let mut client = scene.logged_in();
    client.send(&client.signed(&scene.victim.name, &scene.victims_key));
    client.send(&Hostile::request(&scene.victim.name, "none").finish());
    client.send(&[number::USERAUTH_SUCCESS]);
    client.send(&[number::USERAUTH_INFO_RESPONSE, 0, 0, 0, 0]);
    client.send(&[number::REQUEST_SUCCESS]);
    client.send(&[number::REQUEST_FAILURE]);
    // A window for a channel that nobody opened is no reason for sshd to end a session, and so none for the gate.
    client.send(&Writer::new(93).u32(7).u32(1).finish());
    // The session lives, under the name that was proved.
    client.send(&open(0, WINDOW));
    client.next_of(91);
    client.send(&request("exec", true).string("whoami").finish());
    let said = client.next_of(94);
    assert_eq!(said[9..].trim_ascii(), scene.user().as_bytes());
    drop(client);
    scene.sshd.wait_accepted(&[scene.user()]);
    assert!(
        !scene
            .sshd
            .log()
            .contains(&format!("user {}", scene.victim.name))
    );
    scene.ends_well();
}

/// Messages cut short in the middle of a session, and global requests without end.
#[test]
fn malformed_messages_in_a_session_end_it_cleanly() {
    let scene = Scene::new();
    for payload in [
        vec![80],
        vec![80, 0xff, 0xff, 0xff, 0xff],
        vec![90],
        vec![98, 0, 0, 0, 0, 0x7f],
        Writer::new(80)
            .string("x".repeat(300))
            .boolean(true)
            .finish(),
    ] {
        let mut client = scene.logged_in();
        client.send(&payload);
        assert!(client.end().is_some(), "{payload:?}: no goodbye");
    }
    scene.ends_well();
}

#[test]
fn a_client_that_asks_without_reading_the_answers_is_bounded() {
    let scene = Scene::new();
    let mut client = scene.logged_in();
    let ask = Writer::new(80)
        .string("keepalive@openssh.com")
        .boolean(true)
        .finish();
    let batch: Vec<u8> = (0..512).flat_map(|_| client.packet(&ask)).collect();
    // Whether the instance keeps up or the gate's limit on unanswered requests ends it, memory stays as it was.
    let before = scene.gate.status_kib("VmRSS:");
    client.raw(&batch);
    for _ in 0..40 {
        let batch: Vec<u8> = (0..512).flat_map(|_| client.packet(&ask)).collect();
        client.raw(&batch);
    }
    assert!(scene.gate.status_kib("VmRSS:") < before + 32 * 1024);
    drop(client);
    scene.ends_well();
}

/// Both sides at once: the gate renews by its own limit while the client renews by its own wish.
#[test]
fn both_sides_may_renew_keys_at_once_under_load() {
    let scene = Scene::with(crate::support::Logins::Certificates, |setup| {
        setup
            .ssh("rekey_bytes = \"1 MiB\"")
            .auth("password = \"off\"")
    });
    let mut client = scene.logged_in();
    client.send(&open(0, 64 << 20));
    client.next_of(91);
    client.send(
        &request("exec", true)
            .string("head -c 6000000 /dev/zero; echo end")
            .finish(),
    );
    let mut heard = 0;
    loop {
        let payload = client.next().expect("the session goes on");
        match payload[0] {
            94 => {
                heard += payload.len() - 9;
                if heard >= 6_000_004 {
                    break;
                }
            }
            // Either the gate asks, or it answers what was asked at that very moment.
            number::KEXINIT => heard += client.answer_exchange(payload),
            _ => {}
        }
    }
    assert_eq!(heard, 6_000_004);
    drop(client);
    scene.ends_well();
}
