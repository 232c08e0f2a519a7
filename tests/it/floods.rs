//! Ten thousand clients that stall, and ten thousand wrong passwords: what they cost the gate, the instances and others.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poolgate::ssh::wire::message::number;
use poolgate::ssh::wire::userauth::{Secret, password_request};

use crate::support::client::PATIENCE;
use crate::support::light::{LightClient, connect_from, first_line};
use crate::support::{Gate, GateSetup, Logins, Sshd, World, wait_until};

const CROWD: usize = 10_000;
/// Below what the gate grants one source.
const PER_SOURCE: usize = 200;
const LOGINS: usize = 20;

#[test]
fn ten_thousand_silent_clients_cost_little_and_keep_nobody_out() {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(hard > CROWD as u64 + 1000, "at most {hard} open files");
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("login_grace = \"20s\"")
        .ssh("max_startups = 30000")
        .ssh("max_connections = 30000")
        .start(&world);
    let person = world.person(1);
    gate.door(&world).run(&person, "true").ok();
    let before = gate.rss_kib();
    let began = Instant::now();
    let mut crowd: Vec<TcpStream> = (0..CROWD).map(|number| silent(&gate, number)).collect();
    let opened = began.elapsed();
    let during = gate.rss_kib();
    let mut took: Vec<Duration> = (0..LOGINS)
        .map(|_| gate.door(&world).run(&person, "true").ok().took)
        .collect();
    took.sort();
    let crowded = gate.rss_kib();
    let limit = Duration::from_secs(60);
    wait_until("the end of every silent client", limit, || {
        crowd.retain_mut(|stream| !has_ended(stream));
        crowd.is_empty().then_some(())
    });
    let cut = began.elapsed();
    println!(
        "{CROWD} silent clients in {opened:?}, cut {cut:?} after the first; RSS {before} KiB before, {during} and {crowded} \
         during; logins {:?} to {:?}",
        took[0],
        took[LOGINS - 1],
    );
    assert!(during.max(crowded) <= 512 << 10, "{during} {crowded} KiB");
    assert!(took[LOGINS - 1] <= Duration::from_secs(2), "{took:?}");
    wait_until(
        "memory as before the crowd",
        Duration::from_secs(60),
        || (gate.rss_kib() <= before * 13 / 10).then_some(()),
    );
    gate.stop();
}

fn silent(gate: &Gate, number: usize) -> TcpStream {
    let source = number / PER_SOURCE;
    let from = Ipv4Addr::new(127, 1, u8::try_from(source).unwrap(), 1);
    let mut stream = connect_from(from, gate.ssh_port).unwrap();
    stream.write_all(b"SSH-2.0-silent\r\n").unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

fn has_ended(stream: &mut TcpStream) -> bool {
    let mut scrap = [0; 8192];
    loop {
        match stream.read(&mut scrap) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn ten_thousand_wrong_passwords_stay_at_the_gate_and_others_log_in() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Passwords);
    let gate = GateSetup::over(&sshds)
        .penalties("authfail = \"5s\"")
        .start(&world);
    let (tries, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    let mut took = Vec::new();
    std::thread::scope(|threads| {
        for _ in 0..32 {
            threads.spawn(|| {
                while tries.load(Ordering::Relaxed) < 10_000 {
                    guess(&gate, &tries, &refused);
                }
            });
        }
        for number in 2..=6 {
            let person = world.person(number);
            took.push(gate.door(&world).run(&person, "true").ok().took);
        }
    });
    let elapsed = began.elapsed();
    let reached = sshds[0].log().matches("Failed password for").count();
    let (tries, refused) = (tries.into_inner(), refused.into_inner());
    println!(
        "{tries} tries in {elapsed:?}: {reached} reached the instance, {refused} connections refused; others' logins {took:?}"
    );
    // What is forgiven at first, what is under way when the penalty begins, and what time earns back.
    let earned = usize::try_from(elapsed.as_secs() / 5).unwrap() + 1;
    assert!(
        reached <= 4 + 8 + earned * 8,
        "{reached} of {tries} after {elapsed:?}"
    );
    assert!(reached >= 1 && refused > 9_000, "{reached} {refused}");
    let (_, metrics) = gate.admin("/metrics");
    assert!(metrics.contains("limit=\"ssh.penalties.min\""), "{metrics}");
    gate.stop();
}

/// One connection of the guesser: as many passwords as the gate takes, or its refusal.
fn guess(gate: &Gate, tries: &AtomicUsize, refused: &AtomicUsize) {
    let from = Ipv4Addr::new(127, 66, 6, 6);
    tries.fetch_add(1, Ordering::Relaxed);
    let Ok(mut client) = LightClient::connect(from, gate.ssh_port) else {
        refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let request = password_request("person01", &Secret::new(b"wrong"));
    while let Ok(answer) = client.ask(&request) {
        assert_eq!(answer[0], number::USERAUTH_FAILURE);
        tries.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_refused_source_reads_why() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .penalties("noauth = \"1h\"")
        .start(&world);
    let from = Ipv4Addr::new(127, 66, 6, 7);
    let mut first = connect_from(from, gate.ssh_port).unwrap();
    assert!(first_line(&mut first).unwrap().starts_with("SSH-2.0-"));
    drop(first);
    let line = wait_until("the refusal", PATIENCE, || {
        let mut next = connect_from(from, gate.ssh_port).ok()?;
        let line = first_line(&mut next).ok()?;
        line.starts_with("Not allowed").then_some(line)
    });
    assert!(
        line.contains("too many failed logins from your address"),
        "{line}"
    );
    gate.door(&world).run(&world.person(1), "true").ok();
    gate.stop();
}
