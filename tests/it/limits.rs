//! The gate's own limits against clients that say nothing, and its patience with people who are idle.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::client::PATIENCE;
use crate::support::light::connect_from;
use crate::support::{GateSetup, Logins, Sshd, World, finish, wait_until};

#[test]
fn a_silent_client_is_closed_after_the_login_grace() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("login_grace = \"2s\"")
        .start(&world);
    let began = Instant::now();
    let mut silent = TcpStream::connect(("127.0.0.1", gate.ssh_port)).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    // Its end is all that counts, be it a close or a reset.
    drop(silent.read_to_end(&mut said));
    let took = began.elapsed();
    assert!(said.starts_with(b"SSH-2.0-"), "the gate speaks first");
    assert!(
        (Duration::from_millis(1500)..Duration::from_secs(6)).contains(&took),
        "closed after {took:?}"
    );
    gate.stop();
}

#[test]
fn connections_of_one_source_are_bounded_at_the_browsers_door() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .https("max_connections_per_source = 3\nhandshake_timeout = \"5s\"")
        .start(&world);
    let greedy = Ipv4Addr::new(127, 0, 5, 5);
    let connect = |from| {
        let stream = connect_from(from, gate.https_port).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(greedy)).collect();
    let mut refused = connect(greedy);
    let at_once = Instant::now();
    // Its end is all that counts, be it a close or a reset.
    drop(refused.read_to_end(&mut Vec::new()));
    assert!(at_once.elapsed() < Duration::from_secs(4));
    let is_counted = |line: &str| {
        wait_until(line, PATIENCE, || {
            gate.admin("/metrics").1.contains(line).then_some(())
        });
    };
    is_counted("poolgate_limit_hits_total{limit=\"https.max_connections_per_source\"} 1");
    // A neighbour comes in, and the silent ones are ended by their deadline.
    let mut neighbour = connect(Ipv4Addr::new(127, 0, 5, 6));
    for stream in held.iter_mut().chain([&mut neighbour]) {
        drop(stream.read_to_end(&mut Vec::new()));
    }
    is_counted("poolgate_limit_hits_total{limit=\"https.handshake_timeout\"} 4");
    gate.stop();
}

#[test]
fn people_log_in_beside_a_crowd_of_silent_clients() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let crowd: Vec<TcpStream> = (1..=40)
        .map(|last| {
            // From other addresses of the loopback than people come from.
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let from: std::net::SocketAddr = format!("127.0.1.{last}:0").parse().unwrap();
            let to: std::net::SocketAddr = format!("127.0.0.1:{}", gate.ssh_port).parse().unwrap();
            socket.bind(&from.into()).unwrap();
            socket.connect(&to.into()).unwrap();
            socket.into()
        })
        .collect();
    let finished = gate.door(&world).run(&world.person(1), "true").ok();
    assert!(finished.took < Duration::from_secs(5), "{finished}");
    drop(crowd);
    gate.stop();
}

#[test]
fn signs_of_life_are_answered_on_both_legs_of_an_idle_session() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    sshds[0].kill_9();
    sshds[0].add_config("ClientAliveInterval", "1");
    sshds[0].add_config("ClientAliveCountMax", "2");
    sshds[0].revive();
    let gate = GateSetup::over(&sshds)
        .ssh("keepalive = \"1s\"")
        .start(&world);
    let person = world.person(1);
    let mut ssh = gate.door(&world).ssh(&person);
    ssh.args(["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"]);
    // Long enough for either side to have given up on a partner that does not answer.
    ssh.args(["person01@127.0.0.1", "sleep 6; echo still here"]);
    assert_eq!(finish(&mut ssh, PATIENCE).ok().text(), "still here");
    gate.stop();
}
