//! `poolgate completions`: what shells complete. The words of the command line are in the script; names of instances, pools, sessions
//! and people only the gate knows, and it is asked for them while one types (`poolgate complete-names`).
//!
//! The scripts ask for every word alike; which kind of name may stand there is found here, by the very definition of the command
//! line. What only a person can know (a reason, a time) is completed by nothing: files would be noise.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory, ValueHint};
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
    print::show(with_names(shell).as_bytes())
}

fn with_names(shell: Shell) -> String {
    let mut command = CommandLine::command();
    if matches!(shell, Shell::Zsh | Shell::Fish) {
        command = hinted(command);
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "poolgate", &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        Shell::Bash => format!("{script}\n{BASH}"),
        Shell::Zsh => zsh(&script.replace(ZSH_HINT, "_poolgate_names")),
        Shell::Fish => fish(&script.replace(FISH_HINT, "__poolgate_names"), &command),
        _ => script.into_owned(),
    }
}

/// A hint that nothing of ours means otherwise stands for names of the gate, and is written as below.
const NAMES_HINT: ValueHint = ValueHint::Username;
const ZSH_HINT: &str = "_users";
const FISH_HINT: &str = "__fish_complete_users";

/// Says of each value what shells need to know of it.
fn hinted(command: Command) -> Command {
    let hint = |arg: Arg| match kinds_of(&arg) {
        _ if !arg.get_action().takes_values() => arg,
        [] if arg.get_value_hint() == ValueHint::Unknown => arg.value_hint(ValueHint::Other),
        [] => arg,
        _ => arg.value_hint(NAMES_HINT),
    };
    command.mut_args(hint).mut_subcommands(hinted)
}

/// The file is the function when zsh loads it by itself, so ours takes the name and calls the other.
fn zsh(script: &str) -> String {
    let script = script.replacen("\n_poolgate() {", "\n_poolgate_words() {", 1);
    let Some(end) = script.rfind("\nif [ \"$funcstack[1]\"") else {
        return script;
    };
    let (before, after) = script.split_at(end);
    format!("{before}\n{ZSH}{after}")
}

/// Fish is told of options alone: which words are files must be added.
fn fish(script: &str, command: &Command) -> String {
    let takes_file = |arg: &Arg| arg.get_value_hint() == ValueHint::AnyPath;
    let files: String = command
        .get_subcommands()
        .filter(|sub| sub.get_positionals().any(takes_file))
        .map(|sub| {
            let name = sub.get_name();
            format!("complete -c poolgate -n \"__fish_poolgate_using_subcommand {name}\" -F\n")
        })
        .collect();
    format!("{script}\n{FISH}{files}")
}

/// Prints a name a line; nothing where no name may stand, or nobody knows any.
pub(super) async fn names(args: &NamesArgs) -> Result<ExitCode, Failure> {
    let mut command = CommandLine::command();
    command.build();
    let asked = Asked::read(&command, &args.words);
    let mut names = asked.choices;
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
    /// What the command line itself lets stand there; of options, shells know it by their scripts.
    choices: BTreeSet<String>,
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
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (word.as_str(), None),
            };
            if let Some(arg) = pending.take() {
                note(&mut gate, arg, word);
            } else if name.starts_with('-') {
                let takes_value = |arg: &&Arg| arg.get_action().takes_values();
                match (option(command, name).filter(takes_value), value) {
                    (Some(arg), Some(value)) => note(&mut gate, arg, value),
                    (arg, _) => pending = arg,
                }
            } else if let Some(sub) = command.find_subcommand(word) {
                command = sub;
                positionals = 0;
            } else {
                positionals += 1;
            }
        }
        let next = command.get_positionals().nth(positionals);
        let next = next.filter(|_| pending.is_none());
        Self {
            kinds: pending.or(next).map_or(&[][..], kinds_of),
            choices: next
                .map(|arg| choices_of(command, arg, positionals))
                .unwrap_or_default(),
            gate,
        }
    }
}

/// Notes what names the gate to ask.
fn note(gate: &mut GateArgs, arg: &Arg, value: &str) {
    match arg.get_id().as_str() {
        "config" => gate.config.config = Some(value.into()),
        "socket" => gate.socket = Some(value.into()),
        "url" => gate.url = Some(value.to_owned()),
        "token_file" => gate.token_file = Some(value.into()),
        _ => {}
    }
}

/// The values of a word without `--`, and the commands that may stand in its place.
fn choices_of(command: &Command, arg: &Arg, position: usize) -> BTreeSet<String> {
    let values = arg.get_possible_values();
    let values = values.iter().filter(|value| !value.is_hide_set());
    let commands = command.get_subcommands().filter(|_| position == 0);
    let commands = commands.filter(|sub| !sub.is_hide_set());
    values
        .map(|value| value.get_name().to_owned())
        .chain(commands.map(|sub| sub.get_name().to_owned()))
        .collect()
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
            ("events --instance=vm1 --user", &[Kind::People]),
            ("serve", &[]),
        ] {
            assert_eq!(kinds(line), expected, "{line}");
        }
        let words = ["drain", "--socket=/x", "-c", "/y", "--url", "z"].map(str::to_owned);
        let gate = Asked::read(&command, &words).gate;
        assert_eq!(gate.socket, Some("/x".into()));
        assert_eq!(gate.config.config, Some("/y".into()));
        assert_eq!(gate.url, Some("z".into()));
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
        let is_named = |arg: &&Arg| !kinds_of(arg).is_empty();
        fn count(command: &Command, is_one: &impl Fn(&&Arg) -> bool) -> usize {
            let below = command.get_subcommands().map(|sub| count(sub, is_one));
            command.get_arguments().filter(is_one).count() + below.sum::<usize>()
        }
        let named = count(&CommandLine::command(), &is_named);
        let options = count(&CommandLine::command(), &|arg| {
            is_named(arg) && !arg.is_positional()
        });
        assert!(named > 20 && options > 5, "{named} {options}");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = with_names(shell);
            assert!(script.contains("complete-names"), "{shell}");
            match shell {
                Shell::Zsh => {
                    assert_eq!(script.matches("\n_poolgate() {").count(), 1);
                    assert!(script.contains("\n_poolgate_words() {"));
                    assert_eq!(script.matches(":_poolgate_names'").count(), named);
                    assert!(!script.contains("_default'"), "files for anything");
                }
                Shell::Fish => {
                    assert_eq!(
                        script.matches("-f -a \"(__poolgate_names)").count(),
                        options
                    );
                    assert!(script.contains("using_subcommand play\" -F\n"));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn what_the_command_line_lets_stand_there_is_said() {
        let mut command = CommandLine::command();
        command.build();
        let choices = |word: &str| Asked::read(&command, &[word.to_owned()]).choices;
        assert!(choices("completions").contains("fish"));
        assert!(choices("explain").contains("health"));
        assert_eq!(choices("drain"), BTreeSet::new());
    }
}
