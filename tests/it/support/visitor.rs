//! A scripted person at a JupyterHub, or a whole class of them, one step at a time (tests/clients/hub_visitor.py, hub_class.py).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{client_script, venv_python};
use super::hub::HUB_PASSWORD;

/// Starts of servers and kernels on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(400);

pub struct Visitor {
    pub base: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Visitor {
    pub fn new(base: &str) -> Self {
        Self::with_script("hub_visitor.py", base)
    }

    pub fn with_script(script: &str, base: &str) -> Self {
        let mut python = venv_python();
        python
            .arg(client_script(script))
            .arg(base)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            base: base.to_owned(),
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    #[track_caller]
    pub fn step(&mut self, wish: &Value) -> Value {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{wish}").unwrap();
        let line = self.lines.recv_timeout(STEP_LIMIT);
        let line = line.unwrap_or_else(|_| panic!("no answer to {wish}"));
        serde_json::from_str(&line).unwrap()
    }

    #[track_caller]
    pub fn page(&mut self, path: &str) -> Value {
        self.step(&json!({ "step": "page", "path": path }))
    }

    /// A request of a page's own code.
    #[track_caller]
    pub fn code(&mut self, path: &str) -> Value {
        self.step(&json!({ "step": "code", "path": path }))
    }

    #[track_caller]
    pub fn log_in(&mut self, user: &str) -> Value {
        self.step(&json!({ "step": "login", "user": user, "password": HUB_PASSWORD }))
    }

    /// A form of a page of this host.
    #[track_caller]
    pub fn form(&mut self, path: &str, fields: &Value) -> Value {
        self.step(&json!({ "step": "form", "path": path, "fields": fields }))
    }

    /// A request of a page's own code that changes something.
    #[track_caller]
    pub fn send(&mut self, method: &str, path: &str, body: &Value) -> Value {
        self.step(&json!({ "step": "send", "method": method, "path": path, "body": body }))
    }

    /// Waits for the server and opens its lab.
    #[track_caller]
    pub fn spawn(&mut self, user: &str) -> Value {
        self.step(&json!({ "step": "spawn", "user": user }))
    }

    #[track_caller]
    pub fn kernel(&mut self, user: &str) -> String {
        let made = self.step(&json!({ "step": "kernel", "user": user }));
        made["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{made}"))
            .to_owned()
    }

    /// What the code printed.
    #[track_caller]
    pub fn run(&mut self, user: &str, kernel: &str, source: &str) -> String {
        let wish = json!({ "step": "run", "user": user, "id": kernel, "source": source });
        let ran = self.step(&wish);
        ran["output"]
            .as_str()
            .unwrap_or_else(|| panic!("{ran}"))
            .to_owned()
    }

    /// The instance a kernel of theirs runs on.
    #[track_caller]
    pub fn instance(&mut self, user: &str, kernel: &str) -> String {
        self.run(
            user,
            kernel,
            "import os; print(os.environ['POOLGATE_INSTANCE'])",
        )
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.stdin = None;
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
