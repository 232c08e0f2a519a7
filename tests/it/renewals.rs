//! Files that the configuration names, renewed under a gate at work: taken by themselves once they stand still, and where they are of
//! no use told wherever an operator looks, while what was read before stays in force.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::client::PATIENCE;
use crate::support::http::{Asked, TOKEN_LINE};
use crate::support::streams::ShellStream;
use crate::support::world::public;
use crate::support::{Gate, GateSetup, Logins, Sshd, World, finish, operators, tool, wait_until};

const PATIENT: Duration = Duration::from_secs(60);

impl Gate {
    fn file_faults(&self) -> Vec<Value> {
        let (_, status) = self.admin("/api/v1/status");
        let status: Value = serde_json::from_str(&status).unwrap();
        let faults = status["config"]["file_faults"].as_array();
        faults.cloned().unwrap_or_default()
    }

    /// The reason for this key's file, once it is told everywhere.
    fn wait_fault(&self, key: &str) -> String {
        let fault = wait_until(&format!("{key} to be told of"), PATIENT, || {
            let faults = self.file_faults();
            faults.into_iter().find(|fault| fault["key"] == key)
        });
        let why = fault["why"].as_str().unwrap().to_owned();
        let status = self.cli(&["status"]).ok();
        assert!(status.text().contains(&why), "{why}: {status}");
        let events = self.cli(&["events", "--kind", "reload-refused"]).ok();
        assert!(events.text().contains(&why), "{why}: {events}");
        assert!(self.log().contains("a file is of no use"), "{}", self.log());
        let (_, metrics) = self.admin("/metrics");
        assert!(
            metrics.contains("poolgate_config_file_faults 1"),
            "{metrics}"
        );
        why
    }

    fn wait_well(&self) {
        wait_until("no file to be at fault", PATIENT, || {
            self.file_faults().is_empty().then_some(())
        });
    }
}

/// In place of `path`, in one step.
fn replace(path: &Path, from: &Path) {
    let new = path.with_extension("new");
    fs::copy(from, &new).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

/// The fingerprints of the keys that are shown at this port.
fn shown_keys(port: u16) -> String {
    let mut scan = tool("ssh-keyscan");
    scan.args(["-p", &port.to_string(), "127.0.0.1"]);
    finish(&mut scan, PATIENCE).stdout
}

fn line_of(key: &Path) -> String {
    let line = fs::read_to_string(public(key)).unwrap();
    let words: Vec<_> = line.split_whitespace().take(2).collect();
    words.join(" ")
}

#[test]
fn a_host_key_behind_a_link_is_renewed_under_a_session_and_a_broken_one_is_not_taken() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    // As Kubernetes and confd lay files out: a link to a folder that is swapped for another.
    let folder = |name: &str, key: &Path| -> PathBuf {
        let folder = world.folder(name);
        replace(&folder.join("host_key"), key);
        folder
    };
    let (first, second) = (world.make_key("first"), world.make_key("second"));
    symlink(folder("one", &first), world.path("..data")).unwrap();
    let path = world.path("..data/host_key");
    let gate = GateSetup::over(&sshds)
        .host_keys(&[&path])
        .ssh("connect_timeout = \"20s\"")
        .start(&world);
    fs::remove_file(world.known_hosts()).ok();
    world.trust_host(gate.ssh_port, &first);
    let mut stays = ShellStream::start(&gate.door(&world), &world.person(1));
    stays.turn();
    assert!(shown_keys(gate.ssh_port).contains(&line_of(&first)));

    let swap = |to: PathBuf| {
        symlink(to, world.path("..tmp")).unwrap();
        fs::rename(world.path("..tmp"), world.path("..data")).unwrap();
    };
    swap(folder("two", &second));
    wait_until("the new key", PATIENT, || {
        shown_keys(gate.ssh_port)
            .contains(&line_of(&second))
            .then_some(())
    });
    stays.turn();

    let torn = world.folder("three");
    fs::write(
        torn.join("host_key"),
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza",
    )
    .unwrap();
    fs::set_permissions(torn.join("host_key"), fs::Permissions::from_mode(0o600)).unwrap();
    swap(torn);
    let why = gate.wait_fault("ssh.host_keys");
    assert!(
        why.ends_with("what was read before stays in force"),
        "{why}"
    );
    assert!(shown_keys(gate.ssh_port).contains(&line_of(&second)));
    // Asked for by name, a reload is refused for it as a whole, with the line of the key.
    let told = gate.cli(&["reload"]);
    assert_eq!(told.code(), Some(78), "{told}");
    assert!(told.stderr.contains("poolgate.toml:"), "{told}");
    assert!(told.stderr.contains(": ssh.host_keys: "), "{told}");
    let checked = gate.cli(&["check"]);
    assert!(checked.stderr.contains("ssh.host_keys: "), "{checked}");

    swap(world.path("one"));
    wait_until("the first key again", PATIENT, || {
        shown_keys(gate.ssh_port)
            .contains(&line_of(&first))
            .then_some(())
    });
    gate.wait_well();
    stays.turn();
    stays.end();
    gate.stop();
}

