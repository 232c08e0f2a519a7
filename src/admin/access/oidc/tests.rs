//! A provider that lies: what it signs, and what it does not, is judged. Real ones do none of this (`tests/it/oidc.rs` has one).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::admin::Role;
use crate::config::{Member, OidcRoles};

const BROWSER: &str = "browser";

/// Answers by path, which a test may change at any time.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<HashMap<&'static str, String>>>);

impl Pages {
    fn set(&self, path: &'static str, head: &str, body: &str) {
        let length = body.len();
        let whole = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
        self.0.lock().unwrap().insert(path, whole);
    }

    fn set_json(&self, path: &'static str, body: &Value) {
        let head = "200 OK\r\nContent-Type: application/json";
        self.set(path, head, &body.to_string());
    }
}

struct Provider {
    issuer: String,
    pages: Pages,
    key: Key,
    oidc: Oidc,
}

struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn public(&self, id: &str) -> Value {
        let point = self.0.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn by_secret(secret: &[u8], claims: &Value) -> String {
    let text = unsigned(&json!({ "alg": "HS256" }), claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", BASE64.encode(tag))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let pages = Pages::default();
        tokio::spawn(serve(listener, pages.clone()));
        let key = Key::new();
        let mut oidc = Oidc::new(config(&issuer)).unwrap();
        oidc.provider.pause = Duration::ZERO;
        let provider = Self {
            issuer,
            pages,
            key,
            oidc,
        };
        provider.tell(json!({}));
        let keys = json!({ "keys": [provider.key.public("one")] });
        provider.pages.set_json("/keys", &keys);
        provider
    }

    /// What it says of itself, with `more`.
    fn tell(&self, more: Value) {
        let issuer = &self.issuer;
        let mut told = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
        });
        let fields = told.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        self.pages
            .set_json("/.well-known/openid-configuration", &told);
    }

    /// State and nonce of a login that began.
    async fn begin(&self) -> Result<(String, String), Fault> {
        let asked = Begin {
            next: "/machines".to_owned(),
            replaces: Vec::new(),
            anew: false,
        };
        let source = Source::of([127, 0, 0, 1].into());
        let url = self.oidc.begin(BROWSER, source, asked).await?;
        assert!(url.starts_with(&format!("{}/authorize?", self.issuer)));
        for part in [
            "response_type=code",
            "code_challenge_method=S256",
            "client_id=poolgate",
            "redirect_uri=https%3A%2F%2Fadmin.pool.example%2Flogin%2Foidc%2Fcallback",
            "scope=openid+profile",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
        let part = |name: &str| {
            let begin = format!("{name}=");
            let mut parts = url.split(['?', '&']);
            parts
                .find_map(|part| part.strip_prefix(&begin))
                .unwrap()
                .to_owned()
        };
        Ok((part("state"), part("nonce")))
    }

    fn claims(&self, nonce: &str) -> Value {
        json!({ "iss": self.issuer, "aud": "poolgate", "sub": "1", "nonce": nonce, "iat": now(),
            "exp": now() + 60, "preferred_username": "olivia", "groups": ["operators"] })
    }

    fn give(&self, token: &str) {
        let answer = json!({ "access_token": "a", "token_type": "Bearer", "id_token": token });
        self.pages.set_json("/token", &answer);
    }

    async fn finish(&self, state: &str) -> Result<Finished, Fault> {
        let answer = Answer {
            code: "c".to_owned(),
            state: state.to_owned(),
            ..Answer::default()
        };
        self.oidc.finish(answer, [BROWSER].into_iter()).await
    }

    /// A whole login whose token is made of good claims.
    async fn log_in(&self, token: impl FnOnce(&Key, Value) -> String) -> Result<Finished, Fault> {
        let (state, nonce) = self.begin().await?;
        self.give(&token(&self.key, self.claims(&nonce)));
        self.finish(&state).await
    }
}

async fn serve(listener: TcpListener, pages: Pages) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let pages = pages.clone();
        tokio::spawn(async move {
            let mut asked = vec![0; 16 * 1024];
            let length = stream.read(&mut asked).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
            let path = asked.split_whitespace().nth(1).unwrap_or_default();
            let answer = pages.0.lock().unwrap().get(path).cloned();
            let answer = answer.unwrap_or_else(|| {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
            });
            drop(stream.write_all(answer.as_bytes()).await);
        });
    }
}

