//! The configuration reference as a page, made of `config/poolgate.toml`, so that there is one text of each key.
//!
//! `POOLGATE_WRITE_DOCS=1 cargo test --test tidy` writes the page; without it the page must be what would be written.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::documented::{Entry, sections};

const SOURCE: &str = "config/poolgate.toml";
const PAGE: &str = "docs/configuration.md";

/// What is wrong with the page in the tree, after writing it if that was asked for.
pub fn faults() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join(SOURCE)).expect("the documented configuration");
    let wanted = page(&source);
    if std::env::var_os("POOLGATE_WRITE_DOCS").is_some() {
        fs::write(root.join(PAGE), &wanted).expect("the page can be written");
    }
    let found = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    match found == wanted {
        true => Vec::new(),
        false => vec![format!(
            "{PAGE}: is not what {SOURCE} says; write it anew: POOLGATE_WRITE_DOCS=1 cargo test --test tidy"
        )],
    }
}

/// The page for this text.
pub fn page(source: &str) -> String {
    let mut page = String::from(
        "# Configuration\n\nEvery key with its default, in the order of `config/poolgate.toml`, of which this page is made.\n",
    );
    for section in sections(source) {
        if !section.name.is_empty() {
            // The text must fit into a `String`, which always takes it.
            let _ = write!(page, "\n## `[{}]`\n", section.name);
        }
        for text in &section.text {
            let _ = write!(page, "\n{}\n", escaped(text));
        }
        if !section.entries.is_empty() {
            page.push_str("\n| key | default or example | what |\n|---|---|---|\n");
        }
        for entry in &section.entries {
            page.push_str(&row(entry));
        }
    }
    page
}

fn row(entry: &Entry) -> String {
    let list = |words: Vec<&String>| {
        let words: Vec<_> = words.iter().map(|word| code(word)).collect();
        words.join("<br>")
    };
    let names = list(entry.keys.iter().map(|(key, _)| key).collect());
    let values = list(entry.keys.iter().map(|(_, value)| value).collect());
    let text = escaped(&entry.text).replace('|', "\\|");
    format!("| {names} | {values} | {text} |\n")
}

/// As code in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Angle brackets, underscores and stars are text here, unless they stand in code already.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(at, part)| match at % 2 {
        0 => part
            .replace('<', "&lt;")
            .replace('_', "\\_")
            .replace('*', "\\*"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

#[test]
fn the_reference_has_every_key() {
    let source = "# About all.\n\n# The door.\n[ssh]\nlisten = [\"a|b\"]   # a remark\n# Two,\n# together.\n#one = 1\n#two = \"#2\"\n\n[x]\nlist = [\n  { a_b = 1 },\n]\n";
    let page = page(source);
    for part in [
        "About all.",
        "## `[ssh]`\n\nThe door.",
        "| `listen` | `[\"a\\|b\"]` |  |",
        "| `one`<br>`two` | `1`<br>`\"#2\"` | Two, together. |",
        "| `list` | `[ { a_b = 1 }, ]` |  |",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}
