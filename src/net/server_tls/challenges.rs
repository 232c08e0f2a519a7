//! What an authority may ask to see while it checks that a name is ours: a text without TLS, or a certificate within it.
//!
//! Filled by `acme` for the time of one order; empty at all other times, so that nothing here can be asked of the gate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;

/// The protocol of RFC 8737.
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

#[derive(Default)]
pub struct Challenges {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Answers by token (RFC 8555 8.3).
    texts: HashMap<String, String>,
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Challenges {
    pub fn answer_with_text(&self, token: &str, text: &str) {
        let mut open = self.open();
        open.texts.insert(token.to_owned(), text.to_owned());
    }

    pub fn answer_with_certificate(&self, name: &str, certificate: Arc<CertifiedKey>) {
        let mut open = self.open();
        open.certificates.insert(name.to_owned(), certificate);
    }

    pub fn clear(&self) {
        *self.open() = Open::default();
    }

    pub fn text(&self, token: &str) -> Option<String> {
        self.open().texts.get(token).cloned()
    }

    pub fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let open = self.open();
        open.certificates.get(&name.to_ascii_lowercase()).cloned()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
