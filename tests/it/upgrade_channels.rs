//! What is open through a hand-over besides shells and WebSockets: forwarded ports, windows and the agent of a session, the streams
//! of an HTTP/2 connection. Each goes on at the older gate, and opens more there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustls::{ClientConnection, StreamOwned};

use crate::forwarding::{agent, ask_tcp, display, tcp_service};
use crate::h2_frames::{
    BOTH, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, SETTINGS, frame, pack,
};
use crate::support::client::{PATIENCE, client_script, host};
use crate::support::raw_hub::connect;
use crate::support::streams::{EchoHub, cookies, read_head};
use crate::support::{GateSetup, Logins, Sshd, World, free_port, tool, wait_until};

/// A connection to a forwarded port that is open for long: the service answers at its end.
struct Half(TcpStream);

impl Half {
    /// Through SOCKS where it is a `-D`, to this service.
    fn begin(port: u16, socks_to: Option<u16>) -> Self {
        let mut stream = wait_until("the forwarded port", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        if let Some(service) = socks_to {
            // RFC 1928: no login, and then a connection to 127.0.0.1.
            stream.write_all(&[5, 1, 0]).unwrap();
            stream.read_exact(&mut [0; 2]).unwrap();
            let [high, low] = service.to_be_bytes();
            let wish = [5, 1, 0, 1, 127, 0, 0, 1, high, low];
            stream.write_all(&wish).unwrap();
            let mut done = [0; 10];
            stream.read_exact(&mut done).unwrap();
            assert_eq!(done[1], 0);
        }
        stream.write_all(b"begun before, ").unwrap();
        Self(stream)
    }

    #[track_caller]
    fn end(mut self) {
        self.0.write_all(b"ended after").unwrap();
        self.0.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "BEGUN BEFORE, ENDED AFTER");
    }
}

/// Windows and agents on the instance, asked a line at a time.
struct Channels {
    process: Child,
    words: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Channels {
    fn start(ssh: &mut Command) -> Self {
        let ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = ssh.spawn().unwrap();
        let (words, told) = (process.stdin.take(), process.stdout.take());
        Self {
            process,
            words: words.unwrap(),
            told: BufReader::new(told.unwrap()),
        }
    }

    /// A window that is open and a new one, an agent's client and a new one, which see one key.
    #[track_caller]
    fn turn(&mut self, word: &str) {
        writeln!(self.words, "{word}").unwrap();
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), format!("{word} True True 1 1"));
    }

    fn end(mut self) {
        drop(self.words);
        assert!(self.process.wait().unwrap().success());
    }
}

#[test]
fn forwarded_ports_windows_and_agents_live_through_and_more_are_opened() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let mut gate = GateSetup::over(&sshds).start(&world);
    let (person, service) = (world.person(1), tcp_service());
    let (_agent, socket) = agent(&world);
    let (name, authority) = display(&world);
    let [near, far, socks] = [free_port(), free_port(), free_port()];
    std::fs::copy(
        client_script("channels.py"),
        person.home.join("channels.py"),
    )
    .unwrap();

    let mut ssh = tool("ssh");
    // Before the general options, which name no agent: the first value of an option counts.
    ssh.args([
        "-o",
        &format!("IdentityAgent={}", socket.display()),
        "-A",
        "-Y",
    ]);
    ssh.env("DISPLAY", &name).env("XAUTHORITY", &authority);
    ssh.args(gate.door(&world).options(&person));
    ssh.args(["-o", "ExitOnForwardFailure=yes"]);
    ssh.args(["-L", &format!("127.0.0.1:{near}:127.0.0.1:{service}")]);
    ssh.args(["-R", &format!("127.0.0.1:{far}:127.0.0.1:{service}")]);
    ssh.args(["-D", &format!("127.0.0.1:{socks}")]);
    ssh.args([&host(&person), "exec python3 channels.py"]);
    let mut channels = Channels::start(&mut ssh);
    channels.turn("before");
    let begin = || {
        [(near, None), (far, None), (socks, Some(service))].map(|(port, to)| Half::begin(port, to))
    };
    let halves = begin();

    let old = gate.upgrade();
    channels.turn("after");
    halves.into_iter().for_each(Half::end);
    begin().into_iter().for_each(Half::end);
    for port in [near, far] {
        let text = "a line through both gates\n".repeat(100_000);
        assert!(ask_tcp(port, &text) == Some(text.to_uppercase()));
    }
    gate.door(&world).run(&world.person(2), "true").ok();
    channels.turn("at last");
    channels.end();
    old.finish_within(PATIENCE).ok();
    gate.stop();
}

/// An HTTP/2 connection, frame by frame.
struct Frames(StreamOwned<ClientConnection, TcpStream>);

/// One frame: its kind, flags, stream and payload.
type Frame = (u8, u8, u32, Vec<u8>);

impl Frames {
    fn begin(world: &World, port: u16) -> Self {
        let mut stream = connect(world, port, "h2").unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        Self(stream)
    }

