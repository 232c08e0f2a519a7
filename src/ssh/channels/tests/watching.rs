//! What somebody who watches a session's terminals is told.

use std::sync::{Arc, Mutex};

use super::*;
use crate::ssh::wire::message::channel::{TerminalRequest, TerminalSize};

/// Writes down what it is told.
struct Scribe(Arc<Mutex<Vec<String>>>);

impl Scribe {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Observer for Scribe {
    fn terminal(&mut self, channel: u32, terminal: &TerminalRequest<'_>, _: Instant) {
        let term = String::from_utf8_lossy(terminal.term);
        self.note(format!("{channel} terminal {term} {:?}", terminal.size));
    }
    fn program(&mut self, channel: u32, program: Program<'_>, _: Instant) {
        self.note(format!("{channel} {program:?}"));
    }
    fn resized(&mut self, channel: u32, size: TerminalSize, _: Instant) {
        self.note(format!("{channel} resized {}", size.columns));
    }
    fn data(&mut self, channel: u32, from: Side, _: Option<u32>, bytes: &[u8], _: Instant) {
        let text = String::from_utf8_lossy(bytes);
        self.note(format!("{channel} {from:?} {text}"));
    }
    fn closed(&mut self, channel: u32, _: Instant) {
        self.note(format!("{channel} closed"));
    }
}

#[test]
fn whoever_watches_sees_terminals_and_nothing_else() {
    let notes = Arc::default();
    let mut scene = Scene::new();
    scene.channels = Channels::new(
        Policy::default(),
        Some(Box::new(Scribe(Arc::clone(&notes)))),
    );
    assert!(
        !scene.channels.watches_data(Side::Client),
        "there is no terminal yet"
    );
    scene.open_shell();
    scene.client(resize(9, 100));
    assert!(
        scene.channels.watches_data(Side::Client) && scene.channels.watches_data(Side::Instance)
    );
    scene.client(channel::channel_data(9, b"ls"));
    scene.instance(channel::channel_data(5, b"files"));
    scene.channels.post(&"notice".into(), scene.now);
    scene.wait(Duration::from_secs(1));
    // A stream beside it.
    scene.client(open("direct-streamlocal@openssh.com", 6, WINDOW));
    scene.instance(confirm(6, 10));
    scene.client(channel::channel_data(10, b"secret"));
    scene.instance(channel::bare(number::CHANNEL_CLOSE, 5));
    scene.client(channel::bare(number::CHANNEL_CLOSE, 9));
    assert!(!scene.channels.watches_data(Side::Client));
    let expected = [
        "5 terminal xterm TerminalSize { columns: 80, rows: 24 }",
        "5 Shell",
        "5 resized 100",
        "5 Client ls",
        "5 Instance files",
        "5 Instance \r\npoolgate: notice\r\n",
        "5 closed",
    ];
    assert_eq!(*notes.lock().unwrap(), expected);
}
