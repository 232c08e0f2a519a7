//! Hostile instances: whatever one does before its verdict, the person is told, is placed elsewhere where that can help,
//! and the gate's memory stays small.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{Hostile, private_key};
use super::instance::{Peer, Script, ScriptedInstance};
use crate::support::client::host;
use crate::support::{Finished, Gate, GateSetup, Logins, Person, Sshd, World, finish, wait_until};
use poolgate::ssh::wire::message::{self, DisconnectCode, number};
use poolgate::ssh::wire::userauth::{self, Secret, password_request};

const GRACE: &str = "login_grace = \"5s\"\nconnect_timeout = \"2s\"";
/// By then a person knows: the grace, and some for a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
/// As in `floods`.
const GROWTH_MAX: u64 = 24 * 1024;

/// A gate over a hostile instance, and over an honest one beside it if wanted.
struct Scene {
    gate: Gate,
    _hostile: ScriptedInstance,
    honest: Option<Sshd>,
    person: Person,
    world: World,
}

/// How it begins a connection.
type Start = fn(&mut TcpStream);

fn honest_start(_: &mut TcpStream) {}

impl Scene {
    fn new(script: Script) -> Self {
        Self::with(honest_start, script, false, "password = \"off\"")
    }

    fn with(before: Start, script: Script, beside: bool, auth: &str) -> Self {
        let world = World::new();
        let hostile = ScriptedInstance::start(&world, "bad", before, script);
        let honest = beside.then(|| Sshd::start(&world, "good", Logins::Certificates));
        let mut setup = GateSetup::default()
            .instance("bad", hostile.port, None)
            .health("interval = \"5m\"\nrise = 1\nfall = 1")
            .ssh(GRACE)
            .auth(auth);
        if let Some(sshd) = &honest {
            setup = setup.instance(&sshd.name, sshd.port, None);
        }
        let gate = setup.start(&world);
        let person = world.person(1);
        Self {
            gate,
            _hostile: hostile,
            honest,
            person,
            world,
        }
    }

    /// What somebody with OpenSSH sees of it.
    fn ssh(&self) -> Finished {
        let mut ssh = self.gate.door(&self.world).ssh(&self.person);
        let began = Instant::now();
        let seen = finish(
            ssh.arg(host(&self.person)).arg("echo in"),
            Duration::from_secs(60),
        );
        assert!(
            began.elapsed() < TOLD_WITHIN,
            "told after {:?}",
            began.elapsed()
        );
        assert!(
            !seen.stderr.contains('\u{1b}'),
            "escapes reached the terminal: {seen}"
        );
        seen
    }

    /// They are refused with these words, in time, and nothing is left of it.
    #[track_caller]
    fn refuses(self, why: &str) {
        let before = self.gate.status_kib("VmRSS:");
        let seen = self.ssh();
        assert_eq!(seen.code(), Some(255), "{seen}");
        assert!(seen.stderr.contains(why), "{seen}");
        let after = self.gate.status_kib("VmRSS:");
        assert!(
            after < before + GROWTH_MAX,
            "{before} KiB have become {after} KiB"
        );
        assert!(self.gate.audit("login").is_empty());
        self.gate.wait_audit("refused", 1);
        self.ends_well();
    }

    /// Two people log in and stay: whichever instance is the first one's, the emptier one is the second's, so that one of
    /// them meets the hostile one. Both are told or spared, and both end on the honest one.
    #[track_caller]
    fn leaves_it_for_another(self, why: &str) {
        let mut stay = Vec::new();
        let mut told = String::new();
        for number in [1, 2] {
            let person = self.world.person(number);
            let key = private_key(&person.key);
            let mut client = Hostile::at_login(self.gate.ssh_port);
            client.send(&client.signed(&person.name, &key));
            told += &client.text_until_success();
            stay.push(client);
        }
        assert!(
            told.contains("bad cannot be used") && told.contains(why),
            "{told}"
        );
        assert!(
            self.gate
                .sessions()
                .iter()
                .all(|session| session["instance"] == "good")
        );
        let honest = self.honest.as_ref().unwrap();
        // Its log may come a moment behind its word.
        wait_until("both in the honest one's log", TOLD_WITHIN, || {
            (honest.accepted() == ["person01", "person02"]).then_some(())
        });
        drop(stay);
        self.ends_well();
    }

    fn ends_well(self) {
        self.gate.wait_sessions(0);
        assert!(!self.gate.log().contains("panicked"));
        self.gate.stop();
    }
}

fn stall_before_ident(stream: &mut TcpStream) {
    say_and_stall(stream, b"SSH-2.0-stalls");
}

fn stall_behind_ident(stream: &mut TcpStream) {
    say_and_stall(stream, b"SSH-2.0-stalls\r\n");
}

