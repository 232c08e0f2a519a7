//! Instances' host keys are checked, by each of the three rules: an instance with another key gets nobody's login.

use std::fs;
use std::path::Path;

use crate::support::client::PATIENCE;
use crate::support::world::public;
use crate::support::{GateSetup, Logins, Sshd, World, finish, tool};

fn key_line(host: &str, private: &Path) -> String {
    format!("{host} {}", fs::read_to_string(public(private)).unwrap())
}

#[test]
fn a_changed_key_after_the_first_use_is_refused_and_the_person_placed_elsewhere() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let door = gate.door(&world);
    let person = world.person(1);
    for name in ["vm1", "vm2"] {
        let mut ssh = door.ssh(&person);
        ssh.args(["-l", &format!("person01%{name}"), "127.0.0.1", "true"]);
        finish(&mut ssh, PATIENCE).ok();
    }
    sshds[0].replace_host_key(&world);
    let accepted = sshds[0].accepted().len();

    for number in 2..=5 {
        let finished = door
            .run(&world.person(number), "echo $POOLGATE_INSTANCE")
            .ok();
        assert_eq!(finished.text(), "vm2", "{finished}");
    }
    // Who insists on that instance is told why not.
    let mut ssh = door.ssh(&person);
    ssh.args(["-l", "person01%vm1", "127.0.0.1", "true"]);
    let refused = finish(&mut ssh, PATIENCE);
    assert_eq!(refused.code(), Some(255), "{refused}");
    assert!(refused.stderr.contains("host key"), "{refused}");
    assert!(gate.log().contains("host key"), "the log says so");
    assert_eq!(
        sshds[0].accepted().len(),
        accepted,
        "nobody reached the impostor"
    );
    gate.stop();
}

#[test]
fn pins_survive_a_restart_of_the_gate() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    gate.door(&world).run(&world.person(1), "true").ok();
    gate.stop();
    sshds[0].replace_host_key(&world);
    let gate = GateSetup::over(&sshds).start(&world);
    let refused = gate.door(&world).run(&world.person(1), "true");
    assert_eq!(refused.code(), Some(255), "{refused}");
    gate.stop();
}

#[test]
fn known_hosts_decides_where_it_is_named() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let file = world.path("instances_known_hosts");
    let lines: String = sshds
        .iter()
        .map(|sshd| key_line(&format!("[127.0.0.1]:{}", sshd.port), &sshd.host_key()))
        .collect();
    fs::write(&file, lines).unwrap();
    sshds[0].replace_host_key(&world);
    let setup = GateSetup::over(&sshds);
    let gate = setup
        .pool_ssh(&format!(
            "instance_host_keys = \"known_hosts:{}\"",
            file.display()
        ))
        .start(&world);
    for number in 1..=3 {
        assert_eq!(gate.door(&world).instance_of(&world.person(number)), "vm2");
    }
    assert!(sshds[0].accepted().is_empty());
    gate.stop();
}

#[test]
fn a_host_authority_decides_where_it_is_named() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let authority = world.make_key("host_ca");
    // vm2 gets a certificate by the authority, vm1 has only its bare key.
    let mut keygen = tool("ssh-keygen");
    keygen.args(["-q", "-h", "-s"]).arg(&authority);
    keygen
        .args(["-I", "vm2", "-n", "127.0.0.1,vm2"])
        .arg(public(&sshds[1].host_key()));
    finish(&mut keygen, PATIENCE).ok();
    sshds[1].kill_9();
    let certificate = sshds[1].host_key().with_file_name("host_key-cert.pub");
    sshds[1].add_config("HostCertificate", certificate.to_str().unwrap());
    sshds[1].revive();
    let setup = GateSetup::over(&sshds);
    let rule = format!(
        "instance_host_keys = \"ca:{}\"",
        public(&authority).display()
    );
    let gate = setup.pool_ssh(&rule).start(&world);
    for number in 1..=3 {
        assert_eq!(gate.door(&world).instance_of(&world.person(number)), "vm2");
    }
    assert!(sshds[0].accepted().is_empty());
    gate.stop();
}
