//! The configuration reference as a page, made of `config/poolgate.toml`, so that there is one text of each key.
//!
//! `POOLGATE_WRITE_DOCS=1 cargo test --test tidy` writes the page; without it the page must be what would be written.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::documented::{Entry, sections};
use crate::taking::{names_files, when};

const SOURCE: &str = "config/poolgate.toml";
const PAGE: &str = "docs/configuration.md";
/// The pool of local processes among the examples.
const OF_PROCESSES: &str = "local";
const COUNTS: &str = "
The third column says when another value counts, once the file was read again (`poolgate reload`, SIGHUP, or by itself):

- **at once**, for everybody, and nothing ends;
- **new connections**: for those who come from then on, and sessions go on as they began;
- **listeners** open and close, and what is open goes on;
- **restart**: not before one. Few keys wait for that, and a reload says so each time, with the reason; all else counts.
- **+ file**: the file that is named is followed as well. Once its new content has stood still for a second it is taken by itself, also
  through links that are swapped. Content that is of no use leaves in force what was read before, and is told in the log, by
  `poolgate status`, `poolgate check` and `poolgate doctor`, on the dashboard, as an event (so to webhooks), and by
  `poolgate_config_file_faults`. A reload is refused for it.

The capacity, the ports and the fleet of a pool of local processes (`[pools.local]` below) wait for a restart: its instances would end.
Variables are those the process was started with; they change with a restart.
";

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
    page.push_str(COUNTS);
    for section in sections(source) {
        if !section.name.is_empty() {
            // The text must fit into a `String`, which always takes it.
            let _ = write!(page, "\n## `[{}]`\n", section.name);
        }
        for text in &section.text {
            let _ = write!(page, "\n{}\n", escaped(text));
        }
        if !section.entries.is_empty() {
            page.push_str("\n| key | default or example | counts | what |\n|---|---|---|---|\n");
        }
        for entry in &section.entries {
            page.push_str(&row(&section.name, entry));
        }
    }
    page
}

/// When a change of this key counts, in a word or two.
fn counts(section: &str, key: &str) -> String {
    let key = match section {
        "" => key.to_owned(),
        section => format!("{section}.{key}"),
    };
    let when = when(&key, |pool| pool == OF_PROCESSES).short();
    match names_files(&key) {
        true => format!("{when} + file"),
        false => when.to_owned(),
    }
}

fn row(section: &str, entry: &Entry) -> String {
    let list = |words: Vec<&String>| {
        let words: Vec<_> = words.iter().map(|word| code(word)).collect();
        words.join("<br>")
    };
    let names = list(entry.keys.iter().map(|(key, _)| key).collect());
    let values = list(entry.keys.iter().map(|(_, value)| value).collect());
    let mut times: Vec<_> = entry
        .keys
        .iter()
        .map(|(key, _)| counts(section, key))
        .collect();
    if times.windows(2).all(|pair| pair[0] == pair[1]) {
        times.truncate(1);
    }
    let times = times.join("<br>");
    let text = escaped(&entry.text).replace('|', "\\|");
    format!("| {names} | {values} | {times} | {text} |\n")
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
        "| `listen` | `[\"a\\|b\"]` | listeners |  |",
        "| `one`<br>`two` | `1`<br>`\"#2\"` | new connections | Two, together. |",
        "| `list` | `[ { a_b = 1 }, ]` | at once |  |",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}
