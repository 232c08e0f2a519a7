//! One instance of `poolgate demo --real`: OpenSSH and JupyterHub from this machine, configured into the instance's folder
//! and run side by side. When one of them ends, the instance does, and its fleet starts it again.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::folder::{new_key_file, write_file};

/// How long JupyterHub may take to end its servers.
const STOP_GRACE: Duration = Duration::from_secs(8);
/// sshd refuses to start as root without this folder.
const SEPARATION_FOLDER: &str = "/run/sshd";

/// The programs that real instances are made of.
#[derive(Clone, Debug)]
pub struct Programs {
    pub sshd: PathBuf,
    pub jupyterhub: PathBuf,
    pub proxy: PathBuf,
}

impl Programs {
    /// Looks for them in the folders of `path` (as in `$PATH`), and for sshd where systems keep it.
    ///
    /// # Errors
    /// Names every program that is missing, and how to get it.
    pub fn find(path: &str) -> anyhow::Result<Self> {
        let folders: Vec<PathBuf> = std::env::split_paths(path)
            .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
            .collect();
        let look = |name: &str| folders.iter().map(|f| f.join(name)).find(|p| p.is_file());
        match (
            look("sshd"),
            look("jupyterhub"),
            look("configurable-http-proxy"),
        ) {
            (Some(sshd), Some(jupyterhub), Some(proxy)) => Ok(Self {
                sshd,
                jupyterhub,
                proxy,
            }),
            (sshd, hub, proxy) => {
                let mut missing = Vec::new();
                if sshd.is_none() {
                    missing.push("sshd (package openssh-server)");
                }
                if hub.is_none() {
                    missing.push("jupyterhub (pip install jupyterhub jupyterlab)");
                }
                if proxy.is_none() {
                    missing
                        .push("configurable-http-proxy (npm install -g configurable-http-proxy)");
                }
                bail!(
                    "--real needs programs that are not on PATH: {}; without --real nothing is needed",
                    missing.join(", ")
                )
            }
        }
    }
}

/// One real instance, as its command line names it.
pub struct RealSettings {
    pub name: String,
    pub ssh_port: u16,
    pub jupyter_port: u16,
    pub state_dir: PathBuf,
    pub user_ca: PathBuf,
    /// A file with the password that JupyterHub asks everybody for.
    pub hub_password: PathBuf,
    pub programs: Programs,
    /// The account's name, which is all that sshd lets in where it does not run as root.
    pub user: String,
}

