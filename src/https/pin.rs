//! The pin: a signed cookie that ties a browser to one instance.
//!
//! It is self-contained, so a restarted gate sends everybody back to where they were. Format before base64url: context
//! version, issue time, generation, browser id, three strings (a guest's pin: four) with a length byte, HMAC-SHA256 over
//! all of it. A pin that does not verify, or that names an instance which is another machine by now, is treated as if it
//! were absent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::pool::{Instance, InstanceId};

/// The prefix makes browsers refuse it from plain http, from other hosts and for other paths (RFC 6265bis 4.1.3.2).
pub const COOKIE: &str = "__Host-poolgate";

const VERSION: u8 = 1;
const MAC_LEN: usize = 32;
/// Four strings of 255 bytes and the fixed fields, in base64, and a little room.
const MAX_TEXT_LEN: usize = 1500;
/// A browser that is in use gets a new one.
const REFRESH_AGE_S: u64 = 24 * 3600;
/// As long as a hub's login by default (14 days), which may be a pin's refresh younger than its pin: a browser that is
/// closed and opened again must not bring a login to a hub that does not know it, for that hub clears it. Older pins are
/// void, whatever a browser keeps.
const MAX_AGE_S: u64 = 14 * 24 * 3600 + REFRESH_AGE_S;
/// Clocks of two gates may differ by this much.
const CLOCK_SKEW_S: u64 = 300;

/// Random; one for each browser that ever came, kept over all its pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrowserId(pub [u8; 16]);

impl BrowserId {
    /// `None` if the system gives no randomness.
    pub fn random() -> Option<Self> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).ok()?;
        Some(Self(id))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub instance: InstanceId,
    /// Of the instance when the pin was made.
    pub generation: u64,
    pub browser: BrowserId,
    /// Unix seconds.
    pub issued: u64,
    /// The name proved with this browser on this instance, so that a restarted gate can count the person again.
    pub user: Option<Arc<str>>,
    /// Who visits another person's server there, and has proved this name where they belong; then there is no `user`.
    pub guest: Option<Arc<str>>,
}

impl Pin {
    pub fn new(instance: &Instance, browser: BrowserId, user: Option<Arc<str>>) -> Self {
        Self {
            instance: instance.id.clone(),
            generation: instance.generation,
            browser,
            issued: unix_seconds(),
            user: user.filter(|name| name.len() <= usize::from(u8::MAX)),
            guest: None,
        }
    }

    fn is_in_time(&self) -> bool {
        let now = unix_seconds();
        self.issued <= now.saturating_add(CLOCK_SKEW_S)
            && now.saturating_sub(self.issued) <= MAX_AGE_S
    }

    /// Who its browser's person is, if they have logged in somewhere.
    pub fn person(&self) -> Option<&str> {
        self.user.as_deref().or(self.guest.as_deref())
    }

    /// Old enough to be issued again.
    pub fn is_stale(&self) -> bool {
        unix_seconds().saturating_sub(self.issued) > REFRESH_AGE_S
    }
}

/// Signs and verifies pins; holds the secret, and shows nothing of it.
#[derive(Clone)]
pub struct PinKey(hmac::Key);

impl PinKey {
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The cookie's value. `None` if a name in it is longer than 255 bytes.
    pub fn seal(&self, pin: &Pin) -> Option<String> {
        let mut bytes = Vec::with_capacity(160);
        bytes.push(VERSION);
        bytes.extend_from_slice(&pin.issued.to_be_bytes());
        bytes.extend_from_slice(&pin.generation.to_be_bytes());
        bytes.extend_from_slice(&pin.browser.0);
        let texts = [
            &*pin.instance.pool,
            &*pin.instance.name,
            pin.user.as_deref().unwrap_or(""),
        ];
        for text in texts.into_iter().chain(pin.guest.as_deref()) {
            bytes.push(u8::try_from(text.len()).ok()?);
            bytes.extend_from_slice(text.as_bytes());
        }
        Some(self.sign(bytes))
    }

    /// Anything signed with this key. Its first byte says what it is, and is `VERSION` for pins alone.
    pub fn sign(&self, mut bytes: Vec<u8>) -> String {
        let mac = hmac::sign(&self.0, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What this key signed.
    pub fn verify(&self, text: &str) -> Option<Vec<u8>> {
        if text.len() > MAX_TEXT_LEN {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_LEN)?)?;
        hmac::verify(&self.0, signed, mac).ok()?;
        bytes.truncate(bytes.len().saturating_sub(MAC_LEN));
        Some(bytes)
    }

    /// The pin, if this key signed it and it is not too old.
    pub fn open(&self, text: &str) -> Option<Pin> {
        let pin = parse(&self.verify(text)?)?;
        pin.is_in_time().then_some(pin)
    }
}

/// The last pin that came over a connection: a browser sends the same one with each request.
#[derive(Default)]
pub struct LastPin(Mutex<Option<(Box<str>, Pin)>>);

impl LastPin {
    /// As [`PinKey::open`], which is asked only about texts that differ from the last one.
    pub fn open(&self, text: &str, key: &PinKey) -> Option<Pin> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, pin)) = &*last
            && **known == *text
        {
            return pin.is_in_time().then(|| pin.clone());
        }
        let pin = key.open(text)?;
        *last = Some((text.into(), pin.clone()));
        Some(pin)
    }
}

