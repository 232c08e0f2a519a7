//! A browser over either protocol: it keeps its cookies and does nothing else by itself.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};

use super::TestBody;

/// The connection underneath.
pub enum Sender {
    H1(http1::SendRequest<TestBody>),
    H2(http2::SendRequest<TestBody>),
}

/// A browser: it keeps its cookies.
pub struct Client {
    address: SocketAddr,
    sender: Sender,
    pub cookies: Vec<(String, String)>,
    /// The name it asks for, without a port; else localhost.
    pub host: Option<String>,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|line| line.to_str().unwrap())
            .collect()
    }

    /// The pin's `Set-Cookie` line, if this answer has one.
    pub fn pin_line(&self) -> Option<&str> {
        self.set_cookies()
            .into_iter()
            .find(|line| line.starts_with("__Host-poolgate="))
    }
}

impl Client {
    pub fn new(address: SocketAddr, sender: Sender) -> Self {
        Self {
            address,
            sender,
            cookies: Vec::new(),
            host: None,
        }
    }

    pub fn is_h2(&self) -> bool {
        matches!(self.sender, Sender::H2(_))
    }

    /// Returns when the gate has closed the connection.
    pub async fn closed(&mut self) {
        while let Sender::H2(sender) = &self.sender
            && !sender.is_closed()
        {
            tokio::task::yield_now().await;
        }
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.retain(|(known, _)| known != name);
        self.cookies.push((name.to_owned(), value.to_owned()));
    }

    pub fn pin(&self) -> Option<&str> {
        let found = self
            .cookies
            .iter()
            .find(|(name, _)| name == "__Host-poolgate");
        found.map(|(_, value)| value.as_str())
    }

    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", path, headers, Bytes::new()).await
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Reply {
        let body = if body.is_empty() {
            Empty::new().boxed()
        } else {
            Full::new(body).boxed()
        };
        let response = self.open(method, path, headers, body).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// The answer as soon as it begins.
    pub async fn open(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: TestBody,
    ) -> Response<Incoming> {
        let request = self.request(method, path, headers).body(body).unwrap();
        let response = self.send_request(request).await;
        for line in response.headers().get_all("set-cookie") {
            let pair = line.to_str().unwrap().split(';').next().unwrap().to_owned();
            if let Some((name, value)) = pair.split_once('=') {
                self.set_cookie(name, value);
            }
        }
        response
    }

    pub async fn send_request(&mut self, request: Request<TestBody>) -> Response<Incoming> {
        let answer = async {
            match &mut self.sender {
                Sender::H1(sender) => {
                    sender.ready().await.unwrap();
                    sender.send_request(request).await.unwrap()
                }
                Sender::H2(sender) => sender.send_request(request).await.unwrap(),
            }
        };
        tokio::time::timeout(Duration::from_secs(30), answer)
            .await
            .expect("no answer")
    }

    /// A request with host and cookies; over HTTP/2 each cookie is a crumb of its own.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> http::request::Builder {
        let name = self.host.as_deref().unwrap_or("localhost");
        let host = format!("{name}:{}", self.address.port());
        let mut request = Request::builder().method(method);
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if self.is_h2() {
            request = request
                .uri(format!("https://{host}{path}"))
                .version(Version::HTTP_2);
            for pair in pairs {
                request = request.header("cookie", pair);
            }
        } else {
            request = request.uri(path).header("host", host);
            if !pairs.is_empty() {
                request = request.header("cookie", pairs.join("; "));
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }
}
