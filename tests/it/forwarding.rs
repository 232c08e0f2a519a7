//! Everything that opens channels of its own: -L, -R, -D, -W, the agent, X11, unix sockets. Tried on the instance itself
//! first, and the same through the gate.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::client::{PATIENCE, client_script, host};
use crate::support::{
    Door, Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, free_port, tool,
    wait_until,
};

struct Scene {
    world: World,
    sshds: Vec<Sshd>,
    gate: Gate,
    person: Person,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds).start(&world);
        let person = world.person(1);
        Self {
            world,
            sshds,
            gate,
            person,
        }
    }

    fn doors(&self) -> [Door; 2] {
        [self.sshds[0].door(&self.world), self.gate.door(&self.world)]
    }

    #[track_caller]
    fn stop(self, logins: usize) {
        assert_eq!(self.gate.audited_instances(&self.person.name).len(), logins);
        self.gate.stop();
    }

    /// `ssh -N` with these options, until dropped.
    fn forward(&self, door: &Door, options: &[&str]) -> Running {
        let mut ssh = door.ssh(&self.person);
        ssh.args(["-o", "ExitOnForwardFailure=yes", "-N"])
            .args(options)
            .arg(host(&self.person));
        Running::start(&mut ssh)
    }
}

/// Answers every connection with what it read until the other side finished, in capitals.
fn echo<S: Read + Write>(mut stream: S, finish_writing: impl Fn(&S)) {
    let mut text = String::new();
    if stream.read_to_string(&mut text).is_ok() {
        drop(stream.write_all(text.to_uppercase().as_bytes()));
        finish_writing(&stream);
    }
}

/// A capitalizing service on a TCP port, for as long as the test runs.
pub fn tcp_service() -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(|| echo(stream, |s| drop(s.shutdown(std::net::Shutdown::Write))));
        }
    });
    port
}

/// The same on a unix socket, which everybody may use.
fn unix_service(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let listener = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(|| echo(stream, |s| drop(s.shutdown(std::net::Shutdown::Write))));
        }
    });
}

/// Says `text` and reads the answer to its end.
fn ask(mut stream: impl Read + Write, text: &str, shut: impl FnOnce()) -> Option<String> {
    stream.write_all(text.as_bytes()).ok()?;
    shut();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

pub fn ask_tcp(port: u16, text: &str) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    ask(&stream, text, || {
        drop(stream.shutdown(std::net::Shutdown::Write))
    })
}

fn ask_unix(path: &Path, text: &str) -> Option<String> {
    let stream = UnixStream::connect(path).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    ask(&stream, text, || {
        drop(stream.shutdown(std::net::Shutdown::Write))
    })
}

/// A text longer than one channel window.
fn long_text() -> String {
    "all work and no play\n".repeat(150_000)
}

#[test]
fn a_local_port_reaches_a_service_behind_the_instance() {
    let scene = Scene::new();
    let service = tcp_service();
    let text = long_text();
    for door in scene.doors() {
        let port = free_port();
        let _ssh = scene.forward(
            &door,
            &["-L", &format!("127.0.0.1:{port}:127.0.0.1:{service}")],
        );
        wait_until("the local port", PATIENCE, || ask_tcp(port, "ready?"));
        let answers: Vec<_> = (0..5)
            .map(|_| {
                std::thread::spawn({
                    let text = text.clone();
                    move || ask_tcp(port, &text)
                })
            })
            .collect();
        for answer in answers {
            assert!(
                answer.join().unwrap() == Some(text.to_uppercase()),
                "{}",
                door.label
            );
        }
    }
    scene.stop(1);
}

#[test]
fn a_forward_to_a_closed_port_fails_and_the_rest_goes_on() {
    let scene = Scene::new();
    for door in scene.doors() {
        let closed = free_port();
        let mut ssh = door.ssh(&scene.person);
        ssh.args(["-W", &format!("127.0.0.1:{closed}"), &host(&scene.person)]);
        let finished = finish(&mut ssh, PATIENCE);
        assert_eq!(finished.code(), Some(255), "{}: {finished}", door.label);
        assert!(
            finished.stderr.contains("Connection refused"),
            "{}: {finished}",
            door.label
        );
    }
    scene.stop(1);
}

#[test]
fn a_port_of_the_instance_reaches_a_service_beside_the_person() {
    let scene = Scene::new();
    let service = tcp_service();
    for door in scene.doors() {
        let port = free_port();
        let ssh = scene.forward(
            &door,
            &["-R", &format!("127.0.0.1:{port}:127.0.0.1:{service}")],
        );
        let answer = wait_until("the remote port", PATIENCE, || {
            ask_tcp(port, "is anybody there")
        });
        assert_eq!(answer, "IS ANYBODY THERE", "{}", door.label);
        let text = long_text();
        assert!(
            ask_tcp(port, &text) == Some(text.to_uppercase()),
            "{}",
            door.label
        );
        drop(ssh);
        wait_until("the remote port to close", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port))
                .is_err()
                .then_some(())
        });
    }
    scene.stop(1);
}

