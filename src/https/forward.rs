//! One exchange with an instance: an idle connection or a new one, and at most one second try.
//!
//! A second try is made only on the same instance, and only where the first was never written, or was a read without a
//! body that met a connection the instance was just closing. Who may ask another instance is decided in `service`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::body::Upload;
use super::instance_pool::{InstancePool, Lease};
use crate::pool::Instance;

/// A connection that was used a moment ago is not the one an instance closes because nobody uses it.
const BUSY_LIMIT: Duration = Duration::from_millis(500);

pub enum Failed {
    /// The instance was never reached; here is the request, unread.
    Connect {
        request: Box<Request<Upload>>,
        cause: io::Error,
    },
    /// The client broke off, stalled, or framed its body badly.
    Client(hyper::Error),
    /// The instance broke off or answered nonsense.
    Instance(hyper::Error),
}

pub type Answered = (Response<Incoming>, Lease);

/// Sends a request over a connection of the pool.
pub async fn send(
    pool: &Arc<InstancePool>,
    instance: &Arc<Instance>,
    mut request: Request<Upload>,
) -> Result<Answered, Failed> {
    if let Some(mut lease) = pool.take_idle(instance) {
        let may_be_closing = lease.idle >= BUSY_LIMIT && may_repeat(&request);
        let again = may_be_closing.then(|| copy(&request));
        match lease.sender.try_send_request(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(mut failed) => match (failed.take_message(), again) {
                (Some(unwritten), _) => request = unwritten,
                (None, Some(again)) if is_closing(failed.error()) => request = again,
                _ => return Err(blame(failed.into_error())),
            },
        }
    }
    // Boxed, because a request holds room for the largest of what it may wait for, and few of them dial.
    let dialed = Box::pin(pool.dial(instance)).await;
    send_on(dialed, request).await
}

/// Sends a request over a connection of its own, which may become a tunnel.
pub async fn send_alone(
    pool: &Arc<InstancePool>,
    instance: &Arc<Instance>,
    request: Request<Upload>,
) -> Result<Answered, Failed> {
    let dialed = Box::pin(pool.dial_alone(instance)).await;
    send_on(dialed, request).await
}

async fn send_on(dialed: io::Result<Lease>, request: Request<Upload>) -> Result<Answered, Failed> {
    let mut lease = match dialed {
        Ok(lease) => lease,
        Err(cause) => {
            return Err(Failed::Connect {
                request: Box::new(request),
                cause,
            });
        }
    };
    match lease.sender.try_send_request(request).await {
        Ok(response) => Ok((response, lease)),
        Err(mut failed) => Err(match failed.take_message() {
            Some(unwritten) => Failed::Connect {
                request: Box::new(unwritten),
                cause: io::Error::other(failed.into_error()),
            },
            None => blame(failed.into_error()),
        }),
    }
}

/// A login's code can be used once only, so its callback is not a read like others.
fn may_repeat(request: &Request<Upload>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && matches!(request.body(), Upload::Empty)
        && !request.uri().path().ends_with("oauth_callback")
}

fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut again = Request::new(Upload::Empty);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    again
}

fn is_closing(failed: &hyper::Error) -> bool {
    failed.is_incomplete_message() || failed.is_canceled() || failed.is_closed()
}

fn blame(failed: hyper::Error) -> Failed {
    if failed.is_user() {
        Failed::Client(failed)
    } else {
        Failed::Instance(failed)
    }
}
