//! Operators of a gate: tokens of each role, as `poolgate token` makes them.

use std::fs;
use std::time::Duration;

use super::client::PATIENCE;
use super::gate::poolgate;
use super::{Gate, finish, wait_until};

/// A new token of this gate, which it knows by the time this returns.
pub fn token(gate: &Gate, name: &str, role: &str) -> String {
    let made = finish(poolgate().args(["token", name, "--role", role]), PATIENCE);
    let text = made.ok().stdout;
    let after = |prefix: &str| {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(prefix));
        line.unwrap_or_else(|| panic!("no {prefix} in {text}"))
            .to_owned()
    };
    let file = tokens_file(gate);
    let listed = fs::read_to_string(&file).unwrap();
    let line = after("line of admin.tokens_file: ");
    fs::write(&file, format!("{listed}{line}\n")).unwrap();
    let token = after("token: ");
    let count = listed.lines().count() + 1;
    let known = format!("admin.tokens_file was read again tokens={count}\n");
    wait_until("the new token to be known", Duration::from_secs(10), || {
        gate.log().contains(&known).then_some(())
    });
    token
}

/// Takes somebody's token away; the gate follows within a second.
pub fn revoke(gate: &Gate, name: &str) {
    let file = tokens_file(gate);
    let listed = fs::read_to_string(&file).unwrap();
    let begin = format!("{name} ");
    let kept = listed.lines().filter(|line| !line.starts_with(&begin));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    assert_ne!(kept, listed, "{name} has no token");
    fs::write(&file, kept).unwrap();
}

/// Where they are.
pub fn tokens_file(gate: &Gate) -> std::path::PathBuf {
    gate.config.with_file_name("admin.tokens")
}
