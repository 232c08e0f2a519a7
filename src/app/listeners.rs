//! Where the gate listens: each open address with its door, the socket, and how accepting on it ends.
//!
//! A change comes in two steps: what is new is bound first, which may fail and then changes nothing; what is no longer
//! wanted stops after that. An address that stays keeps its very socket, also under another door, so nobody who connects
//! meanwhile is refused. This is the one place that opens a door's socket.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};
use tokio_util::sync::CancellationToken;

use crate::net::bind as sockets;
use crate::net::inherited::{Inherited, SocketName};
use crate::net::shutdown::Shutdown;

/// The open addresses.
#[derive(Default)]
pub(super) struct Listeners {
    open: Vec<Open>,
    /// Opened by somebody else for this gate to begin with.
    inherited: Inherited,
}

struct Open {
    role: SocketName,
    /// As configured.
    address: SocketAddr,
    /// Kept beside whoever accepts on it: it is what another process, or another door, can be given.
    socket: TcpListener,
    stop: CancellationToken,
}

/// What is wanted, with sockets for all of it that is not open yet; dropped, it changes nothing.
pub(super) struct Wanted {
    addresses: Vec<(SocketName, SocketAddr)>,
    fresh: Vec<(SocketName, SocketAddr, TcpListener)>,
}

/// A socket on which nobody accepts yet.
pub(super) struct Opened {
    pub role: SocketName,
    pub socket: TcpListener,
    /// Fires when accepting on it is to end.
    pub stop: CancellationToken,
}

impl Listeners {
    pub fn new(inherited: Inherited) -> Self {
        Self {
            open: Vec::new(),
            inherited,
        }
    }

    /// Binds what of this is not open yet.
    ///
    /// # Errors
    /// The first address that cannot be had; everything is as it was.
    pub fn prepare(&self, addresses: Vec<(SocketName, SocketAddr)>) -> Result<Wanted> {
        let mut fresh: Vec<(SocketName, SocketAddr, TcpListener)> = Vec::new();
        for (role, address) in &addresses {
            if self.find(*role, *address).is_some() {
                continue;
            }
            let passed_on = || format!("{}: a socket that was passed on", role.key());
            let taken = self.inherited.take(*role, &[*address]);
            let (mut taken, left) = taken.with_context(passed_on)?;
            // One on all addresses of a port serves each of them.
            let covering = fresh
                .iter()
                .find(|(of, at, _)| of == role && at.port() == address.port());
            let socket = match (taken.pop(), left.is_empty(), covering) {
                (Some(socket), _, _) => socket,
                (None, true, Some((_, _, socket))) => socket.try_clone().with_context(passed_on)?,
                _ => self.socket_for(*role, *address, &addresses)?,
            };
            fresh.push((*role, *address, socket));
        }
        Ok(Wanted { addresses, fresh })
    }

    /// Ends accepting where it is no longer wanted, and hands out the sockets to accept on from here on.
    pub fn change(&mut self, wanted: Wanted, shutdown: &Shutdown) -> Vec<Opened> {
        let Wanted { addresses, fresh } = wanted;
        self.open.retain(|open| {
            let stays = addresses.contains(&(open.role, open.address));
            if !stays {
                open.stop.cancel();
            }
            stays
        });
        let mut opened = Vec::new();
        for (role, address, socket) in fresh {
            // Operators look at a gate that drains.
            let stop = match role {
                SocketName::Admin => shutdown.ending.child_token(),
                _ => shutdown.closing.child_token(),
            };
            match socket.try_clone() {
                Ok(kept) => self.open.push(Open {
                    role,
                    address,
                    socket: kept,
                    stop: stop.clone(),
                }),
                // It is served all the same, and only cannot be kept over the next change.
                Err(error) => tracing::warn!(%error, %address, "a second handle of a listener"),
            }
            opened.push(Opened { role, socket, stop });
        }
        opened
    }

