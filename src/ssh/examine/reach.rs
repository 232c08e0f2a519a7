//! How an instance is reached, and where to look when it is not: each fault of the network has its own place to look at.
//!
//! Nothing is asked anew: what the system said of the one try is what is told. What an sshd says once it is reached is not
//! known here.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::DROP_IN;
use crate::pool::Instance;
use crate::ssh::leg::LegError;

/// Why no keys were agreed on with an instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialFault {
    #[error("its name is not found: {0}")]
    Name(io::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    Connect(io::Error),
    #[error("it takes the connection, and then says nothing for {0:?}")]
    Mute(Duration),
    #[error("{0}")]
    Leg(#[from] LegError),
}

/// Connected; nothing is said yet.
pub(super) async fn connect(
    instance: &Instance,
    patience: Duration,
) -> Result<TcpStream, DialFault> {
    let place = (instance.address.as_str(), instance.ssh_port);
    let found = timeout(patience, lookup_host(place)).await;
    let late = || io::Error::new(ErrorKind::TimedOut, "no name server answers in time");
    let found = found.unwrap_or_else(|_| Err(late()));
    let found: Vec<SocketAddr> = found.map_err(DialFault::Name)?.collect();
    match timeout(patience, TcpStream::connect(&*found)).await {
        Ok(stream) => stream.map_err(DialFault::Connect),
        Err(_) => Err(DialFault::Silent(patience)),
    }
}

/// What to look at.
pub(super) fn remedy(fault: &DialFault, instance: &Instance) -> String {
    let (address, port) = (&instance.address, instance.ssh_port);
    let dropped = || {
        format!(
            "is the machine on? else a firewall or security group drops what this machine sends to port {port}; from here: ping -c 3 {address}; nc -vz -w 5 {address} {port}"
        )
    };
    let error = match fault {
        DialFault::Name(_) => {
            return format!(
                "from here: getent ahosts {address}; resolvectl status; or write an IP address as the instance's address"
            );
        }
        DialFault::Silent(_) => return dropped(),
        DialFault::Mute(_) => {
            return format!(
                "on the instance: uptime; journalctl -u ssh -n 50; ss -ltnp 'sport = :{port}': is it sshd, and does the machine have memory left?"
            );
        }
        // It took the connection and ended it: that is how penalties and MaxStartups look.
        DialFault::Leg(_) => return DROP_IN.to_owned(),
        DialFault::Connect(error) => error,
    };
    match error.kind() {
        ErrorKind::ConnectionRefused => format!(
            "the machine answers, and nothing listens at port {port}; on the instance: systemctl start ssh; systemctl status ssh; ss -ltnp: another port is ssh_port in the configuration"
        ),
        ErrorKind::TimedOut => dropped(),
        ErrorKind::HostUnreachable => format!(
            "no machine has this address, or a firewall rejects this one; from here: ip route get {address}; ip neighbour show {address}; is the machine on, and is this its address?"
        ),
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => format!(
            "this machine has no way there; from here: ip route get {address}; ip address: is its network interface up, and are the networks joined (route, peering, VPN)?"
        ),
        ErrorKind::PermissionDenied => {
            "this machine's own firewall forbids it; as root: nft list ruleset; iptables -S OUTPUT"
                .to_owned()
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => DROP_IN.to_owned(),
        _ => format!(
            "on the instance: systemctl status ssh; from here: nc -vz -w 5 {address} {port}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::InstanceId;

    fn instance(address: &str, ssh_port: u16) -> Instance {
        Instance {
            id: InstanceId {
                pool: "main".into(),
                name: "vm1".into(),
            },
            address: address.into(),
            ssh_port,
            jupyter_port: None,
            capacity: 8,
            generation: 0,
        }
    }

    #[test]
    fn each_fault_of_the_network_says_what_to_look_at() {
        let vm1 = instance("10.0.0.4", 22);
        let told = |kind: ErrorKind| remedy(&DialFault::Connect(kind.into()), &vm1);
        let late = Duration::from_secs(10);
        for (told, looks) in [
            (told(ErrorKind::ConnectionRefused), "systemctl start ssh"),
            (told(ErrorKind::TimedOut), "nc -vz -w 5 10.0.0.4 22"),
            (
                told(ErrorKind::HostUnreachable),
                "ip neighbour show 10.0.0.4",
            ),
            (told(ErrorKind::NetworkUnreachable), "ip route get 10.0.0.4"),
            (told(ErrorKind::AddrNotAvailable), "ip address"),
            (told(ErrorKind::PermissionDenied), "nft list ruleset"),
            (told(ErrorKind::Other), "systemctl status ssh"),
            (
                remedy(&DialFault::Name(ErrorKind::NotFound.into()), &vm1),
                "getent ahosts 10.0.0.4",
            ),
            (remedy(&DialFault::Silent(late), &vm1), "security group"),
            (remedy(&DialFault::Mute(late), &vm1), "journalctl -u ssh"),
        ] {
            assert!(told.contains(looks), "{looks}: {told}");
        }
    }

    #[tokio::test]
    async fn a_name_nobody_has_a_closed_port_and_an_open_one_are_told_apart() {
        let patience = Duration::from_secs(10);
        let nobody = connect(&instance("nobody.invalid", 22), patience).await;
        assert!(matches!(nobody, Err(DialFault::Name(_))), "{nobody:?}");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = connect(&instance("127.0.0.1", port), patience).await;
        assert!(open.is_ok(), "{open:?}");
        drop(listener);
        let closed = connect(&instance("127.0.0.1", port), patience).await;
        let Err(DialFault::Connect(error)) = closed else {
            panic!("{closed:?}");
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
