//! Clients that leave, or fall silent, at each step of a login: no seat, no dial and no connection outlives them.

use std::time::{Duration, Instant};

use super::Scene;
use super::client::Hostile;
use crate::support::Logins;
use crate::support::people::PASSWORD;
use poolgate::ssh::wire::message::{self, DisconnectCode, number};
use poolgate::ssh::wire::userauth::{Secret, none_request, password_request};

/// A client at each step in turn, the last before it is let in.
fn steps(scene: &Scene) -> Vec<(&'static str, Hostile)> {
    let port = scene.port();
    let mut steps = vec![("connected", Hostile::connect(port))];
    let mut half = Hostile::connect(port);
    half.raw(b"SSH-2.0-ha");
    steps.push(("half an identification", half));
    steps.push(("greeted", Hostile::greeted(port)));
    let mut half = Hostile::greeted(port);
    let own = half.kexinit(true);
    let packet = half.packet(&own);
    half.raw(&packet[..packet.len() / 2]);
    steps.push(("half a KEXINIT", half));
    let mut proposed = Hostile::greeted(port);
    let own = proposed.kexinit(true);
    proposed.send(&own);
    steps.push(("KEXINIT", proposed));
    let mut exchanging = Hostile::greeted(port);
    exchanging.begin_exchange(true);
    steps.push(("exchanging", exchanging));
    let mut confirming = Hostile::greeted(port);
    let exchange = confirming.begin_exchange(true);
    confirming.finish_exchange(exchange);
    steps.push(("before NEWKEYS", confirming));
    steps.push(("keyed", Hostile::keyed(port)));
    steps.push(("at login", Hostile::at_login(port)));
    let mut refused = Hostile::at_login(port);
    refused.send(&none_request(scene.user()));
    refused.verdict();
    steps.push(("refused once", refused));
    let mut offered = Hostile::at_login(port);
    offered.send(&Hostile::offer(scene.user(), &scene.key));
    offered.verdict();
    steps.push(("offered", offered));
    let mut renewing = Hostile::at_login(port);
    let own = renewing.kexinit(true);
    renewing.send(&own);
    steps.push(("renewing keys", renewing));
    steps
}

#[test]
fn a_client_may_leave_at_each_step() {
    let scene = Scene::new();
    for (_, client) in steps(&scene) {
        drop(client);
    }
    let goodbye = message::disconnect(DisconnectCode::ByApplication, "I have had enough");
    for (step, mut client) in steps(&scene) {
        // Where a packet is cut in half, or keys are half made, this is garbage, which must do no more.
        client.send(&goodbye);
        client.close_writing();
        client.end_of_anything();
        drop((step, client));
    }
    scene.nothing_happened();
    scene.ends_well();
}

#[test]
fn a_client_that_falls_silent_at_each_step_is_cut_within_the_grace() {
    let scene = Scene::with(Logins::Certificates, |setup| {
        setup.ssh("login_grace = \"3s\"").auth("password = \"off\"")
    });
    let began = Instant::now();
    let mut silent = steps(&scene);
    for (step, client) in &mut silent {
        client.end_of_anything();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{step}: cut after {took:?}");
    }
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "cut before the grace was over"
    );
    scene.nothing_happened();
    scene.ends_well();
}

/// The same once a login has reached the instance: seats and the instance's own connection end with the client.
#[test]
fn a_client_that_leaves_while_the_instance_is_asked_leaves_nothing_there() {
    let scene = Scene::with(Logins::KeyboardInteractive, |setup| {
        setup
            .auth("password = \"instance\"")
            .ssh("login_grace = \"4s\"")
    });
    let ask = Hostile::request(scene.user(), "keyboard-interactive")
        .string("")
        .string("")
        .finish();
    for stays in [false, true] {
        let mut client = Hostile::at_login(scene.port());
        client.send(&ask);
        assert_eq!(client.verdict(), Some(number::USERAUTH_60));
        if stays {
            client.end_of_anything();
        }
    }
    // Gone before the instance has said a word.
    let mut client = Hostile::at_login(scene.port());
    client.send(&ask);
    drop(client);
    scene.gate.wait_sessions(0);
    assert!(scene.sshd.accepted().is_empty());
    scene.ends_well();
}

/// A proof and the end of the connection in one segment: whatever the instance has begun is ended.
#[test]
fn a_client_that_leaves_right_behind_its_proof_holds_no_seat() {
    let scene = Scene::new();
    for is_polite in [false, true] {
        for _ in 0..10 {
            let mut client = Hostile::at_login(scene.port());
            let mut bytes = client.packet(&client.signed(scene.user(), &scene.key));
            if is_polite {
                let goodbye = message::disconnect(DisconnectCode::ByApplication, "done");
                bytes.extend(client.packet(&goodbye));
            }
            client.raw(&bytes);
            drop(client);
        }
    }
    scene.ends_well();
}

/// As soon as it is let in, and with a channel half open.
#[test]
fn a_client_that_leaves_in_the_middle_of_its_session_holds_no_seat() {
    let scene = Scene::with(Logins::Passwords, |setup| {
        setup.auth("password = \"instance\"")
    });
    let mut client = Hostile::at_login(scene.port());
    client.send(&password_request(
        scene.user(),
        &Secret::new(PASSWORD.as_bytes()),
    ));
    assert_eq!(client.verdict(), Some(number::USERAUTH_SUCCESS));
    drop(client);
    let mut client = scene.logged_in();
    let packet = client.packet(&[90, 0, 0, 0, 7, b's', b'e', b's', b's', b'i', b'o', b'n']);
    client.raw(&packet[..9]);
    client.close_writing();
    client.end_of_anything();
    scene.ends_well();
}
