//! The provider: what it tells of itself, its keys, and whom it vouches for in exchange for a code.
//!
//! What it tells is kept for some minutes, its keys are read again when a token bears another signature: so providers change
//! them. Redirects are not followed, and nothing is sent in the clear but to this machine. Tokens of the provider are looked at
//! once and forgotten: who is in is the gate's own session.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClient,
    CoreClientAuthMethod, CoreGrantType, CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AccessToken, AdditionalProviderMetadata, AsyncHttpClient, AuthType, AuthenticationFlow,
    AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    ProviderMetadata, RedirectUrl, RequestTokenError, Scope, TokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::people::{self, Claims};
use crate::config::secret::Secret;
use crate::config::{OidcConfig, is_safe_web_address};
use crate::net::web_client::{Limits, WebClient, WebFault};

/// For one answer: a person waits for two or three of them. A provider tells some kilobytes of itself and of its keys.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(10),
    body_bytes: 1 << 20,
};
const FRESH: Duration = Duration::from_secs(600);
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Each proves by a public key who signed: never one that needs no key, or one that is a secret both know.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What a provider tells of itself beyond the library's own list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct More {
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for More {}

type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Why the provider vouches for nobody; for the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderFault {
    #[error("cannot be asked: {0}")]
    Unavailable(String),
    #[error("proves nothing: {0}")]
    Untrusted(String),
}

use ProviderFault::{Unavailable, Untrusted};

pub struct Provider {
    config: OidcConfig,
    client: WebClient,
    kept: tokio::sync::Mutex<Kept>,
    /// Between two looks at one that is down, or at keys for tokens that bear a strange signature.
    pub(super) pause: Duration,
}

#[derive(Default)]
struct Kept {
    metadata: Option<Arc<Metadata>>,
    looked: Option<Instant>,
    failed: Option<ProviderFault>,
}

/// Where to send a browser, and what must come back.
pub struct Begun {
    pub url: String,
    pub nonce: Nonce,
    pub verifier: PkceCodeVerifier,
}

impl Provider {
    /// # Errors
    /// When there are no authorities to judge its certificate by.
    pub fn new(config: OidcConfig) -> Result<Self, String> {
        let client = WebClient::new(LIMITS, config.ca_file.as_deref())?;
        let issuer = config.issuer.parse::<Uri>();
        client.prepare_for(&issuer.map_err(|error| error.to_string())?)?;
        Ok(Self {
            config,
            client,
            kept: tokio::sync::Mutex::default(),
            pause: LOOK_PAUSE,
        })
    }

    /// # Errors
    /// When it does not tell of itself.
    pub async fn is_there(&self) -> Result<(), ProviderFault> {
        self.metadata(FRESH).await.map(drop)
    }