fn config(issuer: &str) -> OidcConfig {
    OidcConfig {
        issuer: issuer.to_owned(),
        client_id: "poolgate".to_owned(),
        client_secret_file: None,
        address: "https://admin.pool.example".to_owned(),
        display_name: "the house".to_owned(),
        scopes: vec!["profile".to_owned()],
        name_claim: "preferred_username".to_owned(),
        groups_claim: "groups".to_owned(),
        ca_file: None,
        roles: OidcRoles {
            operator: vec![Member::Group("operators".to_owned())],
            ..OidcRoles::default()
        },
    }
}

fn es256() -> Value {
    json!({ "alg": "ES256", "kid": "one" })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_sound_token_lets_its_person_in_once() {
    let provider = Provider::start().await;
    let finished = provider
        .log_in(|key, claims| key.sign(&es256(), &claims))
        .await;
    let finished = finished.unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(finished.person.name, "olivia");
    assert_eq!(finished.person.role, Role::Operator);
    assert_eq!(finished.next, "/machines");

    let (state, nonce) = provider.begin().await.unwrap();
    provider.give(&provider.key.sign(&es256(), &provider.claims(&nonce)));
    let answer = || Answer {
        state: state.clone(),
        ..Answer::default()
    };
    let other = provider
        .oidc
        .finish(answer(), ["another"].into_iter())
        .await;
    assert!(matches!(other, Err(Fault::Stale)));
    let (state, nonce) = provider.begin().await.unwrap();
    provider.give(&provider.key.sign(&es256(), &provider.claims(&nonce)));
    assert!(provider.finish(&state).await.is_ok());
    assert!(matches!(provider.finish(&state).await, Err(Fault::Stale)));
    assert!(matches!(provider.finish("").await, Err(Fault::Stale)));
}

#[tokio::test]
async fn a_token_that_is_not_for_this_login_lets_nobody_in() {
    let provider = Provider::start().await;
    let stranger = Key::new();
    let public = provider.key.0.public_key().as_ref().to_vec();
    type Make<'a> = Box<dyn Fn(&Key, Value) -> String + 'a>;
    let changed = |name: &'static str, value: Value| -> Make<'static> {
        Box::new(move |key, claims| key.sign(&es256(), &with(claims, name, value.clone())))
    };
    let cases: Vec<(&str, Make<'_>)> = vec![
        (
            "forged",
            Box::new(|_, claims| stranger.sign(&es256(), &claims)),
        ),
        (
            "none",
            Box::new(|_, claims| format!("{}.", unsigned(&json!({ "alg": "none" }), &claims))),
        ),
        (
            "no signature",
            Box::new(|_, claims| format!("{}.", unsigned(&es256(), &claims))),
        ),
        (
            "by the public key",
            Box::new(|_, claims| by_secret(&public, &claims)),
        ),
        (
            "by no secret",
            Box::new(|_, claims| by_secret(b"", &claims)),
        ),
        ("expired", changed("exp", json!(now() - 1))),
        ("another audience", changed("aud", json!("other"))),
        (
            "one audience too many",
            changed("aud", json!(["poolgate", "other"])),
        ),
        ("another party", changed("azp", json!("other"))),
        (
            "another issuer",
            changed("iss", json!("https://evil.example")),
        ),
        ("another login", changed("nonce", json!("other"))),
        ("no nonce", changed("nonce", Value::Null)),
        ("no token", Box::new(|_, _| "a.b.c".to_owned())),
        (
            "other claims",
            Box::new(|key, claims| {
                let signed = key.sign(&es256(), &claims);
                let signature = signed.rsplit('.').next().unwrap();
                let claims = with(claims.clone(), "preferred_username", json!("ada"));
                format!("{}.{signature}", unsigned(&es256(), &claims))
            }),
        ),
    ];
    for (name, make) in cases {
        let outcome = provider.log_in(make).await;
        assert!(
            matches!(outcome, Err(Fault::Untrusted(_))),
            "{name}: {:?}",
            outcome.err()
        );
    }
}

#[tokio::test]
async fn another_issuers_answer_is_not_taken() {
    let provider = Provider::start().await;
    provider.tell(json!({ "authorization_response_iss_parameter_supported": true }));
    for (issuer, is_taken) in [
        (None, false),
        (Some("https://evil.example"), false),
        (Some(&*provider.issuer), true),
    ] {
        let (state, nonce) = provider.begin().await.unwrap();
        provider.give(&provider.key.sign(&es256(), &provider.claims(&nonce)));
        let answer = Answer {
            state,
            iss: issuer.map(str::to_owned),
            ..Answer::default()
        };
        let outcome = provider.oidc.finish(answer, [BROWSER].into_iter()).await;
        assert_eq!(outcome.is_ok(), is_taken, "{issuer:?}");
    }
    let (state, _) = provider.begin().await.unwrap();
    let answer = Answer {
        state,
        iss: Some(provider.issuer.clone()),
        error: Some("access_denied".to_owned()),
        error_description: Some("not\r\nin <the> group".to_owned()),
        ..Answer::default()
    };
    let outcome = provider.oidc.finish(answer, [BROWSER].into_iter()).await;
    let told = outcome.err().unwrap().to_string();
    assert_eq!(told, "the house did not log you in: notin <the> group");
}

#[tokio::test]
async fn new_keys_are_found_and_what_lacks_is_asked_of_userinfo() {
    let provider = Provider::start().await;
    let url = format!("{}/userinfo", provider.issuer);
    provider.tell(json!({ "userinfo_endpoint": url }));
    assert!(
        provider
            .log_in(|key, claims| key.sign(&es256(), &claims))
            .await
            .is_ok()
    );
    let next = Key::new();
    provider
        .pages
        .set_json("/keys", &json!({ "keys": [next.public("two")] }));
    let header = json!({ "alg": "ES256", "kid": "two" });
    let outcome = provider
        .log_in(|_, claims| next.sign(&header, &claims))
        .await;
    assert!(outcome.is_ok(), "{:?}", outcome.err());

    for (subject, is_taken) in [("1", true), ("2", false)] {
        let told =
            json!({ "sub": subject, "groups": ["operators"], "preferred_username": "mallory" });
        provider.pages.set_json("/userinfo", &told);
        let outcome = provider
            .log_in(|_, mut claims| {
                claims.as_object_mut().unwrap().remove("groups");
                next.sign(&header, &claims)
            })
            .await;
        let name = outcome.map(|finished| finished.person.name);
        assert_eq!(
            name.as_deref().ok(),
            is_taken.then_some("olivia"),
            "{subject}"
        );
    }
}

#[tokio::test]
async fn a_provider_that_is_down_redirects_or_floods_is_no_provider() {
    let provider = Provider::start().await;
    let path = "/.well-known/openid-configuration";
    let elsewhere = "302 Found\r\nLocation: http://127.0.0.1:1/";
    let flood = "x".repeat(2 << 20);
    for (head, body) in [
        ("503 Service Unavailable", ""),
        (elsewhere, ""),
        ("200 OK\r\nContent-Type: application/json", "{}"),
        ("200 OK\r\nContent-Type: application/json", &flood),
    ] {
        provider.pages.set(path, head, body);
        let outcome = provider.begin().await;
        assert!(matches!(outcome, Err(Fault::Unavailable(_))), "{head}");
    }
    provider.tell(json!({ "issuer": "https://evil.example" }));
    assert!(provider.begin().await.is_err(), "it is another one");
    provider.tell(json!({ "token_endpoint": "http://192.0.2.1/token" }));
    let outcome = provider
        .log_in(|key, claims| key.sign(&es256(), &claims))
        .await;
    assert!(matches!(outcome, Err(Fault::Unavailable(_))));
    let gone = Oidc::new(config("http://127.0.0.1:1")).unwrap();
    let asked = Begin {
        next: String::new(),
        replaces: Vec::new(),
        anew: false,
    };
    let source = Source::of([127, 0, 0, 1].into());
    let told = gone.begin(BROWSER, source, asked).await.err().unwrap();
    assert!(told.to_string().contains("the house cannot be asked now"));
}
