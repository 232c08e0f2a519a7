//! What people notice of penalties and of the time that refusals take.

use std::net::Ipv4Addr;
use std::time::Duration;

use poolgate::ssh::wire::userauth::none_request;

use crate::support::client::PATIENCE;
use crate::support::light::LightClient;
use crate::support::world::public;
use crate::support::{
    Door, Finished, GateSetup, Logins, Person, Sshd, World, finish, tool, wait_until,
};

#[test]
fn twenty_keys_of_an_agent_cost_nothing_and_the_last_one_lets_in() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .penalties("min = \"1s\"")
        .start(&world);
    let person = world.person(1);
    let others: Vec<_> = (1..20)
        .map(|number| world.make_key(&format!("agent/{number}")))
        .collect();
    for _ in 0..5 {
        let mut ssh = tool("ssh");
        ssh.args(["-F", "none"]).env_remove("SSH_AUTH_SOCK");
        // Before the person's own, which stands in the door's options.
        for key in &others {
            ssh.arg("-o").arg(format!("IdentityFile={}", key.display()));
        }
        ssh.args(gate.door(&world).options(&person));
        ssh.args(["person01@127.0.0.1", "true"]);
        finish(&mut ssh, PATIENCE).ok();
    }
    gate.stop();
}

#[test]
fn a_penalised_source_is_refused_for_a_while_and_others_are_not() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    // One is too many here, for how long several logins take depends on the machine.
    let gate = GateSetup::over(&sshds)
        .penalties("noauth = \"15s\"\nmin = \"1s\"")
        .start(&world);
    let (stranger, person) = (unknown_to_the_gate(&world), world.person(1));
    let door = gate.door(&world);
    let from = |address: &str, who: &Person| log_in_from(&door, who, address);
    let refused = from("127.0.5.1", &stranger);
    assert!(refused.stderr.contains("Permission denied"), "{refused}");
    gate.wait_audit("refused", 1);
    let closed = from("127.0.5.1", &person);
    assert_eq!(closed.code(), Some(255), "{closed}");
    assert!(!closed.stderr.contains("Permission denied"), "{closed}");
    from("127.0.5.2", &person).ok();
    wait_until("the end of the penalty", PATIENCE, || {
        (from("127.0.5.1", &person).code() == Some(0)).then_some(())
    });
    gate.stop();
}

fn log_in_from(door: &Door, person: &Person, address: &str) -> Finished {
    door.run_with(person, &["-b", address], "true")
}

fn unknown_to_the_gate(world: &World) -> Person {
    Person {
        key: world.make_key("stranger"),
        ..world.person(2)
    }
}

#[test]
fn nobody_can_tell_which_names_and_keys_exist() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("login_grace = \"60s\"")
        .start(&world);
    let known = world.person(1);
    let without_keys = world.person(2);
    world.authorize(&without_keys, "");
    let key = std::fs::read_to_string(public(&world.make_key("stranger"))).unwrap();
    let mut answers = Vec::new();
    for name in [
        known.name.as_str(),
        without_keys.name.as_str(),
        "nobody-of-that-name",
    ] {
        let mut client = LightClient::connect(Ipv4Addr::LOCALHOST, gate.ssh_port).unwrap();
        client.ask(&none_request(name)).unwrap();
        let offer = offer(name, &key);
        let timed: Vec<_> = (0..15).map(|_| client.timed(&offer).unwrap()).collect();
        let fastest = timed.iter().map(|(_, took)| *took).min().unwrap();
        // The floor is far above what looking for keys takes; what a name adds is a secret of the gate's.
        let bounds = Duration::from_millis(5)..Duration::from_millis(25);
        assert!(bounds.contains(&fastest), "{name}: {fastest:?}");
        answers.push(timed[0].0.clone());
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    gate.stop();
}

/// A public key named and not signed with, RFC 4252 section 7.
fn offer(name: &str, line: &str) -> Vec<u8> {
    use base64::Engine;
    let blob = line.split_whitespace().nth(1).unwrap();
    let blob = base64::engine::general_purpose::STANDARD
        .decode(blob)
        .unwrap();
    let mut payload = vec![50];
    let mut text = |bytes: &[u8]| {
        payload.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        payload.extend(bytes);
    };
    for part in [name, "ssh-connection", "publickey"] {
        text(part.as_bytes());
    }
    payload.push(0);
    for part in [&b"ssh-ed25519"[..], &blob] {
        payload.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        payload.extend(part);
    }
    payload
}