fn say_and_stall(stream: &mut TcpStream, said: &[u8]) {
    drop(stream.write_all(said));
    // Until the gate hangs up.
    stream.set_read_timeout(Some(TOLD_WITHIN)).unwrap();
    while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
}

fn lines_without_end(stream: &mut TcpStream) {
    while stream
        .write_all(&[&b"all work and no play\r\n"[..]; 64].concat())
        .is_ok()
    {}
}

#[test]
fn an_instance_that_never_gets_to_its_keys_is_left_for_another() {
    let ways: [(Start, &str); 3] = [
        (stall_before_ident, "it does not answer"),
        (stall_behind_ident, "it does not answer"),
        (lines_without_end, "it takes no connections"),
    ];
    for (before, why) in ways {
        let scene = Scene::with(before, |_| {}, true, "password = \"off\"");
        scene.leaves_it_for_another(why);
    }
}

#[test]
fn an_instance_that_stalls_after_the_keys_is_left_for_another() {
    let alone = Scene::new(Peer::stall);
    let seen = alone.ssh();
    assert_eq!(seen.code(), Some(255), "{seen}");
    assert!(
        seen.stderr.contains("no instance could be reached"),
        "{seen}"
    );
    assert_eq!(alone.gate.instances()[0]["health"], "down");
    alone.ends_well();
    let scene = Scene::with(honest_start, Peer::stall, true, "password = \"off\"");
    scene.leaves_it_for_another("it does not answer");
}

/// It may be asking the person's telephone.
#[test]
fn an_instance_that_stalls_over_a_password_ends_with_the_grace() {
    let scene = Scene::with(honest_start, Peer::stall, false, "password = \"instance\"");
    let mut client = Hostile::at_login(scene.gate.ssh_port);
    client.send(&password_request(&scene.person.name, &Secret::new(b"x")));
    let said = client.end();
    assert!(said.is_some_and(|said| said.contains("login took longer than 5s")));
    scene.ends_well();
}

#[test]
fn an_instance_that_hangs_up_on_the_login_is_left_for_another() {
    let script: Script = |peer| {
        peer.until(number::USERAUTH_REQUEST);
    };
    let scene = Scene::with(honest_start, script, true, "password = \"off\"");
    scene.leaves_it_for_another("broke off the login");
}

#[test]
fn banners_without_end_are_neither_kept_nor_waited_for() {
    let script: Script = |peer| {
        peer.until(number::USERAUTH_REQUEST);
        let banner = userauth::banner(&"all work and no play\r\n".repeat(1000));
        while peer.send(&banner) {}
    };
    Scene::new(script).refuses("no instance could be reached");
    let scene = Scene::with(honest_start, script, true, "password = \"off\"");
    scene.leaves_it_for_another("broke off the login");
}

#[test]
fn banners_without_end_to_a_password_end_the_login() {
    let script: Script = |peer| {
        peer.until(number::USERAUTH_REQUEST);
        while peer.send(&userauth::banner("all work and no play\r\n")) {}
    };
    let scene = Scene::with(honest_start, script, false, "password = \"instance\"");
    let mut client = Hostile::at_login(scene.gate.ssh_port);
    client.send(&password_request(&scene.person.name, &Secret::new(b"x")));
    assert!(client.end().is_some_and(|said| said.contains("no verdict")));
    scene.ends_well();
}

#[test]
fn a_disconnect_with_escapes_reaches_the_person_without_them() {
    let scene = Scene::new(|peer| {
        peer.until(number::USERAUTH_REQUEST);
        let text = "go away\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\nfake: line";
        peer.send(&message::disconnect(DisconnectCode::ByApplication, text));
    });
    let seen = scene.ssh();
    assert_eq!(seen.code(), Some(255), "{seen}");
    let line = &scene.gate.wait_audit("refused", 1)[0];
    let cause = line["cause"].as_str().unwrap();
    assert!(!cause.contains(char::is_control), "{cause:?}");
    scene.ends_well();
}

#[test]
fn a_packet_larger_than_any_is_refused() {
    Scene::new(|peer| {
        peer.until(number::USERAUTH_REQUEST);
        peer.raw(&[0x7f, 0xff, 0xff, 0xff]);
        while peer.raw(&[7; 64 * 1024]) {}
    })
    .refuses("no instance could be reached");
}

