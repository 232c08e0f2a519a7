//! What can be written on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use super::{
    check, completions, cost, demo, drain, events, man, orders, paint, play, scale, serve,
    simulate, token, top, upgrade,
};
use crate::config::parse_duration;

/// The front door of a shared pool of data-science machines.
///
/// People log in by ssh and by browser at one address; each login goes to the least-loaded machine.
#[derive(Debug, Parser)]
#[command(name = "poolgate", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 78 bad config.")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// When to colour what is printed
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: paint::When,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gate; SIGTERM ends it once the sessions have ended, a second one at once
    #[command(after_help = "Example: poolgate serve -c /etc/poolgate/poolgate.toml")]
    Serve(serve::Args),
    /// Run a pool of local instances behind a gate, with nothing to configure
    #[command(after_help = "Example: poolgate demo --instances 3")]
    Demo(demo::Args),
    /// Read the configuration: tell every fault, or show the limits in force
    #[command(after_help = "Example: poolgate check -c new.toml --diff")]
    Check(check::Args),
    /// Have the gate read its configuration again; a faulty one changes nothing
    #[command(after_help = "Example: poolgate reload")]
    Reload(ShowArgs),
    /// Have the program that is installed by now take the gate's place: nobody is refused, no session ends, and if anything fails the
    /// gate goes on
    #[command(after_help = r#"Example: poolgate upgrade --reason "1.4.2 mends the queue""#)]
    Upgrade(upgrade::Args),
    /// Look at everything a gate depends on, from its files to its instances' sshd, and say what mends it
    #[command(after_help = "Example: poolgate doctor --user alice --crowd")]
    Doctor(DoctorArgs),
    /// Show the gate and its pools
    #[command(after_help = "Example: poolgate status")]
    Status(ShowArgs),
    /// Look at the pools on this terminal as they change, and give orders by key
    #[command(after_help = "Example: poolgate top")]
    Top(top::Args),
    /// Show the instances: where they are, whether they are up, how full
    #[command(after_help = "Example: poolgate instances -o json")]
    Instances(ListArgs),
    /// Show the sessions: who is where, since when
    #[command(after_help = "Example: poolgate sessions")]
    Sessions(ListArgs),
    /// Show who waits for a seat, the first in front
    #[command(after_help = "Example: poolgate queue")]
    Queue(ListArgs),
    /// Show what was done about the pools and why
    #[command(after_help = "Example: poolgate events --since 2h --kind drain,evict --follow")]
    Events(events::Args),
    /// Show what the machines of resized pools have cost, month by month and person by person
    #[command(after_help = "Example: poolgate cost --pool main -o csv")]
    Cost(cost::Args),
    /// Send nobody new to an instance; sessions go on
    #[command(after_help = r#"Example: poolgate cordon vm1 --reason "disk is slow""#)]
    Cordon(orders::CordonArgs),
    /// Send people to an instance again, whoever had decided otherwise
    #[command(after_help = "Example: poolgate uncordon vm1 --reason mended")]
    Uncordon(orders::UncordonArgs),
    /// Empty an instance: send nobody new, tell its people, and end what is left at the deadline if one is given
    #[command(
        after_help = r#"Example: poolgate drain vm1 --reason "new kernel" --deadline 2h --wait"#
    )]
    Drain(drain::Args),
    /// End a session
    #[command(
        after_help = r#"Example: poolgate evict 00000000000000ff --reason "your job fills the disk""#
    )]
    Evict(orders::EvictArgs),
    /// Send a person's next login, and the next page they go to, to an instance
    #[command(after_help = r#"Example: poolgate move alice --to vm2 --reason "disk""#)]
    Move(orders::MoveArgs),
    /// Have the policy leave an instance alone for a while
    #[command(after_help = "Example: poolgate keep vm1 18:00")]
    Keep(orders::KeepArgs),
    /// Have a pool at least so many machines for a while
    #[command(after_help = "Example: poolgate scale main 5 --for 3h --wait")]
    Scale(scale::Args),
    /// Say why something is as it is
    #[command(after_help = "Example: poolgate explain alice")]
    Explain(ExplainArgs),
    /// Play logins against a configuration: machine-hours, waits and cost, beside what others would make of it
    #[command(after_help = "Example: poolgate simulate --trace audit.jsonl -c new.toml")]
    Simulate(simulate::Args),
    /// Print the gate's own host keys as people need them: known_hosts lines, SSHFP records, fingerprints
    #[command(after_help = "Example: poolgate host-keys --host pool.example")]
    HostKeys(HostKeysArgs),
    /// Show a line in the terminals of people's ssh sessions, and a page in their browsers
    #[command(after_help = r#"Example: poolgate notify --instance vm1 "vm1 restarts at noon""#)]
    Notify(NotifyArgs),
    /// Send a webhook of the configuration a message to try it
    #[command(after_help = "Example: poolgate webhook team")]
    Webhook(WebhookArgs),
    /// Show a recording of a terminal
    #[command(after_help = "Example: poolgate play recording.cast --speed 2")]
    Play(play::Args),
    /// Make a token for the admin address: prints it once, and the line of admin.tokens_file that lets it in
    #[command(after_help = "Example: poolgate token ada --role operator")]
    Token(token::Args),
    /// Ask the running gate whether it lives; for container health checks
    #[command(after_help = "Example: poolgate healthcheck --ready")]
    Healthcheck(HealthcheckArgs),
    /// Print a completion script for a shell; it also completes names that the gate knows
    #[command(after_help = "Example: poolgate completions bash")]
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or write a page of every command and of the configuration file
    #[command(after_help = "Example: poolgate man --dir /usr/local/share/man/man1")]
    Man(man::Args),
    /// Names that may stand after some words, for completion scripts
    #[command(hide = true)]
    CompleteNames(completions::NamesArgs),
    /// One local instance, as `demo` starts them
    #[command(hide = true)]
    DemoInstance(demo::InstanceArgs),
}

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// The configuration file [default: $POOLGATE_CONFIG or /etc/poolgate/poolgate.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// An account of the instances: also tell which keys log it in at the gate, and log in as it with a certificate of
    /// the gate's authority
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Also open 40 connections at once to each instance. One that is not set up for a gate may refuse this
    /// machine's logins for up to a minute after
    #[arg(long)]
    pub crowd: bool,
}

