//! Fields of the log: each name in the code has its row in `docs/logs.md`, and each row a place in the code.
//!
//! A name that is on no page cannot be relied on, and one that two places spell differently cannot be searched for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::source::{self, Source, line_at};

const PAGE: &str = "docs/logs.md";
const MACROS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// What each line has besides, and the one argument that is no field.
const OWN: [&str; 4] = ["timestamp", "level", "message", "target"];

pub fn faults() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    compare(&source::all(), &page)
}

fn compare(sources: &[Source], page: &str) -> Vec<String> {
    let rows = rows(page);
    let mut used: BTreeMap<String, String> = BTreeMap::new();
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for (line, name) in fields(source) {
            if name == "?" {
                faults.push(source.fault(line, "a field without a name; write `name = value`"));
            } else if name != "target" && OWN.contains(&&*name) {
                let text =
                    format!("a field {name}, which each line has already; name it otherwise");
                faults.push(source.fault(line, &text));
            } else if name != "target" && !rows.contains(&name) {
                let text = format!(
                    "a field {name} of which {PAGE} says nothing; use one of those, or add it"
                );
                faults.push(source.fault(line, &text));
            }
            used.insert(name, source.path.clone());
        }
    }
    if used.len() < 3 {
        faults.push("fields of the log: found hardly any, so this rule is blind".to_owned());
    }
    let unused = rows
        .iter()
        .filter(|row| !OWN.contains(&&***row) && !used.contains_key(*row));
    faults.extend(unused.map(|row| format!("{PAGE}: no line has the field {row}; remove it")));
    faults
}

/// The names in the first column of tables under `## Fields`.
fn rows(page: &str) -> Vec<String> {
    let after = page.split("## Fields").nth(1).unwrap_or_default();
    let section = after.split("\n## ").next().unwrap_or_default();
    let cells = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let names =
        cells.flat_map(|(cell, _)| cell.split(',').map(|name| name.replace(['`', ' '], "")));
    names.collect()
}

/// Line and name of each field that `tracing` is given.
fn fields(source: &Source) -> Vec<(usize, String)> {
    let code = source.production_code();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("tracing::") {
        let rest = &code[at + 9..];
        let called = MACROS
            .iter()
            .find_map(|name| rest.strip_prefix(name)?.strip_prefix("!("));
        let Some(arguments) = called else { continue };
        let line = line_at(code, at);
        for argument in split(arguments) {
            let argument = argument.trim();
            // The message, whose letters are blanked.
            if argument.is_empty() {
                break;
            }
            found.push((line, name(argument)));
        }
    }
    found
}

/// The arguments up to the bracket that closes the call.
fn split(arguments: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, letter) in arguments.char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => {
                parts.push(&arguments[from..at]);
                break;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&arguments[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts
}

/// `name`, `%name`, `name = value`, or `target: ...`; `?` for what has no name.
fn name(argument: &str) -> String {
    let named = match argument.split_once(['=', ':']) {
        Some((name, _)) => name,
        None => argument.trim_start_matches(['%', '?']),
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let name = named.trim();
    match !name.is_empty() && name.chars().all(is_name) {
        true => name.to_owned(),
        false => "?".to_owned(),
    }
}

#[test]
fn fields_without_a_row_are_found() {
    let page = "## Fields\n| field | what |\n|---|---|\n| `user` | x |\n| `pool`, `instance` | y |\n\n## More\n| `other` | z |\n";
    let faults = |code: &str| compare(&[Source::new("src/x.rs", code)], page);
    let good =
        "fn f() { tracing::info!(target: X, %user, pool = a(1, 2), instance = ?i, \"text {x}\"); }";
    assert_eq!(faults(good), [] as [String; 0]);
    for (bad, says) in [
        (good.replace("%user", "%user, who"), "a field who"),
        (good.replace("%user", "%user, level = 1"), "a field level"),
        (good.replace("%user", "%user, self.x"), "without a name"),
        (good.replace("%user, ", ""), "no line has the field user"),
        (String::new(), "blind"),
    ] {
        let found = faults(&bad);
        assert!(
            found.iter().any(|fault| fault.contains(says)),
            "{says}: {found:?}"
        );
    }
}
