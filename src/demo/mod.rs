//! What `poolgate demo` needs beside the gate: a folder of keys, a config made in code, and the instances themselves.
//!
//! An instance is this same program: an SSH server whose shells run as the person who started the demo, and a page shaped
//! like a JupyterHub. Both listen on the loopback address only. With `--real` it runs OpenSSH and JupyterHub in their place.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use russh::keys::PublicKey;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod accept;
mod certificate;
pub mod folder;
pub mod guide;
pub mod own_keys;
mod page;
pub mod real;
pub mod settings;
mod shell;
mod ssh_server;

pub use shell::Account;

/// How long connections may take to end when the instance does.
const END_GRACE: Duration = Duration::from_millis(1500);

/// One instance, as its command line names it.
pub struct InstanceSettings {
    pub name: String,
    pub ssh_port: u16,
    pub jupyter_port: u16,
    /// Its own folder: host key and start-up files.
    pub state_dir: PathBuf,
    /// The public key of the authority whose user certificates log in.
    pub user_ca: PathBuf,
    /// Whom shells run as.
    pub account: Account,
}

/// Serves one embedded instance until `shutdown`.
///
/// # Errors
/// Its ports are taken, or its folder or the CA's file cannot be used.
pub async fn run_instance(
    settings: InstanceSettings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let authority = PublicKey::read_openssh_file(&settings.user_ca)
        .with_context(|| format!("cannot read the user CA {}", settings.user_ca.display()))?;
    let host_key = ssh_server::host_key(&settings.state_dir.join("ssh_host_ed25519_key"))
        .with_context(|| format!("no host key in {}", settings.state_dir.display()))?;
    let prompt_folder = write_prompts(&settings.state_dir)?;
    let ssh = listen(settings.ssh_port).await?;
    let web = listen(settings.jupyter_port).await?;
    let tasks = TaskTracker::new();
    let server = ssh_server::SshServer {
        instance: settings.name.clone(),
        authority,
        account: settings.account,
        prompt_folder,
    };
    let page = page::Page::new(&settings.name);
    tokio::join!(
        server.run(ssh, host_key, tasks.clone(), shutdown.clone()),
        page.run(web, tasks.clone(), shutdown),
    );
    tasks.close();
    let _ = tokio::time::timeout(END_GRACE, tasks.wait()).await;
    Ok(())
}

/// Ends `shutdown` when stdin does: that pipe is held by the gate, so an instance never outlives its gate for long. A stdin
/// that is no pipe says nothing.
pub async fn end_with_stdin(shutdown: CancellationToken) {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let Ok(mut pipe) = stdin.and_then(tokio::net::unix::pipe::Receiver::from_owned_fd) else {
        return;
    };
    let mut ignored = [0; 256];
    while let Ok(1..) = pipe.read(&mut ignored).await {}
    shutdown.cancel();
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    bound.with_context(|| format!("cannot listen on 127.0.0.1:{port}"))
}

/// Start-up files that read the person's own and then put the instance's name into the prompt.
fn write_prompts(state_dir: &Path) -> anyhow::Result<PathBuf> {
    let bash = "[ -r ~/.bashrc ] && . ~/.bashrc\nPS1='\\[\\e[1m\\]$USER@$POOLGATE_INSTANCE\\[\\e[0m\\] \\w \\$ '\n";
    let zsh = "[ -r ~/.zshrc ] && . ~/.zshrc\nPROMPT='%B'$USER@$POOLGATE_INSTANCE'%b %~ %# '\n";
    for (name, text) in [("bashrc", bash), (".zshrc", zsh)] {
        let path = state_dir.join(name);
        folder::write_file(&path, text)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(state_dir.into())
}
