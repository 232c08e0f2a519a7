//! Carries the library's requests to the authority: over TLS alone, within bounds of time and size.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::net::web_client::{Limits, WebClient};

/// A directory, an order or a chain are a few KiB.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    body_bytes: 1 << 20,
};

pub struct Carrier(WebClient);

impl Carrier {
    /// # Errors
    /// There is no authority by which the server of certificates could prove itself, neither in the file nor in the system.
    pub fn boxed(ca_file: Option<&Path>) -> Result<Box<dyn HttpClient>, Error> {
        let client = WebClient::new(LIMITS, ca_file).map_err(|fault| match ca_file {
            Some(_) => Error::Other(format!("https.acme.ca_file: {fault}").into()),
            None => Error::Other(fault.into()),
        })?;
        Ok(Box::new(Self(client)))
    }
}

impl HttpClient for Carrier {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let uri = request.uri().clone();
            let failed =
                |what: &dyn std::fmt::Display| Error::Other(format!("{uri}: {what}").into());
            if uri.scheme_str() != Some("https") {
                return Err(failed(&"an address that is not https"));
            }
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| failed(&error))?;
            let request = Request::from_parts(head, body.to_bytes());
            let answer = client.send(request).await.map_err(|fault| failed(&fault))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
