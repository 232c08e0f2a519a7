//! As whom Azure is asked: Microsoft's own credentials over our transport, and the token of a request.
//!
//! Caching and renewal are the credentials'. Their retries are off: the loop that looks at the fleet has its own pace. A token
//! is never logged; what a credential says of its failure is, shortened.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use azure_core::Bytes;
use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::{Secret as AzureSecret, TokenCredential};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, StatusCode,
    Transport as AzureTransport,
};
use azure_identity::{
    AzureCliCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use http::HeaderValue;

use super::faults::shortened;
use super::hosts::Cloud;
use crate::config::AzureCredential;
use crate::config::secret::Secret;
use crate::fleet::FleetFault;
use crate::net::web_client::WebClient;

/// `az` takes seconds to start; the machine's own identity milliseconds.
const TOKEN_MAX: Duration = Duration::from_secs(30);

/// Who asks, and for what.
pub(super) struct Identity {
    credential: Arc<dyn TokenCredential>,
    scope: String,
}

impl Identity {
    /// # Errors
    /// The secret cannot be read, or what the credential needs is not there.
    pub fn new(
        config: &AzureCredential,
        cloud: Cloud,
        transport: &WebClient,
    ) -> Result<Self, String> {
        let options = || options(cloud, transport);
        let credential: Result<Arc<dyn TokenCredential>, Error> = match config {
            AzureCredential::ManagedIdentity { client_id } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: options(),
                }))
                .map(|credential| credential as _)
            }
            AzureCredential::WorkloadIdentity => {
                let credential_options = ClientAssertionCredentialOptions {
                    client_options: options(),
                };
                WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options,
                    ..WorkloadIdentityCredentialOptions::default()
                }))
                .map(|credential| credential as _)
            }
            AzureCredential::ServicePrincipal {
                tenant_id,
                client_id,
                client_secret_file,
            } => {
                let said = |error: &dyn std::fmt::Display| {
                    format!("the file {} {error}", client_secret_file.display())
                };
                let secret = Secret::read(client_secret_file).map_err(|error| said(&error))?;
                let secret =
                    std::str::from_utf8(secret.expose()).map_err(|_| said(&"is no text"))?;
                ClientSecretCredential::new(
                    tenant_id,
                    client_id.clone(),
                    AzureSecret::new(secret.to_owned()),
                    Some(ClientSecretCredentialOptions {
                        client_options: options(),
                    }),
                )
                .map(|credential| credential as _)
            }
            AzureCredential::AzCli => {
                AzureCliCredential::new(None).map(|credential| credential as _)
            }
        };
        Ok(Self {
            credential: credential.map_err(|error| shortened(&error.to_string()))?,
            scope: cloud.scope(),
        })
    }

    /// The value of the header `authorization`, marked as a secret.
    ///
    /// # Errors
    /// There is no token to be had.
    pub async fn authorization(&self) -> Result<HeaderValue, FleetFault> {
        let scopes = [self.scope.as_str()];
        let asked = self.credential.get_token(&scopes, None);
        let token = tokio::time::timeout(TOKEN_MAX, asked).await;
        let token = token.map_err(|_| FleetFault::Transient("no token came within 30 s".into()))?;
        let token = token.map_err(|error| {
            FleetFault::Auth(format!("no token: {}", shortened(&error.to_string())))
        })?;
        let value = format!("Bearer {}", token.token.secret());
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| FleetFault::Auth("the token is no text for a header".into()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn options(cloud: Cloud, transport: &WebClient) -> ClientOptions {
    let configuration = match cloud {
        Cloud::Public => CloudConfiguration::AzurePublic,
        Cloud::UsGovernment => CloudConfiguration::AzureGovernment,
        Cloud::China => CloudConfiguration::AzureChina,
    };
    ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(AzureTransport::new(Arc::new(Carrier(transport.clone())))),
        cloud: Some(Arc::new(configuration)),
        ..ClientOptions::default()
    }
}

/// Our transport as the credentials want it.
#[derive(Debug)]
struct Carrier(WebClient);

impl HttpClient for Carrier {
    // The shape that the trait's macro gives to an async function.
    fn execute_request<'a, 'b, 'c>(
        &'a self,
        request: &'b Request,
    ) -> Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let failed = |error: &dyn std::fmt::Display| {
                Error::with_message(ErrorKind::Io, error.to_string())
            };
            let body = match request.body() {
                Body::Bytes(bytes) => bytes.clone(),
                Body::SeekableStream(_) => Bytes::new(),
            };
            let mut carried = http::Request::builder()
                .method(request.method().as_str())
                .uri(request.url().as_str());
            for (name, value) in request.headers().iter() {
                carried = carried.header(name.as_str(), value.as_str());
            }
            let carried = carried.body(body).map_err(|error| failed(&error))?;
            let answer = self.0.send(carried).await.map_err(|error| failed(&error))?;
            let mut headers = Headers::new();
            for (name, value) in answer.headers() {
                let value = value.to_str().unwrap_or_default().to_owned();
                headers.insert(name.as_str().to_owned(), value);
            }
            let status = StatusCode::from(answer.status().as_u16());
            Ok(AsyncRawResponse::from_bytes(
                status,
                headers,
                answer.into_body(),
            ))
        })
    }
}
