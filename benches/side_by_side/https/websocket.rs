//! WebSockets that echo: one message on its way in each connection, sent again as soon as it has come back.
//!
//! No proxy here reads frames, so neither end does: what is sent has the shape of a frame, and comes back as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::client;

const MESSAGE_LEN: usize = 256;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An echo for as long as the program runs; returns its port.
pub fn start_echo() -> u16 {
    let (sender, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream));
            }
        });
    });
    port.recv().unwrap()
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let head = read_head(&mut stream).await?;
    let key = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then(|| value.trim().to_owned())
        })
        .unwrap_or_default();
    // RFC 6455 4.2.2: some proxies compare it.
    let proof = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    let proof = base64::engine::general_purpose::STANDARD.encode(proof);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len]).await?;
    }
}

/// Messages echoed by `connections` within `time`.
pub fn load(port: u16, cookie: &str, connections: usize, time: Duration) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    runtime().block_on(async {
        let until = Instant::now() + time;
        let clients = (0..connections)
            .map(|_| tokio::spawn(talk(port, cookie.to_owned(), until, count.clone())));
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap().expect("the WebSocket stays open");
        }
    });
    count.load(Ordering::Relaxed)
}

async fn talk(
    port: u16,
    cookie: String,
    until: Instant,
    count: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(client::config())
        .connect(name, stream)
        .await?;
    let ask = format!(
        "GET /user/alice/ws HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nOrigin: https://localhost:{port}\r\nCookie: {cookie}\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await?;
    let head = read_head(&mut stream).await?;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut message = vec![0x82, 0xfe, 1, 0, 1, 2, 3, 4];
    message.resize(MESSAGE_LEN, b'm');
    let mut back = vec![0; MESSAGE_LEN];
    while Instant::now() < until {
        stream.write_all(&message).await?;
        stream.flush().await?;
        stream.read_exact(&mut back).await?;
        assert!(back == message, "the echo differs");
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
