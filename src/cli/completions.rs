//! `poolgate completions`: what shells complete. The words of the command line are in the script; names of instances, pools, sessions
//! and people only the gate knows, and it is asked for them while one types (`poolgate complete-names`).
//!
//! The script asks for every word alike; which kind of name may stand there is found here, by the very definition of the command
//! line.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use serde_json::Value;

use super::args::{Args as CommandLine, ConfigArgs, GateArgs};
use super::{Failure, client, print};

#[derive(Debug, clap::Args)]
pub struct NamesArgs {
    /// What is typed before the word to complete, without the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Who types does not wait for a gate that hangs.
const PATIENCE: Duration = Duration::from_secs(1);
/// More nobody chooses from.
const NAMES_MAX: usize = 1000;

/// Bash defines the function and says that it is used; the latter is done anew.
const BASH: &str = include_str!("completions/names.bash");
const ZSH: &str = include_str!("completions/names.zsh");
const FISH: &str = include_str!("completions/names.fish");

pub(super) fn script(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "poolgate", &mut script);
    let script = String::from_utf8_lossy(&script);
    print::show(with_names(shell, &script).as_bytes())
}

fn with_names(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}\n{BASH}"),
        // The file is the function when zsh loads it by itself, so ours takes the name and calls the other.
        Shell::Zsh => {
            let script = script.replacen("\n_poolgate() {", "\n_poolgate_words() {", 1);
            match script.rfind("\nif [ \"$funcstack[1]\"") {
                Some(end) => {
                    let (before, after) = script.split_at(end);
                    format!("{before}\n{ZSH}{after}")
                }
                None => script,
            }
        }
        Shell::Fish => format!("{script}\n{FISH}"),
        _ => script.to_owned(),
    }
}

/// Prints a name a line; nothing where no name may stand, or nobody knows any.
pub(super) async fn names(args: &NamesArgs) -> Result<ExitCode, Failure> {
    let mut command = CommandLine::command();
    command.build();
    let asked = Asked::read(&command, &args.words);
    let mut names: BTreeSet<String> = BTreeSet::new();
    for kind in asked.kinds {
        let found = tokio::time::timeout(PATIENCE, kind.names(&asked.gate)).await;
        names.extend(found.unwrap_or_default());
    }
    let names: String = names
        .iter()
        .filter(|name| is_harmless(name))
        .take(NAMES_MAX)
        .map(|name| format!("{name}\n"))
        .collect();
    print::show(names.as_bytes())
}

/// What the gate has names of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Instances,
    Pools,
    Sessions,
    People,
}

/// By what help calls the value.
fn kinds_of(arg: &Arg) -> &'static [Kind] {
    let name = arg.get_value_names().and_then(<[_]>::first);
    match name.map(|name| name.as_str()) {
        Some("INSTANCE") => &[Kind::Instances],
        Some("POOL") => &[Kind::Pools],
        Some("SESSION") => &[Kind::Sessions],
        Some("USER") => &[Kind::People],
        Some("SESSION|USER") => &[Kind::People, Kind::Sessions],
        _ => &[],
    }
}

/// What may stand after some words, and which gate they name.
struct Asked {
    kinds: &'static [Kind],
    gate: GateArgs,
}

impl Asked {
    fn read(command: &Command, words: &[String]) -> Self {
        let mut gate = GateArgs {
            config: ConfigArgs { config: None },
            socket: None,
            url: None,
            token_file: None,
        };
        let mut command = command;
        let mut pending: Option<&Arg> = None;
        let mut positionals = 0;
        for word in words {
            if let Some(arg) = pending.take() {
                match arg.get_id().as_str() {
                    "config" => gate.config.config = Some(word.into()),
                    "socket" => gate.socket = Some(word.into()),
                    "url" => gate.url = Some(word.clone()),
                    "token_file" => gate.token_file = Some(word.into()),
                    _ => {}
                }
            } else if word.starts_with('-') {
                pending = option(command, word).filter(|arg| arg.get_action().takes_values());
            } else if let Some(sub) = command.find_subcommand(word) {
                command = sub;
                positionals = 0;
            } else {
                positionals += 1;
            }
        }
        let next = || command.get_positionals().nth(positionals);
        let kinds = pending.or_else(next).map_or(&[][..], kinds_of);
        Self { kinds, gate }
    }
}

/// The option that a word is, with its value yet to come.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_it = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg
            .get_short()
            .is_some_and(|short| word.strip_prefix('-') == Some(&*short.to_string())),
    };
    command.get_arguments().find(is_it)
}

impl Kind {
    async fn names(self, gate: &GateArgs) -> Vec<String> {
        let (path, field) = match self {
            Self::Instances => ("/api/v1/instances", "name"),
            Self::Pools => ("/api/v1/pools", "name"),
            Self::Sessions => ("/api/v1/sessions", "id"),
            Self::People => ("/api/v1/sessions", "user"),
        };
        let rows: Vec<Value> = client::read(gate, path).await.unwrap_or_default();
        let names = rows.iter().filter_map(|row| row.get(field)?.as_str());
        names.map(str::to_owned).collect()
    }
}

/// Names of people come from the network: none may be more than a word to a shell.
fn is_harmless(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@/+%".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stand_somewhere_is_known_by_the_command_line() {
        let mut command = CommandLine::command();
        command.build();
        let kinds = |line: &str| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            Asked::read(&command, &words).kinds
        };
        for (line, expected) in [
            ("drain", &[Kind::Instances][..]),
            ("drain --reason x", &[Kind::Instances]),
            ("drain --reason", &[]),
            ("drain vm1", &[]),
            ("-o json", &[]),
            ("scale", &[Kind::Pools]),
            ("scale main", &[]),
            ("evict", &[Kind::Sessions]),
            ("move", &[Kind::People, Kind::Sessions]),
            ("move alice --to", &[Kind::Instances]),
            ("explain", &[Kind::People]),
            ("explain health", &[Kind::Instances]),
            ("explain scaling -o json", &[Kind::Pools]),
            ("events --follow --instance", &[Kind::Instances]),
            ("events --user", &[Kind::People]),
            ("notify --session", &[Kind::Sessions]),
            ("cost --pool", &[Kind::Pools]),
            ("serve", &[]),
        ] {
            assert_eq!(kinds(line), expected, "{line}");
        }
        let words = ["drain", "--socket", "/x", "-c", "/y"].map(str::to_owned);
        let gate = Asked::read(&command, &words).gate;
        assert_eq!(gate.socket, Some("/x".into()));
        assert_eq!(gate.config.config, Some("/y".into()));
    }

    #[test]
    fn no_name_is_more_than_a_word_to_a_shell() {
        for name in ["alice", "main/vm1", "a.b-c_d@e+f"] {
            assert!(is_harmless(name), "{name}");
        }
        for name in ["", "-rf", "$(reboot)", "a b", "a;b", "`x`", "*", "a\nb"] {
            assert!(!is_harmless(name), "{name}");
        }
    }

    #[test]
    fn each_script_asks_for_names() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "poolgate", &mut script);
            let script = with_names(shell, &String::from_utf8(script).unwrap());
            assert!(script.contains("complete-names"), "{shell}");
            if shell == Shell::Zsh {
                assert_eq!(script.matches("\n_poolgate() {").count(), 1);
                assert!(script.contains("\n_poolgate_words() {"));
            }
        }
    }
}
