//! The dashboard in a real browser, over 50 instances with 1,000 sessions: what it shows is so, it follows what happens, and
//! every order works by keyboard, with JavaScript and without.
//!
//! Instances are scripted and clients are threads: a thousand real ones would test the machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use poolgate::ssh::wire::message::number;
use poolgate::ssh::wire::userauth::{Secret, password_request};

use crate::hostile::instance::{Peer, ScriptedInstance};
use crate::support::client::{client_script, venv_python};
use crate::support::light::LightClient;
use crate::support::{Gate, GateSetup, Running, World, free_port, tool, wait_until};

const INSTANCES: usize = 50;
const SESSIONS: usize = 1000;
const LONG: Duration = Duration::from_secs(240);

/// A reason that a page must not take for markup. Names of people hold no such thing: the doors refuse them.
const AWKWARD: &str = "<img src=x onerror=alert(1)> \"'&";

/// Lets anybody in and is quiet from then on.
fn admit(peer: &mut Peer) {
    if peer.until(number::USERAUTH_REQUEST) {
        peer.send(&[number::USERAUTH_SUCCESS]);
        peer.rest();
    }
}

struct Scene {
    world: World,
    gate: Gate,
    _instances: Vec<ScriptedInstance>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let mut setup = GateSetup::default()
            .auth("password = \"instance\"")
            .pool("capacity = 24")
            .ssh("max_startups = 500\nmax_connections = 5000");
        let mut instances = Vec::new();
        for number in 1..=INSTANCES {
            let name = format!("vm{number}");
            let instance = ScriptedInstance::start(&world, &name, |_| {}, admit);
            setup = setup.instance(&name, instance.port, None);
            instances.push(instance);
        }
        let gate = setup.start(&world);
        Self {
            world,
            gate,
            _instances: instances,
        }
    }

    fn log_in(&self, user: &str, number: usize) -> LightClient {
        let from = Ipv4Addr::new(127, 1, u8::try_from(number / 100).unwrap(), 1);
        let mut client = LightClient::connect(from, self.gate.ssh_port).unwrap();
        let answer = client.ask(&password_request(user, &Secret::new(b"any")));
        assert_eq!(answer.unwrap()[0], number::USERAUTH_SUCCESS, "{user}");
        client
    }

    /// Everybody, by some threads at once.
    fn crowd(&self) -> Vec<LightClient> {
        const THREADS: usize = 8;
        let mut crowd = Vec::new();
        thread::scope(|scope| {
            let part = |at: usize| {
                let mine = (at..SESSIONS).step_by(THREADS);
                let people = mine.map(|number| self.log_in(&format!("person{number:04}"), number));
                people.collect::<Vec<_>>()
            };
            let parts: Vec<_> = (0..THREADS)
                .map(|at| scope.spawn(move || part(at)))
                .collect();
            parts
                .into_iter()
                .for_each(|part| crowd.extend(part.join().unwrap()));
        });
        crowd
    }
}

/// Carries a browser's connections to the admin socket, where orders are taken.
fn bridge(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok(gate) = UnixStream::connect(&socket) else {
                continue;
            };
            let (browser, asked) = (stream.try_clone().unwrap(), gate.try_clone().unwrap());
            thread::spawn(move || copy(browser, asked));
            thread::spawn(move || {
                copy(gate, &stream);
                drop(stream.shutdown(Shutdown::Both));
            });
        }
    });
    port
}

fn copy(mut from: impl Read, mut to: impl Write) {
    drop(std::io::copy(&mut from, &mut to));
}

/// tests/clients/chromium_dashboard.py, at work.
struct Browser {
    process: Running,
    log: PathBuf,
}

