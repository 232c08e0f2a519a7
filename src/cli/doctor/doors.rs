//! The gate's own doors: whether their ports answer or are free, and when their certificates end.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, TcpStream};

use super::Check;
use crate::config::Config;
use crate::net::server_tls::pair::Pair;
use crate::ssh::host_identity;

const PATIENCE: Duration = Duration::from_secs(3);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// When somebody should look after a certificate, and when it is late for that.
const SOON: Duration = Duration::from_secs(21 * 24 * 3600);
const LATE: Duration = DAY;

pub(super) async fn look(config: &Config, is_running: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    for (key, address) in ports(config) {
        let subject = format!("{key} {address}");
        checks.push(match is_running {
            true => answers(subject, address).await,
            false => is_free(subject, address).await,
        });
    }
    checks.extend(certificates(config, SystemTime::now()));
    checks
}

fn ports(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let of = |key, addresses: &[SocketAddr]| {
        let addresses = addresses.iter().map(|address| (key, *address));
        addresses.collect::<Vec<_>>()
    };
    let mut ports = Vec::new();
    if let Some(ssh) = &config.ssh {
        ports.extend(of("ssh.listen", &ssh.listen));
    }
    if let Some(https) = &config.https {
        ports.extend(of("https.listen", &https.listen));
    }
    ports.extend(config.admin.listen.map(|address| ("admin.listen", address)));
    ports
}

async fn answers(subject: String, address: SocketAddr) -> Check {
    let to = SocketAddr::new(reachable(address.ip()), address.port());
    match tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await {
        Ok(Ok(_)) => Check::ok(subject, "answers"),
        Ok(Err(error)) => Check::fail(subject, format!("does not answer: {error}"), mends(address)),
        Err(_) => Check::fail(subject, "does not answer in time", mends(address)),
    }
}

async fn is_free(subject: String, address: SocketAddr) -> Check {
    match TcpListener::bind(address).await {
        Ok(_) => Check::ok(subject, "is free"),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Check::warn(
            subject,
            "this account may not listen there; the systemd unit may",
            "systemctl start poolgate; or as root: setcap cap_net_bind_service=+ep /usr/bin/poolgate",
        ),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Check::fail(subject, "another program listens there", mends(address))
        }
        Err(error) => Check::fail(
            subject,
            format!("cannot be listened at: {error}"),
            "ip address",
        ),
    }
}

fn mends(address: SocketAddr) -> String {
    format!("ss -ltnp 'sport = :{}'", address.port())
}

/// Where whoever listens everywhere is reached from here.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Of TLS and of ssh host keys; what is wrong with their files is told among those.
fn certificates(config: &Config, now: SystemTime) -> Vec<Check> {
    const RENEW: &str = "have it renewed (certbot renew), or let the gate do it: [https.acme]";
    const SIGN: &str = "ssh-keygen -s CA -h -I NAME -n NAME -V +52w KEY.pub: it is read by itself";
    let files = config.https.iter().flat_map(|https| &https.certificates);
    let files = files.chain(&config.admin.tls);
    let of_tls = files.filter_map(|files| {
        let subject = format!("{}.certificate", files.key);
        let pair = Pair::read(files).ok()?;
        Some(lasts(subject, pair.name(), pair.not_after, now, RENEW))
    });
    let mut checks: Vec<_> = of_tls.collect();
    if let Some(ssh) = &config.ssh {
        let lifetimes = host_identity::lifetimes(&ssh.host_certificates);
        checks.extend(lifetimes.iter().map(|one| {
            lasts(
                "ssh.host_certificates".to_owned(),
                &one.name,
                one.end,
                now,
                SIGN,
            )
        }));
    }
    checks
}

fn lasts(subject: String, name: &str, end: SystemTime, now: SystemTime, mends: &str) -> Check {
    let Ok(left) = end.duration_since(now) else {
        return Check::fail(subject, format!("the certificate {name} has ended"), mends);
    };
    let says = format!(
        "the certificate {name} ends in {} days",
        left.as_secs() / DAY.as_secs()
    );
    match left {
        left if left <= LATE => Check::fail(subject, says, mends),
        left if left <= SOON => Check::warn(subject, says, mends),
        _ => Check::ok(subject, says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::examine::Verdict;

    #[test]
    fn a_certificate_is_told_of_in_time() {
        let now = SystemTime::now();
        let verdict = |left: i64| {
            let by = DAY * u32::try_from(left.abs()).unwrap();
            let end = if left < 0 { now - by } else { now + by };
            lasts("x".into(), "pool.example", end, now, "renew it")
                .finding
                .verdict
        };
        for (left, expected) in [
            (90, Verdict::Ok),
            (21, Verdict::Warn),
            (1, Verdict::Fail),
            (-3, Verdict::Fail),
        ] {
            assert_eq!(verdict(left), expected, "{left}");
        }
    }

    #[tokio::test]
    async fn a_port_answers_is_free_or_is_somebody_elses() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let verdict = |check: Check| check.finding.verdict;
        assert_eq!(verdict(answers("x".into(), address).await), Verdict::Ok);
        let found = is_free("x".into(), address).await;
        assert!(
            found
                .finding
                .remedy
                .as_ref()
                .unwrap()
                .starts_with("ss -ltnp")
        );
        assert_eq!(verdict(found), Verdict::Fail);
        drop(taken);
        assert_eq!(verdict(is_free("x".into(), address).await), Verdict::Ok);
        assert_eq!(verdict(answers("x".into(), address).await), Verdict::Fail);
    }
}
