//! The house rules as a test: who may use whom, sizes, names, headers, leftovers, and papers that keep up with the code.
//!
//! Each rule says how to fix what it finds. Each is tried on small bad samples as well, so that none can go blind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop where it stands"
)]

#[path = "../src/config/reference.rs"]
mod documented;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/logs.rs"]
mod logs;
#[path = "tidy/papers.rs"]
mod papers;
#[path = "tidy/reference.rs"]
mod reference;
#[path = "tidy/sizes.rs"]
mod sizes;
#[path = "tidy/source.rs"]
mod source;
#[path = "../src/config/taking.rs"]
mod taking;
#[path = "tidy/words.rs"]
mod words;

use source::Source;

/// A rule: what it finds in one file, each fault as `PATH:LINE: what is wrong; how to fix it`.
type Rule = fn(&Source) -> Vec<String>;

fn hold(rule: Rule) {
    let sources = source::all();
    assert!(
        sources.len() > 30,
        "only {} sources found: the walk is broken",
        sources.len()
    );
    let faults: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}\n",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn rooms_use_only_what_they_may() {
    hold(imports::rooms);
}

#[test]
fn pure_rooms_stay_pure() {
    hold(imports::purity);
}

#[test]
fn files_are_short() {
    hold(sizes::files);
}

#[test]
fn functions_are_short() {
    hold(sizes::functions);
}

#[test]
fn files_say_what_they_are() {
    hold(words::headers);
}

#[test]
fn names_are_of_the_lexicon() {
    hold(words::names);
}

#[test]
fn comments_tell_no_history() {
    hold(words::history);
}

#[test]
fn nothing_is_left_over() {
    hold(words::leftovers);
}

#[test]
fn papers_keep_up() {
    let mut faults = papers::faults(&papers::read());
    faults.extend(reference::faults());
    faults.extend(logs::faults());
    assert!(
        faults.is_empty(),
        "{} faults:\n{}\n",
        faults.len(),
        faults.join("\n")
    );
}