#[test]
fn messages_with_no_place_in_a_login_are_no_verdict() {
    let scripts: [Script; 5] = [
        |peer| answer(peer, &[90, 0, 0, 0, 0]),
        |peer| answer(peer, &[number::USERAUTH_INFO_RESPONSE, 0, 0, 0, 0]),
        |peer| answer(peer, &[number::USERAUTH_FAILURE, 0xff, 0xff, 0xff, 0xff, 0]),
        |peer| answer(peer, &[number::USERAUTH_60]),
        |peer| answer(peer, &[number::GLOBAL_REQUEST, 0, 0, 0, 0, 1]),
    ];
    for script in scripts {
        Scene::new(script).refuses("no instance could be reached");
    }
}

fn answer(peer: &mut Peer, payload: &[u8]) {
    peer.until(number::USERAUTH_REQUEST);
    peer.send(payload);
    peer.stall();
}

#[test]
fn success_said_twice_is_said_once_to_the_person() {
    let scene = Scene::new(|peer| {
        peer.until(number::USERAUTH_REQUEST);
        peer.send(&userauth::success());
        peer.send(&userauth::success());
        peer.send(&userauth::failure(&["publickey"], false));
        peer.send(&userauth::banner("late\r\n"));
        peer.send(&[number::REQUEST_SUCCESS]);
        peer.send(&message::disconnect(
            DisconnectCode::ByApplication,
            "that was all",
        ));
    });
    let key = private_key(&scene.person.key);
    let mut client = Hostile::logged_in(scene.gate.ssh_port, &scene.person.name, &key);
    let mut heard = Vec::new();
    let said = loop {
        match client.next() {
            Some(payload) if payload[0] == number::DISCONNECT => {
                break message::Disconnect::parse(&payload).unwrap().text;
            }
            Some(payload) => heard.push(payload[0]),
            None => panic!("no goodbye"),
        }
    };
    assert!(said.contains("that was all"), "{said}");
    assert!(
        !heard.iter().any(|number| (50..80).contains(number)),
        "{heard:?}"
    );
    drop(client);
    scene.ends_well();
}

#[test]
fn success_before_the_question_is_no_login() {
    // Said right behind the service, before anybody has asked to be let in.
    let scene = Scene::with(
        honest_start,
        |peer| {
            peer.send(&userauth::success());
            peer.stall();
        },
        false,
        "password = \"instance\"",
    );
    let mut client = Hostile::at_login(scene.gate.ssh_port);
    client.send(&Hostile::request(&scene.person.name, "none").finish());
    assert_eq!(client.verdict(), Some(number::USERAUTH_FAILURE));
    drop(client);
    scene.ends_well();
}

#[test]
fn questions_without_end_end_with_the_limit_on_messages() {
    let scene = Scene::with(
        honest_start,
        |peer| {
            let round = userauth::info_request("", "", &[]);
            while peer.next().is_some() && peer.send(&round) {}
        },
        false,
        "password = \"instance\"",
    );
    let mut client = Hostile::at_login(scene.gate.ssh_port);
    let ask = Hostile::request(&scene.person.name, "keyboard-interactive")
        .string("")
        .string("");
    client.send(&ask.finish());
    let mut rounds = 0;
    while client.verdict() == Some(number::USERAUTH_60) {
        rounds += 1;
        client.send(&[number::USERAUTH_INFO_RESPONSE, 0, 0, 0, 0]);
    }
    assert!((10..1000).contains(&rounds), "{rounds} rounds");
    scene.ends_well();
}

/// The instance is one that anybody could stand in for: another key than the one pinned at first use.
#[test]
fn a_wrong_host_key_is_told_and_nothing_is_signed_for_it() {
    let world = World::new();
    let person = world.person(1);
    let refuse: Script = |peer| {
        peer.until(number::USERAUTH_REQUEST);
        peer.send(&userauth::failure(&["publickey"], false));
        peer.stall();
    };
    let first = ScriptedInstance::start(&world, "bad", honest_start, refuse);
    let known = world.path("instances");
    let key = std::fs::read_to_string(world.make_key("other").with_extension("pub")).unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{} {key}", first.port)).unwrap();
    let gate = GateSetup::default()
        .instance("bad", first.port, None)
        .health("interval = \"5m\"\nrise = 1")
        .ssh(GRACE)
        .auth("password = \"off\"")
        .pool_ssh(&format!(
            "instance_host_keys = \"known_hosts:{}\"",
            known.display()
        ))
        .start(&world);
    let seen = gate.door(&world).run(&person, "true");
    assert_eq!(seen.code(), Some(255), "{seen}");
    assert!(
        seen.stderr.contains("its host key is not trusted"),
        "{seen}"
    );
    assert_eq!(
        first.logins.load(Ordering::Relaxed),
        0,
        "an impostor was asked for a login"
    );
    gate.wait_audit("refused", 1);
    wait_until("no session", TOLD_WITHIN, || {
        gate.sessions().is_empty().then_some(())
    });
    gate.stop();
}