#[test]
fn port_zero_is_chosen_by_the_instance_and_told() {
    let scene = Scene::new();
    let services = [tcp_service(), tcp_service()];
    for door in scene.doors() {
        let mut ssh = door.ssh(&scene.person);
        // Two of them, so that the answers have to keep their order.
        for service in services {
            ssh.args(["-R", &format!("127.0.0.1:0:127.0.0.1:{service}")]);
        }
        ssh.arg(host(&scene.person)).arg("echo up; read -r line");
        let mut running = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        wait_until("the session", PATIENCE, || {
            (door.is_direct || !scene.gate.sessions().is_empty()).then_some(())
        });
        running.close_stdin();
        let finished = running.finish(PATIENCE);
        let ports: Vec<u16> = finished
            .stderr
            .lines()
            .filter_map(|line| {
                line.split("Allocated port ")
                    .nth(1)?
                    .split(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(ports.len(), 2, "{}: {finished}", door.label);
        assert_ne!(ports[0], ports[1]);
    }
    scene.stop(1);
}

#[test]
fn a_socks_port_reaches_what_the_instance_reaches() {
    let scene = Scene::new();
    for door in scene.doors() {
        let port = free_port();
        let _ssh = scene.forward(&door, &["-D", &format!("127.0.0.1:{port}")]);
        let admin = format!("http://localhost:{}/livez", scene.gate.admin_port);
        let answer = wait_until("the socks port", PATIENCE, || {
            let proxy = format!("socks5h://127.0.0.1:{port}");
            let mut curl = tool("curl");
            curl.args([
                "-s",
                "--max-time",
                "10",
                "-w",
                "%{http_code}",
                "-o",
                "/dev/null",
                "-x",
                &proxy,
                &admin,
            ]);
            let finished = finish(&mut curl, PATIENCE);
            (finished.code() == Some(0)).then_some(finished)
        });
        assert_eq!(answer.text(), "200", "{}", door.label);
    }
    scene.stop(1);
}

#[test]
fn unix_sockets_are_forwarded_both_ways() {
    let scene = Scene::new();
    let service = scene.world.path("service.sock");
    unix_service(&service);
    let text = long_text();
    for door in scene.doors() {
        let near = scene.world.path(&format!("near-{}.sock", door.label));
        let far = scene.person.home.join(format!("far-{}.sock", door.label));
        let _local = scene.forward(
            &door,
            &["-L", &format!("{}:{}", near.display(), service.display())],
        );
        let _remote = scene.forward(
            &door,
            &["-R", &format!("{}:{}", far.display(), service.display())],
        );
        for socket in [near, far] {
            wait_until(&format!("{}", socket.display()), PATIENCE, || {
                ask_unix(&socket, "ready?")
            });
            assert!(
                ask_unix(&socket, &text) == Some(text.to_uppercase()),
                "{}",
                door.label
            );
        }
    }
    scene.stop(2);
}

/// A person's agent with the key agent_key, and its socket.
pub fn agent(world: &World) -> (Running, PathBuf) {
    let socket = world.path("agent.sock");
    let mut agent = tool("ssh-agent");
    let agent = Running::start(agent.arg("-D").arg("-a").arg(&socket));
    wait_until("the agent", PATIENCE, || socket.exists().then_some(()));
    let key = world.make_key("agent_key");
    let mut add = tool("ssh-add");
    finish(add.arg(&key).env("SSH_AUTH_SOCK", &socket), PATIENCE).ok();
    (agent, socket)
}

#[test]
fn the_persons_agent_answers_on_the_instance() {
    let scene = Scene::new();
    let (_agent, socket) = agent(&scene.world);
    for door in scene.doors() {
        let mut ssh = tool("ssh");
        // Before the general options, which name no agent: the first value of an option counts.
        ssh.args(["-o", &format!("IdentityAgent={}", socket.display()), "-A"]);
        ssh.args(door.options(&scene.person));
        // Several ask at once: each is a channel that the instance opens.
        let ask = "for n in 1 2 3 4 5; do ssh-add -l & done; wait";
        ssh.args([&host(&scene.person), ask]);
        let finished = finish(&mut ssh, PATIENCE).ok();
        assert_eq!(
            finished.stdout.matches("agent_key (ED25519)").count(),
            5,
            "{}: {finished}",
            door.label
        );
    }
    scene.stop(1);
}

/// A person's display: its name and the file with its cookie. It takes the set-up message of each program and answers it, and
/// each byte after that.
pub fn display(world: &World) -> (String, PathBuf) {
    let bind = |display| {
        Some((
            display,
            TcpListener::bind(("127.0.0.1", 6000 + display)).ok()?,
        ))
    };
    let (display, listener) = (61..99_u16).find_map(bind).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut setup = [0; 48];
                if stream.read_exact(&mut setup).is_ok() && setup.starts_with(b"l\0\x0b\0") {
                    drop(stream.write_all(b"display here"));
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
                }
            });
        }
    });
    let authority = world.path("xauthority");
    let mut xauth = tool("xauth");
    let cookie = "00112233445566778899aabbccddeeff";
    let name = format!("127.0.0.1:{display}");
    xauth
        .arg("-f")
        .arg(&authority)
        .args(["add", &name, "MIT-MAGIC-COOKIE-1", cookie]);
    finish(&mut xauth, PATIENCE).ok();
    (name, authority)
}

#[test]
fn a_window_on_the_instance_opens_on_the_persons_display() {
    let scene = Scene::new();
    let (name, authority) = display(&scene.world);
    for door in scene.doors() {
        let mut ssh = door.ssh(&scene.person);
        ssh.env("DISPLAY", &name).env("XAUTHORITY", &authority);
        ssh.args(["-Y", &host(&scene.person), "python3 -"]);
        let script = fs::File::open(client_script("x11.py")).unwrap();
        let finished = Running::start_with_stdin(ssh.stdin(script))
            .finish(PATIENCE)
            .ok();
        assert!(
            finished.stdout.contains("display localhost:1"),
            "{}: {finished}",
            door.label
        );
        assert!(
            finished.stdout.contains("answer display here"),
            "{}: {finished}",
            door.label
        );
    }
    scene.stop(1);
}
