//! An instance that records what it saw and answers as the path says.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::TestBody;
use crate::pool::{Instance, InstanceId};

/// A request as an instance saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body_len: usize,
    pub body: String,
}

/// Answers by path: `/echo` the body, `/stream` what is sent to `chunks`, `/hang` never, `/die` by closing, `/zeros/N` so
/// many bytes, `/ws` a tunnel that echoes. Else its name; each `x-set-cookie` of the request becomes a `Set-Cookie`, and
/// `x-status` the status (`x-post-status` that of a POST, `x-post-dies` breaks one off).
pub struct TestInstance {
    pub instance: Instance,
    pub chunks: mpsc::Sender<&'static str>,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: CancellationToken,
}

impl TestInstance {
    pub async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance = Instance {
            id: InstanceId {
                pool: "main".into(),
                name: name.into(),
            },
            address: "127.0.0.1".into(),
            ssh_port: 1,
            jupyter_port: Some(listener.local_addr().unwrap().port()),
            capacity: 8,
            generation: 1,
        };
        let (chunks, queue) = mpsc::channel(8);
        let script = Arc::new(Script {
            name: name.into(),
            seen: Arc::default(),
            queue: Mutex::new(Some(queue)),
        });
        let (seen, stop) = (script.seen.clone(), CancellationToken::new());
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve_instance(
            listener,
            script,
            stop.clone(),
        )));
        Self {
            instance,
            chunks,
            seen,
            stop,
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the instance saw nothing")
    }

    /// The machine dies: its port refuses, its connections break.
    pub async fn kill(&self) {
        self.stop.cancel();
        let address = ("127.0.0.1", self.instance.jupyter_port.unwrap());
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

struct Script {
    name: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    queue: Mutex<Option<mpsc::Receiver<&'static str>>>,
}

async fn serve_instance(listener: TcpListener, script: Arc<Script>, stop: CancellationToken) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let script = script.clone();
        let service = service_fn(move |request| script.clone().answer(request));
        let serving = hyper::server::conn::http1::Builder::new()
            .max_header_size(256 * 1024)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
    }
}

impl Script {
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<TestBody>, &'static str> {
        let path = request.uri().path().to_owned();
        let mut seen = Seen {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            headers: request.headers().clone(),
            body_len: 0,
            body: String::new(),
        };
        if path == "/echo" {
            self.seen.lock().unwrap().push(seen);
            let body = request.into_body().map_err(|_| unreachable!()).boxed();
            return Ok(Response::new(body));
        }
        if path.ends_with("/ws") && request.headers().contains_key("upgrade") {
            self.seen.lock().unwrap().push(seen);
            return Ok(echo_tunnel(&mut request));
        }
        let headers = request.headers().clone();
        let is_post = seen.method == "POST";
        let Ok(body) = request.into_body().collect().await else {
            return Err("the body broke off");
        };
        let body = body.to_bytes();
        seen.body_len = body.len();
        if body.len() < 10_000 {
            seen.body = String::from_utf8_lossy(&body).into_owned();
        }
        self.seen.lock().unwrap().push(seen);
        if is_post && headers.contains_key("x-post-dies") {
            return Err("dies as asked");
        }
        match path.as_str() {
            "/hang" => std::future::pending().await,
            "/die" => Err("dies as asked"),
            "/stream" => Ok(Response::new(self.stream())),
            _ => Ok(self.plain(&path, &headers, is_post)),
        }
    }

    fn stream(&self) -> TestBody {
        let queue = self
            .queue
            .lock()
            .unwrap()
            .take()
            .expect("one stream an instance");
        Chunks(queue, |text| Bytes::from_static(text.as_bytes())).boxed()
    }

    fn plain(&self, path: &str, asked: &HeaderMap, is_post: bool) -> Response<TestBody> {
        let body = match path.strip_prefix("/zeros/") {
            Some(count) => Bytes::from(vec![0; count.parse().unwrap()]),
            None if path == "/hub/api/user" => account_of(asked),
            None => Bytes::from(self.name.clone()),
        };
        let mut response = Response::new(Full::new(body).boxed());
        for line in asked.get_all("x-set-cookie") {
            response.headers_mut().append("set-cookie", line.clone());
        }
        if path == "/forbidden" {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        let status = asked
            .get("x-status")
            .or(asked.get("x-post-status").filter(|_| is_post));
        if let Some(status) = status {
            *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
        }
        response
    }
}

/// Whom a hub takes the holder of a login for: it is the name here.
fn account_of(asked: &HeaderMap) -> Bytes {
    let cookie = asked["cookie"].to_str().unwrap();
    let name = cookie.strip_prefix("jupyterhub-hub-login=").unwrap();
    Bytes::from(format!("{{\"name\": \"{name}\"}}"))
}

/// A body of chunks as they come; it ends when the sender is gone.
struct Chunks<T>(mpsc::Receiver<T>, fn(T) -> Bytes);

/// A body of chunks, without a length.
pub fn chunked(queue: mpsc::Receiver<Bytes>) -> TestBody {
    Chunks(queue, |chunk| chunk).boxed()
}

impl<T> hyper::body::Body for Chunks<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.1;
        self.0
            .poll_recv(cx)
            .map(|chunk| chunk.map(|chunk| Ok(Frame::data(bytes(chunk)))))
    }
}

/// Agrees to the switch, then sends back every byte in capitals until the client closes.
fn echo_tunnel(request: &mut Request<Incoming>) -> Response<TestBody> {
    let switch = hyper::upgrade::on(&mut *request);
    tokio::spawn(async move {
        let mut tunnel = TokioIo::new(switch.await.unwrap());
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = tunnel.read(&mut buffer).await {
            buffer[..len].make_ascii_uppercase();
            tunnel.write_all(&buffer[..len]).await.unwrap();
        }
    });
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "accepted"),
        ("sec-websocket-protocol", "v1.kernel.websocket.jupyter.org"),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
