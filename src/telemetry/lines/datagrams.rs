//! Lines go to a socket, a datagram each: to journald or a syslog daemon, in whatever form their writer gave them.
//!
//! The socket's path is looked up for each datagram, so that a daemon that was restarted is found again.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Out;

/// How long a daemon that does not read may keep the rest of the queue waiting, a datagram.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) enum ToSocket {
    Unix(UnixDatagram, PathBuf),
    Udp(UdpSocket, SocketAddr),
}

impl ToSocket {
    /// # Errors
    /// When the system has no more sockets.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Unix(socket, path.to_path_buf()))
    }

    /// # Errors
    /// When the system has no more sockets, or none of this family.
    pub fn udp(address: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Udp(socket, address))
    }

    fn send(&self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket, path) => socket.send_to(line, path),
            Self::Udp(socket, address) => socket.send_to(line, address),
        }
    }
}

impl Out for ToSocket {
    fn write(&mut self, lines: &[Vec<u8>]) -> Result<(), (u64, io::Error)> {
        for (sent, line) in lines.iter().enumerate() {
            if let Err(error) = self.send(line) {
                // What follows would only wait in vain as well.
                return Err((lines.len().saturating_sub(sent) as u64, error));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_comes_back_is_found_and_one_that_is_gone_costs_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut out = ToSocket::unix(&path).unwrap();
        let lines = [b"one".to_vec(), b"two".to_vec()];
        assert_eq!(out.write(&lines).unwrap_err().0, 2);
        for _ in 0..2 {
            let daemon = UnixDatagram::bind(&path).unwrap();
            out.write(&lines).unwrap();
            let mut buffer = [0; 16];
            for line in &lines {
                let length = daemon.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], &line[..]);
            }
            std::fs::remove_file(&path).unwrap();
        }
    }
}
