//! A program before it is given anything: does it run here, what is it, and does it take the configuration? Everything about it
//! may be wrong, so all of it is bounded: how long it runs, and how much of what it says is read.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// A program that has to be read from a slow disk says its version within that.
const VERSION: Duration = Duration::from_secs(20);
/// Key files on a drive of a network are looked at.
const CHECK: Duration = Duration::from_secs(60);
/// Of what it says, so much is read; a hundred faults of a configuration are less.
const SAID_BYTES_MAX: u64 = 64 * 1024;
/// So many lines of a fault are passed on: the first says what to do.
const LINES_MAX: usize = 20;

/// What a program has said until it ended, and how it did.
pub(super) struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The last lines, which say why; else how it ended.
    pub fn why(&self) -> String {
        let said = match self.stderr.trim() {
            "" => self.stdout.trim(),
            stderr => stderr,
        };
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LINES_MAX)..);
        match last.unwrap_or_default().join("\n") {
            said if said.is_empty() => format!("it said nothing and ended with {}", self.status),
            said => said,
        }
    }
}

/// The version that the program says it has.
///
/// # Errors
/// When it does not run here, or is none of ours.
pub(super) async fn version(program: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").stderr(Stdio::piped());
    let said = run(&mut command, program, VERSION).await?;
    let first = said.stdout.lines().next().unwrap_or_default();
    match first.strip_prefix("poolgate ") {
        Some(version) if said.status.success() => Ok(version.trim().to_owned()),
        _ => bail!(
            "{} is no poolgate: asked for its version it said {:?} and ended with {}",
            program.display(),
            said.why(),
            said.status
        ),
    }
}

/// Has the program judge the configuration as it would read it.
///
/// # Errors
/// Every fault that it finds.
pub(super) async fn check(program: &Path, config: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("check").stderr(Stdio::piped());
    if !config.as_os_str().is_empty() {
        command.arg("--config").arg(config);
    }
    let said = run(&mut command, program, CHECK).await?;
    match said.status.success() {
        true => Ok(()),
        false => bail!("it refuses the configuration: {}", said.why()),
    }
}

/// Runs it to its end in a process group of its own, which ends with it where it takes too long. What it says on standard error is
/// read where the command has a pipe for that.
///
/// # Errors
/// When it cannot be started, or does not end in time.
pub(super) async fn run(command: &mut Command, program: &Path, limit: Duration) -> Result<Said> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| cannot_start(program, &error))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ending = async {
        let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
        let status = child.wait().await.context("cannot be waited for")?;
        anyhow::Ok(Said {
            status,
            stdout,
            stderr,
        })
    };
    match tokio::time::timeout(limit, ending).await {
        Ok(said) => said,
        Err(_) => {
            if let Some(group) = group {
                // An error means that nothing is left of it.
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            bail!(
                "{} did not end within {} s",
                program.display(),
                limit.as_secs()
            )
        }
    }
}

/// What is said up to a limit; the rest is read and forgotten, so that nobody waits for a reader.
async fn read(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else {
        return String::new();
    };
    let mut said = Vec::new();
    // What was said before a fault of the pipe is said all the same.
    drop(
        (&mut from)
            .take(SAID_BYTES_MAX)
            .read_to_end(&mut said)
            .await,
    );
    drop(tokio::io::copy(&mut from, &mut tokio::io::sink()).await);
    String::from_utf8_lossy(&said).into_owned()
}

/// Why the system does not start a program, and what to do.
pub(super) fn cannot_start(program: &Path, error: &io::Error) -> anyhow::Error {
    let path = program.display();
    let why = match (error.kind(), error.raw_os_error().map(nix::errno::Errno::from_raw)) {
        (io::ErrorKind::NotFound, _) if program.exists() => format!(
            "the loader it wants is not on this machine: it was built for another system (`file {path}` says which)"
        ),
        (io::ErrorKind::NotFound, _) => {
            "the gate sees no such file: install it there, or name another (a unit may keep /tmp and homes out of its sight)".to_owned()
        }
        (io::ErrorKind::PermissionDenied, _) => format!(
            "the gate's account may not execute it: chmod 0755 {path}, and let it enter every folder above"
        ),
        (_, Some(nix::errno::Errno::ENOEXEC)) => format!(
            "it is no program for this machine, which is {}: install the package for that",
            std::env::consts::ARCH
        ),
        (_, Some(nix::errno::Errno::ETXTBSY)) => {
            "it is being written at this moment: wait for its installation to end".to_owned()
        }
        _ => error.to_string(),
    };
    anyhow!("cannot start {path}: {why}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A program of these bytes.
    fn program(dir: &tempfile::TempDir, bytes: &[u8], mode: u32) -> PathBuf {
        let path = dir.path().join("program");
        // Never open for writing here while a test of another thread starts a program.
        let made = dir.path().join("made");
        fs::write(&made, bytes).unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&made, &path).unwrap();
        path
    }

    fn script(dir: &tempfile::TempDir, lines: &str) -> PathBuf {
        program(dir, format!("#!/bin/sh\n{lines}\n").as_bytes(), 0o755)
    }

    async fn why(program: &Path) -> String {
        version(program).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_program_that_does_not_run_here_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert!(why(&none).await.contains("sees no such file"));
        let closed = program(&dir, b"#!/bin/sh\n", 0o644);
        assert!(why(&closed).await.contains("chmod 0755"));
        let loaderless = program(&dir, b"#!/no/such/loader\n", 0o755);
        assert!(why(&loaderless).await.contains("built for another system"));
        // The head of a program for a machine of another kind (EM_S390).
        let mut foreign = [0; 64];
        foreign[..20].copy_from_slice(b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x16");
        let foreign = program(&dir, &foreign, 0o755);
        assert!(why(&foreign).await.contains("no program for this machine"));
        let text = program(&dir, b"just words", 0o755);
        assert!(why(&text).await.contains("no program for this machine"));
    }

    #[tokio::test]
    async fn only_a_poolgate_that_takes_the_configuration_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let other = script(&dir, "echo true 9.1");
        assert!(why(&other).await.contains("is no poolgate"));
        let good = script(&dir, "[ $1 = check ] && exit 0; echo poolgate 1.2.3");
        assert_eq!(version(&good).await.unwrap(), "1.2.3");
        check(&good, Path::new("/etc/it.toml")).await.unwrap();
        let picky = script(&dir, "echo \"$3:4: ssh.port: unknown key\" >&2; exit 78");
        let refused = check(&picky, Path::new("/etc/it.toml")).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it refuses the configuration: /etc/it.toml:4: ssh.port: unknown key"
        );
    }

    #[tokio::test]
    async fn what_never_ends_or_never_stops_talking_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let endless = script(&dir, "sleep 1000 & wait");
        let limit = Duration::from_millis(200);
        let ended = run(&mut Command::new(&endless), &endless, limit).await;
        assert!(ended.err().unwrap().to_string().contains("did not end"));
        let talker = script(&dir, "yes | head -c 1000000");
        let said = run(&mut Command::new(&talker), &talker, CHECK)
            .await
            .unwrap();
        assert!(said.status.success());
        assert_eq!(said.stdout.len() as u64, SAID_BYTES_MAX);
    }
}
