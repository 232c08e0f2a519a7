//! What files, items and comments may say: headers, names of the lexicon, no history, nothing left over.

use super::source::{Source, line_at};

/// Words that name nothing, and synonyms of the lexicon's; no item's name may hold one.
const BANNED: &[(&str, &str)] = &[
    ("util", "name what it does"),
    ("utils", "name what it does"),
    ("helper", "name what it does"),
    ("helpers", "name what it does"),
    ("misc", "name what it does"),
    ("manager", "name what it owns"),
    ("node", "say instance"),
    ("backend", "say instance"),
    ("worker", "say task or instance"),
    ("vm", "say instance"),
];

/// Beginnings of function names that leave open what is done.
const BANNED_BEGINNINGS: &[&str] = &["handle_", "process_", "do_", "try_"];

/// Words of comments that tell what was, where only what is counts.
const HISTORY: &[&str] = &[
    "previously",
    "used to be",
    "formerly",
    "refactor",
    "was changed",
    "legacy code",
];

const LEFTOVERS: &[(&str, &str)] = &[
    ("todo!(", "write it, or leave it out"),
    ("unimplemented!(", "write it, or leave it out"),
    ("dbg!(", "remove it; use tracing for what operators need"),
    (
        "#[ignore]",
        "make it run, delete it, or write #[ignore = \"why, and how to run it\"]",
    ),
    ("#![allow(warnings", "fix the warnings"),
];

const NOTES: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Long enough to say something.
const HEADER_CHARS_MIN: usize = 24;

pub fn headers(source: &Source) -> Vec<String> {
    if source.path.ends_with("/tests.rs") || source.path.contains("/tests/") {
        return Vec::new();
    }
    let header: Vec<&str> = source
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .collect();
    if header.concat().trim().chars().count() >= HEADER_CHARS_MIN {
        return Vec::new();
    }
    let fix =
        "no header; begin with `//!`: what the file does, what it deliberately does not, and why";
    vec![source.fault(1, fix)]
}

pub fn names(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (offset, kind, name) in items(&source.code) {
        let line = line_at(&source.code, offset);
        for word in parts(name) {
            if let Some((_, fix)) = BANNED.iter().find(|(banned, _)| *banned == word) {
                faults.push(source.fault(
                    line,
                    &format!("{kind} {name}: no name holds `{word}`; {fix}"),
                ));
            }
        }
        let begins = BANNED_BEGINNINGS
            .iter()
            .find(|word| name.starts_with(**word));
        if let Some(word) = begins.filter(|_| kind == "fn" && !is_of_a_trait(source, name)) {
            let fix = format!(
                "fn {name}: `{word}` says nothing; use a verb and a noun of docs/lexicon.md"
            );
            faults.push(source.fault(line, &fix));
        }
    }
    faults
}

pub fn history(source: &Source) -> Vec<String> {
    let comments = source.comments.to_lowercase();
    let found = HISTORY.iter().flat_map(|word| comments.match_indices(word));
    let fault = |(offset, word): (usize, &str)| {
        let fix = format!("a comment says {word:?}; say what is and why, history is in git");
        source.fault(line_at(&comments, offset), &fix)
    };
    found.map(fault).collect()
}

pub fn leftovers(source: &Source) -> Vec<String> {
    // This file names them all.
    if source.path == "tests/tidy/words.rs" {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (word, fix) in LEFTOVERS {
        for (offset, _) in source.code.match_indices(word) {
            faults.push(source.fault(line_at(&source.code, offset), &format!("`{word}`: {fix}")));
        }
    }
    for word in NOTES {
        for (offset, _) in source.comments.match_indices(word) {
            let is_word = !source.comments[offset + word.len()..]
                .starts_with(|c: char| c.is_alphanumeric())
                && !source.comments[..offset].ends_with(|c: char| c.is_alphanumeric());
            if is_word {
                let fix = format!("a {word}: do it, or write down as an issue what is to be done");
                faults.push(source.fault(line_at(&source.comments, offset), &fix));
            }
        }
    }
    faults
}

/// Every item: where, its keyword and its name.
fn items(code: &str) -> Vec<(usize, &'static str, &str)> {
    let mut found = Vec::new();
    for kind in [
        "fn", "struct", "enum", "trait", "mod", "type", "const", "static",
    ] {
        for (offset, _) in code.match_indices(kind) {
            let is_word = !code[..offset].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &code[offset + kind.len()..];
            let name = rest.trim_start();
            if !is_word || name.len() == rest.len() {
                continue;
            }
            let len = name
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            found.push((offset, kind, &name[..len]));
        }
    }
    found
}

/// Names that a trait of the standard library gives.
fn is_of_a_trait(source: &Source, name: &str) -> bool {
    source.code.contains("impl TryFrom") && name == "try_from"
}

/// `HttpBackend_pool` is `http`, `backend`, `pool`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = c.is_lowercase() || c.is_numeric();
        if c != '_' {
            parts.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    parts
}

#[cfg(test)]
mod samples {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/a.rs", text)
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let bad = "mod util;\nstruct PoolManager;\nfn handle_login() {}\nfn try_it() {}\nconst NODE_COUNT: u8 = 1;";
        assert_eq!(names(&source(bad)).len(), 5);
        let good = "fn retry() {}\nstruct Download;\nmod utilisation;\nfn f() { handle_login(); }\n// fn do_it";
        assert_eq!(names(&source(good)), [] as [String; 0]);
        assert_eq!(
            names(&source("impl TryFrom<u8> for A { fn try_from() {} }")).len(),
            0
        );
    }

    #[test]
    fn headers_that_say_nothing_are_found() {
        assert_eq!(headers(&source("use a;")).len(), 1);
        assert_eq!(headers(&source("//! x\nuse a;")).len(), 1);
        assert_eq!(
            headers(&source("//! What an instance is and where it answers.\n")).len(),
            0
        );
    }

    #[test]
    fn history_is_found_in_comments_alone() {
        assert_eq!(history(&source("// It Formerly waited\n")).len(), 1);
        assert_eq!(
            history(&source("let a = \"formerly\"; // waits\n")).len(),
            0
        );
    }

    #[test]
    fn leftovers_are_found() {
        let bad = "fn a() { todo!() }\n#[ignore]\nfn b() { dbg!(1); } // FIXME\n/* TODO: c */";
        assert_eq!(leftovers(&source(bad)).len(), 5);
        assert_eq!(
            leftovers(&source("let a = \"todo!()\"; // XXXL mytodo TODOS")).len(),
            0
        );
    }
}
