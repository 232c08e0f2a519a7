//! Passwords and keyboard-interactive rounds, asked and judged by the instance (PAM), carried by the gate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::client::{PATIENCE, client_script, venv_python};
use crate::support::people::PASSWORD;
use crate::support::sshd::BANNER;
use crate::support::{Door, Finished, Gate, GateSetup, Logins, Sshd, World, finish, tool};

struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
}

impl Scene {
    fn new(logins: Logins) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 2, logins);
        let gate = GateSetup::over(&sshds)
            .auth("password = \"instance\"")
            .start(&world);
        Self { world, gate, sshds }
    }

    fn doors(&self) -> [Door; 2] {
        [self.sshds[0].door(&self.world), self.gate.door(&self.world)]
    }

    /// OpenSSH with a program that answers each prompt with the next of these passwords, and then with nothing.
    fn openssh(&self, door: &Door, user: &str, method: &str, answers: &[&str]) -> Finished {
        let state = self.world.path("askpass-state");
        fs::write(&state, answers.join("\n")).unwrap();
        let program = self.world.path("askpass");
        let script = format!(
            "#!/bin/sh\necho \"prompt $1\" >>{prompts}\nhead -n 1 {state}\nsed -i 1d {state}\n",
            prompts = self.world.path("prompts").display(),
            state = state.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut ssh = tool("ssh");
        ssh.args(["-o", "BatchMode=no", "-o", "PubkeyAuthentication=no"]);
        ssh.args(["-o", &format!("PreferredAuthentications={method}")]);
        ssh.args(["-o", "NumberOfPasswordPrompts=3"]);
        ssh.args(door.options(&self.world.person(1)));
        ssh.args(["-l", user, "127.0.0.1", "echo $POOLGATE_INSTANCE; whoami"]);
        ssh.env("SSH_ASKPASS", &program)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env_remove("SSH_AUTH_SOCK");
        finish(&mut ssh, PATIENCE)
    }

    /// The gate let this person in once more, by a password.
    #[track_caller]
    fn saw(&self, user: &str, logins: usize, finished: &Finished) {
        let lines = self.gate.wait_audit("login", logins);
        let last = lines.last().unwrap();
        assert_eq!(lines.len(), logins, "{lines:?}");
        assert_eq!(last["user"], user);
        let proof = last["proof"].as_str().unwrap();
        assert!(
            proof.contains("password") || proof.contains("keyboard"),
            "{proof}"
        );
        let landed = format!("{}\n{user}", last["instance"].as_str().unwrap());
        assert!(finished.text().contains(&landed), "{landed}: {finished}");
    }

    fn python(&self, script: &str, act: &str, password: &str) -> Command {
        let mut python = venv_python();
        python
            .arg(client_script(script))
            .args([act, &self.gate.ssh_port.to_string(), "person02"]);
        python.arg(password);
        if script.starts_with("asyncssh") {
            python.arg(self.world.known_hosts());
        }
        python
    }
}

#[test]
fn openssh_logs_in_with_a_password_and_is_shown_the_banner() {
    let scene = Scene::new(Logins::Passwords);
    for door in scene.doors() {
        let finished = scene
            .openssh(&door, "person02", "password", &[PASSWORD])
            .ok();
        assert!(
            finished.text().ends_with("person02"),
            "{}: {finished}",
            door.label
        );
        assert!(
            finished.stderr.contains(BANNER),
            "{}: the banner: {finished}",
            door.label
        );
        if !door.is_direct {
            scene.saw("person02", 1, &finished);
        }
    }
    scene.gate.stop();
}

#[test]
fn a_wrong_password_is_asked_for_again_and_then_refused() {
    let scene = Scene::new(Logins::Passwords);
    for door in scene.doors() {
        let second = scene
            .openssh(&door, "person03", "password", &["wrong", PASSWORD])
            .ok();
        assert!(
            second.text().ends_with("person03"),
            "{}: {second}",
            door.label
        );
        let never = scene.openssh(&door, "person03", "password", &["wrong", "wrong", "wrong"]);
        assert_eq!(never.code(), Some(255), "{}: {never}", door.label);
        assert!(
            never.stderr.contains("Permission denied"),
            "{}: {never}",
            door.label
        );
    }
    assert_eq!(scene.gate.audited_instances("person03").len(), 1);
    let refused = scene.gate.wait_audit("refused", 1);
    assert_eq!(refused[0]["user"], "person03", "{refused:?}");
    scene.gate.wait_sessions(0);
    scene.gate.stop();
}

