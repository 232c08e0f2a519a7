//! `poolgate demo`: a pool to try, with nothing configured.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::client::PATIENCE;
use crate::support::gate::poolgate;
use crate::support::proc::{descendants, wait_gone};
use crate::support::{Running, World, finish, tool, wait_until};

/// A running demo and what it printed.
struct Demo {
    process: Running,
    output: PathBuf,
    world: World,
}

impl Demo {
    fn start() -> Self {
        let world = World::new();
        let output = world.path("demo.log");
        let mut command = poolgate();
        // A person who has no keys and has set nothing up.
        command
            .arg("demo")
            .env("HOME", world.folder("home"))
            .env("TMPDIR", world.folder("tmp"));
        command
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_RUNTIME_DIR");
        let process = Running::start_logged(&mut command, File::create(&output).unwrap());
        let mut demo = Self {
            process,
            output,
            world,
        };
        wait_until(
            "the demo's ssh line and address",
            Duration::from_secs(20),
            || {
                assert!(demo.process.is_running(), "the demo ended: {}", demo.text());
                (demo.text().contains("ssh ") && demo.text().contains("https://")).then_some(())
            },
        );
        demo
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// The words of the printed ssh line, with another login name.
    fn ssh_words(&self, user: &str) -> Vec<String> {
        let text = self.text();
        let line = text
            .lines()
            .find_map(|line| line.find("ssh -").map(|at| &line[at..]))
            .unwrap_or_else(|| panic!("no ssh line in: {text}"));
        let words = line.split_whitespace().skip(1).map(str::to_owned);
        words
            .map(|word| match word.split_once('@') {
                Some((_, host)) if !word.starts_with('-') => format!("{user}@{host}"),
                _ => word,
            })
            .collect()
    }

    fn ssh(&self, user: &str, options: &[&str], command: &str) -> std::process::Command {
        let mut ssh = tool("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "BatchMode=yes",
        ]);
        ssh.args([
            "-o",
            &format!("UserKnownHostsFile={}", self.world.known_hosts().display()),
        ]);
        ssh.args(options).args(self.ssh_words(user)).arg(command);
        ssh.env_remove("SSH_AUTH_SOCK");
        ssh
    }

    fn address(&self) -> String {
        let text = self.text();
        let at = text.find("https://").unwrap();
        text[at..]
            .split_whitespace()
            .next()
            .unwrap()
            .trim_end_matches(['.', ',', ')'])
            .to_owned()
    }

    fn interrupt(self) {
        let below = descendants(self.process.pid());
        assert!(below.len() >= 3, "three instances run below it");
        self.process.signal(Signal::SIGINT);
        let finished = self.process.finish_within(Duration::from_secs(15));
        assert!(matches!(finished.code(), Some(0 | 130)), "{finished}");
        wait_gone("the demo's instances", &below, Duration::from_secs(5));
    }
}

#[test]
fn six_people_land_two_on_each_of_three_and_an_interrupt_ends_everything() {
    let demo = Demo::start();
    let names = ["ada", "ben", "cyd", "dov", "eve", "fay"];
    let mut sessions: Vec<Running> = names
        .iter()
        .map(|name| {
            let mark = demo.world.path(name).display().to_string();
            let line = format!("echo landed $POOLGATE_INSTANCE; touch {mark}; read -r line");
            let mut ssh = demo.ssh(name, &[], &line);
            Running::start_with_stdin(ssh.stdin(Stdio::piped()))
        })
        .collect();
    // Each leaves once all have come: a session that ended would free its seat for the next.
    wait_until("all six", PATIENCE, || {
        names
            .iter()
            .all(|name| demo.world.path(name).exists())
            .then_some(())
    });
    sessions.iter_mut().for_each(Running::close_stdin);
    let mut landed: BTreeMap<String, usize> = BTreeMap::new();
    for session in sessions {
        let finished = session.finish(PATIENCE);
        assert!(finished.text().starts_with("landed "), "{finished}");
        *landed.entry(finished.text().to_owned()).or_default() += 1;
    }
    assert_eq!(landed.len(), 3, "{landed:?}");
    assert!(landed.values().all(|count| *count == 2), "{landed:?}");
    demo.interrupt();
}

#[test]
fn its_page_logs_in_and_says_which_instance_it_is() {
    let demo = Demo::start();
    let cookies = demo.world.path("cookies").display().to_string();
    let curl = |arguments: &[&str]| {
        let mut curl = tool("curl");
        curl.args([
            "-q",
            "-sS",
            "-k",
            "-L",
            "--max-time",
            "20",
            "-b",
            &cookies,
            "-c",
            &cookies,
        ]);
        finish(curl.args(arguments), PATIENCE).ok()
    };
    let form = curl(&[&demo.address()]);
    let token = form.stdout.split("name=_xsrf value=\"").nth(1);
    let token = token
        .unwrap_or_else(|| panic!("no form: {form}"))
        .split('"')
        .next()
        .unwrap();
    let field = format!("_xsrf={token}");
    let login = format!("{}/hub/login", demo.address().trim_end_matches('/'));
    let page = curl(&["-d", &field, "-d", "username=ada", &login]);
    // Where the browser is, ssh goes too.
    let landed = finish(
        &mut demo.ssh("ada", &[], "echo $POOLGATE_INSTANCE"),
        PATIENCE,
    )
    .ok();
    assert!(!landed.text().is_empty());
    assert!(
        page.stdout.contains(landed.text()),
        "{} is not on the page: {page}",
        landed.text()
    );
    demo.interrupt();
}

#[test]
fn a_shell_of_the_demo_has_a_terminal() {
    let demo = Demo::start();
    let mut ssh = demo.ssh("ada", &["-tt"], "tty; exit 3");
    let finished = finish(&mut ssh, PATIENCE);
    assert_eq!(finished.code(), Some(3), "{finished}");
    assert!(finished.stdout.contains("/dev/pts/"), "{finished}");
    demo.interrupt();
}
