//! One message on its way: the request, its answer, and how often it is tried.
//!
//! The address is a secret: no error names more of it than its host.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};

use super::form::Message;
use crate::config::secret::Secret;
use crate::config::{WebhookConfig, WebhookForm};
use crate::net::web_client::{Limits, WebClient, WebFault};
use crate::telemetry::events::Event;

/// Waits between tries: two minutes and a half in all.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
    Duration::from_secs(40),
    Duration::from_secs(90),
];
/// What a receiver may ask for at most (`Retry-After`).
const WAIT_MAX: Duration = Duration::from_secs(300);
/// An answer is a word or a small object.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Unreached(#[from] WebFault),
    #[error("its receiver answers {0}{1}")]
    Refused(StatusCode, &'static str),
    #[error("no request can be made of it")]
    Unmade,
}

pub struct Delivery {
    uri: Uri,
    form: WebhookForm,
    client: WebClient,
    gate: String,
}

impl Delivery {
    /// # Errors
    /// One line: the file of the address or that of authorities is of no use.
    pub fn of(config: &WebhookConfig) -> Result<Self, String> {
        let limits = Limits {
            time: config.timeout,
            body_bytes: ANSWER_BYTES_MAX,
        };
        let uri = Self::address(config)?;
        let client = WebClient::guarded(limits, config.ca_file.as_deref())?;
        client.prepare_for(&uri)?;
        Ok(Self {
            uri,
            form: config.form,
            client,
            gate: host_name(),
        })
    }

    /// The secret address alone.
    ///
    /// # Errors
    /// One line: its file is of no use.
    pub fn address(config: &WebhookConfig) -> Result<Uri, String> {
        let file = config.url_file.display();
        let secret = Secret::read(&config.url_file);
        let secret = secret.map_err(|error| format!("cannot read url_file {file}: {error}"))?;
        let uri = std::str::from_utf8(secret.expose()).ok();
        let uri = uri.and_then(|text| text.trim().parse::<Uri>().ok());
        let is_web = |uri: &Uri| {
            let scheme = uri.scheme_str();
            matches!(scheme, Some("https" | "http"))
                && uri.host().is_some_and(|host| !host.is_empty())
        };
        uri.filter(is_web).ok_or_else(|| {
            format!("url_file {file} holds no address; write one line, https://HOST/...")
        })
    }

    /// The receiver's host, once it was reached and has proved itself; nothing is sent.
    pub async fn reach(&self) -> Result<String, Fault> {
        self.client.reach(&self.uri).await?;
        Ok(self.uri.host().unwrap_or_default().to_owned())
    }

    /// Tries until it is taken, refused for good, or tried often enough.
    pub async fn send(&self, events: &[Event]) -> Result<String, Fault> {
        let mut waits = WAITS.into_iter();
        loop {
            let (fault, asked) = match self.ask(events).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let Some(wait) = waits.next().filter(|_| fault.may_pass()) else {
                return Err(fault);
            };
            tokio::time::sleep(asked.map_or(wait, |asked| asked.clamp(wait, WAIT_MAX))).await;
        }
    }

    pub async fn send_once(&self, events: &[Event]) -> Result<String, Fault> {
        self.ask(events).await.map_err(|(fault, _)| fault)
    }

    /// The answer, or why there is none and how long the receiver wants to be left alone.
    async fn ask(&self, events: &[Event]) -> Result<String, (Fault, Option<Duration>)> {
        let gate = &self.gate;
        let body = Message { gate, events }.body(self.form).to_string();
        let request = Request::post(self.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body))
            .map_err(|_| (Fault::Unmade, None))?;
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|fault| (fault.into(), None))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(status.to_string());
        }
        let remark = match status.as_u16() {
            300..=399 => ": redirects are not followed, write the new address into url_file",
            401 | 403 | 404 | 410 => ": is the address in url_file still the right one?",
            _ => "",
        };
        Err((
            Fault::Refused(status, remark),
            retry_after(answer.headers()),
        ))
    }
}

impl Fault {
    /// Whether another try may succeed.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreached(WebFault::Address | WebFault::Forbidden(_)) | Self::Unmade => false,
            Self::Unreached(_) => true,
            Self::Refused(status, _) => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