    /// Two answers that the test has in hand, on streams 1 and 3, and a WebSocket on 5.
    fn open(&mut self, authority: &str, cookies: &str) {
        let rest = [
            (":scheme", "https"),
            (":authority", authority),
            ("cookie", cookies),
        ];
        let held = [(":method", "GET"), (":path", "/hub/held")];
        let socket = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":path", "/user/alice/api/kernels/1/channels"),
        ];
        let held = pack(&[&held[..], &rest].concat());
        let socket = pack(&[&socket[..], &rest, &[("sec-websocket-version", "13")]].concat());
        for (stream, flags, fields) in [
            (1, BOTH, &held),
            (3, BOTH, &held),
            (5, END_HEADERS, &socket),
        ] {
            let head = frame(HEADERS, flags, stream, fields);
            self.0.write_all(&head).unwrap();
        }
    }

    /// Through the WebSocket.
    fn say(&mut self, text: &str) {
        let data = frame(DATA, 0, 5, text.as_bytes());
        self.0.write_all(&data).unwrap();
    }

    /// The next frame; pings and settings are answered. `None` at the end.
    fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
            read => read.unwrap(),
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).unwrap();
        let (kind, flags) = (head[3], head[4]);
        if matches!(kind, PING | SETTINGS) && flags & 1 == 0 {
            let answer: &[u8] = if kind == PING { &payload } else { &[] };
            self.0.write_all(&frame(kind, 1, 0, answer)).unwrap();
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((kind, flags, stream, payload))
    }

    /// Reads on until each of these streams has said this; frames of the connection come back.
    fn wait_said(&mut self, streams: &[u32], what: &str) -> Vec<Frame> {
        let (mut rest, mut others) = (streams.to_vec(), Vec::new());
        while !rest.is_empty() {
            let (kind, flags, stream, payload) = self.next().expect(what);
            if kind == DATA && String::from_utf8_lossy(&payload).contains(what) {
                rest.retain(|one| *one != stream);
            }
            others.push((kind, flags, stream, payload));
        }
        others
    }

    /// The last stream that is served, as the goodbye names it. Streams that cross its first word on their way are served all
    /// the same.
    fn last_stream(&mut self, mut seen: Vec<Frame>) -> u32 {
        loop {
            let goodbye = seen.iter().rev().find(|(kind, ..)| *kind == GOAWAY);
            if let Some((.., payload)) = goodbye
                && payload[..4] != [0x7f, 0xff, 0xff, 0xff]
            {
                assert_eq!(payload[4..8], [0; 4], "no error");
                return u32::from_be_bytes(payload[..4].try_into().unwrap());
            }
            seen.push(self.next().expect("a goodbye"));
        }
    }

    /// Streams whose end has come, until there are as many.
    fn ended(&mut self, seen: Vec<Frame>, count: usize) -> Vec<u32> {
        let end = |(kind, flags, stream, _): Frame| {
            let is_end = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
            is_end.then_some(stream)
        };
        let mut ended: Vec<u32> = seen.into_iter().filter_map(end).collect();
        while ended.len() < count {
            ended.extend(end(self.next().expect("the ends of answers")));
        }
        ended.sort_unstable();
        ended
    }
}

#[test]
fn an_http_2_connection_is_told_goodbye_and_its_streams_end_well() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let hub = EchoHub::start();
    let mut gate = GateSetup::default()
        .instance(&sshds[0].name, sshds[0].port, Some(hub.port))
        .https("")
        .start(&world);
    let authority = format!("localhost:{}", gate.https_port);
    let cookies = cookies(&world, gate.https_port);
    let mut frames = Frames::begin(&world, gate.https_port);
    frames.open(&authority, &cookies);
    hub.say("one");
    frames.wait_said(&[1, 3], "one");
    frames.say("echo one");
    frames.wait_said(&[5], "echo one");

    let old = gate.upgrade();
    hub.say("two");
    frames.say("echo two");
    let seen = frames.wait_said(&[1, 3, 5], "two");
    assert_eq!(frames.last_stream(seen), 5);
    let mut other = connect(&world, gate.https_port, "http/1.1").unwrap();
    write!(other, "GET /hub/home HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
    assert!(read_head(&mut other).unwrap().starts_with("HTTP/1.1 200"));

    hub.say("three");
    hub.end();
    frames.say("echo three");
    let seen = frames.wait_said(&[1, 3, 5], "three");
    assert_eq!(frames.ended(seen, 2), [1, 3], "whole");
    frames.say("echo four");
    frames.wait_said(&[5], "echo four");
    let end = frame(DATA, END_STREAM, 5, &[]);
    frames.0.write_all(&end).unwrap();
    while let Some((kind, _, stream, payload)) = frames.next() {
        assert!(
            matches!(kind, DATA | HEADERS | GOAWAY | PING),
            "{kind} of {stream}: {payload:?}"
        );
    }
    old.finish_within(PATIENCE).ok();
    gate.stop();
}
