//! Listening sockets that somebody else opened: systemd, or the gate whose place this one takes.
//!
//! A socket is found by what the config wants to listen on, never by its number, so that the config stays the truth about
//! where the gate listens. Deliberately absent: opening one, which is `bind`'s, and passing them on, which is `handover`'s.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Socket};

/// What each of them is called, in `FileDescriptorName=` of a socket unit too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketName {
    Ssh,
    Https,
    Redirect,
    Admin,
}

/// Sockets that wait for somebody to want them; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    sockets: Arc<Mutex<Vec<Heirloom>>>,
}

#[derive(Debug)]
struct Heirloom {
    /// `None` where it has none of ours: it is then known by its address alone.
    name: Option<SocketName>,
    from: String,
    socket: Socket,
    /// `None` for a socket file.
    address: Option<SocketAddr>,
    is_used: bool,
}

impl SocketName {
    const ALL: [Self; 4] = [Self::Ssh, Self::Https, Self::Redirect, Self::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Https => "https",
            Self::Redirect => "redirect",
            Self::Admin => "admin",
        }
    }

    /// Where the config says what listens under it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Ssh => "ssh.listen",
            Self::Https => "https.listen",
            Self::Redirect => "https.redirect_listen",
            Self::Admin => "admin.listen",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

impl Inherited {
    /// What systemd passed to this process, which may ask once.
    ///
    /// # Errors
    /// When the variables are not what systemd writes, or a descriptor is no listening stream socket.
    pub fn from_systemd() -> io::Result<Self> {
        let passed = sd_listen_fds::get().map_err(|_| {
            io::Error::other(
                "LISTEN_PID or LISTEN_FDS is no number: start the gate by a systemd socket unit, or without these variables",
            )
        })?;
        let inherited = Self::default();
        for (number, (name, descriptor)) in (3..).zip(passed) {
            let name = name.unwrap_or_else(|| "unknown".to_owned());
            let from = format!("descriptor {number} named {name:?}");
            inherited.add(&name, &from, descriptor.into_std())?;
        }
        Ok(inherited)
    }

    /// `from` says in messages which it is.
    ///
    /// # Errors
    /// When it is no listening stream socket.
    pub fn add(&self, name: &str, from: &str, descriptor: OwnedFd) -> io::Result<()> {
        let socket = Socket::from(descriptor);
        let is_listening = socket.is_listener().unwrap_or(false);
        if !is_listening {
            return Err(io::Error::other(format!(
                "{from} is no socket that listens: a socket unit of the gate has ListenStream= and Accept=no"
            )));
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?.as_socket();
        self.lock().push(Heirloom {
            name: SocketName::of(name),
            from: from.to_owned(),
            socket,
            address,
            is_used: false,
        });
        Ok(())
    }

    /// The sockets for these addresses, with the addresses none serves. A socket on a wildcard serves any address of its
    /// port.
    pub fn take(
        &self,
        name: SocketName,
        addresses: &[SocketAddr],
    ) -> io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
        let mut sockets = self.lock();
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for wanted in addresses {
            let exact = |one: &&mut Heirloom| {
                !one.is_used && one.fits(name) && one.address.is_some_and(|at| is_at(at, *wanted))
            };
            if let Some(one) = sockets.iter_mut().find(exact) {
                one.is_used = true;
                taken.push(one.socket.try_clone()?.into());
                continue;
            }
            let covering = |one: &&mut Heirloom| one.fits(name) && one.covers(*wanted);
            match sockets.iter_mut().find(covering) {
                Some(one) => {
                    if !std::mem::replace(&mut one.is_used, true) {
                        taken.push(one.socket.try_clone()?.into());
                    }
                }
                None => left.push(*wanted),
            }
        }
        sockets.retain(|one| !(one.is_used && one.name.is_none()));
        Ok((taken, left))
    }

    /// The socket file that somebody opened for operators.
    pub fn take_admin_file(&self) -> io::Result<Option<UnixListener>> {
        let mut sockets = self.lock();
        let is_it = |one: &&mut Heirloom| one.fits(SocketName::Admin) && one.address.is_none();
        let Some(one) = sockets.iter_mut().find(is_it) else {
            return Ok(None);
        };
        one.is_used = true;
        Ok(Some(one.socket.try_clone()?.into()))
    }