/// The whole `Set-Cookie` value for a sealed pin. Lax, because the redirect back from an identity provider must carry it.
/// The pin of somebody who has logged in outlives their browser's closing, as the hub's login does: without it another hub
/// would get that login, and end it. Whoever has not is free to be placed anew.
pub fn set_cookie(sealed: &str, is_proved: bool) -> String {
    let age = match is_proved {
        true => format!("; Max-Age={MAX_AGE_S}"),
        false => String::new(),
    };
    format!("{COOKIE}={sealed}; Path=/{age}; Secure; HttpOnly; SameSite=Lax")
}

fn parse(signed: &[u8]) -> Option<Pin> {
    let (version, rest) = signed.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (issued, rest) = rest.split_first_chunk::<8>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (browser, rest) = rest.split_first_chunk::<16>()?;
    let (pool, rest) = take_text(rest)?;
    let (name, rest) = take_text(rest)?;
    let (user, rest) = take_text(rest)?;
    let (guest, rest) = match rest {
        [] => ("", rest),
        _ => take_text(rest)?,
    };
    rest.is_empty().then(|| Pin {
        instance: InstanceId {
            pool: pool.into(),
            name: name.into(),
        },
        generation: u64::from_be_bytes(*generation),
        browser: BrowserId(*browser),
        issued: u64::from_be_bytes(*issued),
        user: (!user.is_empty()).then(|| user.into()),
        guest: (!guest.is_empty()).then(|| guest.into()),
    })
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin() -> Pin {
        Pin {
            instance: InstanceId {
                pool: "main".into(),
                name: "vm1".into(),
            },
            generation: 7,
            browser: BrowserId([9; 16]),
            issued: unix_seconds(),
            user: Some("alice@example".into()),
            guest: None,
        }
    }

    #[test]
    fn a_sealed_pin_opens_to_itself() {
        let key = PinKey::new(&[1; 32]);
        let sealed = key.seal(&pin()).unwrap();
        assert_eq!(key.open(&sealed), Some(pin()));
        let guest = Pin {
            user: None,
            guest: Some("bob".into()),
            ..pin()
        };
        assert_eq!(key.open(&key.seal(&guest).unwrap()), Some(guest));
        let nobody = Pin {
            user: None,
            ..pin()
        };
        assert_eq!(key.open(&key.seal(&nobody).unwrap()), Some(nobody));
    }

    #[test]
    fn another_key_and_every_flipped_bit_are_refused() {
        let key = PinKey::new(&[1; 32]);
        let sealed = key.seal(&pin()).unwrap();
        assert_eq!(PinKey::new(&[2; 32]).open(&sealed), None);
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(&URL_SAFE_NO_PAD.encode(forged)), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(
                key.open(&URL_SAFE_NO_PAD.encode(&bytes[..len])),
                None,
                "cut at {len}"
            );
        }
    }

    #[test]
    fn old_future_oversized_and_garbled_pins_are_refused() {
        let key = PinKey::new(&[1; 32]);
        for issued in [unix_seconds() - MAX_AGE_S - 10, unix_seconds() + 3600] {
            assert_eq!(key.open(&key.seal(&Pin { issued, ..pin() }).unwrap()), None);
        }
        assert_eq!(key.open(&"A".repeat(MAX_TEXT_LEN + 1)), None);
        for garbled in ["", "=", "not base64!", "AAAA"] {
            assert_eq!(key.open(garbled), None);
        }
    }

    #[test]
    fn a_connection_knows_its_last_pin_for_as_long_as_it_is_good() {
        let (key, last) = (PinKey::new(&[1; 32]), LastPin::default());
        let old = Pin {
            issued: unix_seconds() - MAX_AGE_S + 1,
            ..pin()
        };
        let bob = Pin {
            user: Some("bob".into()),
            ..pin()
        };
        let sealed = [&pin(), &bob, &old].map(|pin| key.seal(pin).unwrap());
        for _ in 0..2 {
            assert_eq!(last.open(&sealed[0], &key), Some(pin()));
            assert_eq!(last.open(&sealed[0], &key), Some(pin()));
            assert_eq!(last.open(&sealed[1], &key), Some(bob.clone()));
            assert_eq!(last.open("forged", &key), None);
        }
        let over = Pin {
            issued: unix_seconds() - MAX_AGE_S - 1,
            ..pin()
        };
        *last.0.lock().unwrap() = Some((sealed[2].clone().into(), over));
        assert_eq!(last.open(&sealed[2], &key), None);
    }

    #[test]
    fn signed_bytes_of_a_wrong_shape_are_refused() {
        let key = PinKey::new(&[1; 32]);
        for signed in [
            &b""[..],
            b"\x01",
            b"\x02aaaaaaaabbbbbbbbccccccccccccccccc",
            &[1; 34],
        ] {
            let mut bytes = signed.to_vec();
            bytes.extend_from_slice(hmac::sign(&key.0, signed).as_ref());
            assert_eq!(key.open(&URL_SAFE_NO_PAD.encode(bytes)), None);
        }
    }
}