#[derive(Debug, clap::Args)]
pub struct WebhookArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Of which section [webhooks.NAME]
    pub name: String,
}

/// Which gate to ask.
#[derive(Debug, clap::Args)]
pub struct GateArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The admin socket of the gate, in place of the configuration's
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The admin address of the gate, such as https://gate.example, which wants a token [default: $POOLGATE_URL]
    #[arg(long, value_name = "URL", conflicts_with = "socket")]
    pub url: Option<String>,
    /// A file that holds a token and that others cannot read [default: $POOLGATE_TOKEN_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub gate: GateArgs,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub gate: GateArgs,
    #[arg(short, long, value_enum, default_value_t = ListOutput::Table)]
    pub output: ListOutput,
}

#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct ExplainArgs {
    #[command(subcommand)]
    pub what: Option<Explained>,
    #[command(flatten)]
    pub show: ShowArgs,
    /// A login name: where somebody is, where their next login goes, and why
    #[arg(value_name = "USER")]
    pub user: Option<String>,
    /// The pool [default: the default one]
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Explained {
    /// Where somebody is, where their next login goes, and why: the same as without this word
    #[command(after_help = "Example: poolgate explain user alice")]
    User(UserArgs),
    /// Whether an instance could stop without anybody noticing, and why not: asks its hub and its people's servers
    #[command(after_help = "Example: poolgate explain idle vm1")]
    Idle(IdleArgs),
    /// Why instances are up or not: what the probes of each service saw, what flipped it, and whom that concerns
    #[command(after_help = "Example: poolgate explain health vm1")]
    Health(HealthArgs),
    /// Why a pool is as large as it is: what its controller does now and next, what it waits for, and by which rule
    #[command(after_help = "Example: poolgate explain scaling main")]
    Scaling(ScalingArgs),
}

#[derive(Debug, clap::Args)]
pub struct UserArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// Their login name
    #[arg(value_name = "USER")]
    pub user: String,
    /// The pool [default: the default one]
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct IdleArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// The instance, by its name or as POOL/NAME
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
}

