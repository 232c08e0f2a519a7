//! A terminal that a test types into and reads: a shell in a window of tmux.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Finished, World, finish, tool};

const PATIENCE: Duration = Duration::from_secs(30);
pub const PROMPT: &str = "prompt>";

/// A shell in a window of tmux.
pub struct Window {
    socket: PathBuf,
}

impl Window {
    /// With bash, once it asks for a line.
    pub fn bash(world: &World, size: (u16, u16), environment: &[(&str, &str)]) -> Self {
        let bash = ["bash", "--norc", "--noprofile"];
        Self::open(world, size, environment, &bash)
    }

    /// With a shell that takes its prompt from PS1, once it asks for a line.
    pub fn open(
        world: &World,
        (columns, lines): (u16, u16),
        environment: &[(&str, &str)],
        shell: &[&str],
    ) -> Self {
        let window = Self {
            socket: world.path("tmux"),
        };
        let mut tmux = window.tmux(&["-f", "/dev/null", "-u", "new-session", "-d"]);
        tmux.args(["-x", &columns.to_string(), "-y", &lines.to_string()]);
        for (name, value) in environment {
            tmux.args(["-e", &format!("{name}={value}")]);
        }
        tmux.args(["-e", &format!("PS1={PROMPT} ")]).args(shell);
        tmux.env("LC_ALL", "C.UTF-8");
        finish(&mut tmux, PATIENCE).ok();
        window.wait(PROMPT);
        window
    }

    fn tmux(&self, words: &[&str]) -> std::process::Command {
        let mut tmux = tool("tmux");
        tmux.arg("-S").arg(&self.socket).args(words);
        tmux
    }

    pub fn run(&self, words: &[&str]) -> Finished {
        finish(&mut self.tmux(words), PATIENCE).ok()
    }

    pub fn press(&self, keys: &[&str]) {
        let mut words = vec!["send-keys"];
        words.extend(keys);
        self.run(&words);
    }

    pub fn write(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
    }

    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"]).stdout
    }

    pub fn told(&self, what: &str) -> String {
        self.run(&["display-message", "-p", what]).text().to_owned()
    }

    #[track_caller]
    pub fn wait(&self, what: &str) -> String {
        self.wait_within(PATIENCE, what, |screen| screen.contains(what))
    }

    #[track_caller]
    pub fn wait_within(&self, limit: Duration, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(
                began.elapsed() < limit,
                "not within {limit:?}: {what}\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        drop(self.tmux(&["kill-server"]).output());
    }
}
