//! `poolgate demo`: the real gate before local instances, with nothing to configure or install.
//!
//! Everything is made in a temporary folder and on loopback addresses, and goes when the command ends.

use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::demo::folder::{Folder, write_file};
use crate::demo::guide::{Guide, Real};
use crate::demo::real::{self, Programs, RealSettings};
use crate::demo::settings::{self, Choices};
use crate::demo::{self, Account, InstanceSettings, own_keys};
use crate::net::inherited::Inherited;
use crate::pool::Health;

use super::Failure;

/// Ports after the usual one that are tried when it is taken.
const PORTS_TRIED: u16 = 100;
/// How long instances may take to be up before people are told how to log in all the same.
const START_PATIENCE: Duration = Duration::from_secs(8);
const REAL_START_PATIENCE: Duration = Duration::from_secs(60);

/// Starts a pool of local instances behind the real gate and says how to log in.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How many instances
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=32))]
    instances: u32,
    /// Run OpenSSH and JupyterHub as the instances; both must be installed
    #[arg(long)]
    real: bool,
    /// Where the gate listens
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// The gate's ssh port [default: 2222, or the next that is free]
    #[arg(long, value_name = "PORT")]
    ssh_port: Option<u16>,
    /// The gate's https port [default: 8443, or the next that is free]
    #[arg(long, value_name = "PORT")]
    https_port: Option<u16>,
    /// What to log on standard error, such as `info` or `poolgate=debug`
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// Runs the demo until ctrl-c or SIGTERM.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    Ok(demonstrate(args).await?)
}

async fn demonstrate(args: Args) -> anyhow::Result<ExitCode> {
    let programs = match args.real {
        true => Some(Programs::find(&person_path())?),
        false => None,
    };
    let near = address_to_dial(args.listen);
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let folder = Folder::make(&[near, args.listen, v4, v6])?;
    let ssh_port = choose_port(args.listen, args.ssh_port, 2222)?;
    let https_port = choose_port(args.listen, args.https_port, 8443)?;
    let (identity, is_new_identity) = admit_person(&folder, near, ssh_port).await?;

    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let choices = Choices {
        instances: args.instances,
        ssh: SocketAddr::new(args.listen, ssh_port),
        https: SocketAddr::new(args.listen, https_port),
        command: instance_command(&program, &folder, args.real),
        log_filter: args.log,
        is_real: args.real,
    };
    let real = match programs {
        Some(_) => Some(Real {
            user: account_name(),
            hub_password: make_hub_password(&folder)?,
        }),
        None => None,
    };
    let config = settings::config(&folder, choices);
    crate::telemetry::log::init(&config.log)?;
    let app = App::start(config, Inherited::default()).await?;
    let guide = Guide {
        folder: &folder,
        instances: args.instances,
        ssh: SocketAddr::new(near, ssh_port),
        https: SocketAddr::new(near, https_port),
        identity,
        is_new_identity,
        program,
        real,
    };
    tokio::select! {
        () = announce(&app, &guide) => asked_to_stop().await,
        () = asked_to_stop() => {}
    }
    say("\nEnding the demo ...\n");
    app.stop().await;
    drop(folder);
    Ok(ExitCode::SUCCESS)
}

/// Lets the person's own keys in, or one made for them; returns the key to name to `ssh`, and whether it was made.
async fn admit_person(
    folder: &Folder,
    address: IpAddr,
    port: u16,
) -> anyhow::Result<(Option<PathBuf>, bool)> {
    let agent = variable("SSH_AUTH_SOCK").map(PathBuf::from);
    let own = own_keys::find(&home().join(".ssh"), agent.as_deref()).await;
    let lines: Vec<String> = own.iter().map(|key| key.line.clone()).collect();
    let made = folder.admit(&lines)?;
    let is_made = made.is_some();
    let identity = made.or_else(|| own_keys::to_name(&own));
    folder.write_client_files(address, port, identity.as_deref())?;
    Ok((identity, is_made))
}

/// Says how to log in once every instance is up, or has had the time to be.
async fn announce(app: &App, guide: &Guide<'_>) {
    let patience = match guide.real {
        Some(_) => REAL_START_PATIENCE,
        None => START_PATIENCE,
    };
    let up = until_all_are_up(app, guide.instances);
    if tokio::time::timeout(patience, up).await.is_err() {
        let logs = guide.folder.path("instances");
        say(&format!(
            "Not every instance is up yet; their logs are in {}/*/log\n",
            logs.display()
        ));
    }
    say(&guide.text());
}

/// One instance of the demo; started by its process fleet.
#[derive(clap::Args, Debug)]
pub struct InstanceArgs {
    #[arg(long)]
    name: String,
    #[arg(long)]
    ssh_port: u16,
    #[arg(long)]
    jupyter_port: u16,
    #[arg(long)]
    state_dir: PathBuf,
    /// The public key of the pool's user CA
    #[arg(long)]
    user_ca: PathBuf,
    /// Run OpenSSH and JupyterHub
    #[arg(long, requires = "hub_password")]
    real: bool,
    /// A file with JupyterHub's password
    #[arg(long)]
    hub_password: Option<PathBuf>,
}

/// Runs one instance until SIGTERM or the end of its standard input.
pub(super) async fn run_instance(args: InstanceArgs) -> Result<ExitCode, Failure> {
    Ok(be_instance(args).await?)
}

