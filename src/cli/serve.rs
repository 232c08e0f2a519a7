//! `poolgate serve`: the gate, until a signal ends it.
//!
//! SIGTERM and SIGINT: no new logins, and the end with the last session; a second one ends the sessions too. SIGHUP: the
//! configuration is read again. SIGUSR2: the program is started anew and takes this one's place, whose sessions go on.

use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncBufReadExt;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::ConfigArgs;
use super::{Failure, print};
use crate::app::{App, SERVING, own_program, systemd};
use crate::net::inherited::Inherited;
use crate::ssh::host_keys::HostKeyError;
use crate::telemetry::log;

/// How long the end waits for a daemon that takes the log.
const LAST_LINES: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Take the place of the gate that runs with this state_dir: it keeps its sessions, nobody is refused meanwhile, and if
    /// anything fails it goes on alone
    #[arg(long)]
    pub take_over: bool,
    /// Return once the new gate serves, which goes on by itself
    #[arg(long, hide = true, requires = "take_over")]
    pub background: bool,
    /// Say on standard output as well why the place could not be taken
    #[arg(long, hide = true, requires = "take_over")]
    pub tell_failure: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.background {
        return start_in_background(&args).await;
    }
    let is_told = args.tell_failure;
    let ended = serve(args).await;
    if let Err(failure) = &ended
        && is_told
    {
        // Whoever started it may have gone; it is told on standard error in any case.
        drop(print::show(format!("{failure}\n").as_bytes()));
    }
    ended
}

async fn serve(args: Args) -> Result<ExitCode, Failure> {
    let config = crate::config::load(args.config.config.as_deref())?;
    log::init(&config.log).map_err(anyhow::Error::from)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    raise_file_limit();
    let started = match args.take_over {
        true => App::take_over(config).await,
        false => {
            let inherited = Inherited::from_systemd().map_err(anyhow::Error::from)?;
            App::start(config, inherited).await
        }
    };
    let app = started.map_err(why_not)?;
    let addresses = &app.addresses;
    tracing::info!(
        ssh = listed(&addresses.ssh),
        https = listed(&addresses.https),
        admin = listed(addresses.admin.as_slice()),
        "the gate is open"
    );
    systemd::ready();
    if args.take_over {
        // Whoever started it may have gone.
        drop(print::show(SERVING.as_bytes()));
    }
    tokio::select! {
        () = signals.until_stop(&app) => {}
        () = app.handed_over() => {}
    }
    tokio::select! {
        () = app.drain() => {}
        () = signals.until_stop(&app) => tracing::info!("ending the sessions that are left"),
    }
    app.stop().await;
    log::flush(LAST_LINES);
    Ok(ExitCode::SUCCESS)
}

/// Starts the same without `--background`, and leaves it alone once it serves: it is then nobody's child.
async fn start_in_background(args: &Args) -> Result<ExitCode, Failure> {
    let program = own_program().context("this program's own path is not known")?;
    let mut command = Command::new(program);
    command.args(["serve", "--take-over", "--tell-failure"]);
    if let Some(file) = &args.config.config {
        command.arg("--config").arg(file);
    }
    // Signs of life are for whoever is the main process.
    command.env_remove("WATCHDOG_PID");
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut gate = command.spawn().context("cannot start the new gate")?;
    if let Some(stdout) = gate.stdout.take() {
        let mut lines = tokio::io::BufReader::new(stdout);
        let mut line = String::new();
        while lines.read_line(&mut line).await.context("the new gate")? > 0 {
            drop(print::go_on(line.as_bytes()));
            if line == SERVING {
                return Ok(ExitCode::SUCCESS);
            }
            line.clear();
        }
    }
    let ended = gate.wait().await.context("the new gate")?;
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A manager that starts what ended again and again must not where a person has to look first.
fn why_not(error: anyhow::Error) -> Failure {
    let is_of_pins = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<HostKeyError>();
        matches!(cause, Some(HostKeyError::Pins { .. }))
    };
    match error.chain().any(is_of_pins) {
        true => Failure::Lasting(error),
        false => Failure::Other(error),
    }
}

/// Each session holds two sockets; the soft limit of old, 1024 files, is for programs that use select(2).
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

/// `127.0.0.1:22 [::1]:22`, or `off`.
fn listed(addresses: &[SocketAddr]) -> String {
    let words: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    match words.is_empty() {
        true => "off".to_owned(),
        false => words.join(" "),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_2: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Returns at the next wish to stop; wishes to reload are granted meanwhile.
    async fn until_stop(&mut self, app: &App) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => app.reload().await,
                _ = self.user_2.recv() => app.upgrade(),
            }
        }
    }
}
