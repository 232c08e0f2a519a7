//! One run of a program: what it is given, what it says, a time limit and bounds. It ends with everything it started.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::fleet::FleetFault;

/// Thousands of machines fit.
const STDOUT_BYTES_MAX: u64 = 4 << 20;
const STDERR_BYTES_MAX: u64 = 4 << 10;

#[derive(Debug)]
pub(super) struct Ran {
    pub is_success: bool,
    pub stdout: Vec<u8>,
    /// Of one line, shortened.
    pub stderr: String,
}

/// Ends the program's whole group, whichever way the run is left.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error means that nothing is left of it.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// # Errors
/// The program cannot be started, says too much or takes too long.
pub(super) async fn run(
    command: &[String],
    input: &[u8],
    limit: Duration,
) -> Result<Ran, FleetFault> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| FleetFault::Fatal("fleet.command is empty; write a program".into()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            FleetFault::Fatal(format!(
                "{program} cannot be started: {error}; see fleet.command"
            ))
        })?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let _group = Group(id.map(Pid::from_raw));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let failed = |what: &str| FleetFault::Transient(format!("{program} {what}"));
    let whole = async {
        let give = async {
            if let Some(mut stdin) = stdin {
                // A program may answer without reading its request.
                let _ = stdin.write_all(input).await;
            }
        };
        // Left at once when it says too much: its end would not come.
        let said = async {
            let said = read(stdout, STDOUT_BYTES_MAX).await;
            let is_bounded = said.len() as u64 <= STDOUT_BYTES_MAX;
            is_bounded
                .then_some(said)
                .ok_or_else(|| failed("says more than 4 MiB"))
        };
        let give = async {
            give.await;
            Ok(())
        };
        let told = async { Ok(read_and_drain(stderr, STDERR_BYTES_MAX).await) };
        let ((), stdout, stderr) = tokio::try_join!(give, said, told)?;
        Ok((stdout, stderr, child.wait().await))
    };
    let late = |_| {
        failed(&format!(
            "has not ended within {} s and was killed",
            limit.as_secs()
        ))
    };
    let (stdout, stderr, status) = tokio::time::timeout(limit, whole).await.map_err(late)??;
    let status = status.map_err(|error| failed(&format!("cannot be waited for: {error}")))?;
    let stderr = String::from_utf8_lossy(&stderr);
    let line = stderr
        .trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    Ok(Ran {
        is_success: status.success(),
        stdout,
        stderr: line.take(2000).collect(),
    })
}

/// Up to its end, or to one byte above `max`. What was read before an error is judged as it is: cut-off JSON is none.
async fn read(from: Option<impl AsyncRead + Unpin>, max: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(from) = from {
        let _ = from.take(max + 1).read_to_end(&mut kept).await;
    }
    kept
}

/// Keeps up to `max` bytes and reads on to the end, so that the program is not held up.
async fn read_and_drain(from: Option<impl AsyncRead + Unpin>, max: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        let _ = (&mut from).take(max).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    kept
}