    /// Closes those that nothing in the config asks for, and says so.
    pub fn close_rest(&self) {
        for one in std::mem::take(&mut *self.lock()) {
            if !one.is_used {
                tracing::warn!("{}", one.complaint());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Heirloom>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heirloom {
    /// Under a name of ours it is for that alone.
    fn fits(&self, name: SocketName) -> bool {
        self.name.is_none_or(|own| own == name)
    }

    fn covers(&self, wanted: SocketAddr) -> bool {
        let Some(at) = self.address else {
            return false;
        };
        if at.port() != wanted.port() || !at.ip().is_unspecified() {
            return false;
        }
        let takes_both = || {
            let is_v6 = self
                .socket
                .domain()
                .is_ok_and(|domain| domain == Domain::IPV6);
            is_v6 && self.socket.only_v6().is_ok_and(|only| !only)
        };
        at.is_ipv4() == wanted.is_ipv4() || takes_both()
    }

    fn complaint(&self) -> String {
        let Some(address) = self.address else {
            return format!(
                "{} is a socket file, which the gate takes for operators alone: write FileDescriptorName=admin, and \
                 admin.socket with its path",
                self.from
            );
        };
        let name = self.name.unwrap_or(SocketName::Ssh);
        format!(
            "{} listens on {address}, which the config asks for nowhere, and is closed: write {} = [\"{address}\"] and \
             FileDescriptorName={}, or take the socket out of the unit",
            self.from,
            name.key(),
            name.name()
        )
    }
}

/// Port 0 is whichever port was found.
fn is_at(at: SocketAddr, wanted: SocketAddr) -> bool {
    at == wanted || wanted.port() == 0 && at.ip() == wanted.ip()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(inherited: &Inherited, name: &str, address: &str) -> SocketAddr {
        let listener = TcpListener::bind(address).unwrap();
        let at = listener.local_addr().unwrap();
        inherited
            .add(name, "descriptor 3", listener.into())
            .unwrap();
        at
    }

    fn take(inherited: &Inherited, name: SocketName, wanted: &[SocketAddr]) -> (usize, usize) {
        let (taken, left) = inherited.take(name, wanted).unwrap();
        (taken.len(), left.len())
    }

    #[test]
    fn a_socket_serves_the_address_of_the_config_under_its_own_name() {
        let inherited = Inherited::default();
        let at = pass(&inherited, "ssh", "127.0.0.1:0");
        let other: SocketAddr = "127.0.0.2:1".parse().unwrap();
        assert_eq!(take(&inherited, SocketName::Https, &[at]), (0, 1));
        assert_eq!(take(&inherited, SocketName::Ssh, &[other, at]), (1, 1));
        assert_eq!(take(&inherited, SocketName::Ssh, &[at]), (0, 1), "taken");
    }

    #[test]
    fn a_wildcard_serves_each_address_of_its_port_with_one_socket() {
        let inherited = Inherited::default();
        let port = pass(&inherited, "ssh", "0.0.0.0:0").port();
        let wanted = ["127.0.0.1", "10.0.0.1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        assert_eq!(take(&inherited, SocketName::Ssh, &wanted), (1, 0));
        let v6 = SocketAddr::new("::1".parse().unwrap(), port);
        assert_eq!(take(&inherited, SocketName::Ssh, &[v6]), (0, 1));
    }

    #[test]
    fn one_that_takes_both_families_serves_both_wildcards() {
        let inherited = Inherited::default();
        let Ok(listener) = TcpListener::bind("[::]:0") else {
            return; // Where the system knows no IPv6 there is nothing to share.
        };
        let at = listener.local_addr().unwrap();
        inherited
            .add("ssh", "descriptor 3", listener.into())
            .unwrap();
        let v4 = SocketAddr::new("0.0.0.0".parse().unwrap(), at.port());
        assert_eq!(take(&inherited, SocketName::Ssh, &[v4, at]), (1, 0));
    }

    #[test]
    fn a_socket_without_a_name_of_ours_is_known_by_its_address() {
        let inherited = Inherited::default();
        let at = pass(&inherited, "poolgate.socket", "127.0.0.1:0");
        assert_eq!(take(&inherited, SocketName::Https, &[at]), (1, 0));
        assert_eq!(
            take(&inherited, SocketName::Ssh, &[at]),
            (0, 1),
            "one key only"
        );
    }

    #[test]
    fn port_0_is_the_port_that_was_found() {
        let inherited = Inherited::default();
        pass(&inherited, "ssh", "127.0.0.1:0");
        let any = "127.0.0.1:0".parse().unwrap();
        assert_eq!(take(&inherited, SocketName::Ssh, &[any]), (1, 0));
    }

    #[test]
    fn what_does_not_listen_is_refused_and_what_is_not_wanted_is_explained() {
        let inherited = Inherited::default();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let refused = inherited
            .add("ssh", "descriptor 3", socket.into())
            .unwrap_err();
        assert!(refused.to_string().contains("Accept=no"), "{refused}");
        let at = pass(&inherited, "https", "127.0.0.1:0");
        let sockets = inherited.lock();
        let complaint = sockets[0].complaint();
        assert!(
            complaint.contains(&format!("https.listen = [\"{at}\"]")),
            "{complaint}"
        );
        assert!(
            complaint.contains("FileDescriptorName=https"),
            "{complaint}"
        );
    }

    #[test]
    fn a_socket_file_is_for_operators() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let inherited = Inherited::default();
        inherited
            .add("admin", "descriptor 3", listener.into())
            .unwrap();
        assert!(inherited.take_admin_file().unwrap().is_some());
    }
}
