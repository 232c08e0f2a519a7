//! One plain HTTP request to the admin listener: all that these tests need of a client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A viewer's, on every gate of these tests, and its line of the file of tokens.
const TOKEN: &str = "pgt_of_the_tests";
pub const TOKEN_LINE: &str =
    "tests viewer 7e5b3f7a3586273c8e0cf50c06421b54ba418bff903f5ea1db78702e5a798ebc\n";

/// Status and body, or `None` where nobody answers.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    // HTTP/1.0, so that the answer is not chunked and ends with the connection.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
