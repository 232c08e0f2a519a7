//! `poolgate man`: the manual, a page a command, and poolgate.toml(5); made of the very texts that `--help` and the documented
//! configuration have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;

use super::args::Args as CommandLine;
use super::{Failure, print};

mod file_page;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write every page into this folder: poolgate.1, one a command, poolgate.toml.5
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const CONFIG_PAGE: &str = "poolgate.toml.5";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.dir {
        Some(folder) => {
            write_all(folder)?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let mut page = Vec::new();
            let man = clap_mangen::Man::new(CommandLine::command());
            man.render(&mut page).context("cannot write the page")?;
            print::show(&page)
        }
    }
}

fn write_all(folder: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot write the pages into {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(CommandLine::command(), folder).with_context(failed)?;
    fs::write(folder.join(CONFIG_PAGE), file_page::page()).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_of_every_command_and_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path()).unwrap();
        let mut command = CommandLine::command();
        command.build();
        let mut seen = 0;
        for one in command
            .get_subcommands()
            .filter(|one| !one.is_hide_set() && one.get_name() != "help")
        {
            let page = folder.path().join(format!("poolgate-{}.1", one.get_name()));
            let text = fs::read_to_string(&page).unwrap_or_default();
            assert!(text.contains(".SH SYNOPSIS"), "{}", page.display());
            seen += 1;
        }
        assert!(seen > 25, "only {seen}");
        let page = fs::read_to_string(folder.path().join(CONFIG_PAGE)).unwrap();
        for part in [
            ".SH \"[SSH]\"",
            "\\fBlisten\\fR = ",
            "\\fBinstance_host_keys\\fR = ",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!folder.path().join("poolgate-demo-instance.1").exists());
    }
}