    /// `secrets`: the state, the nonce and the verifier of this login. `anew`: also who is logged in there already is asked.
    ///
    /// # Errors
    /// When the provider does not tell where it lets people log in.
    pub async fn begin(
        &self,
        [state, nonce, verifier]: [String; 3],
        anew: bool,
    ) -> Result<Begun, ProviderFault> {
        let metadata = self.metadata(FRESH).await?;
        let verifier = PkceCodeVerifier::new(verifier);
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let client = CoreClient::from_provider_metadata(
            metadata.as_ref().clone(),
            ClientId::new(self.config.client_id.clone()),
            None,
        )
        .set_redirect_uri(self.redirect()?);
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .set_pkce_challenge(challenge);
        for scope in &self.config.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if anew {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        let (url, _, nonce) = request.url();
        // The browser would carry a person's code from there in the clear.
        safe(url.as_str())?;
        Ok(Begun {
            url: url.into(),
            nonce,
            verifier,
        })
    }

    /// What it vouches for: the claims of a token that is its own, for this gate and this login, and still good.
    ///
    /// # Errors
    /// When it cannot be asked, or what it answers is not that.
    pub async fn claims(
        &self,
        code: String,
        nonce: &Nonce,
        verifier: PkceCodeVerifier,
    ) -> Result<Claims, ProviderFault> {
        let metadata = self.metadata(FRESH).await?;
        let (token, access) = self.exchange(&metadata, code, verifier).await?;
        if let Err(fault) = self.judge(&token, &metadata, nonce) {
            if !matches!(fault, ClaimsVerificationError::SignatureVerification(_)) {
                return Err(Untrusted(fault.to_string()));
            }
            let renewed = self.metadata(self.pause).await?;
            let judged = self.judge(&token, &renewed, nonce);
            judged.map_err(|fault| Untrusted(in_full(&fault)))?;
        }
        let mut claims = payload(&token)?;
        if claims
            .get("azp")
            .is_some_and(|azp| *azp != self.config.client_id)
        {
            return Err(Untrusted("its token was made for another party".to_owned()));
        }
        if people::is_incomplete(&claims, &self.config) {
            let more = self.user_info(&metadata, &access).await?;
            if more.get("sub") != claims.get("sub") && !more.is_empty() {
                return Err(Untrusted("it tells of somebody else".to_owned()));
            }
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(claims)
    }

    /// Whether an answer that says it is `issuer`'s, or says nothing, may be the provider's (RFC 9207).
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub async fn is_own(&self, issuer: Option<&str>) -> Result<bool, ProviderFault> {
        let metadata = self.metadata(FRESH).await?;
        let always_says = metadata.additional_metadata();
        let always_says = always_says.authorization_response_iss_parameter_supported;
        Ok(match issuer {
            Some(issuer) => issuer == self.config.issuer,
            None => !always_says,
        })
    }

    /// Where people end their session at the provider, as far as is known.
    pub fn end_session(&self) -> Option<String> {
        let kept = self.kept.try_lock().ok()?;
        let metadata = kept.metadata.as_ref()?.additional_metadata();
        let url = metadata.end_session_endpoint.clone()?;
        safe(&url).ok()?;
        let separator = if url.contains('?') { '&' } else { '?' };
        let client = percent_encoding::utf8_percent_encode(
            &self.config.client_id,
            percent_encoding::NON_ALPHANUMERIC,
        );
        Some(format!("{url}{separator}client_id={client}"))
    }

    fn redirect(&self) -> Result<RedirectUrl, ProviderFault> {
        let url = format!("{}{}", self.config.address, super::CALLBACK);
        RedirectUrl::new(url).map_err(|error| Unavailable(error.to_string()))
    }

    /// What it tells of itself, not older than `age`; where it cannot be asked again, what it told last.
    async fn metadata(&self, age: Duration) -> Result<Arc<Metadata>, ProviderFault> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        let since = |looked: Instant| now.saturating_duration_since(looked);
        let wait = if kept.failed.is_some() {
            self.pause
        } else {
            age
        };
        if kept.looked.is_none_or(|looked| since(looked) >= wait) {
            kept.looked = Some(now);
            match self.discover().await {
                Ok(metadata) => {
                    (kept.metadata, kept.failed) = (Some(Arc::new(metadata)), None);
                }
                Err(fault) => kept.failed = Some(fault),
            }
        }
        match (&kept.metadata, &kept.failed) {
            (Some(metadata), _) => Ok(metadata.clone()),
            (None, Some(fault)) => Err(fault.clone()),
            (None, None) => Err(Unavailable("it has not been asked".to_owned())),
        }
    }

    async fn discover(&self) -> Result<Metadata, ProviderFault> {
        let issuer = IssuerUrl::new(self.config.issuer.clone());
        let issuer = issuer.map_err(|error| Unavailable(error.to_string()))?;
        let found = Metadata::discover_async(issuer, &Carrier(&self.client)).await;
        found.map_err(|error| Unavailable(in_full(&error)))
    }

    /// The id token and the access token for a code.
    async fn exchange(
        &self,
        metadata: &Metadata,
        code: String,
        verifier: PkceCodeVerifier,
    ) -> Result<(CoreIdToken, AccessToken), ProviderFault> {
        let id = ClientId::new(self.config.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, self.secret()?)
            .set_redirect_uri(self.redirect()?)
            .set_auth_type(auth_type(metadata));
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| Unavailable(error.to_string()))?;
        let carrier = Carrier(&self.client);
        let answer = request
            .set_pkce_verifier(verifier)
            .request_async(&carrier)
            .await;
        let answer = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(told) => {
                Untrusted(format!("it does not take the code: {told}"))
            }
            RequestTokenError::Parse(error, _) => {
                Untrusted(format!("its answer for the code cannot be read: {error}"))
            }
            error => Unavailable(in_full(&error)),
        })?;
        let token = answer.id_token().cloned();
        let token = token.ok_or_else(|| Untrusted("it answers without an id_token".to_owned()))?;
        Ok((token, answer.access_token().clone()))
    }

    /// Read each time, so that a new one is taken without a restart.
    fn secret(&self) -> Result<Option<ClientSecret>, ProviderFault> {
        let Some(file) = &self.config.client_secret_file else {
            return Ok(None);
        };
        let unusable = |error: &dyn std::fmt::Display| {
            Unavailable(format!("client_secret_file {}: {error}", file.display()))
        };
        let secret = Secret::read(file).map_err(|error| unusable(&error))?;
        let text = std::str::from_utf8(secret.expose());
        let text = text.map_err(|_| unusable(&"it is no text"))?;
        Ok(Some(ClientSecret::new(text.to_owned())))
    }

    fn judge(
        &self,
        token: &CoreIdToken,
        metadata: &Metadata,
        nonce: &Nonce,
    ) -> Result<(), ClaimsVerificationError> {
        // As a public client: the secret that both know must sign nothing.
        let verifier = CoreIdTokenVerifier::new_public_client(
            ClientId::new(self.config.client_id.clone()),
            metadata.issuer().clone(),
            metadata.jwks().clone(),
        );
        let verifier = verifier.set_allowed_algs(ALGORITHMS);
        token.claims(&verifier, nonce).map(drop)
    }

    async fn user_info(
        &self,
        metadata: &Metadata,
        access: &AccessToken,
    ) -> Result<Claims, ProviderFault> {
        let Some(url) = metadata.userinfo_endpoint() else {
            return Ok(Claims::new());
        };
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", access.secret()))
            .body(Bytes::new());
        let request = request.map_err(|error| Unavailable(error.to_string()))?;
        safe(url.as_str())?;
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|fault| Unavailable(fault.to_string()))?;
        if answer.status() != StatusCode::OK {
            let status = answer.status();
            return Err(Unavailable(format!("its userinfo answers {status}")));
        }
        let claims = serde_json::from_slice(answer.body());
        claims.map_err(|_| Untrusted("its userinfo is no JSON object".to_owned()))
    }
}

