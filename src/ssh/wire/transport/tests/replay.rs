//! A recorded login of OpenSSH 9.2, replayed: same bytes in, same bytes out.
//!
//! `client.bin` is what `ssh` sent, `server.bin` what we answered, under fixed entropy and a fixed host key. A deliberate
//! change to what the server says needs a new recording: run the ignored test `record` where `ssh` is installed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::desk::Desk;
use super::*;
use crate::ssh::wire::cipher::{Cipher, Mac};
use crate::ssh::wire::kex::Kex;
use crate::ssh::wire::userauth::Method;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ssh/transport");

fn desk() -> Desk {
    Desk::new(ServerSettings {
        ident: "SSH-2.0-Poolgate_test".to_owned(),
        kex: vec![Kex::Curve25519],
        ciphers: Some(vec![Cipher::Aes128Gcm]),
        macs: vec![Mac::HmacSha256],
        ..server_settings(&[ED25519])
    })
}

#[test]
fn a_recorded_login_of_openssh_is_answered_as_it_was() {
    let sent = std::fs::read(format!("{FIXTURES}/client.bin")).unwrap();
    let answered = std::fs::read(format!("{FIXTURES}/server.bin")).unwrap();
    for chunk in [1, 7, 4096, usize::MAX] {
        let mut desk = desk();
        for part in sent.chunks(chunk.min(sent.len())) {
            desk.feed(part).unwrap();
        }
        assert_eq!(desk.peer.out, answered);
        let ident = desk.peer.transport.peer_ident().unwrap().as_str();
        assert!(ident.starts_with("SSH-2.0-OpenSSH_9.2p1"), "{ident}");
        let users: Vec<&str> = desk
            .requests
            .iter()
            .map(|request| &request.user[..])
            .collect();
        assert_eq!(users, ["alice", "alice", "alice"]);
        assert_eq!(desk.requests[0].method, Method::None);
        let proven = desk.proven.unwrap();
        let key = PrivateKey::from_openssh(ED25519).unwrap();
        assert_eq!(
            (proven.user(), proven.key_blob()),
            ("alice", key.public_blob())
        );
        // `no-more-sessions`, then the session channel; the order is OpenSSH's affair.
        assert!(desk.after_login.iter().any(|payload| payload[0] == 90));
    }
}

#[test]
#[ignore = "writes the fixtures anew from the ssh on this machine"]
fn record() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    // The host key doubles as the person's key; ssh wants it private.
    let key = directory.path().join("key");
    std::fs::write(&key, ED25519).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let options = [
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "IdentitiesOnly=yes",
    ];
    let mut ssh = Command::new("ssh")
        .args(options)
        .args(["-o", "UserKnownHostsFile=/dev/null", "-i"])
        .arg(&key)
        .args(["-p", &port, "alice@127.0.0.1", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut desk = desk();
    let (mut sent, mut answered, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    while !desk.after_login.iter().any(|payload| payload[0] == 90) {
        stream.write_all(&desk.peer.out).unwrap();
        answered.append(&mut desk.peer.out);
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "ssh hung up");
        sent.extend_from_slice(&buffer[..count]);
        desk.feed(&buffer[..count]).unwrap();
    }
    answered.append(&mut desk.peer.out);
    ssh.kill().unwrap();
    ssh.wait().unwrap();
    std::fs::write(format!("{FIXTURES}/client.bin"), sent).unwrap();
    std::fs::write(format!("{FIXTURES}/server.bin"), answered).unwrap();
}