#[test]
fn the_user_ca_is_renewed_and_those_who_come_then_have_its_certificates() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("connect_timeout = \"20s\"")
        .start(&world);
    let (person, door) = (world.person(1), gate.door(&world));
    door.run(&person, "true").ok();
    let next = world.make_key("next_ca");
    replace(&world.path("user_ca"), &next);
    wait_until("instances to refuse the new authority", PATIENT, || {
        (door.run(&person, "true").code() != Some(0)).then_some(())
    });
    let trusted = world.path("user_ca.pub");
    fs::copy(public(&next), &trusted).unwrap();
    wait_until("instances to take the new authority", PATIENT, || {
        (door.run(&person, "true").code() == Some(0)).then_some(())
    });
    gate.stop();
}

#[test]
fn lists_and_tokens_of_no_use_leave_the_old_ones_in_force_and_are_told() {
    let world = World::new();
    for ca in ["people_ca", "other_ca"] {
        world.make_key(ca);
    }
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let (people, revoked) = (world.path("people"), world.path("revoked"));
    fs::copy(world.path("people_ca.pub"), &people).unwrap();
    fs::write(&revoked, "").unwrap();
    let gate = GateSetup::over(&sshds)
        .auth(&format!("trusted_user_ca_keys = [{people:?}]"))
        .auth(&format!("revoked_keys = {revoked:?}"))
        .start(&world);
    let door = gate.door(&world);
    let person = world.person(1);
    world.authorize(&person, "");
    let mut keygen = tool("ssh-keygen");
    keygen.args(["-q", "-s"]).arg(world.path("people_ca"));
    keygen
        .args(["-I", "x", "-n", "person01"])
        .arg(public(&person.key));
    finish(&mut keygen, PATIENCE).ok();
    door.run(&person, "true").ok();
    let plain = world.person(2);

    let settles = |who, lets_in: bool, what: &str| {
        wait_until(what, PATIENT, || {
            ((door.run(who, "true").code() == Some(0)) == lets_in).then_some(())
        });
    };
    // What is revoked stays so while the list is broken, and all others go on.
    let plain_line = fs::read_to_string(public(&plain.key)).unwrap();
    fs::write(&revoked, &plain_line).unwrap();
    settles(&plain, false, "the key to be revoked");
    fs::write(&revoked, "ssh-ed25519 half").unwrap();
    gate.wait_fault("ssh.auth.revoked_keys");
    assert_ne!(door.run(&plain, "true").code(), Some(0));
    door.run(&person, "true").ok();
    fs::remove_file(&revoked).unwrap();
    wait_until("its absence to be told", PATIENT, || {
        let faults = gate.file_faults();
        faults[0]["why"]
            .as_str()?
            .contains("there is no file")
            .then_some(())
    });
    door.run(&person, "true").ok();
    fs::write(&revoked, "").unwrap();
    settles(&plain, true, "the key to count again");
    gate.wait_well();

    // An authority goes by a list that can be read, and not by one that cannot.
    fs::set_permissions(&people, fs::Permissions::from_mode(0o666)).unwrap();
    gate.wait_fault("ssh.auth.trusted_user_ca_keys");
    door.run(&person, "true").ok();
    fs::set_permissions(&people, fs::Permissions::from_mode(0o644)).unwrap();
    gate.wait_well();
    fs::copy(world.path("other_ca.pub"), &people).unwrap();
    settles(&person, false, "the authority to be gone");
    gate.stop();
}

#[test]
fn tokens_of_a_faulty_file_stay_and_those_of_a_sound_one_go() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let token = operators::token(&gate, "ada", "viewer");
    let file = operators::tokens_file(&gate);
    let asked = || {
        let asked = Asked {
            method: "GET",
            path: "/api/v1/pools",
            token: Some(&token),
            body: "",
        };
        asked.send(gate.admin_port).map(|(status, _)| status)
    };
    assert_eq!(asked(), Some(200));
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "ada viewer half").unwrap();
    let why = gate.wait_fault("admin.tokens_file");
    assert!(why.contains("64 hexadecimal digits"), "{why}");
    assert_eq!(asked(), Some(200));
    fs::write(&file, TOKEN_LINE).unwrap();
    wait_until("the token to be gone", PATIENT, || {
        (asked() == Some(401)).then_some(())
    });
    fs::write(&file, good).unwrap();
    wait_until("the token to count", PATIENT, || {
        (asked() == Some(200)).then_some(())
    });
    gate.wait_well();
    gate.stop();
}