#[test]
fn openssh_answers_keyboard_interactive_rounds_of_pam() {
    let scene = Scene::new(Logins::KeyboardInteractive);
    for door in scene.doors() {
        let method = "keyboard-interactive";
        let finished = scene.openssh(&door, "person04", method, &[PASSWORD]).ok();
        assert!(
            finished.stderr.contains(BANNER),
            "{}: {finished}",
            door.label
        );
        if !door.is_direct {
            scene.saw("person04", 1, &finished);
        }
        let again = scene
            .openssh(&door, "person04", method, &["wrong", PASSWORD])
            .ok();
        assert!(
            again.text().ends_with("person04"),
            "{}: {again}",
            door.label
        );
    }
    let prompts = fs::read_to_string(scene.world.path("prompts")).unwrap();
    // The prompt is PAM's own, on both ways in.
    assert_eq!(prompts.matches("Password:").count(), 6, "{prompts}");
    scene.gate.stop();
}

#[test]
fn plink_logs_in_with_a_password() {
    let scene = Scene::new(Logins::Passwords);
    let mut keygen = tool("ssh-keygen");
    let shown = finish(
        keygen.arg("-lf").arg(scene.world.path("gate_host_key.pub")),
        PATIENCE,
    )
    .ok();
    let host_key = shown.text().split_whitespace().nth(1).unwrap().to_owned();
    let secret = scene.world.path("password");
    fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    let mut plink = tool("plink");
    plink.env("HOME", scene.world.folder("putty-home"));
    plink.args([
        "-batch",
        "-no-antispoof",
        "-P",
        &scene.gate.ssh_port.to_string(),
        "-hostkey",
        &host_key,
    ]);
    plink.arg("-pwfile").arg(&secret);
    plink.args(["person02@127.0.0.1", "echo $POOLGATE_INSTANCE; whoami"]);
    let finished = finish(&mut plink, PATIENCE).ok();
    scene.saw("person02", 1, &finished);
    scene.gate.stop();
}

#[test]
fn paramiko_and_asyncssh_log_in_with_a_password() {
    let scene = Scene::new(Logins::Passwords);
    for (logins, script) in ["paramiko_client.py", "asyncssh_client.py"]
        .into_iter()
        .enumerate()
    {
        let finished = finish(&mut scene.python(script, "password", PASSWORD), PATIENCE).ok();
        assert!(
            finished.stdout.contains(&format!("banner {BANNER}")),
            "{script}: {finished}"
        );
        scene.saw("person02", logins + 1, &finished);
        let refused = finish(&mut scene.python(script, "password", "wrong"), PATIENCE);
        assert_eq!(refused.code(), Some(5), "{script}: {refused}");
    }
    scene.gate.stop();
}

#[test]
fn paramiko_and_asyncssh_answer_keyboard_interactive_rounds() {
    let scene = Scene::new(Logins::KeyboardInteractive);
    for (logins, script) in ["paramiko_client.py", "asyncssh_client.py"]
        .into_iter()
        .enumerate()
    {
        let finished = finish(&mut scene.python(script, "interactive", PASSWORD), PATIENCE).ok();
        assert!(
            finished.stdout.contains("prompt Password: echo False"),
            "{script}: {finished}"
        );
        scene.saw("person02", logins + 1, &finished);
    }
    scene.gate.stop();
}

#[test]
fn after_a_wrong_answer_the_methods_on_offer_are_the_instances_own() {
    for (logins, method, expected) in [
        (
            Logins::Passwords,
            "password",
            "Permission denied (publickey,password).",
        ),
        (
            Logins::KeyboardInteractive,
            "keyboard-interactive",
            "Permission denied (publickey,keyboard-interactive).",
        ),
    ] {
        let scene = Scene::new(logins);
        for door in scene.doors() {
            let refused = scene.openssh(&door, "person05", method, &["wrong", "wrong", "wrong"]);
            let last = refused.stderr.lines().last().unwrap_or_default();
            assert!(last.contains(expected), "{}: {refused}", door.label);
        }
        scene.gate.stop();
    }
}

#[test]
fn nobody_is_asked_for_a_password_where_that_is_off() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Passwords);
    let gate = GateSetup::over(&sshds)
        .auth("password = \"off\"")
        .start(&world);
    let scene = Scene { world, gate, sshds };
    let [_, door] = scene.doors();
    let refused = scene.openssh(&door, "person02", "password", &[PASSWORD]);
    assert!(
        refused.stderr.contains("Permission denied (publickey)."),
        "{refused}"
    );
    assert!(!scene.sshds[0].saw_a_login_attempt());
    scene.gate.stop();
}