impl Browser {
    fn start(world: &World, base: &str) -> Self {
        drop(tool("chromium"));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let axe = here.join(".test/npm/node_modules/axe-core/axe.min.js");
        assert!(axe.exists(), "{} is missing: tests/run", axe.display());
        let pictures = here.join(".test/dashboard");
        fs::create_dir_all(&pictures).unwrap();
        let log = world.path("browser.log");
        let mut python = venv_python();
        python
            .arg(client_script("chromium_dashboard.py"))
            .arg(base)
            .arg(pictures)
            .arg(axe)
            .env("HOME", world.folder("browser-home"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Running::start_logged(&mut python, File::create(&log).unwrap());
        Self { process, log }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_asks(&mut self, what: &str) {
        let line = format!("asks {what}");
        wait_until(&format!("the browser: {line}"), LONG, || {
            let told = self.told();
            assert!(self.process.is_running(), "it ended: {told}");
            told.lines().any(|told| told == line).then_some(())
        });
    }

    fn finish(mut self) -> BTreeMap<String, String> {
        wait_until("the browser's end", LONG, || {
            (!self.process.is_running()).then_some(())
        });
        let text = self.told();
        assert!(text.ends_with("done yes\n"), "{text}");
        let facts = text.lines().filter_map(|line| line.split_once(' '));
        facts
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

#[test]
fn a_thousand_sessions_are_shown_followed_and_ordered_about() {
    let scene = Scene::new();
    let began = Instant::now();
    let mut crowd = scene.crowd();
    scene.gate.wait_sessions(SESSIONS);
    eprintln!(
        "{SESSIONS} sessions on {INSTANCES} instances in {:?}",
        began.elapsed()
    );
    let admin = bridge(scene.gate.socket());
    if let Some(seconds) = std::env::var_os("POOLGATE_DASHBOARD_SECONDS") {
        measure(&scene, admin, seconds.to_str().unwrap().parse().unwrap());
    }
    let base = format!("http://127.0.0.1:{admin}");
    let mut browser = Browser::start(&scene.world, &base);
    browser.wait_asks("change");
    let order = ["cordon", "vm17", "--reason", AWKWARD];
    scene.gate.cli(&order).ok();
    browser.wait_asks("leaving");
    crowd.truncate(SESSIONS - 100);
    let facts = browser.finish();
    eprintln!("{facts:#?}");
    for (name, value) in [
        ("sessions", "1,000"),
        ("machines", "50"),
        ("free", "200"),
        ("rows", "50"),
        ("seats", "1000 of 1200"),
        ("people", "1–100 of 1,000 sessions"),
        ("found", "1 session"),
        ("left", "900"),
        ("by-keyboard", "cordon uncordon drain keep notice evict"),
        ("without-script", "cordon uncordon drain keep notice evict"),
        ("serious", "[]"),
        ("policy", "[]"),
        ("console", "[]"),
        ("elsewhere", "[]"),
        ("looks", "True"),
    ] {
        assert_eq!(facts.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(facts["followed"], format!("by an operator: {AWKWARD}"));
    let orders = scene.gate.audit("fleet");
    for kind in ["cordon", "undrain", "drain", "keep", "evict"] {
        let count = orders.iter().filter(|line| line["kind"] == kind).count();
        assert!(count >= 2, "{kind}: {orders:?}");
    }
    drop(crowd);
    scene.gate.stop();
}

/// What watched pages cost, beside the same gate without one: while nothing happens, and while somebody comes and goes each
/// second.
fn measure(scene: &Scene, port: u16, seconds: u64) {
    for is_busy in [false, true] {
        for pages in [
            &[][..],
            &["%2Fmachines"][..],
            &["%2F", "%2Fmachines", "%2Fsessions"][..],
        ] {
            let watchers: Vec<_> = pages
                .iter()
                .map(|page| Watcher::start(port, page))
                .collect();
            let before = scene.gate.cpu_ticks();
            for number in 0..seconds {
                let number = usize::try_from(number).unwrap();
                let client = is_busy.then(|| scene.log_in("comes-and-goes", number));
                thread::sleep(Duration::from_secs(1));
                drop(client);
            }
            let ticks = scene.gate.cpu_ticks() - before;
            let told: u64 = watchers.into_iter().map(Watcher::bytes).sum();
            eprintln!(
                "busy: {is_busy}; {} pages watched: {:.2} % of a core, {told} bytes in {seconds} s",
                pages.len(),
                ticks as f64 / seconds as f64
            );
        }
    }
}

/// Reads one page's changes.
struct Watcher {
    stream: TcpStream,
    reading: thread::JoinHandle<u64>,
}

impl Watcher {
    fn start(port: u16, page: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            stream,
            "GET /dash/live?page={page} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .unwrap();
        let mut reader = stream.try_clone().unwrap();
        let reading =
            thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap_or(0));
        Self { stream, reading }
    }

    fn bytes(self) -> u64 {
        drop(self.stream.shutdown(Shutdown::Both));
        self.reading.join().unwrap()
    }
}
