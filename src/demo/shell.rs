//! One SSH session channel of a demo instance: a shell on a pseudo-terminal or a command on pipes, its bytes, signals and
//! exit status.
//!
//! It runs as the person who started the demo, with a clean environment. As with sshd, a command without a terminal that
//! outlives its connection is only told by its closing pipes; what is left ends with the instance.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use pty_process::{OwnedReadPty, OwnedWritePty, Size};
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::certificate::Permissions;

mod input;
mod signals;

pub(super) use input::Backlog;
use input::{Input, listen};
use signals::{Target, named};

/// After its process ended, a terminal that stays silent for so long is done: a background job may hold it open for ever.
const TERMINAL_QUIET: Duration = Duration::from_millis(200);
/// How long a process may take to end after its client is gone.
const HANG_UP_GRACE: Duration = Duration::from_secs(1);
const MAX_ENVIRONMENT: usize = 64;

/// Whom a demo instance runs shells as: the person who started it.
#[derive(Clone, Debug)]
pub struct Account {
    pub shell: PathBuf,
    pub home: PathBuf,
    pub path: String,
}

/// What a channel needs to know of its connection.
pub(super) struct Login {
    pub user: String,
    pub instance: String,
    pub permissions: Permissions,
    pub backlog: Backlog,
    pub account: Account,
    /// Where the start-up files that set the prompt are.
    pub prompt_folder: PathBuf,
}

/// Whether a person may set this variable; what sshd's usual `AcceptEnv` lets in.
pub(super) fn accepts_variable(name: &str) -> bool {
    name == "LANG" || name == "COLORTERM" || name.starts_with("LC_")
}

/// Serves one session channel until its process has ended and everything it wrote is delivered.
pub(super) async fn serve(
    channel: Channel<Msg>,
    handle: Handle,
    login: Arc<Login>,
    ended: CancellationToken,
) {
    let (mut incoming, outgoing) = channel.split();
    let Some(asked) = Asked::read(&mut incoming, &login).await else {
        return;
    };
    let running = match asked.start(&login) {
        Ok(running) => running,
        Err(error) => {
            let text = format!("poolgate demo: {error}\r\n");
            let _ = outgoing.extended_data_bytes(1, text.into_bytes()).await;
            finish(&handle, outgoing.id(), ExitStatus::from_raw(127 << 8)).await;
            return;
        }
    };
    relay(running, incoming, outgoing, handle, &login, ended).await;
}

/// What the client asked for before its process starts.
struct Asked {
    terminal: Option<(String, Size)>,
    environment: BTreeMap<String, String>,
    command: Option<String>,
}

impl Asked {
    async fn read(incoming: &mut ChannelReadHalf, login: &Login) -> Option<Self> {
        let mut asked = Self {
            terminal: None,
            environment: BTreeMap::new(),
            command: None,
        };
        loop {
            match incoming.wait().await? {
                ChannelMsg::RequestPty {
                    term,
                    col_width,
                    row_height,
                    ..
                } if login.permissions.pty => {
                    asked.terminal = Some((term, size(col_width, row_height)));
                }
                ChannelMsg::WindowChange {
                    col_width,
                    row_height,
                    ..
                } => {
                    if let Some((_, terminal_size)) = &mut asked.terminal {
                        *terminal_size = size(col_width, row_height);
                    }
                }
                ChannelMsg::SetEnv {
                    variable_name: name,
                    variable_value: value,
                    ..
                } if accepts_variable(&name) && asked.environment.len() < MAX_ENVIRONMENT => {
                    asked.environment.insert(name, value);
                }
                ChannelMsg::RequestShell { .. } => break,
                ChannelMsg::Exec { command, .. } => {
                    asked.command = Some(String::from_utf8_lossy(&command).into_owned());
                    break;
                }
                ChannelMsg::Close => return None,
                _ => {}
            }
        }
        if let Some(forced) = &login.permissions.force_command
            && let Some(original) = asked.command.replace(forced.clone())
        {
            let name = "SSH_ORIGINAL_COMMAND".into();
            asked.environment.insert(name, original);
        }
        Some(asked)
    }

    fn start(self, login: &Login) -> Result<Running, pty_process::Error> {
        let account = &login.account;
        let mut environment = self.environment;
        for (name, value) in [
            ("HOME", account.home.to_string_lossy().into_owned()),
            ("SHELL", account.shell.to_string_lossy().into_owned()),
            ("PATH", account.path.clone()),
            ("USER", login.user.clone()),
            ("LOGNAME", login.user.clone()),
            ("POOLGATE_INSTANCE", login.instance.clone()),
        ] {
            environment.insert(name.into(), value);
        }
        let arguments = match &self.command {
            Some(command) => vec!["-c".into(), command.clone()],
            None => prompt(login, &mut environment),
        };
        match self.terminal {
            Some((term, size)) => {
                environment.insert("TERM".into(), term);
                Running::on_terminal(account, arguments, environment, size)
            }
            None => Running::on_pipes(account, arguments, environment),
        }
    }
}

/// Makes the shell's prompt say which instance this is, for the shells whose start-up files can be chosen.
fn prompt(login: &Login, environment: &mut BTreeMap<String, String>) -> Vec<String> {
    let folder = &login.prompt_folder;
    let shell = login.account.shell.file_name().and_then(|n| n.to_str());
    match shell {
        Some("bash") => {
            let file = folder.join("bashrc").to_string_lossy().into_owned();
            vec!["--rcfile".into(), file, "-i".into()]
        }
        Some("zsh") => {
            environment.insert("ZDOTDIR".into(), folder.to_string_lossy().into_owned());
            vec!["-i".into()]
        }
        _ => {
            let text = format!("{}@{} $ ", login.user, login.instance);
            environment.insert("PS1".into(), text);
            vec!["-i".into()]
        }
    }
}

