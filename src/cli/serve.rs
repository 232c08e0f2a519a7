//! `poolgate serve`: the gate, until a signal ends it.
//!
//! SIGTERM and SIGINT: no new logins, and the end with the last session; a second one ends the sessions too. SIGHUP: the
//! audit log and the certificates are opened again.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use super::args::ConfigArgs;
use crate::app::{App, systemd};
use crate::net::inherited::Inherited;
use crate::ssh::host_keys::HostKeyError;
use crate::telemetry::log;

/// How long the end waits for a daemon that takes the log.
const LAST_LINES: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub config: ConfigArgs,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = crate::config::load(args.config.config.as_deref())?;
    log::init(&config.log).map_err(anyhow::Error::from)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    raise_file_limit();
    let inherited = Inherited::from_systemd().map_err(anyhow::Error::from)?;
    let app = App::start(config, inherited).map_err(why_not)?;
    let addresses = &app.addresses;
    tracing::info!(
        ssh = listed(&addresses.ssh),
        https = listed(&addresses.https),
        admin = listed(addresses.admin.as_slice()),
        "the gate is open"
    );
    systemd::ready();
    signals.until_stop(&app).await;
    tokio::select! {
        () = app.drain() => {}
        () = signals.until_stop(&app) => tracing::info!("ending the sessions that are left"),
    }
    app.stop().await;
    log::flush(LAST_LINES);
    Ok(ExitCode::SUCCESS)
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
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns at the next wish to stop; wishes to reload are granted meanwhile.
    async fn until_stop(&mut self, app: &App) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => app.reload().await,
            }
        }
    }
}
