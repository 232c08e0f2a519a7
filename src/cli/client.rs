//! Asks a running gate over its admin socket, or at its admin address with a token.

mod gate;
mod token;

use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use super::args::{GateArgs, ListArgs, ListOutput, Output, ShowArgs};
use super::{Failure, csv, print};
use crate::admin::RUN_HEADER;
use crate::net::exchange;
pub(super) use gate::{Gate, locate};
use token::Token;

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
            print::json(&value)?
        }
    };
    print::show(text.as_bytes())
}

/// As `show`, of a list, which may also be shown as CSV with these columns.
pub(super) async fn show_list<T: DeserializeOwned>(
    args: &ListArgs,
    path: &str,
    columns: &[&str],
    to_table: impl FnOnce(T) -> String,
) -> Result<std::process::ExitCode, Failure> {
    let text = match args.output {
        ListOutput::Table => to_table(read(&args.gate, path).await?),
        ListOutput::Json => {
            let value: serde_json::Value = read(&args.gate, path).await?;
            print::json(&value)?
        }
        ListOutput::Csv => {
            let rows: Vec<serde_json::Value> = read(&args.gate, path).await?;
            csv::head(columns) + &csv::lines(columns, &rows)
        }
    };
    print::show(text.as_bytes())
}

/// What the gate answers to `path`.
pub(super) async fn read<T: DeserializeOwned>(args: &GateArgs, path: &str) -> Result<T, Failure> {
    locate(args)?.read(path).await
}

/// Has the gate do something, and returns what it says about that.
pub(super) async fn order<T: DeserializeOwned>(
    args: &GateArgs,
    path: &str,
    order: &impl Serialize,
) -> Result<T, Failure> {
    locate(args)?.order(path, order).await
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
    locate(args)?.get(path).await
}

impl Gate {
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let json = None;
        ask(self, &Question { path, json }).await
    }

    /// What it answers to `path`.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.get(path).await?;
        Ok(decode(&answer, path)?)
    }

    /// Has it do something, and returns what it says about that.
    pub async fn order<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
    ) -> Result<T, Failure> {
        let json = serde_json::to_vec(order).context("cannot write the request")?;
        let json = Some(json.into());
        let answer = ask(self, &Question { path, json }).await?;
        Ok(decode(&answer, path)?)
    }
}

/// A path, and what is sent to it; without that it is only read.
struct Question<'a> {
    path: &'a str,
    json: Option<Bytes>,
}

async fn ask(gate: &Gate, question: &Question<'_>) -> Result<Answer, Failure> {
    let asked = tokio::time::timeout(PATIENCE, gate.ask(question)).await;
    let answer = asked.with_context(|| format!("the gate at {gate} does not answer"))?;
    let answer = answer.with_context(|| format!("cannot ask the gate at {gate}"))?;
    if answer.status == StatusCode::UNAUTHORIZED && gate.lacks_token() {
        let text = format!(
            "the gate at {gate} asks for a token: name a file that holds one with --token-file or POOLGATE_TOKEN_FILE"
        );
        return Err(anyhow::anyhow!(text).into());
    }
    Ok(answer)
}

const PATIENCE: Duration = Duration::from_secs(10);
/// A hundred thousand sessions are some 30 MiB.
const ANSWER_BYTES_MAX: usize = 256 << 20;

async fn ask_over<S>(
    stream: S,
    host: &str,
    token: Option<&Token>,
    question: &Question<'_>,
) -> anyhow::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = match question.json {
        None => Request::get(question.path),
        Some(_) => Request::post(question.path).header(header::CONTENT_TYPE, "application/json"),
    };
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, token.header()?),
        None => request,
    };
    let body = Full::new(question.json.clone().unwrap_or_default());
    let request = request.header(header::HOST, host).body(body)?;
    let read = async |answer| exchange::whole(answer, ANSWER_BYTES_MAX).await;
    let answer = exchange::ask(stream, request, read).await?;
    let (head, body) = answer.context("the answer is of no use")?.into_parts();
    let run = head.headers.get(RUN_HEADER);
    Ok(Answer {
        status: head.status,
        run: run.and_then(|run| Some(run.to_str().ok()?.to_owned())),
        body,
    })
}

#[cfg(test)]
mod tests;
