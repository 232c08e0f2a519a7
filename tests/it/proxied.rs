//! Behind a balancer that speaks the PROXY protocol: HAProxy with both versions, and curl.

use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::process::Command;

use crate::support::client::PATIENCE;
use crate::support::light::{connect_from, first_line};
use crate::support::{
    Gate, GateSetup, Logins, Running, Sshd, World, finish, free_port, tool, wait_until,
};

/// Where the balancer's connections come from.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 9);

struct Scene {
    world: World,
    sshds: Vec<Sshd>,
    gate: Gate,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds)
            .ssh("proxy_protocol_from = [\"127.0.9.0/24\"]")
            .https("proxy_protocol_from = [\"127.0.9.0/24\"]")
            .start(&world);
        Self { world, sshds, gate }
    }

    /// HAProxy before the gate's ssh door, with a health check that says so in its header.
    fn haproxy(&self, send: &str) -> (Running, u16) {
        let port = free_port();
        let config = self.world.path(&format!("haproxy-{send}.cfg"));
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             listen ssh\n  bind 127.0.0.1:{port}\n  server gate 127.0.0.1:{} source {BALANCER} {send} check inter 1s\n",
            self.gate.ssh_port
        );
        fs::write(&config, text).unwrap();
        let running = Running::start(tool("haproxy").args(["-db", "-f"]).arg(&config));
        wait_until("haproxy", PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        self.world
            .trust_host(port, &self.world.path("gate_host_key"));
        (running, port)
    }
}

#[test]
fn haproxys_clients_are_known_by_their_own_addresses() {
    let scene = Scene::new();
    for (count, send) in ["send-proxy", "send-proxy-v2"].into_iter().enumerate() {
        let (_haproxy, port) = scene.haproxy(send);
        let mut door = scene.gate.door(&scene.world);
        door.port = port;
        let client = format!("127.0.7.{}", count + 1);
        door.run_with(&scene.world.person(1), &["-b", &client], "true")
            .ok();
        let logins = scene.gate.wait_audit("login", count + 1);
        let peer = logins[count]["peer"].as_str().unwrap();
        assert!(peer.starts_with(&client), "{send}: {peer}");
        // Minted into the certificate too, so that the instance's own log has it.
        assert!(scene.sshds[0].log().contains(&client), "{send}");
    }
    // Whoever comes by another way needs no header.
    scene
        .gate
        .door(&scene.world)
        .run(&scene.world.person(2), "true")
        .ok();
    scene.gate.stop();
}

#[test]
fn a_restriction_to_addresses_means_the_clients_and_not_the_balancers() {
    let scene = Scene::new();
    let person = scene.world.person(1);
    let key = fs::read_to_string(crate::support::world::public(&person.key)).unwrap();
    scene
        .world
        .authorize(&person, &format!("from=\"127.0.7.1\" {key}"));
    let (_haproxy, port) = scene.haproxy("send-proxy-v2");
    let mut door = scene.gate.door(&scene.world);
    door.port = port;
    let other = door.run_with(&person, &["-b", "127.0.7.2"], "true");
    assert!(other.stderr.contains("Permission denied"), "{other}");
    scene.gate.stop();
}

#[test]
fn a_header_is_demanded_of_balancers_and_believed_of_nobody_else() {
    let scene = Scene::new();
    let port = scene.gate.ssh_port;
    let mut balancer = connect_from(BALANCER, port).unwrap();
    balancer.write_all(b"SSH-2.0-impatient\r\n").unwrap();
    balancer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    drop(balancer.read_to_end(&mut said));
    assert!(said.is_empty(), "{said:?}");
    let mut liar = connect_from(Ipv4Addr::new(127, 0, 6, 6), port).unwrap();
    liar.write_all(b"PROXY TCP4 10.9.8.7 127.0.0.1 1 22\r\nSSH-2.0-liar\r\n")
        .unwrap();
    assert!(first_line(&mut liar).unwrap().starts_with("SSH-2.0-"));
    drop(liar.read_to_end(&mut said));
    assert!(!scene.gate.log().contains("10.9.8.7"), "a liar is believed");
    let mut honest = connect_from(BALANCER, port).unwrap();
    honest
        .write_all(b"PROXY TCP4 10.9.8.7 127.0.0.1 1 22\r\n")
        .unwrap();
    assert!(first_line(&mut honest).unwrap().starts_with("SSH-2.0-"));
    scene.gate.stop();
}

#[test]
fn curl_reaches_the_browsers_door_with_a_header_and_not_without() {
    let scene = Scene::new();
    let curl = |extra: &[&str]| {
        let mut curl: Command = tool("curl");
        curl.args([
            "-sk",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--interface",
            "127.0.9.9",
        ]);
        curl.args(extra);
        curl.arg(format!("https://127.0.0.1:{}/", scene.gate.https_port));
        finish(&mut curl, PATIENCE)
    };
    let with = curl(&["--haproxy-protocol"]).ok();
    assert!(with.text().parse::<u16>().unwrap() >= 200, "{with}");
    assert_ne!(curl(&[]).code(), Some(0));
    scene.gate.stop();
}
