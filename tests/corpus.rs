//! Replays the corpus of every fuzz target (fuzz/corpus/TARGET) through the function that libFuzzer runs it through:
//! what was once found stays found, on the toolchain and in the time of an ordinary test. docs/fuzzing.md tells how it grows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking; clippy sees no test in a plain function of this crate"
)]

#[path = "../fuzz/harness/mod.rs"]
mod harness;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Fewer would hardly reach anything.
const LEAST_FILES: usize = 8;
/// A corpus is cloned by everybody.
const MOST_BYTES: u64 = 500 * 1024;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

#[test]
fn every_input_of_every_corpus_passes() {
    let mut faults = Vec::new();
    for (target, run) in harness::TARGETS {
        let folder = root().join("corpus").join(target);
        for name in names(&folder) {
            let data = fs::read(folder.join(&name)).unwrap();
            if catch_unwind(AssertUnwindSafe(|| run(&data))).is_err() {
                faults.push(format!("fuzz/corpus/{target}/{name}"));
            }
        }
    }
    assert!(faults.is_empty(), "the panics above are of {faults:#?}");
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let targets: Vec<&str> = harness::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names(&root().join("corpus")),
        targets,
        "a corpus without a target, or the reverse"
    );
    let programs: Vec<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&root().join("targets")), programs);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut bytes = 0;
    for target in targets {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target} is not in fuzz/Cargo.toml"
        );
        let folder = root().join("corpus").join(target);
        let files = names(&folder);
        assert!(
            files.len() >= LEAST_FILES,
            "{target}: {} inputs",
            files.len()
        );
        let length = |name: &String| fs::metadata(folder.join(name)).unwrap().len();
        bytes += files.iter().map(length).sum::<u64>();
    }
    assert!(
        bytes <= MOST_BYTES,
        "the corpora hold {bytes} bytes: fuzz/run TARGET minimize"
    );
}
