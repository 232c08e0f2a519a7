//! One plain HTTP request to the admin listener: all that these tests need of a client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A viewer's, on every gate of these tests, and its line of the file of tokens.
const TOKEN: &str = "pgt_of_the_tests";
pub const TOKEN_LINE: &str =
    "tests viewer 7e5b3f7a3586273c8e0cf50c06421b54ba418bff903f5ea1db78702e5a798ebc\n";

/// What is asked; a body is JSON.
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub token: Option<&'a str>,
    pub body: &'a str,
}

/// Status and body of what a viewer is shown, or `None` where nobody answers.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let asked = Asked {
        method: "GET",
        path,
        token: Some(TOKEN),
        body: "",
    };
    asked.send(port)
}

impl Asked<'_> {
    /// Status and body, or `None` where nobody answers.
    pub fn send(&self, port: u16) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        let Self { method, path, .. } = self;
        let token = self.token.map_or(String::new(), |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let body = match self.body {
            "" => "\r\n".to_owned(),
            body => format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        // HTTP/1.0, so that the answer is not chunked and ends with the connection.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{token}{body}"
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }
}
