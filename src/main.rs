//! The binary: everything is in the library, so that tests can reach it. The only place where the process ends.

use std::process::ExitCode;

fn main() -> ExitCode {
    poolgate::cli::run()
}
