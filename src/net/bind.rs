//! Opens a listening socket for exactly the address that was asked for. Who accepts on it, and when, is not known here.
//!
//! `[::]` takes IPv6 alone: by the system's default it would take IPv4 too, and `0.0.0.0` beside it would find its port busy.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that wait to be accepted; the system caps it.
const BACKLOG: i32 = 4096;

/// Listens on `address`, without blocking.
///
/// # Errors
/// As bind(2) and listen(2).
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address, false)
}

/// The same where a socket of this process's own has the port already, for all addresses or for one of those that are wanted: both
/// listen until one is closed. Others find the port busy as before.
///
/// # Errors
/// As bind(2) and listen(2).
pub fn listen_beside(address: SocketAddr, own: &TcpListener) -> io::Result<TcpListener> {
    let own = SockRef::from(own);
    own.set_reuse_port(true)?;
    let listener = bound(address, true);
    own.set_reuse_port(false)?;
    let listener = listener?;
    SockRef::from(&listener).set_reuse_port(false)?;
    Ok(listener)
}

fn bound(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A gate started anew must not wait for its last connections' ends to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn both_families_share_a_port_and_one_takes_it_once() {
        let v4 = listen((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = v4.local_addr().unwrap().port();
        let v6 = listen((Ipv6Addr::UNSPECIFIED, port).into());
        // Where the system knows no IPv6 there is nothing to share.
        let unsupported = |error: &io::Error| error.kind() != io::ErrorKind::AddrInUse;
        assert!(v6.as_ref().err().is_none_or(unsupported), "{v6:?}");
        let again = listen((Ipv4Addr::UNSPECIFIED, port).into());
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_part_of_ones_own_addresses_is_listened_at_beside_all_of_them() {
        let (all, one) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST);
        for (first, second) in [(all, one), (one, all)] {
            let old = listen((first, 0).into()).unwrap();
            let port = old.local_addr().unwrap().port();
            assert!(listen((second, port).into()).is_err());
            let new = listen_beside((second, port).into(), &old).unwrap();
            for address in [first, second] {
                assert!(
                    listen((address, port).into()).is_err(),
                    "to others it is busy"
                );
            }
            drop(old);
            assert!(std::net::TcpStream::connect((one, port)).is_ok());
            drop(new);
        }
    }
}
