//! The operator's own program that lists a person's keys (`AuthorizedKeysCommand` of sshd): run without a shell, as another
//! account, with nothing in its environment, and bounded in time, output and number.
//!
//! Its output is read as an `authorized_keys` file; after a failure of any kind it counts as empty. Deliberately absent:
//! the account's supplementary groups, which the program does not get.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::unistd::User;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::grant::Offered;
use super::percent::{self, Part};
use crate::ssh::wire::keys::{Certificate, fingerprint, key_type};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{self, works};

/// From its start to its end, a wait for a free place not included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A longer wait for a free place means that the program hangs.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// Programs that run at once.
const RUNNING_MAX: usize = 16;
/// A longer answer counts as none.
const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

/// The program, its arguments, and whom it runs as.
pub struct KeysCommand {
    program: PathBuf,
    arguments: Vec<Argument>,
    account: Account,
    running: Arc<Semaphore>,
    metrics: Metrics,
}

#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

/// Parts that stand for themselves or for something of the login.
type Argument = Vec<Part<Token>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    User,
    Home,
    Key,
    KeyType,
    Fingerprint,
}

/// Why the gate cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(
        "ssh.auth.authorized_keys_command: {0:?}: after % may stand u (login name), h (home folder), k (key), t (its type), f (its fingerprint) or %"
    )]
    Token(String),
    #[error(
        "ssh.auth.authorized_keys_command_user: there is no account {0:?}; make it, or name another"
    )]
    NoAccount(String),
    #[error("ssh.auth.authorized_keys_command: {0}")]
    Program(#[from] ProgramError),
}

/// Why the program is not run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("{path}: {source}")]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0} is no program; make it executable with: chmod 755 {0}")]
    NoProgram(PathBuf),
    #[error("{0} and every folder above it must belong to root; run: chown root {0}")]
    Owner(PathBuf),
    #[error("{0} can be written by its group or by others; run: chmod go-w {0}")]
    Writable(PathBuf),
}

impl KeysCommand {
    /// Blocking. `words`: an absolute path, then arguments with tokens; without any, the login name, as sshd does it.
    pub fn new(words: &[String], account: &str, metrics: Metrics) -> Result<Self, CommandError> {
        let mut words = words.iter();
        let program = PathBuf::from(words.next().map_or("", String::as_str));
        check_program(&program)?;
        let mut parsed: Vec<Argument> = Vec::new();
        for argument in words {
            parsed.push(
                parse_argument(argument).ok_or_else(|| CommandError::Token(argument.clone()))?,
            );
        }
        if parsed.is_empty() {
            parsed.push(vec![Part::Token(Token::User)]);
        }
        let found = User::from_name(account).ok().flatten();
        let found = found.ok_or_else(|| CommandError::NoAccount(account.to_owned()))?;
        Ok(Self {
            program,
            arguments: parsed,
            account: Account {
                uid: found.uid.as_raw(),
                gid: found.gid.as_raw(),
            },
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
            metrics,
        })
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it answers for this key of this person; `None` after a failure, which the log tells.
    pub(super) async fn ask(&self, offered: &Offered) -> Option<Vec<u8>> {
        let span = traces::child(&works::KEYS_COMMAND);
        let failed = |outcome, why: String| {
            self.metrics.count_keys_command(outcome);
            span.fail(outcome, &why);
            tracing::warn!(user = %offered.user, program = %self.program.display(), reason = why, "authorized_keys_command gave no keys");
        };
        let place = tokio::time::timeout(QUEUE_TIMEOUT, self.running.acquire()).await;
        let Ok(Ok(_place)) = place else {
            failed("busy", format!("{RUNNING_MAX} of it already run"));
            return None;
        };
        // Looked at each time, as sshd does: what it was at the start says nothing of now.
        let program = self.program.clone();
        let checked = tokio::task::spawn_blocking(move || check_program(&program)).await;
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                failed("failed", error.to_string());
                return None;
            }
            Err(_) => return None,
        }
        let arguments = self.arguments_for(offered).await?;
        match tokio::time::timeout(TIMEOUT, self.run(arguments)).await {
            Ok(Ok(output)) => {
                self.metrics.count_keys_command("answered");
                span.tell(works::OUTCOME, &"answered");
                Some(output)
            }
            Ok(Err(why)) => {
                failed("failed", why);
                None
            }
            Err(_) => {
                failed("timeout", format!("it did not end within {TIMEOUT:?}"));
                None
            }
        }
    }

    /// Dropped before its end, it takes the program with it.
    async fn run(&self, arguments: Vec<String>) -> Result<Vec<u8>, String> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let own = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        if own != (self.account.uid, self.account.gid) {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut output = Vec::new();
        let pipe = child.stdout.take().ok_or("it has no output")?;
        let mut bounded = pipe.take(OUTPUT_BYTES_MAX + 1);
        let read = bounded.read_to_end(&mut output).await;
        read.map_err(|error| error.to_string())?;
        if u64::try_from(output.len()).is_ok_and(|len| len > OUTPUT_BYTES_MAX) {
            return Err(format!("it wrote more than {OUTPUT_BYTES_MAX} bytes"));
        }
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if status.success() {
            Ok(output)
        } else {
            Err(format!("it ended with {status}"))
        }
    }

    async fn arguments_for(&self, offered: &Offered) -> Option<Vec<String>> {
        let wants_home = self
            .arguments
            .iter()
            .flatten()
            .any(|part| *part == Part::Token(Token::Home));
        let mut home = String::new();
        if wants_home {
            let user = offered.user.to_string();
            let look = move || User::from_name(&user).ok().flatten();
            // An account nobody has is nobody's.
            let account = tokio::task::spawn_blocking(look).await.ok()??;
            home = account.dir.to_str()?.to_owned();
        }
        let shown = offered.certificate.as_deref();
        let blob = shown.map_or_else(|| offered.key_blob.clone(), Certificate::blob);
        let value = |part: &Part<Token>| match part {
            Part::Text(text) => text.clone(),
            Part::Token(Token::User) => offered.user.to_string(),
            Part::Token(Token::Home) => home.clone(),
            Part::Token(Token::Key) => STANDARD.encode(&blob),
            Part::Token(Token::KeyType) => key_type(&blob).unwrap_or_default().to_owned(),
            Part::Token(Token::Fingerprint) => fingerprint(&offered.key_blob),
        };
        let arguments = self.arguments.iter();
        Some(
            arguments
                .map(|parts| parts.iter().map(value).collect())
                .collect(),
        )
    }
}

/// `None` if a `%` stands before something else than a token.
fn parse_argument(text: &str) -> Option<Argument> {
    percent::parts(text, |token| {
        Some(match token {
            'u' => Token::User,
            'h' => Token::Home,
            'k' => Token::Key,
            't' => Token::KeyType,
            'f' => Token::Fingerprint,
            _ => return None,
        })
    })
}

/// Blocking. Whoever may write the program, or a folder above it, decides who logs in: that must be root alone.
fn check_program(program: &Path) -> Result<(), ProgramError> {
    let unreadable = |source| ProgramError::Unreadable {
        path: program.into(),
        source,
    };
    let resolved = program.canonicalize().map_err(unreadable)?;
    for path in resolved.ancestors() {
        let found = path.metadata().map_err(unreadable)?;
        if path == resolved && !(found.is_file() && found.mode() & 0o111 != 0) {
            return Err(ProgramError::NoProgram(path.into()));
        }
        if found.uid() != 0 {
            return Err(ProgramError::Owner(path.into()));
        }
        if found.mode() & 0o022 != 0 {
            return Err(ProgramError::Writable(path.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
