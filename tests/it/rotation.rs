//! Files of lines that are put aside while an older gate keeps sessions: what is told of these goes to the new files, by whichever
//! process.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::support::client::PATIENCE;
use crate::support::raw_hub::connect;
use crate::support::streams::{EchoHub, ShellStream, read_head};
use crate::support::{GateSetup, Logins, Sshd, World, wait_until};

/// As logrotate calls it.
fn aside(file: &Path) -> PathBuf {
    file.with_added_extension("1")
}

#[test]
fn an_older_gate_writes_to_the_files_that_are_there_after_a_rotation() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let hub = EchoHub::start();
    let files = ["main.log", "access.log", "audit.jsonl"];
    let files = files.map(|name| world.path("gate").join(name));
    let mut gate = GateSetup::default()
        .instance(&sshds[0].name, sshds[0].port, Some(hub.port))
        .variable("POOLGATE__LOG__FILE", files[0].to_str().unwrap())
        .https(&format!("[https.access_log]\nfile = {:?}", files[1]))
        .start(&world);
    let mut shell = ShellStream::start(&gate.door(&world), &world.person(1));
    let mut browser = connect(&world, gate.https_port, "http/1.1").unwrap();
    let host = format!("localhost:{}", gate.https_port);
    write!(browser, "GET /hub/held HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    assert!(read_head(&mut browser).unwrap().starts_with("HTTP/1.1 200"));
    let session = gate.wait_audit("login", 1)[0]["session"].clone();
    let old = gate.upgrade();
    let processes = [old.pid(), gate.pid()];

    for file in &files {
        fs::rename(file, aside(file)).unwrap();
    }
    gate.hang_up();
    wait_until(
        "both gates to let go of what was put aside",
        PATIENCE,
        || {
            let open = processes.map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).unwrap());
            let mut open = open.into_iter().flatten();
            let is_aside = |to: PathBuf| files.iter().any(|file| aside(file) == to);
            let leads =
                |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
            (!open.any(|entry| leads(entry).is_some_and(is_aside))).then_some(())
        },
    );
    let text = |file: &Path| fs::read_to_string(file).unwrap();
    let before = files.each_ref().map(|file| text(&aside(file)));
    shell.turn();
    shell.end();
    hub.say("the end");
    hub.end();
    let mut rest = String::new();
    browser.read_to_string(&mut rest).ok();
    assert!(rest.contains("the end"), "{rest}");
    old.finish_within(PATIENCE).ok();

    assert_eq!(files.each_ref().map(|file| text(&aside(file))), before);
    assert!(text(&files[0]).contains("a session ended"));
    assert!(text(&files[1]).contains("GET /hub/held "));
    let ended = gate.wait_audit("end", 1);
    assert_eq!(ended[0]["session"], session);
    gate.stop();
}
