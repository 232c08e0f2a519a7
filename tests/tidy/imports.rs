//! Which room of the crate may use which, and what the pure rooms may not touch at all.
//!
//! One crate cannot enforce this by Cargo, so every `crate::` and `super::` path is looked at.

use super::source::{Source, line_at};

/// A room, the rooms it may use, and whether its production code is pure.
struct Room {
    name: &'static str,
    may_use: &'static [&'static str],
    is_pure: bool,
}

const fn room(name: &'static str, may_use: &'static [&'static str]) -> Room {
    Room {
        name,
        may_use,
        is_pure: false,
    }
}

const fn pure(name: &'static str, may_use: &'static [&'static str]) -> Room {
    Room {
        name,
        may_use,
        is_pure: true,
    }
}

/// The longest name that fits is a file's room; `*` is everything.
const ROOMS: &[Room] = &[
    pure("pool", &[]),
    // Both use `jiff`, a library of pure functions; the time zone comes from config, which looks it up.
    pure("scaling", &["pool"]),
    pure("simulate", &["pool", "scaling"]),
    room("scaling::settings", &["scaling", "pool", "config"]),
    pure("ssh::wire", &[]),
    room(
        "scaling::controller",
        &[
            "scaling",
            "pool",
            "shared_pool",
            "fleet",
            "store",
            "telemetry",
            "config",
            "state",
        ],
    ),
    room("shared_pool", &["pool"]),
    room("state", &[]),
    room("config", &[]),
    room("telemetry", &["pool", "config"]),
    // Above `net`, which `telemetry` is below: the one part of it that speaks to others.
    room(
        "telemetry::traces::export",
        &["telemetry", "pool", "net", "config"],
    ),
    room("files", &["pool", "telemetry"]),
    room("net", &["pool", "telemetry", "config", "files"]),
    room("identity", &["pool", "ssh::wire", "telemetry", "files"]),
    room("fleet", &["pool", "net", "telemetry", "config"]),
    room("store", &["pool", "net", "telemetry", "config"]),
    room(
        "probe",
        &["pool", "shared_pool", "net", "telemetry", "config"],
    ),
    room(
        "ssh",
        &[
            "ssh::wire",
            "pool",
            "shared_pool",
            "identity",
            "net",
            "telemetry",
            "config",
            "files",
        ],
    ),
    room(
        "https",
        &[
            "pool",
            "shared_pool",
            "identity",
            "net",
            "telemetry",
            "config",
            "files",
        ],
    ),
    room(
        "rdp",
        &[
            "pool",
            "shared_pool",
            "identity",
            "net",
            "telemetry",
            "config",
            "files",
        ],
    ),
    room(
        "admin",
        &[
            "pool",
            "shared_pool",
            "net",
            "telemetry",
            "config",
            "state",
            "files",
        ],
    ),
    room("webhooks", &["net", "telemetry", "config"]),
    room("demo", &["config", "pool", "net", "telemetry", "ssh::wire"]),
    room("app", &["*"]),
    room("cli", &["*"]),
    room("main", &["*"]),
    room("lib", &["*"]),
];

/// What a pure room must be given and may not fetch.
const IMPURE: &[&str] = &[
    "tokio::",
    "tracing::",
    "Instant::now",
    "SystemTime::now",
    "Mutex",
    "RwLock",
    "std::fs",
    "std::env",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::thread",
    "thread_rng",
    "HashMap::iter",
];

pub fn rooms(source: &Source) -> Vec<String> {
    let Some(module) = module_of(&source.path) else {
        return Vec::new();
    };
    let Some(own) = room_of(&module) else {
        let fix = "this room is not in the table; add it to ROOMS in tests/tidy/imports.rs and to ARCHITECTURE.md";
        return vec![source.fault(1, fix)];
    };
    let mut faults = Vec::new();
    for (offset, path) in paths(source, &module) {
        let Some(target) = room_of(&path) else {
            continue;
        };
        let may = own.name == target.name
            || own.may_use.contains(&"*")
            || own.may_use.contains(&target.name);
        // The composition root is used by the programs alone, whatever else a room may do.
        let is_program = ["app", "cli", "main"].contains(&own.name);
        if may && (is_program || target.name != "app") {
            continue;
        }
        let fix = format!(
            "`{}` may not use `{}`; it may use {:?}: pass what it needs as an argument, or move the code",
            own.name, target.name, own.may_use
        );
        faults.push(source.fault(line_at(&source.code, offset), &fix));
    }
    faults
}

pub fn purity(source: &Source) -> Vec<String> {
    let room = module_of(&source.path).and_then(|module| room_of(&module));
    if !room.is_some_and(|room| room.is_pure) {
        return Vec::new();
    }
    let code = source.production_code();
    let found = IMPURE.iter().flat_map(|word| code.match_indices(word));
    let fault = |(offset, word): (usize, &str)| {
        let fix = format!(
            "`{word}` in a pure room; take the time, the bytes or the value as an argument"
        );
        source.fault(line_at(code, offset), &fix)
    };
    found.map(fault).collect()
}

/// `src/ssh/wire/mod.rs` is `ssh::wire`; `None` for what is no part of the crate.
fn module_of(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    Some(parts)
}

fn room_of(module: &[String]) -> Option<&'static Room> {
    let path = module.join("::");
    let fits = |room: &&Room| {
        path.strip_prefix(room.name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    ROOMS.iter().filter(fits).max_by_key(|room| room.name.len())
}

/// Every path that starts at the crate's root or climbs, as module path, with where it stands.
fn paths(source: &Source, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (offset, _) in code.match_indices("crate::") {
        let is_whole =
            !code[..offset].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        if is_whole && !code[..offset].ends_with('$') {
            expand(&code[offset + 7..], &[], offset, &mut found);
        }
    }
    for (offset, _) in code.match_indices("super::") {
        if code[..offset].ends_with(':') {
            continue;
        }
        let (mut at, mut base) = (offset, module.to_vec());
        while code[at..].starts_with("super::") {
            at += 7;
            base.pop();
        }
        expand(&code[at..], &base, offset, &mut found);
    }
    found
}

/// Follows `a::b`, `{a::b, c}` and any nesting of them.
fn expand(text: &str, base: &[String], offset: usize, found: &mut Vec<(usize, Vec<String>)>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        for item in items(group) {
            expand(item, base, offset, found);
        }
        return;
    }
    let name: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let mut path = base.to_vec();
    if !name.is_empty() && name != "self" {
        path.push(name.clone());
    }
    match text[name.len()..].strip_prefix("::") {
        Some(rest) if !name.is_empty() => expand(rest, &path, offset, found),
        _ => found.push((offset, path)),
    }
}

/// The items of a group, up to the brace that closes it.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut from) = (0, 0);
    let mut items = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

#[cfg(test)]
mod samples {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        rooms(&Source::new(path, text)).len()
    }

    #[test]
    fn forbidden_uses_are_found() {
        assert_eq!(faults("src/pool/a.rs", "use crate::config::Config;"), 1);
        assert_eq!(
            faults("src/pool/a.rs", "fn f() { crate::shared_pool::x() }"),
            1
        );
        assert_eq!(
            faults("src/pool/a.rs", "use super::super::telemetry::log;"),
            1
        );
        assert_eq!(
            faults(
                "src/ssh/front.rs",
                "use crate::{pool::Now, https::{self, pin}};"
            ),
            2
        );
        assert_eq!(
            faults("src/ssh/wire/kex.rs", "use super::super::ca::UserCa;"),
            1
        );
        assert_eq!(faults("src/ssh/wire/kex.rs", "use crate::pool::Now;"), 1);
        assert_eq!(
            faults("src/fleet/mod.rs", "use crate::shared_pool::SharedPool;"),
            1
        );
        assert_eq!(faults("src/admin/mod.rs", "use crate::app::App;"), 1);
        assert_eq!(faults("src/attic/mod.rs", ""), 1);
    }

    #[test]
    fn allowed_uses_pass() {
        assert_eq!(
            faults(
                "src/ssh/front.rs",
                "use crate::{pool::{Now, Pool}, ssh::wire::keys};"
            ),
            0
        );
        assert_eq!(
            faults(
                "src/ssh/wire/keys/a.rs",
                "use super::super::Entropy; use super::b;"
            ),
            0
        );
        assert_eq!(
            faults(
                "src/pool/a.rs",
                "// use crate::config::Config;\nuse super::b;"
            ),
            0
        );
        assert_eq!(
            faults(
                "src/cli/serve.rs",
                "use crate::app::App; use crate::config;"
            ),
            0
        );
        assert_eq!(
            faults("src/shared_pool.rs", "mod tests { use super::*; }"),
            0
        );
        assert_eq!(faults("tests/it/main.rs", "use crate::anything;"), 0);
    }

    #[test]
    fn impure_words_are_found() {
        let count = |path: &str, text: &str| purity(&Source::new(path, text)).len();
        assert_eq!(
            count(
                "src/pool/a.rs",
                "let now = Instant::now();\nuse tokio::time;"
            ),
            2
        );
        assert_eq!(count("src/ssh/wire/a.rs", "use std::sync::Mutex;"), 1);
        assert_eq!(count("src/ssh/front.rs", "use std::sync::Mutex;"), 0);
        assert_eq!(
            count(
                "src/pool/a.rs",
                "#[cfg(test)]\nmod tests {\n Instant::now(); }"
            ),
            0
        );
        assert_eq!(count("src/pool/a.rs", "// Instant::now\n"), 0);
    }
}
