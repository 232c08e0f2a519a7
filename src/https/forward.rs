//! One exchange with an instance: an idle connection or a new one, and at most one second try.
//!
//! A second try is made only on the same instance, and only where the first was never written: what an instance may have
//! read is not sent again. Who may ask another instance is decided in `service`.

use std::io;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::body::Upload;
use super::instance_pool::{InstancePool, Lease};
use super::traced::Asked;
use crate::pool::Instance;

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
    let asked = Asked::begin(instance, &mut request);
    let sent = asked.around(send_on_any(pool, instance, request)).await;
    asked.end(&sent);
    sent
}

async fn send_on_any(
    pool: &Arc<InstancePool>,
    instance: &Arc<Instance>,
    mut request: Request<Upload>,
) -> Result<Answered, Failed> {
    if let Some(mut lease) = pool.take_idle(instance) {
        match lease.sender.try_send_request(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(mut failed) => match failed.take_message() {
                Some(unwritten) => request = unwritten,
                None => return Err(blame(failed.into_error())),
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
    mut request: Request<Upload>,
) -> Result<Answered, Failed> {
    let asked = Asked::begin(instance, &mut request);
    let sending = async { send_on(Box::pin(pool.dial_alone(instance)).await, request).await };
    let sent = asked.around(sending).await;
    asked.end(&sent);
    sent
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

fn blame(failed: hyper::Error) -> Failed {
    if failed.is_user() {
        Failed::Client(failed)
    } else {
        Failed::Instance(failed)
    }
}