#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// The instance, by its name or as POOL/NAME [default: all]
    #[arg(value_name = "INSTANCE")]
    pub instance: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ScalingArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// The pool [default: all]
    #[arg(value_name = "POOL")]
    pub pool: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct NotifyArgs {
    #[command(flatten)]
    pub gate: GateArgs,
    /// Only this session, as `poolgate sessions` names it
    #[arg(long, value_name = "SESSION", conflicts_with_all = ["instance", "user"])]
    pub session: Option<String>,
    /// Only sessions on this instance
    #[arg(long, value_name = "INSTANCE", conflicts_with = "user")]
    pub instance: Option<String>,
    /// Only sessions of this person
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Also show it to browsers that come until then, such as 2h from now; without it to those of the next ten minutes
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Only tell how many sessions would get it
    #[arg(long)]
    pub dry_run: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// The line, of at most 1000 bytes
    #[arg(required = true, value_name = "TEXT")]
    pub text: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct HealthcheckArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// Fail also while no login could succeed
    #[arg(long)]
    pub ready: bool,
}

#[derive(Debug, clap::Args)]
pub struct HostKeysArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The name people type, with the port they reach [default: this machine's name, the first port of ssh.listen]
    #[arg(long, value_name = "NAME[:PORT]")]
    pub host: Option<String>,
    #[arg(short, long, value_enum, default_value_t = HostKeysOutput::KnownHosts)]
    pub output: HostKeysOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostKeysOutput {
    /// Lines of a known_hosts file
    #[value(name = "known_hosts")]
    KnownHosts,
    /// DNS records with SHA-256 fingerprints
    Sshfp,
    /// As `ssh-keygen -l` prints them
    Fingerprints,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    /// The objects of /api/v1
    Json,
}

/// How a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListOutput {
    Table,
    /// The objects of /api/v1
    Json,
    /// For spreadsheets (RFC 4180)
    Csv,
}

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write a time such as 30m, 2h or 1d")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_the_design_promises_is_understood() {
        for line in [
            "poolgate serve -c x.toml",
            "poolgate demo --instances 3",
            "poolgate check -c x.toml",
            "poolgate check --diff",
            "poolgate check --diff --against y.toml -o json",
            "poolgate reload -o json",
            "poolgate doctor -c x.toml --user alice --crowd -o json",
            "poolgate check -o json",
            "poolgate healthcheck --ready -o json",
            "poolgate status -o json",
            "poolgate --color always status",
            "poolgate top --socket /run/x.sock",
            "poolgate instances --color=never",
            "poolgate instances -o table --socket /run/x.sock",
            "poolgate sessions -o json -c x.toml",
            "poolgate sessions --url https://gate.example --token-file t",
            "poolgate queue -o json",
            "poolgate notify --user alice the machine restarts at noon",
            "poolgate play x.cast --speed 2 --idle-max 2s",
            "poolgate events -o json --follow --pool main",
            "poolgate events --last 20",
            "poolgate events --since 2h --kind drain,evict --instance vm1 --user alice",
            "poolgate scale main 3 --wait",
            "poolgate cordon vm1 --reason kernel",
            "poolgate uncordon main/vm1 --reason done --socket /run/x.sock",
            "poolgate move alice --to vm2 --reason disk --now --dry-run",
            "poolgate explain alice --pool main -o json",
            "poolgate explain user idle",
            "poolgate drain vm1 --reason kernel --deadline 2h --wait",
            "poolgate evict 00000000000000ff --reason fire",
            "poolgate keep vm1 18:00",
            "poolgate keep vm1 off",
            "poolgate scale main 3 --dry-run --for 2h",
            "poolgate cost --pool main -o csv",
            "poolgate explain idle vm1 -o json",
            "poolgate explain idle main/vm1",
            "poolgate explain health",
            "poolgate explain health main/vm1 -o json",
            "poolgate explain scaling main -o json",
            "poolgate simulate --generate diurnal --seed 3 -o json",
            "poolgate simulate --trace audit.jsonl -c x.toml --against y.toml --chart z.svg",
            "poolgate healthcheck",
            "poolgate host-keys --host gate.example:2222 -o sshfp",
            "poolgate token ada --role operator",
            "poolgate completions bash",
            "poolgate man",
            "poolgate man --dir x",
            "poolgate complete-names -- drain --reason x",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "poolgate drain vm1",
            "poolgate evict 1",
            "poolgate cordon --reason x",
            "poolgate status --url https://gate.example --socket s",
        ] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
