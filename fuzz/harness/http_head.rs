//! The head of a request after the HTTP library has read it: validation, pins, cookies, headers on their way in and out;
//! and the reading along for two lengths, on the bytes themselves.

use std::sync::LazyLock;

use http::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use poolgate::https::classify::{classify, wants_html};
use poolgate::https::cookies::{self, HUB_LOGIN, set_cookie_parts};
use poolgate::https::framing::Watch;
use poolgate::https::headers::{toward_client, toward_instance};
use poolgate::https::pin::{self, BrowserId, Pin, PinKey};
use poolgate::https::validate::{Target, validate};
use poolgate::pool::{Instance, InstanceId};

static KEY: LazyLock<PinKey> = LazyLock::new(|| PinKey::new(&[7; 32]));

/// The first byte: the version of HTTP, and which way the lines go. Then a head, a line each: METHOD TARGET, and headers.
pub fn run(data: &[u8]) {
    let Some((mode, text)) = data.split_first() else {
        return;
    };
    watch(usize::from(*mode).max(1), text);
    let Some(head) = head(*mode, text) else {
        return;
    };
    answer(head.headers.clone());
    for name in [pin::COOKIE, HUB_LOGIN] {
        for value in cookies::values(&head.headers, name) {
            let opened = std::str::from_utf8(value)
                .ok()
                .and_then(|text| KEY.open(text));
            assert_eq!(opened, None, "nobody but the gate makes a pin");
        }
    }
    own_pin(text);
    match validate(&head) {
        Ok(target) => request(head, &target),
        Err(invalid) => drop(invalid.to_string()),
    }
}

/// However the bytes are cut, the same is seen.
fn watch(step: usize, bytes: &[u8]) {
    let whole = Watch::new().feed(bytes);
    let mut slowly = Watch::new();
    let seen = bytes.chunks(step).any(|part| slowly.feed(part));
    assert_eq!(whole, seen, "what is seen depends on how it came");
}

fn head(mode: u8, text: &[u8]) -> Option<Parts> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.splitn(2, |byte| *byte == b' ');
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::from_bytes(words.next()?).ok()?;
    head.uri = Uri::try_from(words.next()?).ok()?;
    head.version = match mode & 3 {
        0 => Version::HTTP_10,
        1 => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    for line in lines.take(64) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next()?).ok()?;
        let value = HeaderValue::from_bytes(parts.next()?.trim_ascii()).ok()?;
        head.headers.append(name, value);
    }
    Some(head)
}

fn request(head: Parts, target: &Target) {
    assert!(target.path.starts_with('/'));
    let mut segments = target.path.split('/');
    assert!(!segments.any(|segment| segment == "." || segment == ".."));
    let is_split = |byte: &u8| b" ,@/\\\"'?#".contains(byte);
    assert!(!target.host.is_empty() && !target.host.as_bytes().iter().any(is_split));
    let _ = (
        classify(&head, &target.path, target.is_websocket),
        wants_html(&head.headers),
    );
    let mut sent = head.headers;
    toward_instance(
        &mut sent,
        &target.host,
        Some(&HeaderValue::from_static("192.0.2.7")),
    );
    for (name, only) in [
        ("host", target.host.as_bytes()),
        ("x-forwarded-for", b"192.0.2.7"),
        ("x-scheme", b"https"),
    ] {
        let values: Vec<_> = sent
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(values, [only], "{name}");
    }
    let own = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    for name in sent.keys().map(HeaderName::as_str) {
        let is_hop = [
            "connection",
            "upgrade",
            "te",
            "transfer-encoding",
            "keep-alive",
        ]
        .contains(&name);
        let is_told = own.contains(&name) || !name.replace('_', "-").starts_with("x-forwarded");
        assert!(
            !is_hop && is_told && name != "forwarded",
            "{name} reached an instance"
        );
    }
    assert!(
        cookies::values(&sent, pin::COOKIE).next().is_none(),
        "a pin reached an instance"
    );
    assert!(sent.get_all(HOST).iter().count() == 1);
}

/// The same lines as an instance's answer.
fn answer(mut headers: HeaderMap) {
    for value in headers.get_all(COOKIE).iter().cloned().collect::<Vec<_>>() {
        headers.append(SET_COOKIE, value);
    }
    toward_client(&mut headers, false);
    for line in headers.get_all(SET_COOKIE) {
        let (name, _) = set_cookie_parts(line.as_bytes());
        assert!(
            !name.eq_ignore_ascii_case(pin::COOKIE.as_bytes()),
            "an instance set a pin"
        );
        assert!(name != HUB_LOGIN.as_bytes());
    }
}

/// A pin for names out of the input opens to itself, and not with a byte changed.
fn own_pin(text: &[u8]) {
    let text = String::from_utf8_lossy(&text[..text.len().min(300)]);
    let mut names = text.splitn(3, '\n');
    let mut next = || names.next().unwrap_or_default();
    let (pool, name, user) = (next(), next(), next());
    let instance = Instance {
        id: InstanceId {
            pool: pool.into(),
            name: name.into(),
        },
        address: String::new(),
        ssh_port: 22,
        jupyter_port: None,
        capacity: 1,
        generation: 3,
    };
    let user = Some(user).filter(|user| !user.is_empty()).map(Into::into);
    let pin = Pin::new(&instance, BrowserId([9; 16]), user);
    let Some(sealed) = KEY.seal(&pin) else {
        assert!(pool.len() > 255 || name.len() > 255);
        return;
    };
    let forged = sealed.replacen(['A', 'B', 'C', 'D'], "_", 1);
    assert!(
        forged == sealed || KEY.open(&forged).is_none(),
        "a forged pin was taken"
    );
    assert_eq!(KEY.open(&sealed), Some(pin));
}
