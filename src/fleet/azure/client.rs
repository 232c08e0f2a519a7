//! Calls to the resource manager: a token, a request, an answer understood or a fault. Pages are followed, within bounds.
//!
//! Retries nothing and keeps nothing. Whatever address Azure names next must be Azure's before it is asked.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde::de::DeserializeOwned;

use super::calls::{Call, Paths};
use super::faults;
use super::hosts::Cloud;
use super::identity::Identity;
use super::wire::Page;
use crate::config::AzureFleet;
use crate::fleet::FleetFault;
use crate::fleet::control::{Poll, PollBy};
use crate::net::web_client::{WebClient, WebFault};
use crate::telemetry::traces::{self, works};

/// A listing that goes on for longer is no listing of a scale set, which holds 1000 machines.
const PAGES_MAX: usize = 50;
const ITEMS_MAX: usize = 5000;

pub(super) struct Client {
    transport: WebClient,
    identity: Identity,
    cloud: Cloud,
    paths: Paths,
}

/// An answer that is no refusal.
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn new(fleet: &AzureFleet, transport: WebClient) -> Result<Self, String> {
        Ok(Self {
            identity: Identity::new(&fleet.credential, fleet.cloud, &transport)?,
            transport,
            cloud: fleet.cloud,
            paths: Paths::new(fleet),
        })
    }

    pub async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, FleetFault> {
        let uri = self.uri(call, "")?;
        let reply = self
            .send(call, Method::GET, uri, None, Bytes::new())
            .await?;
        decode(call, &reply.body)
    }

    /// Every page of a listing, or a fault: half a listing is none.
    pub async fn list<T: DeserializeOwned>(
        &self,
        call: Call,
        item: &str,
    ) -> Result<Vec<T>, FleetFault> {
        let mut items = Vec::new();
        let mut uri = self.uri(call, item)?;
        for _ in 0..PAGES_MAX {
            let reply = self
                .send(call, Method::GET, uri, None, Bytes::new())
                .await?;
            let page: Page<T> = decode(call, &reply.body)?;
            items.extend(page.value);
            match page.next_link.filter(|link| !link.is_empty()) {
                _ if items.len() > ITEMS_MAX => break,
                None => return Ok(items),
                Some(link) => uri = self.cloud.trusted(&link)?,
            }
        }
        let what = format!("{}: the listing does not end", call.words());
        Err(FleetFault::Transient(what))
    }

    /// A write; its answer says where to ask how it goes.
    pub async fn change(
        &self,
        call: Call,
        item: &str,
        if_match: Option<&str>,
        body: &serde_json::Value,
    ) -> Result<Reply, FleetFault> {
        let method = match call {
            Call::Grow => Method::PATCH,
            _ => Method::POST,
        };
        let body = match body {
            serde_json::Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let uri = self.uri(call, item)?;
        self.send(call, method, uri, if_match, body).await
    }

    /// Asks after an operation. An address that was kept is checked like one that comes fresh.
    pub async fn follow(&self, url: &str) -> Result<Reply, FleetFault> {
        let uri = self.cloud.trusted(url)?;
        self.send(Call::ReadOperation, Method::GET, uri, None, Bytes::new())
            .await
    }

    fn uri(&self, call: Call, item: &str) -> Result<Uri, FleetFault> {
        let path = self.paths.of(call, item);
        self.cloud
            .trusted(&format!("https://{}{path}", self.cloud.host()))
    }

    async fn send(
        &self,
        call: Call,
        method: Method,
        uri: Uri,
        if_match: Option<&str>,
        body: Bytes,
    ) -> Result<Reply, FleetFault> {
        let span = traces::child(&works::CLOUD_REQUEST);
        span.tell(works::METHOD, &method);
        span.tell(works::COMMAND, &call.words());
        span.tell(works::SERVER_ADDRESS, &uri.host().unwrap_or_default());
        let sent = span
            .around(self.send_once(call, method, uri, if_match, body))
            .await;
        match &sent {
            Ok(reply) => span.count(works::STATUS_CODE, reply.status.as_u16().into()),
            Err(fault) => span.fail(fault.kind(), fault),
        }
        sent
    }

    async fn send_once(
        &self,
        call: Call,
        method: Method,
        uri: Uri,
        if_match: Option<&str>,
        body: Bytes,
    ) -> Result<Reply, FleetFault> {
        let what = call.words();
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, self.identity.authorization().await?)
            .header(header::ACCEPT, "application/json")
            .header(
                header::USER_AGENT,
                concat!("poolgate/", env!("CARGO_PKG_VERSION")),
            );
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(etag) = if_match {
            let etag = HeaderValue::from_str(etag)
                .map_err(|_| FleetFault::Fatal(format!("{what}: the etag is no header's value")))?;
            request = request.header(header::IF_MATCH, etag);
        }
        let request = request
            .body(body)
            .map_err(|error| FleetFault::Fatal(format!("{what}: {error}")))?;
        let answer = self.transport.send(request).await;
        let answer: Response<Bytes> =
            answer.map_err(|fault: WebFault| FleetFault::Transient(format!("{what}: {fault}")))?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(faults::of_answer(what, head.status, &head.headers, &body));
        }
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl Reply {
    /// Where the operation that this answer began can be asked after.
    pub fn poll(&self) -> Option<Poll> {
        let named = |name: &str| {
            let value = self.headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        if let Some(url) = named("azure-asyncoperation") {
            return Some(Poll {
                url,
                by: PollBy::Status,
            });
        }
        let url = named("location").filter(|_| self.status == StatusCode::ACCEPTED)?;
        Some(Poll {
            url,
            by: PollBy::Code,
        })
    }
}

fn decode<T: DeserializeOwned>(call: Call, body: &[u8]) -> Result<T, FleetFault> {
    serde_json::from_slice(body).map_err(|error| {
        FleetFault::Transient(format!(
            "{}: the answer cannot be read: {error}",
            call.words()
        ))
    })
}
