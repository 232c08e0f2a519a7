//! One HTTP request to somebody else's service and its whole answer, within bounds of time and size: a connection each, TLS by
//! the system's authorities or a file's.
//!
//! No redirect is followed, no proxy asked, nothing retried. Addresses that only this machine's own cloud answers on are
//! never dialled, whatever a name resolves to: who may write a URL must not thereby ask for the machine's credentials.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::web_tls;

/// Why there is no answer. Never names more of an address than its host: the rest may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum OutboundFault {
    #[error("the address is not http:// or https:// with a host")]
    Address,
    #[error(
        "{0} has no address that may be asked: link-local ones and those of a cloud's metadata may not"
    )]
    Forbidden(String),
    #[error("cannot reach {0}: {1}")]
    Connect(String, io::Error),
    #[error("{0} does not answer as HTTP: {1}")]
    Http(String, String),
    #[error("{0} has not answered within {1:?}")]
    Late(String, Duration),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    tls: TlsConnector,
    time_max: Duration,
    body_max: usize,
}

impl Outbound {
    /// # Errors
    /// One line: there is no authority whose certificates could be believed.
    pub fn new(
        ca_file: Option<&Path>,
        time_max: Duration,
        body_max: usize,
    ) -> Result<Self, String> {
        let tls = web_tls::connector(ca_file)?;
        Ok(Self {
            tls,
            time_max,
            body_max,
        })
    }

    /// # Errors
    /// There is no whole answer; the request may have been carried out all the same.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, OutboundFault> {
        let host = request.uri().host().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let late = OutboundFault::Late(host.clone(), self.time_max);
        let exchange = self.exchange(request, &host);
        tokio::time::timeout(self.time_max, exchange)
            .await
            .map_err(|_| late)?
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        host: &str,
    ) -> Result<Response<Bytes>, OutboundFault> {
        let is_tls = match request.uri().scheme_str() {
            _ if host.is_empty() => return Err(OutboundFault::Address),
            Some("https") => true,
            Some("http") => false,
            _ => return Err(OutboundFault::Address),
        };
        let no_connection = |error| OutboundFault::Connect(host.to_owned(), error);
        let port = request.uri().port_u16();
        let port = port.unwrap_or(if is_tls { 443 } else { 80 });
        let found = lookup_host((host, port)).await.map_err(no_connection)?;
        let allowed: Vec<SocketAddr> = found.filter(|found| may_be_asked(found.ip())).collect();
        if allowed.is_empty() {
            return Err(OutboundFault::Forbidden(host.to_owned()));
        }
        let stream = TcpStream::connect(&*allowed).await.map_err(no_connection)?;
        if !is_tls {
            return self.ask(stream, request, host).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| OutboundFault::Address)?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(no_connection)?;
        self.ask(stream, request, host).await
    }

    async fn ask<S>(
        &self,
        stream: S,
        mut request: Request<Bytes>,
        host: &str,
    ) -> Result<Response<Bytes>, OutboundFault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let no_http = |error: String| OutboundFault::Http(host.to_owned(), error);
        let uri = request.uri().clone();
        let authority = uri.authority().ok_or(OutboundFault::Address)?;
        let authority = authority.as_str().rsplit('@').next().unwrap_or_default();
        let name = HeaderValue::try_from(authority).map_err(|_| OutboundFault::Address)?;
        request.headers_mut().insert(header::HOST, name);
        let agent = HeaderValue::from_static("poolgate");
        request.headers_mut().insert(header::USER_AGENT, agent);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(path).map_err(|_| OutboundFault::Address)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| no_http(error.to_string()))?;
        let serving = tokio::spawn(connection);
        let answer = async {
            let answer = sender.send_request(request.map(Full::new)).await;
            let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
            let body = Limited::new(body, self.body_max).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        let answer = answer.await.map_err(no_http);
        serving.abort();
        answer
    }
}

/// AWS and Google answer for metadata here beside the link-local address that all of them use.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];
/// Azure's own agent is asked here.
const WIRE_SERVER: [u8; 4] = [168, 63, 129, 16];

fn may_be_asked(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets() == WIRE_SERVER)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                || METADATA_V6.contains(&v6))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_own_cloud_answers_on_is_not_asked() {
        for forbidden in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
        ] {
            assert!(!may_be_asked(forbidden.parse().unwrap()), "{forbidden}");
        }
        for allowed in ["127.0.0.1", "10.0.0.4", "2001:db8::1", "fd12::1"] {
            assert!(may_be_asked(allowed.parse().unwrap()), "{allowed}");
        }
    }

    #[tokio::test]
    async fn a_forbidden_address_and_no_address_are_told_apart() {
        let outbound = Outbound::new(None, Duration::from_secs(5), 1024);
        let Ok(outbound) = outbound else { return };
        let ask = async |uri: &str| {
            let request = Request::post(uri).body(Bytes::new()).unwrap();
            outbound.send(request).await.unwrap_err().to_string()
        };
        let told = ask("http://169.254.169.254/secret").await;
        assert!(told.contains("169.254.169.254 has no address that may"));
        assert!(!told.contains("secret"), "{told}");
        assert!(ask("ftp://192.0.2.1/").await.contains("is not http://"));
    }
}
