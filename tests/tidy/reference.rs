//! The configuration reference as a page, made of `config/poolgate.toml`, so that there is one text of each key.
//!
//! `POOLGATE_WRITE_DOCS=1 cargo test --test tidy` writes the page; without it the page must be what would be written.

use std::fmt::Write;
use std::fs;
use std::path::Path;

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

/// Keys that are told about together, and what is told.
#[derive(Default)]
struct Entry {
    keys: Vec<(String, String)>,
    text: Vec<String>,
}

/// The page for this text.
pub fn page(source: &str) -> String {
    let mut page = String::from(
        "# Configuration\n\nEvery key with its default, in the order of `config/poolgate.toml`, of which this page is made.\n",
    );
    let mut entry = Entry::default();
    let mut is_in_table = false;
    let mut is_in_list = false;
    for line in source.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if is_in_list {
            // The rest of a value that stands on several lines.
            if let Some((_, value)) = entry.keys.last_mut() {
                value.push(' ');
                value.push_str(bare.trim());
            }
            is_in_list = bare != "]";
        } else if let Some(text) = line.strip_prefix("# ") {
            if !entry.keys.is_empty() {
                close(&mut page, &mut entry, &mut is_in_table);
            }
            entry.text.push(text.to_owned());
        } else if bare.starts_with('[') {
            let text = std::mem::take(&mut entry.text);
            close(&mut page, &mut entry, &mut is_in_table);
            is_in_table = false;
            let name = bare.trim_matches(['[', ']']);
            // The text must fit into a `String`, which always takes it.
            let _ = write!(page, "\n## `[{name}]`\n");
            if !text.is_empty() {
                let _ = write!(page, "\n{}\n", escaped(&text.join(" ")));
            }
        } else if let Some((key, value)) = bare.split_once(" = ") {
            let value = without_remark(value);
            is_in_list = value == "[";
            entry.keys.push((key.to_owned(), value.to_owned()));
        } else if line.is_empty() {
            match entry.keys.is_empty() && !entry.text.is_empty() && !is_in_table {
                true => {
                    let text = std::mem::take(&mut entry.text).join(" ");
                    let _ = write!(page, "\n{}\n", escaped(&text));
                }
                false => close(&mut page, &mut entry, &mut is_in_table),
            }
        }
    }
    close(&mut page, &mut entry, &mut is_in_table);
    page
}

/// Writes the row of this entry, and before the first one the head of the table.
fn close(page: &mut String, entry: &mut Entry, is_in_table: &mut bool) {
    let Entry { keys, text } = std::mem::take(entry);
    if keys.is_empty() {
        return;
    }
    if !*is_in_table {
        page.push_str("\n| key | default or example | what |\n|---|---|---|\n");
        *is_in_table = true;
    }
    let list = |words: Vec<&String>| {
        let words: Vec<_> = words.iter().map(|word| code(word)).collect();
        words.join("<br>")
    };
    let names = list(keys.iter().map(|(key, _)| key).collect());
    let values = list(keys.iter().map(|(_, value)| value).collect());
    let _ = writeln!(
        page,
        "| {names} | {values} | {} |",
        escaped(&text.join(" ")).replace('|', "\\|")
    );
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

/// A value without the remark behind it.
fn without_remark(value: &str) -> &str {
    let mut is_quoted = false;
    for (at, letter) in value.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '#' if !is_quoted => return value[..at].trim_end(),
            _ => {}
        }
    }
    value
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
