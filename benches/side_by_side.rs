//! What the gate costs beside its alternatives: `cargo bench --bench side_by_side [-- ssh | https]`.
//!
//! All ways are taken in turns within one run, every other round backwards, so that the machine's other work strikes all of
//! them alike. The CPU seconds that whatever stands between spends on a unit of work are the figure to trust on a busy
//! machine; wall times stand beside them. `ssh` and `https` measure one door only; further words after `--` name ways to
//! measure no others, which then judges nothing. docs/testing.md says what must be installed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark is a script: it stops at the first thing that is wrong, and prints"
)]

mod side_by_side {
    pub mod https;
    pub mod process;
    pub mod ssh;
}

use std::process::ExitCode;

use side_by_side::{https, ssh};

fn main() -> ExitCode {
    // cargo passes --bench.
    let words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    let arguments: Vec<String> = words.collect();
    let has = |door: &str| arguments.iter().any(|word| word == door);
    let both = !has("ssh") && !has("https");
    let mut kept = true;
    if both || has("ssh") {
        kept &= ssh::run(&arguments);
    }
    if both || has("https") {
        kept &= https::run(&arguments);
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
