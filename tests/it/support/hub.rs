//! Real JupyterHubs, each with its configurable-http-proxy, as instances run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::proc::{Running, descendants, send, tool, wait_gone};
use super::{World, free_port, http, wait_until};

/// Everybody's password at the hubs.
pub const HUB_PASSWORD: &str = "every body's";
/// What the gate may ask a hub with.
pub const HUB_TOKEN: &str = "token-of-the-gate-0123456789abcdef";

pub struct Hub {
    pub name: String,
    pub port: u16,
    pub folder: PathBuf,
    process: Running,
    /// What a hub that was killed has left.
    orphans: Vec<u32>,
}

impl Hub {
    /// Starts it without waiting; `wait_up` does that, so that several start at once.
    pub fn start(world: &World, name: &str) -> Self {
        Self::start_with(world, name, "", "")
    }

    /// One with these lines at the end of its config.
    pub fn start_configured(world: &World, name: &str, lines: &str) -> Self {
        Self::start_with(world, name, "", lines)
    }

    /// One whose people log in by redirects to a provider, and back.
    pub fn start_redirecting(world: &World, name: &str) -> Self {
        Self::start_with(world, name, "redirect", "")
    }

    fn start_with(world: &World, name: &str, sign_in: &str, lines: &str) -> Self {
        let folder = world.folder(&format!("hub-{name}"));
        fs::create_dir_all(folder.join("homes")).unwrap();
        let staged = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test");
        let venv = staged.join("venv");
        let proxy = staged.join("npm/node_modules/.bin/configurable-http-proxy");
        let port = free_port();
        let ports = format!("{port} {} {}", free_port(), free_port());

        let mut hub = tool(venv.join("bin/jupyterhub").to_str().unwrap());
        drop(tool(proxy.to_str().unwrap())); // it must be there
        let config = super::client::client_script("jupyterhub_config.py");
        hub.arg("-f").arg(&config).env("HUB_CONFIG", &config);
        hub.env("HUB_SIGN_IN", sign_in);
        fs::write(folder.join("more.py"), lines).unwrap();
        hub.current_dir(&folder);
        hub.env("HUB_INSTANCE", name)
            .env("HUB_FOLDER", &folder)
            .env("HUB_VENV", &venv);
        hub.env("HUB_PORTS", ports).env("HUB_PROXY", &proxy);
        hub.env("HUB_PASSWORD", HUB_PASSWORD)
            .env("HUB_TOKEN", HUB_TOKEN);
        // Whoever runs the tests may have settings of their own in their home.
        hub.env("HOME", &folder)
            .env("PYTHONNOUSERSITE", "1")
            .env("JUPYTER_NO_CONFIG", "1");
        let log = fs::File::create(folder.join("log")).unwrap();
        Self {
            name: name.to_owned(),
            port,
            process: Running::start_logged(&mut hub, log),
            folder,
            orphans: Vec::new(),
        }
    }

    pub fn wait_up(&mut self) {
        wait_until("the hub's /hub/health", Duration::from_secs(90), || {
            assert!(self.process.is_running(), "the hub ended: {}", self.log());
            let health = http::get(self.port, "/hub/health");
            health
                .is_some_and(|(status, _)| status == 200)
                .then_some(())
        });
    }

    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether its log or its database hold this name.
    pub fn knows(&self, user: &str) -> bool {
        let database = fs::read(self.folder.join("jupyterhub.sqlite")).unwrap_or_default();
        let in_database = database
            .windows(user.len())
            .any(|window| window == user.as_bytes());
        in_database || self.log().contains(user)
    }

    fn everything(&self) -> Vec<u32> {
        let roots = std::iter::once(self.process.pid()).chain(self.orphans.iter().copied());
        roots
            .flat_map(|root| std::iter::once(root).chain(descendants(root)))
            .collect()
    }

    /// `kill -9` of the hub itself; its proxy and people's servers run on.
    pub fn kill_alone(&mut self) {
        self.orphans = descendants(self.process.pid());
        self.process.signal(Signal::SIGKILL);
    }

    /// Stops or continues the hub itself; its proxy and people's servers run on.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let all = self.everything();
        for pid in &all {
            send(*pid, Signal::SIGKILL);
        }
        if !std::thread::panicking() {
            // The hub itself is a zombie until `process` is dropped, which counts as gone.
            wait_gone(&self.name, &all, Duration::from_secs(10));
        }
    }
}
