//! Streams that people have open for long: a command over ssh and a WebSocket, each sending back what it is sent, so that
//! every byte can be compared.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use rustls::{ClientConnection, StreamOwned};

use super::client::host;
use super::raw_hub::connect;
use super::{Door, Person, World, free_port};

/// `cat` at the other end of an ssh session.
pub struct ShellStream {
    process: Child,
    sent: u64,
}

impl ShellStream {
    /// Returns once it answers.
    pub fn start(door: &Door, person: &Person) -> Self {
        let mut command = door.ssh(person);
        let process = command
            .args([host(person).as_str(), "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stream = Self { process, sent: 0 };
        stream.turn();
        stream
    }

    /// Sends a numbered line and reads it back.
    #[track_caller]
    pub fn turn(&mut self) {
        self.sent += 1;
        let line = line(self.sent);
        let stdin = self.process.stdin.as_mut().unwrap();
        stdin.write_all(&line).unwrap();
        let mut back = vec![0; line.len()];
        let stdout = self.process.stdout.as_mut().unwrap();
        stdout.read_exact(&mut back).unwrap();
        assert_eq!(back, line);
    }

    /// Ends it: it has sent nothing else, and ended well.
    #[track_caller]
    pub fn end(mut self) {
        drop(self.process.stdin.take());
        let mut rest = Vec::new();
        let stdout = self.process.stdout.as_mut().unwrap();
        stdout.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty() && self.process.wait().unwrap().success());
    }
}

impl Drop for ShellStream {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A WebSocket to an [`EchoHub`] by a browser with a pin of its own.
pub struct SocketStream {
    stream: StreamOwned<ClientConnection, TcpStream>,
    sent: u64,
}

impl SocketStream {
    /// Returns once it answers.
    pub fn start(world: &World, port: u16) -> Self {
        let cookies = cookies(world, port);
        let mut stream = connect(world, port, "http/1.1").unwrap();
        write!(
            stream,
            "GET /user/alice/api/kernels/1/channels HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            cookies
        )
        .unwrap();
        let head = read_head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let mut stream = Self { stream, sent: 0 };
        stream.turn();
        stream
    }

    /// Sends a numbered line and reads it back. What is sent has no frames: the gate reads none.
    #[track_caller]
    pub fn turn(&mut self) {
        self.sent += 1;
        let line = line(self.sent);
        self.stream.write_all(&line).unwrap();
        let mut back = vec![0; line.len()];
        self.stream.read_exact(&mut back).unwrap();
        assert_eq!(back, line);
    }

    pub fn end(self) {
        drop(self);
    }
}

/// Those that a browser has after its first page.
pub fn cookies(world: &World, port: u16) -> String {
    let mut page = connect(world, port, "http/1.1").unwrap();
    write!(
        page,
        "GET /hub/home HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: text/html\r\n\r\n"
    )
    .unwrap();
    let head = read_head(&mut page).unwrap();
    let cookies: Vec<_> = head
        .lines()
        .filter_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next())
        .collect();
    cookies.join("; ")
}

/// Answers every request, and every WebSocket with what it is sent. An answer to a path that ends with `/held` goes on as the
/// test says.
pub struct EchoHub {
    pub port: u16,
    held: Arc<Held>,
}

/// What held answers say so far, and whether that is all.
#[derive(Default)]
struct Held {
    said: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl EchoHub {
    pub fn start() -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let held = Arc::<Held>::default();
        let shared = held.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let held = shared.clone();
                thread::spawn(move || drop(serve(stream, &held)));
            }
        });
        Self { port, held }
    }

    /// A part of every held answer.
    pub fn say(&self, part: &str) {
        self.held.said.lock().unwrap().0.push(part.to_owned());
        self.held.changed.notify_all();
    }

    /// Held answers have come to their end.
    pub fn end(&self) {
        self.held.said.lock().unwrap().1 = true;
        self.held.changed.notify_all();
    }
}

impl Held {
    fn answer(&self, writer: &mut impl Write) -> io::Result<()> {
        writer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let mut told = 0;
        loop {
            let is_none =
                |(parts, is_over): &mut (Vec<String>, bool)| parts.len() == told && !*is_over;
            let said = self.said.lock().unwrap();
            let said = self.changed.wait_while(said, is_none).unwrap();
            let (parts, is_over) = (said.0[told..].to_vec(), said.1);
            drop(said);
            told += parts.len();
            for part in parts {
                write!(writer, "{:x}\r\n{part}\r\n", part.len())?;
            }
            if is_over {
                return writer.write_all(b"0\r\n\r\n");
            }
        }
    }
}

fn serve(stream: TcpStream, held: &Held) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        if head.to_lowercase().contains("upgrade: websocket") {
            // RFC 6455 1.3: the answer to this very key.
            let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
            write!(
                writer,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n\r\n"
            )?;
            io::copy(&mut reader, &mut writer)?;
            return Ok(());
        }
        if head.contains("/held HTTP/1.1\r\n") {
            held.answer(&mut writer)?;
            continue;
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")?;
    }
}

pub fn read_head(stream: &mut (impl Read + ?Sized)) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Says that it is over when it goes, also where a test fails: whoever looks at it ends then.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn line(number: u64) -> Vec<u8> {
    format!("{number:012} {}\n", "x".repeat(200)).into_bytes()
}
