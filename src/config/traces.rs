//! From `[traces]` to `TracesConfig`: which collector is told where the time of logins and requests goes, and how much of it.
//!
//! What OpenTelemetry's own variables say (`OTEL_...`) is not read: each key here is a variable already, as everywhere, and two
//! names for one thing would want a rule which of them wins.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::config::{Value, ValueKind};
use http::Uri;
use ipnet::IpNet;

use super::doors::Faulty;
use super::guards::network;
use super::oidc::is_safe_web_address;
use super::raw::Section;
use super::units::duration;
use super::validate::seconds;
use super::values::{number, path, shown, text};

/// Where collectors take traces by HTTP (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// The only way to a collector that is spoken here.
const PROTOCOL: &str = "http/protobuf";
/// Each span is sent with its resource's attributes.
const ATTRIBUTES_MAX: usize = 32;
const ATTRIBUTE_BYTES_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub struct TracesConfig {
    /// The whole address that spans are sent to.
    pub endpoint: String,
    /// Holds lines `NAME: VALUE` that go with each message, and may be a secret.
    pub headers_file: Option<PathBuf>,
    /// Authorities that are believed in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one try may take.
    pub timeout: Duration,
    /// How long a span waits for others to go with.
    pub interval: Duration,
    /// Spans that wait for the collector; beyond it they are lost.
    pub queue_max: usize,
    /// Shares of 1: of logins and of what the gate does by itself, and of requests.
    pub sample_ratio: f64,
    pub request_sample_ratio: f64,
    pub service_name: String,
    /// What else is said of this gate, with each message.
    pub resource_attributes: Vec<(String, String)>,
    /// Whose `traceparent` is believed.
    pub trust_from: Vec<IpNet>,
}

impl TracesConfig {
    /// Whether somebody's trace is continued.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trust_from
            .iter()
            .any(|network| network.contains(&peer))
    }
}

/// `Ok(None)` without the section.
pub(super) fn traces(mut section: Section<'_>) -> Result<Option<TracesConfig>, Faulty> {
    if !section.is_present() {
        return Ok(None);
    }
    let folder = section.folder();
    let write = "the address of a collector, such as \"http://127.0.0.1:4318\"";
    let endpoint = section.required("endpoint", write, endpoint);
    section.get("protocol", protocol);
    let config = TracesConfig {
        headers_file: section.get("headers_file", path(folder)),
        ca_file: section.get("ca_file", path(folder)),
        timeout: section.get_or("timeout", seconds(10), duration(seconds(1)..=seconds(60))),
        interval: section.get_or(
            "interval",
            seconds(5),
            duration(Duration::from_millis(100)..=seconds(60)),
        ),
        queue_max: section.get_or("queue_max", 2048, number(64..=65_536)),
        sample_ratio: section.get_or("sample_ratio", 1.0, ratio),
        request_sample_ratio: section.get_or("request_sample_ratio", 0.1, ratio),
        service_name: section.get_or("service_name", "poolgate".to_owned(), attribute_text),
        resource_attributes: attributes(&mut section),
        trust_from: section.list("trust_from", network).unwrap_or_default(),
        endpoint: endpoint.clone().unwrap_or_default(),
    };
    let is_safe = || {
        config
            .endpoint
            .parse()
            .is_ok_and(|uri| is_safe_web_address(&uri))
    };
    if config.headers_file.is_some() && endpoint.is_some() && !is_safe() {
        section.fault(
            "headers_file",
            "would be sent where others can read it, as endpoint is http:// to another machine; write an https:// endpoint, or remove it",
        );
    }
    section.finish();
    endpoint.map(|_| Some(config)).ok_or(Faulty)
}

/// With `/v1/traces` behind it where that is missing, as for `OTEL_EXPORTER_OTLP_ENDPOINT`.
fn endpoint(value: &Value) -> Result<String, String> {
    let address = text(value)?;
    let uri = address.parse::<Uri>().ok();
    let is_one = uri.as_ref().is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !address.contains(['#', '?'])
    });
    if !is_one {
        return Err(format!(
            "is {address:?}, which is no address of a collector; write such as \"http://127.0.0.1:4318\" or \"https://otlp.example\""
        ));
    }
    if address.contains('@') {
        // Not shown: what stands before it may be a password.
        return Err(
            "holds a name or a password; write the address without it, and a line \"authorization: Basic ...\" into headers_file".to_owned(),
        );
    }
    let base = address.trim_end_matches('/');
    match base.ends_with(PATH) {
        true => Ok(base.to_owned()),
        false => Ok(format!("{base}{PATH}")),
    }
}

fn protocol(value: &Value) -> Result<(), String> {
    match text(value)?.as_str() {
        PROTOCOL => Ok(()),
        "grpc" => Err(format!(
            "is \"grpc\", which is not spoken here; write {PROTOCOL:?}, and in endpoint the collector's port for it, usually 4318"
        )),
        other => Err(format!("is {other:?}; write {PROTOCOL:?}")),
    }
}

/// A share of 1.
fn ratio(value: &Value) -> Result<f64, String> {
    let ratio = match &value.kind {
        ValueKind::Float(ratio) => Some(*ratio),
        ValueKind::I64(ratio) => i32::try_from(*ratio).ok().map(f64::from),
        ValueKind::String(text) if value.origin().is_some() => text.trim().parse().ok(),
        _ => None,
    };
    let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| {
        format!(
            "is {}; write a share from 0 to 1, such as 0.1",
            shown(value)
        )
    })
}

fn attributes(section: &mut Section<'_>) -> Vec<(String, String)> {
    let listed = section.list("resource_attributes", attribute);
    let listed = listed.unwrap_or_default();
    if listed.len() > ATTRIBUTES_MAX {
        let message = format!("are {}; write at most {ATTRIBUTES_MAX}", listed.len());
        section.fault("resource_attributes", message);
    }
    let is_twice = |(at, (name, _)): (usize, &(String, String))| {
        listed.iter().take(at).any(|(known, _)| known == name)
    };
    if listed.iter().enumerate().any(is_twice) {
        let message = "names an attribute twice; write each once";
        section.fault("resource_attributes", message);
    }
    listed
}

/// `NAME=VALUE`, as in `OTEL_RESOURCE_ATTRIBUTES`.
fn attribute(value: &Value) -> Result<(String, String), String> {
    let text = attribute_text(value)?;
    let refusal = |what: &str| {
        format!(
            "is {text:?}, {what}; write NAME=VALUE, such as \"deployment.environment.name=production\""
        )
    };
    let Some((name, value)) = text.split_once('=') else {
        return Err(refusal("which has no ="));
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let name = name.trim();
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(refusal("whose name is none"));
    }
    if name.starts_with("service.") && name != "service.namespace" {
        return Err(refusal("which the gate says itself (service_name)"));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn attribute_text(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    match text.len() <= ATTRIBUTE_BYTES_MAX && !text.contains(char::is_control) {
        true => Ok(text),
        false => Err(format!(
            "is longer than {ATTRIBUTE_BYTES_MAX} bytes or holds control characters; write a short text"
        )),
    }
}
