//! docs/adversaries.md names a test for each known weakness: here each name must be a test's.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what is wrong by panicking; clippy sees no test in a plain function of this crate"
)]

use std::fs;
use std::path::Path;

/// Names in back quotes that are tests' names by their form.
fn named(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| {
        word.matches('_').count() >= 3
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

/// All code below a folder.
fn code_in(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code_in(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_paper_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paper = fs::read_to_string(root.join("docs/adversaries.md")).unwrap();
    let mut code = String::new();
    for folder in ["src", "tests"] {
        code_in(&root.join(folder), &mut code);
    }
    let names = named(&paper);
    assert!(names.len() > 40, "the paper names {} tests", names.len());
    let is_missing = |name: &&String| !code.contains(&format!("fn {name}()"));
    let missing: Vec<&String> = names.iter().filter(is_missing).collect();
    assert!(
        missing.is_empty(),
        "docs/adversaries.md names no test of ours: {missing:#?}"
    );
}

#[test]
fn names_of_tests_are_told_from_other_words() {
    let text = "`a_b_c_d` is one, `src/x_y_z_w.rs`, `hostile::` and `max_startups` are none";
    assert_eq!(named(text), ["a_b_c_d"]);
}
