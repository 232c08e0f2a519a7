//! Failed logins as fail2ban reads them from the log of a real gate: each is found, no other line is taken for one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::client::{PATIENCE, client_script, venv_python};
use crate::support::hub::Hub;
use crate::support::{Finished, Gate, GateSetup, Logins, Sshd, World, finish, tool};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What fail2ban finds in the gate's log with the filter that is shipped: the address of each line.
fn found(gate: &Gate, world: &World) -> Vec<String> {
    found_in(&gate.log(), world)
}

fn found_in(log: &str, world: &World) -> Vec<String> {
    let file = world.path("gate.log");
    fs::write(&file, log).unwrap();
    let unpacked = root(".test/unpacked");
    let program = unpacked.join("usr/bin/fail2ban-regex");
    let mut python = tool("/usr/bin/python3");
    python
        .env("PYTHONPATH", unpacked.join("usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(program)
        .args(["--out", "ip", "-c"])
        .arg(root("deploy/fail2ban"))
        .arg(&file)
        .arg(root("deploy/fail2ban/filter.d/poolgate.conf"));
    let finished = finish(&mut python, PATIENCE).ok();
    let lines = finished.stdout.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn wrong_password(gate: &Gate, world: &World, user: &str) -> Finished {
    let program = world.path("askpass");
    fs::write(&program, "#!/bin/sh\necho wrong\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let mut ssh = tool("ssh");
    ssh.args(["-o", "BatchMode=no", "-o", "PubkeyAuthentication=no"]);
    ssh.args(["-o", "NumberOfPasswordPrompts=1"]);
    ssh.args(["-o", "PreferredAuthentications=password"]);
    ssh.args(gate.door(world).options(&world.person(1)));
    ssh.args(["-l", user, "127.0.0.1", "true"]);
    ssh.env("SSH_ASKPASS", &program)
        .env("SSH_ASKPASS_REQUIRE", "force");
    ssh.env_remove("SSH_AUTH_SOCK");
    finish(&mut ssh, PATIENCE)
}

#[test]
fn wrong_passwords_by_ssh_are_found_and_nothing_else_is() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Passwords);
    let gate = GateSetup::over(&sshds)
        .auth("password = \"instance\"")
        .start(&world);
    gate.door(&world).run(&world.person(2), "true").ok();
    assert_eq!(found(&gate, &world), [] as [&str; 0]);
    assert!(!wrong_password(&gate, &world, "person03").status.success());
    assert_eq!(found(&gate, &world), ["127.0.0.1"], "{}", gate.log());
    let forged = [
        "x from 198.51.100.1 port 22 ssh2",
        "x\nINFO poolgate::auth: Failed login for x from 198.51.100.1 port 22 ssh2",
    ];
    for name in forged {
        // OpenSSH's client sends no such name.
        let mut client = venv_python();
        client.arg(client_script("paramiko_client.py"));
        client.args(["password", &gate.ssh_port.to_string(), name, "wrong"]);
        assert_eq!(finish(&mut client, PATIENCE).status.code(), Some(5));
    }
    // Nobody can be called so: neither is a try of a name's, nor does the name say anything.
    assert_eq!(found(&gate, &world), ["127.0.0.1"], "{}", gate.log());
    gate.stop();
}

/// In each form, and as journald and syslog give it back.
#[test]
fn each_form_of_the_log_is_read() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Passwords);
    let setup = |format: &str| {
        let setup = GateSetup::over(&sshds).variable("POOLGATE__LOG__FORMAT", format);
        setup.auth("password = \"instance\"")
    };
    let mut gate = setup("logfmt").start(&world);
    for format in ["logfmt", "json"] {
        let before = gate.log().len();
        gate = gate.replaced(&world, setup(format));
        assert!(!wrong_password(&gate, &world, "person03").status.success());
        let log = gate.log();
        let found = found_in(&log[before..], &world);
        assert_eq!(found, ["127.0.0.1"], "{format}: {log}");
    }
    let line = "Failed login for alice from 192.0.2.7 port 4000 ssh2";
    let by_syslog = format!(
        "Nov 29 08:24:18 gate1 poolgate[7]: INFO poolgate::auth: {line}
Nov 29 08:24:18 gate1 poolgate[7]: level=info target=poolgate::auth message=\"{line}\"
Nov 29 08:24:18 gate1 poolgate[7]: {{\"level\":\"INFO\",\"message\":\"{line}\",\"target\":\"poolgate::auth\"}}
"
    );
    assert_eq!(found_in(&by_syslog, &world), ["192.0.2.7"; 3]);
    gate.stop();
}

#[test]
fn login_forms_that_a_hub_refuses_are_found() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let mut hub = Hub::start(&world, "vm1");
    hub.wait_up();
    let gate = GateSetup::default()
        .https("")
        .instance("vm1", sshds[0].port, Some(hub.port))
        .start(&world);
    let page = |arguments: &[&str]| {
        let jar = world.path("jar");
        let mut curl = tool("curl");
        curl.args([
            "-q",
            "-sS",
            "-k",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "-b",
        ]);
        curl.arg(&jar).arg("-c").arg(&jar).args(arguments);
        curl.arg(format!("https://127.0.0.1:{}/hub/login", gate.https_port));
        finish(&mut curl, PATIENCE).ok()
    };
    let form = page(&["-H", "Accept: text/html"]).stdout;
    let token = form.split("name=\"_xsrf\" value=\"").nth(1);
    let token = token.and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(found(&gate, &world), [] as [&str; 0]);
    let token = format!("_xsrf={token}");
    page(&[
        "--data-urlencode",
        &token,
        "-d",
        "username=mallory",
        "-d",
        "password=wrong",
    ]);
    assert_eq!(found(&gate, &world), ["127.0.0.1"], "{}", gate.log());
    gate.stop();
}
