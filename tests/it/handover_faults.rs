//! A hand-over in which one side dies, has no descriptor left, or finds other addresses in the configuration: somebody serves in
//! the end, and it is said who and why.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::support::client::PATIENCE;
use crate::support::{
    Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, free_port, tool, wait_until,
};
use crate::systemd::Systemd;

struct Scene {
    world: World,
    gate: Gate,
    person: Person,
    _sshd: Sshd,
}

impl Scene {
    fn new(setup: impl FnOnce(&World, GateSetup) -> GateSetup) -> Self {
        let world = World::new();
        let mut sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = setup(&world, GateSetup::over(&sshds)).start(&world);
        Self {
            person: world.person(1),
            _sshd: sshds.remove(0),
            world,
            gate,
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.world.path("gate/state").join(name)
    }

    #[track_caller]
    fn people_get_in(&self) {
        self.gate.door(&self.world).run(&self.person, "true").ok();
    }
}

/// The test in the place of an old gate, whose steps it chooses.
struct OldGate {
    stream: BufReader<UnixStream>,
    lock: File,
    ssh: TcpListener,
}

impl OldGate {
    /// Kills the gate, takes its place, and has a new one ask for it.
    fn begin(scene: &mut Scene) -> (Self, Running) {
        let ssh_port = scene.gate.ssh_port;
        scene.gate.kill_9();
        let path = scene.state("handover.sock");
        fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let lock = File::options()
            .read(true)
            .write(true)
            .open(scene.state("gate.lock"))
            .unwrap();
        lock.try_lock().unwrap();
        let ssh = TcpListener::bind(("127.0.0.1", ssh_port)).unwrap();
        let new = scene.gate.ask_for_place();
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = BufReader::new(stream);
        let mut old = Self { stream, lock, ssh };
        assert!(old.hear().contains("\"ask\""));
        (old, new)
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line
    }

