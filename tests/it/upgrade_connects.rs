//! Browsers that connect while a newer gate takes the place of another: each has an answer, from one or the other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::client::PATIENCE;
use crate::support::raw_hub::connect;
use crate::support::streams::{EchoHub, Over, read_head};
use crate::support::{GateSetup, Logins, Sshd, World, free_port, wait_until};

/// Threads that connect and ask once each time, while a gate takes the place of another.
const BROWSERS: usize = 4;
/// Answers before and after the hand-over.
const ANSWERS: usize = 100;

#[test]
fn browsers_that_connect_meanwhile_are_answered() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let hub = EchoHub::start();
    let redirect = free_port();
    let mut gate = GateSetup::default()
        .instance(&sshds[0].name, sshds[0].port, Some(hub.port))
        .pool("capacity = 100000")
        .https(&format!("redirect_listen = [\"127.0.0.1:{redirect}\"]"))
        .start(&world);
    let (port, answered, is_over) = (gate.https_port, AtomicUsize::new(0), AtomicBool::new(false));
    let ask = |stream: &mut dyn ReadWrite, port: u16, status: &str| {
        write!(
            stream,
            "GET /hub/home HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
        )
        .unwrap();
        let head = read_head(stream).unwrap();
        assert!(head.starts_with(status), "{head}");
    };
    let wait_more = || {
        let before = answered.load(Ordering::Relaxed);
        wait_until("answers", PATIENCE, || {
            (answered.load(Ordering::Relaxed) >= before + ANSWERS).then_some(())
        });
    };
    let old = std::thread::scope(|scope| {
        // Also where the test fails: the threads end, and so does the scope.
        let _over = Over(&is_over);
        for _ in 0..BROWSERS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let mut stream = connect(&world, port, "http/1.1").unwrap();
                    ask(&mut stream, port, "HTTP/1.1 200");
                    let mut plain = TcpStream::connect(("127.0.0.1", redirect)).unwrap();
                    ask(&mut plain, redirect, "HTTP/1.1 308");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_more();
        let old = gate.upgrade();
        wait_more();
        old
    });
    old.finish_within(PATIENCE).ok();
    gate.stop();
}

trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}