async fn be_instance(args: InstanceArgs) -> anyhow::Result<ExitCode> {
    crate::telemetry::log::init(&crate::config::LogConfig::default())?;
    write_file(
        &args.state_dir.join("pid"),
        &format!("{}\n", std::process::id()),
    )?;
    let shutdown = CancellationToken::new();
    tokio::spawn(demo::end_with_stdin(shutdown.clone()));
    let asked = shutdown.clone();
    tokio::spawn(async move {
        asked_to_stop().await;
        asked.cancel();
    });
    let ended = serve_instance(args, shutdown).await;
    end_own_group();
    ended.map(|()| ExitCode::SUCCESS)
}

async fn serve_instance(args: InstanceArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Some(hub_password) = args.hub_password.filter(|_| args.real) else {
        let settings = InstanceSettings {
            name: args.name,
            ssh_port: args.ssh_port,
            jupyter_port: args.jupyter_port,
            state_dir: args.state_dir,
            user_ca: args.user_ca,
            account: account(),
        };
        return demo::run_instance(settings, shutdown).await;
    };
    let settings = RealSettings {
        name: args.name,
        ssh_port: args.ssh_port,
        jupyter_port: args.jupyter_port,
        state_dir: args.state_dir,
        user_ca: args.user_ca,
        hub_password,
        programs: Programs::find(&person_path())?,
        user: account_name(),
    };
    real::run_instance(settings, shutdown).await
}

/// Asks what people's commands have left running to end. A fleet does so too, but may be gone: then nobody else would.
fn end_own_group() {
    if let Ok(id) = i32::try_from(std::process::id()) {
        // Started by hand, in a group it does not lead, there is no group of this id and nothing happens.
        let _ = killpg(Pid::from_raw(id), Signal::SIGTERM);
    }
}

fn instance_command(program: &std::path::Path, folder: &Folder, is_real: bool) -> Vec<String> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut words = vec![text(program.into()), "demo-instance".into()];
    for (option, value) in [
        ("--name", "{name}".into()),
        ("--ssh-port", "{ssh_port}".into()),
        ("--jupyter-port", "{jupyter_port}".into()),
        ("--state-dir", "{state_dir}".into()),
        ("--user-ca", text(folder.user_ca_public())),
    ] {
        words.extend([option.into(), value]);
    }
    if is_real {
        let password = text(folder.path("hub_password"));
        words.extend(["--real".into(), "--hub-password".into(), password]);
    }
    words
}

async fn until_all_are_up(app: &App, instances: u32) {
    let mut snapshots = app.subscribe();
    loop {
        let up = {
            let snapshot = snapshots.borrow_and_update();
            let is_up =
                |instance: &&crate::pool::snapshot::InstanceView| instance.health == Health::Up;
            snapshot.instances.iter().filter(is_up).count()
        };
        if u32::try_from(up).is_ok_and(|up| up >= instances) || snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// The wished port, or the first free one from `usual` on.
fn choose_port(address: IpAddr, wished: Option<u16>, usual: u16) -> anyhow::Result<u16> {
    if let Some(port) = wished {
        return Ok(port);
    }
    (usual..=usual.saturating_add(PORTS_TRIED))
        .find(|port| TcpListener::bind((address, *port)).is_ok())
        .with_context(|| format!("no free port from {usual} on at {address}; choose one by hand"))
}

/// What clients on this machine dial.
fn address_to_dial(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// JupyterHub's logins run code as the person who started the demo: only who can read this file may.
fn make_hub_password(folder: &Folder) -> anyhow::Result<String> {
    let mut secret = [0; 8];
    aws_lc_rs::rand::fill(&mut secret).context("the system gives no random bytes")?;
    let password: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    write_file(&folder.path("hub_password"), &password)?;
    Ok(password)
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn account() -> Account {
    Account {
        shell: variable("SHELL").map_or("/bin/sh".into(), PathBuf::from),
        home: home(),
        path: person_path(),
    }
}

fn person_path() -> String {
    let usual = "/usr/local/bin:/usr/bin:/bin".to_string();
    variable("PATH").map_or(usual, |path| path.to_string_lossy().into_owned())
}

fn home() -> PathBuf {
    variable("HOME").map_or("/".into(), PathBuf::from)
}

fn account_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().map_or("root".into(), |user| user.name)
}

/// Ctrl-C, SIGTERM, or the end of the terminal.
async fn asked_to_stop() {
    let on = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = on(SignalKind::interrupt()) => {}
        () = on(SignalKind::terminate()) => {}
        () = on(SignalKind::hangup()) => {}
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason to end a demo that others may be using.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_unless_it_was_wished() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let held = TcpListener::bind((here, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        assert!(choose_port(here, None, port).unwrap() > port);
        assert_eq!(choose_port(here, Some(port), 1).unwrap(), port);
    }

    #[test]
    fn an_instance_is_told_what_it_needs() {
        let folder = Folder::make(&[]).unwrap();
        let words = instance_command("/x/poolgate".as_ref(), &folder, true).join(" ");
        assert!(words.starts_with("/x/poolgate demo-instance --name {name} --ssh-port {ssh_port}"));
        assert!(
            words.contains("user_ca.pub --real --hub-password "),
            "{words}"
        );
    }
}
