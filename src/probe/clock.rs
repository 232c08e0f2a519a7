//! What time is it on an instance? Its hub says so with every answer.
//!
//! To the second, and late by the time the answer takes: enough to find a clock that certificates of minutes cannot be judged by.

use std::time::SystemTime;

use http::header::DATE;
use jiff::fmt::rfc2822;
use tokio::net::TcpStream;

use super::http::head;
use crate::net::client_tls::ClientTls;
use crate::pool::Instance;

/// `None` without a hub, or where it tells no time; the caller bounds how long it may take.
pub async fn clock_of(instance: &Instance, tls: Option<ClientTls>) -> Option<SystemTime> {
    let port = instance.jupyter_port?;
    let authority = format!("{}:{port}", instance.address);
    let stream = TcpStream::connect((instance.address.as_str(), port))
        .await
        .ok()?;
    let answer = match tls {
        None => head(stream, &authority).await,
        Some(tls) => {
            head(
                tls.connect(&instance.address, stream).await.ok()?,
                &authority,
            )
            .await
        }
    };
    parse(answer.ok()?.headers.get(DATE)?.to_str().ok()?)
}

fn parse(date: &str) -> Option<SystemTime> {
    let at = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    SystemTime::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let at = parse("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(
            at,
            SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
        );
        assert!(parse("yesterday").is_none());
    }
}