    /// The sockets, each once, for another process.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn share(&self) -> Result<Vec<(SocketName, TcpListener)>> {
        let mut shared: Vec<(SocketName, TcpListener)> = Vec::new();
        for open in &self.open {
            let at = open.socket.local_addr()?;
            let is_there = |(role, socket): &(SocketName, TcpListener)| {
                *role == open.role && socket.local_addr().is_ok_and(|other| other == at)
            };
            if !shared.iter().any(is_there) {
                shared.push((open.role, open.socket.try_clone()?));
            }
        }
        Ok(shared)
    }

    /// Closes the doors of people; what is operators' stays open. Whoever comes from here on is refused by the system, but where
    /// somebody else has the socket too, such as systemd: there they wait in it.
    pub fn close_doors(&mut self) {
        self.open.retain(|open| {
            let stays = open.role == SocketName::Admin;
            if !stays {
                open.stop.cancel();
            }
            stays
        });
    }

    /// Ends accepting everywhere.
    pub fn close(&mut self) {
        for open in std::mem::take(&mut self.open) {
            open.stop.cancel();
        }
    }

    /// Where this door listens: as configured, with port 0 replaced by the port that was found.
    pub fn addresses(&self, role: SocketName) -> Vec<SocketAddr> {
        let of_role = self.open.iter().filter(|open| open.role == role);
        of_role
            .map(|open| open.socket.local_addr().unwrap_or(open.address))
            .collect()
    }

    fn find(&self, role: SocketName, address: SocketAddr) -> Option<&Open> {
        let mut open = self.open.iter();
        open.find(|open| (open.role, open.address) == (role, address))
    }

    /// `wanted` is all that will be open.
    fn socket_for(
        &self,
        role: SocketName,
        address: SocketAddr,
        wanted: &[(SocketName, SocketAddr)],
    ) -> Result<TcpListener> {
        let key = role.key();
        let of_another = self.open.iter().find(|open| open.address == address);
        if let Some(open) = of_another.filter(|open| open.address.port() != 0) {
            let socket = open.socket.try_clone();
            return socket.with_context(|| format!("{key}: cannot take over {address}"));
        }
        let Some(open) = self.open.iter().find(|open| overlap(open.address, address)) else {
            return bind(key, address);
        };
        let at = open.address;
        if wanted.contains(&(open.role, at)) {
            bail!(
                "{key}: cannot listen on {address} and on {at}, one of which is part of the other: write one of them"
            );
        }
        // Who connects is served by one of the two all the time.
        let beside = sockets::listen_beside(address, &open.socket);
        beside.with_context(|| format!("{key}: cannot listen on {address} in place of {at}"))
    }
}

/// One is all addresses of a family, and the other one of these.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    is_all && one.port() == other.port() && one.port() != 0 && one.is_ipv4() == other.is_ipv4()
}

fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    sockets::listen(address).with_context(|| {
        format!("{key}: cannot listen on {address}: is another program on that port, and may this user take it?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn free() -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    }

    #[test]
    fn what_stays_keeps_its_socket_and_what_goes_is_told() {
        let shutdown = Shutdown::default();
        let mut listeners = Listeners::default();
        let (stays, goes, comes) = (free(), free(), free());
        let first = vec![(SocketName::Ssh, stays), (SocketName::Ssh, goes)];
        let wanted = listeners.prepare(first).unwrap();
        let opened = listeners.change(wanted, &shutdown);
        assert_eq!(opened.len(), 2);
        // Connected and not accepted yet.
        let waiting = TcpStream::connect(stays).unwrap();
        let second = vec![(SocketName::Ssh, stays), (SocketName::Https, comes)];
        let wanted = listeners.prepare(second).unwrap();
        assert!(!opened[1].stop.is_cancelled(), "nothing changes before");
        let new = listeners.change(wanted, &shutdown);
        assert_eq!((new.len(), new[0].role), (1, SocketName::Https));
        assert!(!opened[0].stop.is_cancelled() && opened[1].stop.is_cancelled());
        drop(opened.into_iter().nth(1));
        assert!(TcpStream::connect(goes).is_err(), "it is closed");
        assert_eq!(listeners.addresses(SocketName::Ssh), [stays]);
        drop(waiting);
        shutdown.close();
        assert!(new[0].stop.is_cancelled());
    }

    #[test]
    fn doors_close_for_people_and_stay_for_operators() {
        let shutdown = Shutdown::default();
        let mut listeners = Listeners::default();
        let at = [free(), free(), free(), free()];
        let roles = [
            SocketName::Ssh,
            SocketName::Https,
            SocketName::Redirect,
            SocketName::Admin,
        ];
        let wanted = listeners.prepare(roles.into_iter().zip(at).collect());
        let opened = listeners.change(wanted.unwrap(), &shutdown);
        let of_somebody_else = opened[0].socket.try_clone().unwrap();
        listeners.close_doors();
        let told = opened.iter().map(|one| one.stop.is_cancelled());
        assert_eq!(told.collect::<Vec<_>>(), [true, true, true, false]);
        // Whoever accepts there does as it is told.
        let admin = opened.into_iter().nth(3).unwrap();
        let is_open = |at: SocketAddr| TcpStream::connect(at).is_ok();
        assert_eq!(at.map(is_open), [true, false, false, true]);
        drop(of_somebody_else);
        assert!(!is_open(at[0]));
        drop(admin);
        assert!(is_open(at[3]), "it is kept for a newer gate");
    }

    #[test]
    fn an_address_that_cannot_be_had_changes_nothing() {
        let shutdown = Shutdown::default();
        let mut listeners = Listeners::default();
        let (open, taken) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
        let wanted = listeners.prepare(vec![(SocketName::Ssh, open)]).unwrap();
        let opened = listeners.change(wanted, &shutdown);
        let taken = taken.local_addr().unwrap();
        let refused = listeners
            .prepare(vec![(SocketName::Ssh, taken)])
            .err()
            .unwrap();
        assert!(format!("{refused:#}").contains("ssh.listen: cannot listen on"));
        let whole = SocketAddr::from(([0, 0, 0, 0], open.port()));
        let both = vec![(SocketName::Ssh, open), (SocketName::Ssh, whole)];
        let refused = listeners.prepare(both).err().unwrap();
        assert!(refused.to_string().contains("write one of them"));
        assert!(!opened[0].stop.is_cancelled());
        assert!(TcpStream::connect(open).is_ok());
    }

    #[test]
    fn all_addresses_of_a_port_become_one_and_all_again() {
        let shutdown = Shutdown::default();
        let mut listeners = Listeners::default();
        let one = free();
        let all = SocketAddr::from(([0, 0, 0, 0], one.port()));
        let wanted = listeners.prepare(vec![(SocketName::Ssh, all)]).unwrap();
        let mut opened = listeners.change(wanted, &shutdown);
        for address in [one, all] {
            let wanted = listeners.prepare(vec![(SocketName::Ssh, address)]).unwrap();
            let next = listeners.change(wanted, &shutdown);
            assert_eq!(next.len(), 1);
            assert!(opened.iter().all(|old| old.stop.is_cancelled()));
            // The old one goes while the new one is there.
            opened = next;
            assert!(TcpStream::connect(one).is_ok());
        }
    }

    #[test]
    fn an_address_changes_its_door_without_being_closed() {
        let shutdown = Shutdown::default();
        let mut listeners = Listeners::default();
        let address = free();
        let wanted = listeners.prepare(vec![(SocketName::Ssh, address)]).unwrap();
        let as_ssh = listeners.change(wanted, &shutdown);
        let wanted = listeners
            .prepare(vec![(SocketName::Https, address)])
            .unwrap();
        let as_https = listeners.change(wanted, &shutdown);
        assert!(as_ssh[0].stop.is_cancelled());
        drop(as_ssh);
        let waiting = TcpStream::connect(address).unwrap();
        as_https[0].socket.set_nonblocking(false).unwrap();
        let (_, peer) = as_https[0].socket.accept().unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
    }
}