fn size(columns: u32, rows: u32) -> Size {
    let narrow = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    Size::new(narrow(rows), narrow(columns))
}

type Source = Box<dyn AsyncRead + Send + Unpin>;

/// A started process and its ends.
struct Running {
    child: Child,
    input: Input,
    output: Source,
    errors: Option<Source>,
    is_terminal: bool,
}

impl Running {
    fn on_terminal(
        account: &Account,
        arguments: Vec<String>,
        environment: BTreeMap<String, String>,
        size: Size,
    ) -> Result<Self, pty_process::Error> {
        let (pty, terminal) = pty_process::open()?;
        pty.resize(size)?;
        let child = pty_process::Command::new(&account.shell)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir(&account.home)
            .kill_on_drop(true)
            .spawn(terminal)?;
        let (output, input): (OwnedReadPty, OwnedWritePty) = pty.into_split();
        Ok(Self {
            child,
            input: Input::Terminal(input),
            output: Box::new(output),
            errors: None,
            is_terminal: true,
        })
    }

    fn on_pipes(
        account: &Account,
        arguments: Vec<String>,
        environment: BTreeMap<String, String>,
    ) -> Result<Self, pty_process::Error> {
        let is_interactive = arguments.first().is_none_or(|first| first != "-c");
        let mut command = tokio::process::Command::new(&account.shell);
        if !is_interactive {
            command.args(arguments);
        }
        let mut child = command
            .env_clear()
            .envs(environment)
            .current_dir(&account.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().map_or(Input::Closed, Input::Pipe);
        let output: Source = match child.stdout.take() {
            Some(output) => Box::new(output),
            None => Box::new(tokio::io::empty()),
        };
        let errors = child.stderr.take().map(|errors| Box::new(errors) as Source);
        Ok(Self {
            child,
            input,
            output,
            errors,
            is_terminal: false,
        })
    }
}

/// Moves bytes both ways at once: neither direction may wait for the other, or two-way bulk would lock up.
async fn relay(
    running: Running,
    incoming: ChannelReadHalf,
    outgoing: ChannelWriteHalf<Msg>,
    handle: Handle,
    login: &Login,
    ended: CancellationToken,
) {
    let mut child = running.child;
    let id = outgoing.id();
    let target = Target::new(&child);
    let (told_exit, exit) = oneshot::channel::<()>();
    let status = {
        let output = copy_out(
            running.output,
            outgoing.make_writer(),
            running.is_terminal.then_some(exit),
        );
        let errors = async {
            if let Some(errors) = running.errors {
                copy_out(errors, outgoing.make_writer_ext(Some(1)), None).await;
            }
        };
        let finished = async {
            let status = child.wait().await;
            target.forget();
            let _ = told_exit.send(());
            status
        };
        let work = async { tokio::join!(output, errors, finished).2 };
        let (queue, queued) = mpsc::channel(input::MAX_QUEUED);
        let fed = async {
            input::feed(running.input, queued, &login.backlog).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            status = work => Some(status),
            () = listen(incoming, queue, &login.backlog, &target) => None,
            () = fed => None,
            () = ended.cancelled() => None,
        }
    };
    match status {
        Some(Ok(status)) => finish(&handle, id, status).await,
        Some(Err(error)) => tracing::warn!(%error, "a process could not be waited for"),
        None => {
            // Its terminal or pipes are closed by this point. A shell passes the hang-up on to its jobs: it gets the time.
            target.send(Signal::SIGHUP);
            let _ = tokio::time::timeout(HANG_UP_GRACE, child.wait()).await;
        }
    }
}

/// Copies until the end of `source`. With `exit`, the end is also a silence after the process has ended.
async fn copy_out(
    mut source: Source,
    mut sink: impl AsyncWrite + Unpin,
    mut exit: Option<oneshot::Receiver<()>>,
) {
    let mut buffer = vec![0; 32 * 1024];
    let mut has_ended = false;
    let never = Duration::MAX;
    loop {
        let patience = if has_ended { TERMINAL_QUIET } else { never };
        let read = tokio::select! {
            read = tokio::time::timeout(patience, source.read(&mut buffer)) => read,
            _ = async { match &mut exit { Some(exit) => exit.await.ok(), None => std::future::pending().await } } => {
                (has_ended, exit) = (true, None);
                continue;
            }
        };
        // A terminal's end is an error (EIO), a pipe's is zero bytes.
        let Ok(Ok(length @ 1..)) = read else { return };
        let Some(bytes) = buffer.get(..length) else {
            return;
        };
        if sink.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn finish(handle: &Handle, channel: ChannelId, status: ExitStatus) {
    let _ = match status.signal().and_then(|n| Signal::try_from(n).ok()) {
        Some(signal) => {
            let name = signal.as_str().trim_start_matches("SIG").to_string();
            let text = String::new();
            let told = handle.exit_signal_request(channel, named(name), false, text.clone(), text);
            told.await
        }
        None => {
            let code = status.code().and_then(|code| u32::try_from(code).ok());
            let told = handle.exit_status_request(channel, code.unwrap_or(255));
            told.await
        }
    };
    let _ = handle.eof(channel).await;
    let _ = handle.close(channel).await;
}