/// The claims as they were signed.
fn payload(token: &CoreIdToken) -> Result<Claims, ProviderFault> {
    let text = token.to_string();
    let part = text.split('.').nth(1).unwrap_or_default();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(claims)) => Ok(claims),
        _ => Err(Untrusted("its token holds no claims".to_owned())),
    }
}

/// By header, unless the provider says that it takes the secret in the form alone.
fn auth_type(metadata: &Metadata) -> AuthType {
    let methods = metadata.token_endpoint_auth_methods_supported();
    let takes = |method| methods.is_some_and(|listed| listed.contains(&method));
    let by_form = takes(CoreClientAuthMethod::ClientSecretPost);
    match by_form && !takes(CoreClientAuthMethod::ClientSecretBasic) {
        true => AuthType::RequestBody,
        false => AuthType::BasicAuth,
    }
}

fn safe(url: &str) -> Result<(), ProviderFault> {
    let uri = url.parse::<Uri>().ok();
    match uri.is_some_and(|uri| is_safe_web_address(&uri)) {
        true => Ok(()),
        false => Err(Unavailable(format!(
            "{url} is neither https nor this machine"
        ))),
    }
}

/// With what it was caused by.
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let causes = causes.map(|error| format!(": {error}"));
    format!("{error}{}", causes.collect::<String>())
}

/// Carries the library's requests.
struct Carrier<'a>(&'a WebClient);

#[derive(Debug, thiserror::Error)]
enum CarrierFault {
    #[error(transparent)]
    Web(#[from] WebFault),
    #[error(transparent)]
    Unsafe(#[from] ProviderFault),
}

impl<'c> AsyncHttpClient<'c> for Carrier<'_> {
    type Error = CarrierFault;
    type Future =
        Pin<Box<dyn Future<Output = Result<HttpResponse, CarrierFault>> + Send + Sync + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            safe(&request.uri().to_string())?;
            let answer = self.0.send(request.map(Bytes::from)).await?;
            Ok(answer.map(Vec::from))
        })
    }
}
