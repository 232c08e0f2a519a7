//! WebSockets: an HTTP/1 upgrade (RFC 6455), or an extended CONNECT over HTTP/2 (RFC 8441), both to an HTTP/1 instance.
//!
//! Subprotocols and extensions are agreed between browser and instance; the gate passes their headers and never looks
//! into a frame. An answer that is not 101 is an ordinary answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::body::Body;
use super::front::Front;
use super::headers;
use super::listener::OpenRequest;
use super::presence::Visit;
use super::{traced, tunnel};
use crate::pool::{InstanceId, Protocol};
use crate::shared_pool::Meter;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Makes rewritten headers ask for a WebSocket. `None` if the system gives no randomness.
pub fn ask_for_websocket(request: &mut HeaderMap, version: Version) -> Option<()> {
    request.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    request.insert(UPGRADE, HeaderValue::from_static("websocket"));
    request.remove(CONTENT_LENGTH);
    if version == Version::HTTP_2 {
        let mut key = [0; 16];
        aws_lc_rs::rand::fill(&mut key).ok()?;
        request.insert(
            SEC_WEBSOCKET_KEY,
            HeaderValue::try_from(STANDARD.encode(key)).ok()?,
        );
        if !request.contains_key(SEC_WEBSOCKET_VERSION) {
            request.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
    }
    Some(())
}

/// The client's half of a switch of protocols.
pub struct Switch {
    pub client: OnUpgrade,
    pub version: Version,
    pub instance: InstanceId,
    pub visit: Option<Visit>,
    pub open: OpenRequest,
}

impl Front {
    /// Answers the client's request to switch, and relays once both sides have switched.
    pub(super) fn open_tunnel(
        &self,
        switch: Switch,
        mut answer: Response<Incoming>,
    ) -> Response<Body> {
        let instance = hyper::upgrade::on(&mut answer);
        let (head, _) = answer.into_parts();
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = head.headers;
        headers::toward_client(response.headers_mut(), true);
        if switch.version == Version::HTTP_2 {
            response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        } else {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        let (idle, metrics) = (self.config.tunnel_idle_timeout, self.metrics.clone());
        let Switch {
            client,
            instance: id,
            visit,
            open,
            ..
        } = switch;
        let span = traced::tunnel(&self.traces, &id);
        let tunnels = open.connection().tunnels.clone();
        tunnels.spawn(async move {
            let (client, instance) = match tokio::try_join!(client, instance) {
                Ok(both) => both,
                Err(failed) => {
                    span.fail("switch", &failed);
                    return tracing::debug!(error = %failed, "a tunnel could not be opened");
                }
            };
            let _counted = metrics.websocket();
            let ended = visit.as_ref().map(Visit::ended).unwrap_or_default();
            let meter: Option<Arc<Meter>> = visit.as_ref().map(Visit::meter);
            let carried = tunnel::relay(client, instance, idle, ended, meter).await;
            let inward = carried.inward.load(Ordering::Relaxed);
            let outward = carried.outward.load(Ordering::Relaxed);
            metrics.count_bytes(Protocol::Jupyter, inward, outward);
            traced::tunnel_ended(&span, inward, outward);
            drop((visit, open));
        });
        response
    }
}
