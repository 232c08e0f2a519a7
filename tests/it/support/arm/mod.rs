//! A resource manager of our own, with one scale set: it holds state, makes operations that take time, and fails on demand.
//!
//! For what the real one will not do on command. That its answers have the right shape is shown by Microsoft's own
//! description and SDK (`azure_life`, `azure_sdk`). Time passes for its machines whenever they are listed, not by a clock.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

mod answers;
mod state;

pub use state::{Fault, GROUP, Mode, SET, SUBSCRIPTION, State};

/// The running fake; it ends with the runtime it was started in.
#[derive(Clone)]
pub struct Arm {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Arm {
    pub async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arm = Self {
            address,
            state: Arc::new(Mutex::new(State::new(mode))),
        };
        let served = arm.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let arm = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| arm.clone().answer(request));
                    let serving = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    // A client that leaves, or an answer torn on purpose.
                    let _ = serving.await;
                });
            }
        });
        arm
    }

    /// Looks at its state, or changes it.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    /// The next request whose method and path hold `what` fails so.
    pub fn fail_next(&self, what: &str, fault: Fault) {
        self.with(|state| state.faults.push((what.to_owned(), fault)));
    }

    /// How many requests held `what` in `METHOD path`.
    pub fn count(&self, what: &str) -> usize {
        self.with(|state| {
            state
                .requests
                .iter()
                .filter(|one| one.contains(what))
                .count()
        })
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Broken> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let line = format!("{} {}", head.method, head.uri.path());
        let fault = self.with(|state| state.begin(&line));
        match fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::LoseAnswer) => {
                self.with(|state| answers::answer(state, &head, &body));
                Err(Broken)
            }
            Some(Fault::Status(status, code, message)) => {
                Ok(answers::refusal(status, code, message))
            }
            Some(Fault::Body(text)) => Ok(answers::json_text(200, text)),
            None => Ok(self.with(|state| answers::answer(state, &head, &body))),
        }
    }
}

/// Ends a connection without an answer.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken on purpose")
    }
}

impl std::error::Error for Broken {}

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
