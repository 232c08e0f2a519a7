//! Does an SSH server answer? Connects and reads its identification line, without logging in (RFC 4253, section 4.2).
//!
//! Nothing is sent: a server logs one line for a peer that goes away, whatever it said before. OpenSSH 9.8 and later
//! count such a visit under `PerSourcePenalties noauth` (1 s each, acted on from 15 s), which an interval of 2 s or more
//! stays below; on instances with stricter settings exempt the gate with `PerSourcePenaltyExemptList`.

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use crate::pool::{Answer, Health};

/// Lines a server may send before its identification, and the bytes of all of it: enough for any notice.
const MAX_LINES: usize = 50;
const MAX_BYTES: u64 = 8 * 1024;

/// Reads the greeting of a connected server; the caller bounds the time.
pub(super) async fn ask(stream: impl AsyncRead + Unpin) -> Answer {
    let mut reader = BufReader::new(stream.take(MAX_BYTES));
    let mut line = Vec::new();
    for _ in 0..MAX_LINES {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Err(error) => return Answer::new(Health::Down, format!("reading failed: {error}")),
            Ok(_) if !line.ends_with(b"\n") => {
                return Answer::new(Health::Down, "closed without an SSH identification");
            }
            Ok(_) if line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-") => {
                return Answer::new(Health::Up, "identification read");
            }
            Ok(_) => {}
        }
    }
    Answer::new(Health::Down, "what answers is no SSH server")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn health_of(greeting: &[u8]) -> Health {
        ask(greeting).await.health
    }

    #[tokio::test]
    async fn only_an_identification_line_counts() {
        assert_eq!(health_of(b"SSH-2.0-OpenSSH_9.2\r\n").await, Health::Up);
        assert_eq!(health_of(b"SSH-1.99-old\n").await, Health::Up);
        assert_eq!(health_of(b"a notice\r\nSSH-2.0-x\r\n").await, Health::Up);
        assert_eq!(health_of(b"SSH-2.0-cut off").await, Health::Down);
        assert_eq!(
            health_of(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
            Health::Down
        );
        assert_eq!(health_of(b"").await, Health::Down);
    }

    #[tokio::test]
    async fn an_endless_greeting_is_cut() {
        assert_eq!(ask(tokio::io::repeat(b'x')).await.health, Health::Down);
        assert_eq!(ask(tokio::io::repeat(b'\n')).await.health, Health::Down);
    }
}