/// Runs the instance until `shutdown`, or until one of its two programs ends.
///
/// # Errors
/// A program cannot be started, or ended by itself.
pub async fn run_instance(
    settings: RealSettings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let sshd_config = write_sshd_config(&settings)?;
    let hub_config = write_hub_config(&settings)?;
    let programs = &settings.programs;
    let mut sshd = start(
        &programs.sshd,
        &["-D".as_ref(), "-e".as_ref(), "-f".as_ref(), &sshd_config],
        &settings.state_dir,
    )?;
    let mut hub = start(
        &programs.jupyterhub,
        &["-f".as_ref(), &hub_config],
        &settings.state_dir,
    )?;
    let ended = tokio::select! {
        status = sshd.wait() => Some(("sshd", status)),
        status = hub.wait() => Some(("jupyterhub", status)),
        () = shutdown.cancelled() => None,
    };
    tokio::join!(stop(sshd), stop(hub));
    match ended {
        Some((program, status)) => bail!("{program} ended: {}", describe(status)),
        None => Ok(()),
    }
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

fn start(program: &Path, arguments: &[&Path], folder: &Path) -> anyhow::Result<Child> {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

async fn stop(mut child: Child) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    // Dropped afterwards, and so killed if it is still there.
    let _ = tokio::time::timeout(STOP_GRACE, child.wait()).await;
}

fn write_sshd_config(settings: &RealSettings) -> anyhow::Result<PathBuf> {
    let host_key = settings.state_dir.join("ssh_host_ed25519_key");
    if !host_key.exists() {
        new_key_file(&host_key, "poolgate demo instance")?;
    }
    let is_root = geteuid().is_root();
    if is_root {
        std::fs::create_dir_all(SEPARATION_FOLDER)
            .with_context(|| format!("cannot make {SEPARATION_FOLDER}, which sshd needs"))?;
    }
    let only_user = match is_root {
        true => String::new(),
        false => format!("AllowUsers {}\n", settings.user),
    };
    let text = format!(
        "ListenAddress 127.0.0.1:{}\nHostKey {}\nPidFile none\nTrustedUserCAKeys {}\n\
         AuthorizedKeysFile none\nAuthenticationMethods publickey\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nMaxStartups 100\n\
         AcceptEnv LANG LC_* COLORTERM\nSetEnv POOLGATE_INSTANCE={}\nPrintMotd no\n\
         Subsystem sftp internal-sftp\n{only_user}",
        settings.ssh_port,
        host_key.display(),
        settings.user_ca.display(),
        settings.name,
    );
    let path = settings.state_dir.join("sshd_config");
    write_file(&path, &text)?;
    Ok(path)
}

fn write_hub_config(settings: &RealSettings) -> anyhow::Result<PathBuf> {
    let [hub_port, api_port] = free_ports()?;
    // A JSON text is a Python text too.
    let quote = |path: &Path| serde_json::to_string(&path.to_string_lossy());
    let state = &settings.state_dir;
    let port = settings.jupyter_port;
    let root = match geteuid().is_root() {
        true => "c.Spawner.args = [\"--allow-root\"]\n",
        false => "",
    };
    let single_user = settings
        .programs
        .jupyterhub
        .with_file_name("jupyterhub-singleuser");
    let text = format!(
        "c.JupyterHub.bind_url = \"http://127.0.0.1:{port}\"\n\
         c.JupyterHub.hub_bind_url = \"http://127.0.0.1:{hub_port}\"\n\
         c.ConfigurableHTTPProxy.api_url = \"http://127.0.0.1:{api_port}\"\n\
         c.ConfigurableHTTPProxy.command = [{}]\n\
         c.ConfigurableHTTPProxy.pid_file = {}\n\
         c.JupyterHub.db_url = \"sqlite:///\" + {}\n\
         c.JupyterHub.cookie_secret_file = {}\n\
         c.JupyterHub.authenticator_class = \"dummy\"\n\
         c.DummyAuthenticator.password = open({}).read().strip()\n\
         c.Authenticator.allow_all = True\n\
         c.JupyterHub.spawner_class = \"simple\"\n\
         c.SimpleLocalProcessSpawner.home_dir_template = {}\n\
         c.Spawner.cmd = [{}]\n\
         c.Spawner.environment = {{\"POOLGATE_INSTANCE\": \"{}\"}}\n{root}",
        quote(&settings.programs.proxy)?,
        quote(&state.join("proxy.pid"))?,
        quote(&state.join("hub.sqlite"))?,
        quote(&state.join("cookie_secret"))?,
        quote(&settings.hub_password)?,
        quote(&state.join("home/{username}"))?,
        quote(&single_user)?,
        settings.name,
    );
    let path = state.join("jupyterhub_config.py");
    write_file(&path, &text)?;
    Ok(path)
}

/// Two ports that were free a moment ago.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let two = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok([one.local_addr()?.port(), two.local_addr()?.port()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_string_lossy();
        std::fs::write(folder.path().join("jupyterhub"), "").unwrap();
        let missing = Programs::find(&path).unwrap_err().to_string();
        assert!(
            missing.contains("npm install -g configurable-http-proxy"),
            "{missing}"
        );
        assert!(!missing.contains("pip install"), "{missing}");

        for name in ["sshd", "configurable-http-proxy"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = Programs::find(&path).unwrap();
        assert_eq!(found.jupyterhub, folder.path().join("jupyterhub"));
    }
}
