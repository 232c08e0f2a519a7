//! The PROXY protocol, versions 1 and 2, as HAProxy specifies it: the first bytes of a balancer's connection say who is behind.
//!
//! `parse` is pure. Deliberately absent: looking for a header in connections of strangers, and the TLVs of version 2, which
//! say nothing that counts here. Not a byte beyond the header is taken from the socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A balancer sends its header with the connect: later than this it is no balancer.
const TIME_MAX: Duration = Duration::from_secs(5);
/// What the specification allows a version 1 line.
const V1_MAX: usize = 107;
/// Far above what balancers send (addresses, and TLVs of a few hundred bytes).
const V2_MAX: usize = 4096;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// Why a connection from a listed network cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("its first bytes are no PROXY header; does the balancer send one (send-proxy-v2)?")]
    NoHeader,
    #[error("its PROXY header is malformed: {0}")]
    Malformed(&'static str),
    #[error("no PROXY header within {TIME_MAX:?}")]
    TooSlow,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What the bytes so far say.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// At least so many more bytes belong to the header.
    More(usize),
    /// The header is these bytes. Without an address it stands for the balancer itself, as in its health checks.
    Whole(Option<SocketAddr>),
}

/// Reads the header; `None` where the balancer speaks for itself.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let header = tokio::time::timeout(TIME_MAX, read_unbounded(stream)).await;
    header.unwrap_or(Err(ProxyError::TooSlow))
}

async fn read_unbounded(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = Vec::with_capacity(V1_MAX);
    loop {
        match parse(&header)? {
            Parsed::Whole(client) => return Ok(client),
            Parsed::More(bytes) => {
                let mut part = vec![0; bytes];
                stream.read_exact(&mut part).await?;
                header.append(&mut part);
            }
        }
    }
}

/// Of bytes that all belong to the header.
pub fn parse(header: &[u8]) -> Result<Parsed, ProxyError> {
    // No header of either version is shorter.
    let start_len = V2_START.len();
    let Some(start) = header.get(..start_len) else {
        let is_either = V2_START.starts_with(header)
            || V1_START.starts_with(header)
            || header.starts_with(V1_START);
        return match is_either {
            true => Ok(Parsed::More(start_len - header.len())),
            false => Err(ProxyError::NoHeader),
        };
    };
    if start == V2_START {
        parse_v2(header)
    } else if start.starts_with(V1_START) {
        parse_v1(header)
    } else {
        Err(ProxyError::NoHeader)
    }
}

fn parse_v1(header: &[u8]) -> Result<Parsed, ProxyError> {
    let Some(line) = header.strip_suffix(b"\r\n") else {
        let missing = if header.ends_with(b"\r") { 1 } else { 2 };
        if header.contains(&b'\n') {
            return Err(ProxyError::Malformed("its line does not end with CR LF"));
        }
        if header.len() + missing > V1_MAX {
            return Err(ProxyError::Malformed("its line is longer than 107 bytes"));
        }
        return Ok(Parsed::More(missing));
    };
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Malformed("it is not ASCII"))?;
    let mut words = line.split(' ').skip(1);
    let is_v6 = match words.next() {
        // Whatever follows UNKNOWN is to be ignored.
        Some("UNKNOWN") => return Ok(Parsed::Whole(None)),
        Some("TCP4") => false,
        Some("TCP6") => true,
        _ => return Err(ProxyError::Malformed("it names no known protocol")),
    };
    let bad_address = ProxyError::Malformed("its addresses or ports are not valid");
    let [
        Some(source),
        Some(target),
        Some(source_port),
        Some(target_port),
        None,
    ] = [(); 5].map(|()| words.next())
    else {
        return Err(bad_address);
    };
    let address = |text: &str| {
        text.parse::<IpAddr>()
            .ok()
            .filter(|ip| ip.is_ipv6() == is_v6)
    };
    // Parsing alone would take a plus sign.
    let port = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| is_plain)
    };
    match (
        address(source),
        address(target),
        port(source_port),
        port(target_port),
    ) {
        (Some(ip), Some(_), Some(port), Some(_)) => {
            Ok(Parsed::Whole(Some(SocketAddr::new(ip, port))))
        }
        _ => Err(bad_address),
    }
}

fn parse_v2(header: &[u8]) -> Result<Parsed, ProxyError> {
    let Some([version_and_command, family, high, low]) = header.get(V2_START.len()..V2_FIXED)
    else {
        return Ok(Parsed::More(V2_FIXED - header.len()));
    };
    let whole = V2_FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if whole > V2_MAX {
        return Err(ProxyError::Malformed("it is longer than 4096 bytes"));
    }
    let body = match header.get(V2_FIXED..whole) {
        Some(body) => body,
        None => return Ok(Parsed::More(whole - header.len())),
    };
    let short = ProxyError::Malformed("it is too short for its addresses");
    match (version_and_command, family) {
        // LOCAL, and PROXY without a family: the connection is the balancer's own.
        (0x20, _) | (0x21, 0x00) => Ok(Parsed::Whole(None)),
        (0x21, 0x11) => {
            let source: [u8; 4] = field(body, 0).ok_or(short)?;
            v2_client(body, 12, Ipv4Addr::from(source).into())
        }
        (0x21, 0x21) => {
            let source: [u8; 16] = field(body, 0).ok_or(short)?;
            v2_client(body, 36, Ipv6Addr::from(source).into())
        }
        (0x21, _) => Err(ProxyError::Malformed("its client did not come by TCP")),
        _ => Err(ProxyError::Malformed("its version or command is unknown")),
    }
}

/// Both addresses come first, then both ports; whatever stands behind them are TLVs.
fn v2_client(body: &[u8], addresses_len: usize, source: IpAddr) -> Result<Parsed, ProxyError> {
    let (Some(port), Some(_)) = (
        field(body, addresses_len - 4),
        field::<2>(body, addresses_len - 2),
    ) else {
        return Err(ProxyError::Malformed("it is too short for its addresses"));
    };
    let client = SocketAddr::new(source, u16::from_be_bytes(port));
    Ok(Parsed::Whole(Some(client)))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
