//! Who the gate is to real ssh clients: rotation of its host keys without alarms, host certificates, `poolgate host-keys`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::client::PATIENCE;
use crate::support::world::public;
use crate::support::{
    Door, Finished, GateSetup, Logins, Person, Sshd, World, finish, tool, wait_until,
};

fn key_text(private: &Path) -> String {
    let line = fs::read_to_string(public(private)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// A client with a known_hosts file of its own.
fn client_knowing(door: &Door, file: &Path, lines: &str) -> Door {
    fs::write(file, lines).unwrap();
    Door {
        known_hosts: file.to_owned(),
        ..door.clone()
    }
}

/// A login of somebody who lets ssh update known_hosts.
fn log_in(door: &Door, person: &Person, options: &[&str]) -> Finished {
    let mut ssh = tool("ssh");
    // The first value counts.
    ssh.args(["-F", "none", "-o", "UpdateHostKeys=yes"]);
    ssh.args(options).args(&door.options(person)[2..]);
    ssh.args([&format!("{}@127.0.0.1", person.name), "echo in"]);
    ssh.env_remove("SSH_AUTH_SOCK");
    finish(&mut ssh, PATIENCE)
}

#[test]
fn a_rotated_host_key_alarms_nobody_who_logged_in_meanwhile() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let person = world.person(1);
    let next = world.make_key("gate_next_key");
    let rsa = world.make_key_of("rsa", "gate_rsa_key");
    let first = world.path("gate_host_key");
    let file = world.path("known_hosts_of_person");
    let known = || fs::read_to_string(&file).unwrap();

    // A second kind of key and the key to come: ssh asks for proof of both and learns them.
    let gate = GateSetup::over(&sshds)
        .host_keys(&[&first, &rsa])
        .ssh(&format!("standby_host_keys = [{next:?}]"))
        .start(&world);
    let host = format!("[127.0.0.1]:{}", gate.ssh_port);
    let line = format!("{host} ssh-ed25519 {}\n", key_text(&first));
    let door = client_knowing(&gate.door(&world), &file, &line);
    let finished = log_in(&door, &person, &["-v"]).ok();
    assert_eq!(finished.text(), "in", "{finished}");
    for key in [&first, &rsa, &next] {
        assert!(known().contains(&key_text(key)), "{finished}\n{}", known());
    }
    // The instance's own key is none of the client's business.
    assert!(!known().contains(&key_text(&sshds[0].host_key())));
    // Clients that go by the RSA key hear of the others too, proved in RSA's newer ways.
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        let line = format!("{host} ssh-rsa {}\n", key_text(&rsa));
        let door = client_knowing(&door, &world.path("known_by_rsa"), &line);
        let option = format!("HostKeyAlgorithms={algorithm},ssh-ed25519");
        log_in(&door, &person, &["-o", &option]).ok();
        let known = fs::read_to_string(&door.known_hosts).unwrap();
        assert!(known.contains(&key_text(&next)), "{known}");
    }

    // The rotation: the key to come is the only one. Strict clients notice nothing, and forget the old ones.
    let port = gate.ssh_port;
    let gate = gate.replaced(&world, GateSetup::over(&sshds).host_keys(&[&next]));
    assert_eq!(gate.ssh_port, port);
    let finished = log_in(&door, &person, &[]).ok();
    assert!(!finished.stderr.contains("WARNING"), "{finished}");
    assert_eq!(known().lines().count(), 1, "{}", known());
    assert!(known().contains(&key_text(&next)));
    gate.stop();
}

#[test]
fn a_certified_host_key_needs_no_line_of_its_own() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let person = world.person(1);
    let authority = world.make_key("host_ca");
    let rsa = world.make_key_of("rsa", "gate_rsa_key");
    let keys = [world.path("gate_host_key"), rsa];
    let certificates = keys.each_ref().map(|key| certify(&authority, key, "+52w"));
    let gate = GateSetup::over(&sshds)
        .host_keys(&[&keys[0], &keys[1]])
        .ssh(&format!("host_certificates = {certificates:?}"))
        .start(&world);
    let line = format!(
        "@cert-authority [127.0.0.1]:* ssh-ed25519 {}\n",
        key_text(&authority)
    );
    let door = client_knowing(&gate.door(&world), &world.path("known_ca"), &line);
    for algorithm in [
        "ssh-ed25519-cert-v01@openssh.com",
        "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
    ] {
        let option = format!("HostKeyAlgorithms={algorithm}");
        let finished = door.run_with(&person, &["-v", "-o", &option], "true").ok();
        let shown = format!("kex: host key algorithm: {algorithm}");
        assert!(finished.stderr.contains(&shown), "{finished}");
    }
    // Whoever names no algorithm gets one, and keys are renewed under it as well.
    let options = ["-o", "RekeyLimit=64K"];
    door.run_with(&person, &options, "head -c 1000000 /dev/zero | wc -c")
        .ok();
    // Whoever has the plain key and no authority is served as before.
    gate.door(&world).run(&person, "true").ok();
    // Another authority's word counts for nothing.
    let stranger = world.make_key("stranger_ca");
    let line = format!("@cert-authority * ssh-ed25519 {}\n", key_text(&stranger));
    let door = client_knowing(&door, &world.path("known_stranger"), &line);
    let refused = door.run(&person, "true");
    assert_eq!(refused.code(), Some(255), "{refused}");
    assert!(
        refused.stderr.contains("Host key verification failed"),
        "{refused}"
    );
    gate.stop();
}

