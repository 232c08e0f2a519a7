//! The binary: everything is in the library, so that tests can reach it. The only place where the process ends.

use std::process::ExitCode;

/// The C library's allocator keeps what a flood of clients needed; this one gives it back within seconds.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    poolgate::cli::run()
}
