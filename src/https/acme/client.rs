//! What carries requests to the authority: HTTP/1.1 over TLS, a connection each, within bounds of time and size.
//!
//! Few requests are made in a certificate's life, so nothing is kept open. Its roots are the system's, or a file's.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TIME_MAX: Duration = Duration::from_secs(30);
/// A directory, an order or a chain are a few KiB.
const BODY_MAX: usize = 1 << 20;

type Fault = Box<dyn std::error::Error + Send + Sync>;

pub struct Client {
    tls: Arc<ClientConfig>,
}

impl Client {
    pub fn boxed(ca_file: Option<&Path>) -> Result<Box<dyn HttpClient>, Error> {
        let roots = roots(ca_file).map_err(Error::Other)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Other(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Box::new(Self { tls: Arc::new(tls) }))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.tls.clone();
        Box::pin(async move {
            let uri = request.uri().clone();
            let fetched = tokio::time::timeout(TIME_MAX, fetch(tls, request));
            let fetched = match fetched.await {
                Ok(fetched) => fetched,
                Err(_) => Err(format!("no answer within {TIME_MAX:?}").into()),
            };
            match fetched {
                Ok(response) => Ok(BytesResponse::from(response)),
                Err(fault) => Err(Error::Other(format!("{uri}: {fault}").into())),
            }
        })
    }
}

async fn fetch(
    tls: Arc<ClientConfig>,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Fault> {
    let uri = request.uri().clone();
    let authority = uri.authority().ok_or("an address without a host")?;
    if uri.scheme_str() != Some("https") {
        return Err("an address that is not https".into());
    }
    let host = authority.host();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let port = authority.port_u16().unwrap_or(443);
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let serving = tokio::spawn(connection);
    let host = HeaderValue::try_from(authority.as_str())?;
    request.headers_mut().insert(HOST, host);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::try_from(path)?;
    let fetched = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await?.to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    };
    let fetched = fetched.await;
    serving.abort();
    fetched
}

fn roots(ca_file: Option<&Path>) -> Result<rustls::RootCertStore, Fault> {
    let mut roots = rustls::RootCertStore::empty();
    let (added, from) = match ca_file {
        Some(file) => {
            let named = |cause| {
                format!(
                    "https.acme.ca_file: cannot read {}: {cause}",
                    file.display()
                )
            };
            let listed: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
                .map_err(named)?
                .collect();
            let listed = listed.map_err(named)?;
            let (added, _) = roots.add_parsable_certificates(listed);
            (added, file.display().to_string())
        }
        None => {
            let listed = rustls_native_certs::load_native_certs().certs;
            let (added, _) = roots.add_parsable_certificates(listed);
            (added, "the system (ca-certificates)".to_owned())
        }
    };
    match added {
        0 => Err(format!("no root certificates in {from}").into()),
        _ => Ok(roots),
    }
}
