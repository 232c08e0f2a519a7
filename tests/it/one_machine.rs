//! The same person lands on the same instance, whatever they connect with.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::client::{PATIENCE, host, quoted};
use crate::support::{
    Door, Finished, Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, free_port, tool,
    wait_until,
};

/// Everything one person does here, with files of some size so that more than one window goes by.
struct Work<'a> {
    world: &'a World,
    door: Door,
    person: Person,
}

impl Work<'_> {
    fn file(&self, name: &str) -> String {
        self.world.path(name).display().to_string()
    }

    fn options(&self) -> Vec<String> {
        self.door.options(&self.person)
    }

    fn scp(&self, legacy: &[&str]) -> Finished {
        let remote = format!("{}:scp.bin", host(&self.person));
        let mut up = tool("scp");
        up.args(legacy)
            .args(self.options())
            .arg(self.file("data"))
            .arg(&remote);
        finish(&mut up, PATIENCE).ok();
        let mut down = tool("scp");
        down.args(legacy)
            .args(self.options())
            .arg(&remote)
            .arg(self.file("scp.back"));
        finish(&mut down, PATIENCE).ok()
    }

    fn sftp(&self) -> Finished {
        let batch = self.world.path("batch");
        let text = format!(
            "put {} sftp.bin\nget sftp.bin {}\n",
            self.file("data"),
            self.file("sftp.back")
        );
        fs::write(&batch, text).unwrap();
        let mut sftp = tool("sftp");
        sftp.args(self.options())
            .arg("-b")
            .arg(&batch)
            .arg(host(&self.person));
        finish(&mut sftp, PATIENCE).ok()
    }

    fn rsync(&self) -> Finished {
        let shell = format!("ssh {}", quoted(&self.options()));
        let remote = format!("{}:rsync.bin", host(&self.person));
        for (from, to) in [
            (self.file("data"), remote.clone()),
            (remote, self.file("rsync.back")),
        ] {
            let mut rsync = tool("rsync");
            rsync.args(["--whole-file", "-e", &shell, &from, &to]);
            finish(&mut rsync, PATIENCE).ok();
        }
        self.door.run(&self.person, "true").ok()
    }

    /// `ssh -N -L` to the sshd of the instance itself, whose host key tells which one that is.
    fn local_forward(&self, sshds: &[Sshd]) -> String {
        let port = free_port();
        let own = sshds.iter().map(|sshd| sshd.port).min().unwrap();
        let mut ssh = self.door.ssh(&self.person);
        ssh.args(["-o", "ExitOnForwardFailure=yes", "-N", "-L"])
            .arg(format!("127.0.0.1:{port}:127.0.0.1:{own}"))
            .arg(host(&self.person));
        let _forward = Running::start(&mut ssh);
        wait_until("the forwarded port to answer", PATIENCE, || {
            use std::io::Read;
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
            let mut banner = [0; 8];
            stream.read_exact(&mut banner).ok()?;
            (&banner == b"SSH-2.0-").then_some(())
        });
        "forwarded".to_owned()
    }
}

fn same(world: &World, name: &str) {
    let (sent, came) = (fs::read(world.path("data")), fs::read(world.path(name)));
    assert!(
        sent.unwrap() == came.unwrap(),
        "{name} is not what was sent"
    );
}

#[test]
fn ssh_scp_sftp_rsync_and_a_forward_of_one_person_land_on_one_instance() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let work = Work {
        world: &world,
        door: gate.door(&world),
        person: world.person(1),
    };
    let mut data = vec![0; 5_000_000];
    aws_lc_rs::rand::fill(&mut data).unwrap();
    fs::write(world.path("data"), data).unwrap();

    // A session that stays makes this instance the fullest: only affinity sends the others here too.
    let mut ssh = work.door.ssh(&work.person);
    ssh.arg(host(&work.person)).arg("read -r line");
    let held = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    gate.wait_sessions(1);
    let home = gate.sessions()[0]["instance"].as_str().unwrap().to_owned();

    assert_eq!(work.door.instance_of(&work.person), home);
    work.scp(&[]);
    same(&world, "scp.back");
    work.scp(&["-O"]);
    same(&world, "scp.back");
    work.sftp();
    same(&world, "sftp.back");
    work.rsync();
    same(&world, "rsync.back");
    work.local_forward(&sshds);
    assert_eq!(work.door.instance_of(&work.person), home);

    only_on(&gate, &sshds, &work.person, &home, 11);
    drop(held);
    gate.wait_sessions(0);
    // And afterwards, when nothing but memory ties them to it.
    assert_eq!(work.door.instance_of(&work.person), home);
    gate.stop();
}

/// The gate, and the instances themselves, agree on where a person was.
fn only_on(gate: &Gate, sshds: &[Sshd], person: &Person, home: &str, at_least: usize) {
    let audited = gate.audited_instances(&person.name);
    assert!(
        audited.len() >= at_least,
        "logins that the gate saw: {audited:?}"
    );
    assert!(
        audited.iter().all(|instance| instance == home),
        "{audited:?}"
    );
    for sshd in sshds {
        let accepted = sshd.accepted().len();
        let expected = if sshd.name == home { audited.len() } else { 0 };
        assert_eq!(accepted, expected, "logins that {} accepted", sshd.name);
    }
}

#[test]
fn a_person_asks_for_an_instance_and_for_a_pool_by_name() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let door = gate.door(&world);
    let person = world.person(1);
    let land = |login: &str| {
        let mut ssh = door.ssh(&person);
        ssh.args(["-l", login, "127.0.0.1", "echo $POOLGATE_INSTANCE; whoami"]);
        finish(&mut ssh, PATIENCE)
    };
    for wanted in ["vm3", "vm1", "vm2"] {
        let landed = land(&format!("person01%{wanted}")).ok();
        assert_eq!(landed.text(), format!("{wanted}\nperson01"));
    }
    assert!(land("person01+main").ok().text().ends_with("person01"));
    for nowhere in ["person01%vm9", "person01+nopool"] {
        assert_eq!(land(nowhere).code(), Some(255), "{nowhere}");
    }
    gate.stop();
}
