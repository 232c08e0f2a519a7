//! A gate over 50 instances with 1,000 sessions, and a way for browsers to its admin socket, where orders are taken.
//!
//! Instances are scripted and clients are threads: a thousand real ones would test the machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;

use poolgate::ssh::wire::message::number;
use poolgate::ssh::wire::userauth::{Secret, password_request};

use crate::hostile::instance::{Peer, ScriptedInstance};
use crate::support::light::LightClient;
use crate::support::{Gate, GateSetup, World, free_port};

pub const INSTANCES: usize = 50;
pub const SESSIONS: usize = 1000;

/// Lets anybody in and is quiet from then on.
fn admit(peer: &mut Peer) {
    if peer.until(number::USERAUTH_REQUEST) {
        peer.send(&[number::USERAUTH_SUCCESS]);
        peer.rest();
    }
}

pub struct Scene {
    pub world: World,
    pub gate: Gate,
    _instances: Vec<ScriptedInstance>,
}

impl Scene {
    pub fn new() -> Self {
        let world = World::new();
        let mut setup = GateSetup::default()
            .auth("password = \"instance\"")
            .pool("capacity = 24")
            // Clients say nothing from their login on, and stay for all that.
            .ssh("max_startups = 500\nmax_connections = 5000\nkeepalive = \"1h\"");
        let mut instances = Vec::new();
        for number in 1..=INSTANCES {
            let name = format!("vm{number}");
            let instance = ScriptedInstance::start(&world, &name, |_| {}, admit);
            setup = setup.instance(&name, instance.port, None);
            instances.push(instance);
        }
        let gate = setup.start(&world);
        Self {
            world,
            gate,
            _instances: instances,
        }
    }

    /// `number` spreads people over addresses.
    pub fn log_in(&self, user: &str, number: usize) -> LightClient {
        let from = Ipv4Addr::new(127, 1, u8::try_from(number / 100).unwrap(), 1);
        let mut client = LightClient::connect(from, self.gate.ssh_port).unwrap();
        let answer = client.ask(&password_request(user, &Secret::new(b"any")));
        assert_eq!(answer.unwrap()[0], number::USERAUTH_SUCCESS, "{user}");
        client
    }

    /// Everybody, by some threads at once.
    pub fn crowd(&self) -> Vec<LightClient> {
        const THREADS: usize = 8;
        let mut crowd = Vec::new();
        thread::scope(|scope| {
            let part = |at: usize| {
                let mine = (at..SESSIONS).step_by(THREADS);
                let people = mine.map(|number| self.log_in(&format!("person{number:04}"), number));
                people.collect::<Vec<_>>()
            };
            let parts: Vec<_> = (0..THREADS)
                .map(|at| scope.spawn(move || part(at)))
                .collect();
            parts
                .into_iter()
                .for_each(|part| crowd.extend(part.join().unwrap()));
        });
        self.gate.wait_sessions(SESSIONS);
        crowd
    }
}

/// Carries a browser's connections to an admin socket; returns the port where it does.
pub fn bridge(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok(gate) = UnixStream::connect(&socket) else {
                continue;
            };
            let (browser, asked) = (stream.try_clone().unwrap(), gate.try_clone().unwrap());
            thread::spawn(move || {
                copy(browser, &asked);
                // A browser that is gone is followed no longer.
                drop(asked.shutdown(Shutdown::Both));
            });
            thread::spawn(move || {
                copy(gate, &stream);
                drop(stream.shutdown(Shutdown::Both));
            });
        }
    });
    port
}

fn copy(mut from: impl Read, mut to: impl Write) {
    drop(std::io::copy(&mut from, &mut to));
}
