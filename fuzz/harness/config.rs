//! The configuration's text and a variable of the environment.

use std::collections::HashMap;
use std::path::Path;

use poolgate::config;

use super::parts;

/// The parts: the name and the value of a variable; the rest is the file.
pub fn run(data: &[u8]) {
    let (environment, text) = match data.split_first() {
        Some((0, rest)) => {
            let mut parts = parts(rest);
            let mut next =
                || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
            let (name, value, text) = (next(), next(), next());
            (HashMap::from([(format!("POOLGATE__{name}"), value)]), text)
        }
        _ => (HashMap::new(), String::from_utf8_lossy(data).into_owned()),
    };
    if let Err(faults) = config::parse(Path::new("/etc/poolgate.toml"), &text, environment) {
        assert!(!faults.is_empty(), "refused without a reason");
        assert!(
            !faults.to_string().contains('\u{1b}'),
            "escapes reach the terminal"
        );
    }
}
