//! The log and the audit log of a real gate, as daemons of the host take them: journald by its own protocol, syslog by
//! RFC 5424 and as programs of the host send it. The daemons' sockets are the test's, so that each byte is seen.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::PATIENCE;
use crate::support::{GateSetup, Logins, Sshd, World, finish, tool};

/// How long a daemon waits for one datagram.
const WAIT: Duration = Duration::from_secs(20);

/// A daemon's socket.
struct Daemon {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Daemon {
    fn bind(world: &World, name: &str) -> Self {
        let path = world.path(name);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        Self { path, socket }
    }

    fn place(&self, kind: &str) -> String {
        format!("{kind}:{}", self.path.display())
    }

    /// The first datagram that holds this; those before it are passed over.
    fn wait(&self, what: &str) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let received = self.socket.recv(&mut buffer);
            let length = received.unwrap_or_else(|error| panic!("no {what}: {error}"));
            let datagram = &buffer[..length];
            if String::from_utf8_lossy(datagram).contains(what) {
                return datagram.to_vec();
            }
        }
    }
}

/// An entry taken apart as journald does it.
fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| *byte == b'\n').unwrap();
        let line = &entry[..end];
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match line.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                fields.push((text(&line[..at]), text(&line[at + 1..])));
                entry = &entry[end + 1..];
            }
            None => {
                let (length, rest) = entry[end + 1..].split_first_chunk::<8>().unwrap();
                let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
                fields.push((text(line), text(&rest[..length])));
                assert_eq!(rest[length], b'\n');
                entry = &rest[length + 1..];
            }
        }
    }
    fields
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().filter(|(key, _)| key == name);
    let values: Vec<_> = found.map(|(_, value)| &**value).collect();
    assert_eq!(values.len(), 1, "{name} of {fields:?}");
    values[0]
}

#[test]
fn journald_gets_each_field_of_a_login_by_its_name() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let (log, audit) = (Daemon::bind(&world, "j1"), Daemon::bind(&world, "j2"));
    let gate = GateSetup::over(&sshds)
        .variable(
            "POOLGATE__LOG__TO",
            &format!("stderr,{}", log.place("journald")),
        )
        .variable("POOLGATE__AUDIT__TO", &audit.place("journald"))
        .start(&world);
    let alice = world.person(1);
    gate.door(&world).run(&alice, "true").ok();
    let entry = fields(&log.wait("a session began"));
    assert_eq!(value(&entry, "PRIORITY"), "6");
    assert_eq!(value(&entry, "SYSLOG_IDENTIFIER"), "poolgate");
    assert_eq!(value(&entry, "POOLGATE_USER"), alice.name);
    assert_eq!(value(&entry, "POOLGATE_TARGET"), "poolgate::ssh::front");
    assert!(value(&entry, "MESSAGE").starts_with("INFO poolgate::ssh::front: a session began"));
    let session = value(&entry, "POOLGATE_SESSION").to_owned();

    let entry = fields(&audit.wait("\"event\":\"login\""));
    let line: Value = serde_json::from_str(value(&entry, "MESSAGE")).unwrap();
    assert_eq!(
        (&line["event"], &line["session"]),
        (&"login".into(), &(&*session).into())
    );
    assert_eq!(value(&entry, "POOLGATE_EVENT"), "login");
    assert_eq!(value(&entry, "POOLGATE_INSTANCE"), "vm1");
    assert_eq!(
        gate.wait_audit("login", 1)[0]["session"],
        session,
        "the file has it too"
    );
    assert!(
        gate.log().contains("a session began"),
        "standard error has it too"
    );
    gate.stop();
}

#[test]
fn syslog_is_told_by_rfc_5424_of_logins_and_refusals() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let daemon = Daemon::bind(&world, "syslog");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(WAIT)).unwrap();
    let address = udp.local_addr().unwrap();
    let gate = GateSetup::over(&sshds)
        .variable("POOLGATE__LOG__FORMAT", "logfmt")
        .variable(
            "POOLGATE__LOG__TO",
            &format!("stderr,{}", daemon.place("syslog")),
        )
        .variable("POOLGATE__AUDIT__TO", &format!("syslog:udp://{address}"))
        .start(&world);
    gate.door(&world).run(&world.person(1), "true").ok();
    let began = String::from_utf8(daemon.wait("a session began")).unwrap();
    let parts: Vec<_> = began.splitn(8, ' ').collect();
    assert_eq!((parts[0], parts[3]), ("<30>1", "poolgate"), "{began}");
    assert_eq!((parts[5], parts[6]), ("log", "-"), "{began}");
    assert!(parts[7].starts_with("level=info target=poolgate::ssh::front message="));

    let mut ssh = tool("ssh");
    ssh.args(gate.door(&world).options(&world.person(1)));
    ssh.args(["-l", "nobody-here", "127.0.0.1", "true"]);
    assert!(!finish(&mut ssh, PATIENCE).status.success());
    let mut buffer = [0; 1 << 16];
    let refused = loop {
        let length = udp.recv(&mut buffer).unwrap();
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if message.contains("\"refused\"") {
            break message;
        }
    };
    assert!(
        refused.starts_with("<85>1 ") && !refused.contains('\n'),
        "{refused}"
    );
    assert!(refused.contains(" audit - {\"time\":"), "{refused}");
    gate.stop();
}

/// `logger` is what every script of a host writes to syslog with: what it sends is what our local form is like.
#[test]
fn the_daemon_of_the_host_is_told_as_logger_tells_it() {
    let world = World::new();
    let daemon = Daemon::bind(&world, "devlog");
    let mut logger = tool("logger");
    logger.args(["-p", "daemon.info", "-t", "poolgate", "--id=7", "-u"]);
    logger.arg(&daemon.path).arg("INFO text");
    finish(&mut logger, PATIENCE).ok();
    let told = String::from_utf8(daemon.wait("INFO text")).unwrap();
    let (head, rest) = told.split_once(" poolgate").unwrap();
    assert_eq!(rest, "[7]: INFO text");
    // `<30>Nov  9 08:24:18`
    assert!(
        head.starts_with("<30>") && head.len() == "<30>Nov  9 08:24:18".len(),
        "{told}"
    );
}