#[test]
fn a_renewed_certificate_is_shown_after_a_hangup_signal() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let person = world.person(1);
    let (first, second) = (world.make_key("host_ca_1"), world.make_key("host_ca_2"));
    let certificate = certify(&first, &world.path("gate_host_key"), "-10w:+5d");
    let gate = GateSetup::over(&sshds)
        .ssh(&format!("host_certificates = [{certificate:?}]"))
        .start(&world);
    wait_until("its end to be told", Duration::from_secs(20), || {
        let told = gate.cli(&["events", "--kind", "certificate-expiry"]).ok();
        told.text().contains("ends in 1").then_some(())
    });
    let (_, metrics) = gate.admin("/metrics");
    let figure = "poolgate_tls_certificate_not_after_seconds{certificate=\"";
    assert!(metrics.contains(figure), "{metrics}");
    let told = gate.cli(&["doctor"]);
    let says = "warn ssh.host_certificates: the certificate ";
    assert!(told.stdout.contains(says), "{told}");
    let line = format!("@cert-authority * ssh-ed25519 {}\n", key_text(&second));
    let door = client_knowing(&gate.door(&world), &world.path("known_ca"), &line);
    assert_eq!(door.run(&person, "true").code(), Some(255));
    certify(&second, &world.path("gate_host_key"), "+52w");
    gate.hang_up();
    wait_until("the renewed certificate", Duration::from_secs(20), || {
        (door.run(&person, "true").code() == Some(0)).then_some(())
    });
    gate.stop();
}

#[test]
fn the_command_line_prints_what_openssh_reads_and_prints_itself() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let person = world.person(1);
    let keys = [
        world.path("gate_host_key"),
        world.make_key_of("rsa", "gate_rsa_key"),
        world.make_key_of("ecdsa", "gate_ecdsa_key"),
    ];
    let next = world.make_key("gate_next_key");
    let authority = world.make_key("host_ca");
    let certificate = certify(&authority, &keys[0], "+52w");
    let gate = GateSetup::over(&sshds)
        .host_keys(&keys.each_ref().map(PathBuf::as_path))
        .ssh(&format!("standby_host_keys = [{next:?}]"))
        .ssh(&format!("host_certificates = [{certificate:?}]"))
        .start(&world);
    let print = |output: &str, host: &str| {
        let words = ["host-keys", "--host", host, "-o", output];
        gate.cli(&words).ok()
    };

    // As known_hosts, as they are: every kind of key gets somebody in.
    let lines = print("known_hosts", "127.0.0.1").stdout;
    let door = client_knowing(&gate.door(&world), &world.path("printed"), &lines);
    for kind in ["ssh-ed25519", "rsa-sha2-512", "ecdsa-sha2-nistp256"] {
        let option = format!("HostKeyAlgorithms={kind}");
        door.run_with(&person, &["-o", &option], "true").ok();
    }
    assert!(lines.contains(&key_text(&next)), "{lines}");
    // The authority's line, once it is trusted.
    let hint = lines
        .lines()
        .find_map(|line| line.strip_prefix("# @cert-authority "));
    let line = format!("@cert-authority {}\n", hint.unwrap());
    let door = client_knowing(&door, &world.path("printed_ca"), &line);
    door.run(&person, "true").ok();

    // Beside what ssh-keygen makes of the same keys.
    let mut keygen = tool("ssh-keygen");
    keygen.arg("-lf").arg(world.path("printed"));
    let fingerprints = finish(&mut keygen, PATIENCE).ok().stdout;
    assert_eq!(print("fingerprints", "127.0.0.1").stdout, fingerprints);
    let mut records = String::new();
    for key in keys.iter().chain([&next]) {
        let mut keygen = tool("ssh-keygen");
        keygen.args(["-r", "gate.example", "-f"]).arg(public(key));
        let all = finish(&mut keygen, PATIENCE).ok().stdout;
        let is_sha256 = |line: &&str| line.split(' ').nth(4) == Some("2");
        records.extend(
            all.lines()
                .filter(is_sha256)
                .map(|line| format!("{line}\n")),
        );
    }
    let printed = print("sshfp", "gate.example:22");
    assert_eq!(printed.stdout, records);
    assert!(
        printed.stderr.contains("and not for gate.example"),
        "{printed}"
    );
    let rows = crate::support::gate::rows(&print("json", "127.0.0.1").stdout);
    let states: Vec<_> = rows
        .iter()
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["offered", "offered", "offered", "standby"]);
    assert_eq!(rows[0]["certificate"]["principals"][0], "127.0.0.1");
    gate.stop();
}

/// Signs a host key for the loopback; where the certificate is.
fn certify(authority: &Path, key: &Path, validity: &str) -> PathBuf {
    let mut keygen = tool("ssh-keygen");
    keygen.args(["-q", "-h", "-s"]).arg(authority);
    keygen
        .args(["-I", "gate", "-n", "127.0.0.1", "-V", validity])
        .arg(public(key));
    finish(&mut keygen, PATIENCE).ok();
    let name = key.file_name().unwrap().to_str().unwrap();
    key.with_file_name(format!("{name}-cert.pub"))
}
