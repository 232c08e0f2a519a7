//! Asks a running gate over its admin socket, or over its admin address where it has no socket.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::args::{GateArgs, Output, ShowArgs};
use super::{Failure, print};
use crate::admin::RUN_HEADER;
use crate::config;

/// Shows what the gate answers to `path`: as it is, or as `to_table` puts it.
pub(super) async fn show<T: DeserializeOwned>(
    args: &ShowArgs,
    path: &str,
    to_table: impl FnOnce(T) -> String,
) -> Result<std::process::ExitCode, Failure> {
    let text = match args.output {
        Output::Table => to_table(read(&args.gate, path).await?),
        Output::Json => {
            let value: serde_json::Value = read(&args.gate, path).await?;
            format!("{value:#}\n")
        }
    };
    print::show(text.as_bytes())
}

/// What the gate answers to `path`.
pub(super) async fn read<T: DeserializeOwned>(args: &GateArgs, path: &str) -> Result<T, Failure> {
    let answer = get(args, path).await?;
    Ok(decode(&answer, path)?)
}

/// Has the gate do something, and returns what it says about that.
pub(super) async fn order<T: DeserializeOwned>(
    args: &GateArgs,
    path: &str,
    order: &impl Serialize,
) -> Result<T, Failure> {
    let json = serde_json::to_vec(order).context("cannot write the request")?;
    let gate = locate(args)?;
    if let Gate::Address(_) = gate {
        let text = "orders are taken on the admin socket only, which the configuration closes: open admin.socket";
        return Err(anyhow::anyhow!(text).into());
    }
    let json = Some(json.into());
    let answer = ask(&gate, &Question { path, json }).await?;
    Ok(decode(&answer, path)?)
}

/// Has the gate do something that needs no words.
pub(super) async fn ask_to(args: &GateArgs, path: &str) -> Result<Answer, Failure> {
    let json = Some(Bytes::from_static(b"{}"));
    ask(&locate(args)?, &Question { path, json }).await
}

pub(super) fn decode<T: DeserializeOwned>(answer: &Answer, path: &str) -> anyhow::Result<T> {
    if answer.status != StatusCode::OK {
        return Err(answer.refusal(path));
    }
    let unreadable = || format!("the gate's answer to {path} is not of this version");
    serde_json::from_slice(&answer.body).with_context(unreadable)
}

pub(super) struct Answer {
    pub status: StatusCode,
    /// Which run of the gate it is of, where that matters.
    pub run: Option<String>,
    pub body: Bytes,
}

impl Answer {
    /// What is wrong with what the gate was to read.
    pub fn unprocessable(&self) -> Option<String> {
        let refused = self.status == StatusCode::UNPROCESSABLE_ENTITY;
        let problem: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let detail = problem.get("detail")?.as_str()?;
        refused.then(|| detail.to_owned())
    }

    /// Why the gate did not do as it was asked, in its own words where it has some.
    fn refusal(&self, path: &str) -> anyhow::Error {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let detail = problem
            .as_ref()
            .and_then(|problem| problem["detail"].as_str());
        match detail {
            Some(detail) => anyhow::anyhow!("{detail}"),
            None => anyhow::anyhow!("the gate answered {} to {path}", self.status),
        }
    }
}

/// Asks the gate that the arguments name.
pub(super) async fn get(args: &GateArgs, path: &str) -> Result<Answer, Failure> {
    let json = None;
    ask(&locate(args)?, &Question { path, json }).await
}

/// A path, and what is sent to it; without that it is only read.
struct Question<'a> {
    path: &'a str,
    json: Option<Bytes>,
}

async fn ask(gate: &Gate, question: &Question<'_>) -> Result<Answer, Failure> {
    let asked = tokio::time::timeout(PATIENCE, gate.ask(question)).await;
    let answer = asked.with_context(|| format!("the gate at {gate} does not answer"))?;
    Ok(answer.with_context(|| format!("cannot ask the gate at {gate}"))?)
}

const PATIENCE: Duration = Duration::from_secs(10);
/// A hundred thousand sessions are some 30 MiB.
const ANSWER_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, PartialEq, Eq)]
enum Gate {
    Socket(PathBuf),
    Address(SocketAddr),
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Gate {
    async fn ask(&self, question: &Question<'_>) -> anyhow::Result<Answer> {
        match self {
            Self::Socket(socket) => ask_over(connect(socket).await?, "localhost", question).await,
            Self::Address(address) => {
                let stream = TcpStream::connect(address)
                    .await
                    .context("is it running?")?;
                ask_over(stream, &address.to_string(), question).await
            }
        }
    }
}

async fn connect(socket: &Path) -> anyhow::Result<UnixStream> {
    let connected = UnixStream::connect(socket).await;
    connected.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "it is the gate's owner's alone: become that user, or root"
            }
            _ => "is the gate running? name its socket with --socket, or its configuration with -c",
        };
        anyhow::anyhow!("{error}; {hint}")
    })
}

async fn ask_over<S>(stream: S, host: &str, question: &Question<'_>) -> anyhow::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = match question.json {
        None => Request::get(question.path),
        Some(_) => Request::post(question.path).header(header::CONTENT_TYPE, "application/json"),
    };
    let body = Full::new(question.json.clone().unwrap_or_default());
    let request = request.header(header::HOST, host).body(body)?;
    let asking = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let run = response.headers().get(RUN_HEADER);
        let run = run.and_then(|run| Some(run.to_str().ok()?.to_owned()));
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let Ok(body) = body else {
            bail!("the answer broke off or is too long");
        };
        Ok(Answer {
            status,
            run,
            body: body.to_bytes(),
        })
    };
    tokio::pin!(asking);
    tokio::select! {
        answer = &mut asking => answer,
        ended = connection => {
            ended?;
            // The answer may be complete although the connection has ended.
            asking.await
        }
    }
}

/// `--socket`, else what the configuration says, else, where there is none, the default socket.
fn locate(args: &GateArgs) -> Result<Gate, Failure> {
    if let Some(socket) = &args.socket {
        return Ok(Gate::Socket(socket.clone()));
    }
    let file = config::file_to_read(args.config.config.as_deref());
    let is_chosen = args.config.config.is_some();
    if !is_chosen && std::fs::File::open(&file).is_err() {
        return Ok(Gate::Socket(config::DEFAULT_SOCKET.into()));
    }
    let admin = match config::load(Some(&file)) {
        Ok(config) => config.admin,
        // The gate may be at work with what the file said before.
        Err(faults) => match config::socket_of(&file).filter(|socket| socket.exists()) {
            Some(socket) => return Ok(Gate::Socket(socket)),
            None => return Err(faults.into()),
        },
    };
    match (admin.socket, admin.listen) {
        (Some(socket), _) => Ok(Gate::Socket(socket)),
        (None, Some(address)) => Ok(Gate::Address(address)),
        (None, None) => {
            let text =
                "the configuration closes both admin.socket and admin.listen: open one of them";
            Err(anyhow::anyhow!(text).into())
        }
    }
}

#[cfg(test)]
mod tests;
