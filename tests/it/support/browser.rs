//! A script of tests/clients with Chromium, at work: it tells facts a line each, and asks for what is to happen next.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{client_script, venv_python};
use super::{Running, World, tool, wait_until};

const LONG: Duration = Duration::from_secs(240);

pub struct Browser {
    process: Running,
    log: PathBuf,
}

impl Browser {
    /// The script's last argument is a folder for pictures, of this name.
    pub fn start(world: &World, script: &str, words: &[&str], pictures: &str) -> Self {
        drop(tool("chromium"));
        let stage = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test");
        let pictures = stage.join(pictures);
        fs::create_dir_all(&pictures).unwrap();
        let log = world.path("browser.log");
        let mut python = venv_python();
        python
            .arg(client_script(script))
            .args(words)
            .arg(&pictures)
            // The browser keeps its profile and caches below its home.
            .env("HOME", world.folder("browser-home"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Running::start_logged(&mut python, File::create(&log).unwrap());
        Self { process, log }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it asks for something; what stands behind that.
    pub fn wait_asks(&mut self, what: &str) -> String {
        let line = format!("asks {what}");
        wait_until(&format!("the browser: {line}"), LONG, || {
            let told = self.told();
            assert!(self.process.is_running(), "it ended: {told}");
            let rest = told.lines().find_map(|told| told.strip_prefix(&line))?;
            Some(rest.trim().to_owned())
        })
    }

    /// Waits for its end, and checks these facts among those it has told.
    pub fn finish(mut self, expected: &[(&str, &str)]) -> BTreeMap<String, String> {
        wait_until("the browser's end", LONG, || {
            (!self.process.is_running()).then_some(())
        });
        let text = self.told();
        let facts = text.lines().filter_map(|line| line.split_once(' '));
        let facts: BTreeMap<String, String> = facts
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, value) in expected {
            let told = facts.get(*name).map(String::as_str);
            assert_eq!(told, Some(*value), "{name} in {text}");
        }
        facts
    }
}

/// The script that judges whether a page can be used by everybody.
pub fn axe() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let axe = here.join(".test/npm/node_modules/axe-core/axe.min.js");
    assert!(axe.exists(), "{} is missing: tests/run", axe.display());
    axe.display().to_string()
}
