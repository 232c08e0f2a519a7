//! The command line as a page of the documentation, made of the same definition that `--help` and the manual are made of.
//!
//! `POOLGATE_WRITE_DOCS=1 cargo test --lib cli::page` writes the page; without it the page must be what would be written.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};

use super::args::Args;

const PAGE: &str = "docs/cli.md";
const BEGIN: &str = "# The command line

Every command with its options, as `poolgate help` tells them; of the same source are the manual (`poolgate man --dir DIR`) and what shells
complete (`poolgate completions bash`). Where a command asks the gate, `-o json` gives the objects of `/api/v1`, and a failure is told
as `{\"error\":...,\"exit_code\":...}`. Exit codes: 0 ok, 1 failed, 2 usage, 78 bad configuration.
";

fn page() -> String {
    let mut command = Args::command();
    command.build();
    let mut page = BEGIN.to_owned();
    page.push_str("\n## Everywhere\n");
    page.push_str(&options(
        command.get_arguments().filter(|arg| arg.is_global_set()),
    ));
    add_commands(&mut page, &command, "poolgate");
    page
}

fn add_commands(page: &mut String, command: &Command, name: &str) {
    let shown = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set() && one.get_name() != "help");
    for one in shown {
        let name = format!("{name} {}", one.get_name());
        // The texts fit into a `String`, which always takes them.
        let _ = write!(page, "\n## `{name}`\n");
        let about = one.get_long_about().or(one.get_about()).map(text);
        let _ = write!(
            page,
            "\n{}.\n",
            about.unwrap_or_default().trim_end_matches('.')
        );
        let usage = one.clone().render_usage().to_string();
        let _ = write!(
            page,
            "\n```text\n{}\n```\n",
            usage.trim_start_matches("Usage: ")
        );
        page.push_str(&options(
            one.get_arguments().filter(|arg| !arg.is_global_set()),
        ));
        if let Some(example) = one.get_after_help().map(text) {
            let _ = write!(
                page,
                "\nExample: `{}`\n",
                example.trim_start_matches("Example: ")
            );
        }
        add_commands(page, one, &name);
    }
}

fn options<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows = args.filter(|arg| !arg.is_hide_set() && arg.get_id() != "help");
    let rows: String = rows.map(row).collect();
    match rows.is_empty() {
        true => rows,
        false => format!("\n| argument | what |\n|---|---|\n{rows}"),
    }
}

fn row(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let takes_values = arg.get_action().takes_values();
    let value = values
        .first()
        .filter(|_| takes_values)
        .map(|name| name.to_string());
    let mut names: Vec<String> = arg
        .get_short()
        .map(|short| format!("-{short}"))
        .into_iter()
        .collect();
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let name = match (names.is_empty(), value) {
        (true, value) => value.unwrap_or_default(),
        (false, None) => names.join(", "),
        (false, Some(value)) => format!("{} {value}", names.join(", ")),
    };
    let mut what: Vec<String> = arg.get_help().map(text).into_iter().collect();
    let choices = arg.get_possible_values();
    if takes_values && !choices.is_empty() {
        let choices = choices.iter().map(|choice| match choice.get_help() {
            Some(help) => format!("`{}` ({})", choice.get_name(), text(help)),
            None => format!("`{}`", choice.get_name()),
        });
        what.push(format!("One of {}", choices.collect::<Vec<_>>().join(", ")));
    }
    let default = arg.get_default_values().first().filter(|_| takes_values);
    what.extend(default.map(|value| format!("Default: `{}`", value.to_string_lossy())));
    let what = what.join(". ").replace('|', "\\|").replace('<', "&lt;");
    format!("| `{}` | {what} |\n", name.replace('|', "\\|"))
}

/// In one line.
fn text(styled: &StyledStr) -> String {
    styled
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_page_is_of_this_command_line() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let wanted = page();
    if std::env::var_os("POOLGATE_WRITE_DOCS").is_some() {
        fs::write(&file, &wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{PAGE} is not what the command line says; write it anew: POOLGATE_WRITE_DOCS=1 cargo test --lib cli::page"
    );
}

/// Each command shows how it is typed, and what it shows can be typed.
#[test]
fn each_command_has_an_example_that_can_be_typed() {
    fn look(command: &Command, seen: &mut usize) {
        let shown = command
            .get_subcommands()
            .filter(|one| !one.is_hide_set() && one.get_name() != "help");
        for one in shown {
            let example = one.get_after_help().map(text).unwrap_or_default();
            let line = example.strip_prefix("Example: ").unwrap_or_default();
            let parts = line
                .split('"')
                .enumerate()
                .flat_map(|(at, part)| match at % 2 {
                    0 => part.split_whitespace().map(str::to_owned).collect(),
                    _ => vec![part.to_owned()],
                });
            let words: Vec<String> = parts.collect();
            assert!(
                words.contains(&one.get_name().to_owned()),
                "{}: {example:?}",
                one.get_name()
            );
            let parsed = <Args as clap::Parser>::try_parse_from(&words);
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
            *seen += 1;
            look(one, seen);
        }
    }
    let mut command = Args::command();
    command.build();
    let mut seen = 0;
    look(&command, &mut seen);
    assert!(seen > 30, "only {seen}");
}