    fn say(&self, line: &str, files: &[BorrowedFd<'_>]) {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(files)));
        }
        let line = format!("{line}\n");
        let parts = [IoSlice::new(line.as_bytes())];
        let sent = sendmsg(
            self.stream.get_ref(),
            &parts,
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .unwrap();
        assert_eq!(sent, line.len());
    }

    /// Goes as far as this word, and then dies.
    fn die_after(mut self, last: &str) {
        let offer = r#"{"say":"offer","version":3,"program":"0.0.9","descriptors":[{"name":"lock"},{"name":"ssh"}],"up":[],"report":{"sessions":[],"ended":[]}}"#;
        for word in ["offer", "ready", "yours"] {
            match word {
                "offer" => self.say(offer, &[self.lock.as_fd(), self.ssh.as_fd()]),
                "ready" => assert!(self.hear().contains("\"ready\"")),
                _ => self.say(r#"{"say":"yours"}"#, &[]),
            }
            if word == last {
                return;
            }
        }
    }
}

#[test]
fn an_old_gate_that_dies_before_it_gives_its_place_leaves_nobody_half_in_it() {
    let mut scene = Scene::new(|_, setup| setup);
    for last in ["offer", "ready"] {
        let (old, new) = OldGate::begin(&mut scene);
        old.die_after(last);
        let ended = new.finish_within(PATIENCE);
        assert_eq!(ended.code(), Some(1), "{last}: {}", scene.gate.log());
        let log = scene.gate.log();
        assert!(
            log.contains("the running gate has ended the hand-over"),
            "{last}: {log}"
        );
        // Nothing of it is left in the way of one that is started.
        scene.gate.start_again(1);
        scene.people_get_in();
    }
    scene.gate.stop();
}

#[test]
fn an_old_gate_that_dies_when_it_has_given_its_place_leaves_the_new_one_serving() {
    let mut scene = Scene::new(|_, setup| setup);
    let (old, new) = OldGate::begin(&mut scene);
    old.die_after("yours");
    scene.gate.adopt(new, 1);
    scene.people_get_in();
    assert_eq!(scene.gate.owner(), scene.gate.pid());
    let log = scene.gate.log();
    assert!(
        log.contains("ended in the middle of the hand-over"),
        "{log}"
    );
    scene.gate.upgrade().finish_within(PATIENCE).ok();
    scene.people_get_in();
    scene.gate.stop();
}

/// systemd never heard of the new one, and starts another.
#[test]
fn under_systemd_the_place_is_left_to_the_gate_that_systemd_starts() {
    let mut listening = None;
    let mut scene = Scene::new(|world, setup| {
        let systemd = Systemd::listen(&world.path("notify"));
        let setup = systemd.setup(setup);
        listening = Some(systemd);
        setup
    });
    let (old, new) = OldGate::begin(&mut scene);
    old.die_after("yours");
    assert_eq!(new.finish_within(PATIENCE).code(), Some(1));
    let log = scene.gate.log();
    assert!(log.contains("systemd starts another one"), "{log}");
    scene.gate.start_again(1);
    scene.people_get_in();
    scene.gate.stop();
}

#[test]
fn a_gate_with_no_descriptor_left_goes_on_and_hands_over_once_it_has_some() {
    let mut scene = Scene::new(|_, setup| setup);
    let pid = scene.gate.pid();
    // The connection of who asks, and one more.
    leave_descriptors(pid, 2);
    let mut stream = BufReader::new(UnixStream::connect(scene.state("handover.sock")).unwrap());
    writeln!(
        stream.get_mut(),
        r#"{{"say":"ask","version":3,"program":"0.0.0"}}"#
    )
    .unwrap();
    wait_until("the gate to say why it goes on", PATIENCE, || {
        let log = scene.gate.log();
        (log.contains("goes on as before: Too many open files") || log.contains("cannot be heard"))
            .then_some(())
    });
    drop(stream);
    leave_descriptors(pid, 1000);
    scene.people_get_in();
    assert_eq!(scene.gate.owner(), pid);
    scene.gate.upgrade().finish_within(PATIENCE).ok();
    scene.people_get_in();
    scene.gate.stop();
}

/// Has a process open so many more and no others.
fn leave_descriptors(pid: u32, left: usize) {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut open: Vec<usize> = open.collect();
    open.sort_unstable();
    let mut limit = 0;
    let mut free = 0;
    while free < left {
        free += usize::from(open.binary_search(&limit).is_err());
        limit += 1;
    }
    let mut prlimit = tool("prlimit");
    prlimit.args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")]);
    finish(&mut prlimit, PATIENCE).ok();
}

#[test]
fn addresses_that_the_new_configuration_has_are_served_and_others_closed() {
    let mut scene = Scene::new(|_, setup| setup.https(""));
    let good = fs::read_to_string(&scene.gate.config).unwrap();
    let (ssh, https) = (scene.gate.ssh_port, scene.gate.https_port);
    let (more, other) = (free_port(), free_port());
    let changed = good
        .replace(
            &format!("listen = [\"127.0.0.1:{ssh}\"]"),
            &format!("listen = [\"127.0.0.1:{ssh}\", \"127.0.0.1:{more}\"]"),
        )
        .replace(&format!("127.0.0.1:{https}"), &format!("127.0.0.1:{other}"));
    fs::write(&scene.gate.config, changed).unwrap();
    // Seen before the gate reads the file by itself.
    let old = scene.gate.upgrade();
    old.finish_within(PATIENCE).ok();
    let is_open = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert_eq!(
        [ssh, more, other, https].map(is_open),
        [true, true, true, false]
    );
    scene.people_get_in();

    // All addresses of a port cannot be had while the older gate has one of them.
    let wide = good.replace(
        &format!("\"127.0.0.1:{ssh}\""),
        &format!("\"0.0.0.0:{ssh}\""),
    );
    fs::write(&scene.gate.config, wide).unwrap();
    let refused = scene.gate.ask_for_place().finish_within(PATIENCE);
    assert_eq!(refused.code(), Some(1));
    let log = scene.gate.log();
    assert!(
        log.contains(&format!("cannot listen on 0.0.0.0:{ssh}")),
        "{log}"
    );
    scene.people_get_in();
    fs::write(&scene.gate.config, good).unwrap();
    scene.gate.stop();
}
