//! Random words that stand for a name, a bounded number of them; in memory only, so a restarted instance knows nobody.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const MAX_TOKENS: usize = 1000;

/// Issued tokens, the oldest first; above the bound the oldest is forgotten.
#[derive(Default)]
pub(super) struct Tokens {
    issued: Mutex<VecDeque<(String, String)>>,
}

impl Tokens {
    /// A new token for `name`.
    pub(super) fn issue(&self, name: &str) -> String {
        let token = random();
        let mut issued = self.lock();
        if issued.len() >= MAX_TOKENS {
            issued.pop_front();
        }
        issued.push_back((token.clone(), name.into()));
        token
    }

    /// Whose token this is.
    pub(super) fn holder(&self, token: &str) -> Option<String> {
        let issued = self.lock();
        let found = issued.iter().find(|(known, _)| known == token);
        found.map(|(_, name)| name.clone())
    }

    /// Whose token this was: it counts once.
    pub(super) fn redeem(&self, token: &str) -> Option<String> {
        let name = self.holder(token)?;
        self.lock().retain(|(known, _)| known != token);
        Some(name)
    }

    /// Voids every token of `name`.
    pub(super) fn forget(&self, name: &str) {
        self.lock().retain(|(_, holder)| holder != name);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, String)>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 random bits, fit for a cookie and a URL.
pub(super) fn random() -> String {
    let mut bits = [0; 16];
    // Without randomness there is no login: better to wait for it than to give out a word that can be guessed.
    while aws_lc_rs::rand::fill(&mut bits).is_err() {
        std::thread::yield_now();
    }
    URL_SAFE_NO_PAD.encode(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_counts_once_and_a_login_until_it_is_forgotten() {
        let tokens = Tokens::default();
        let code = tokens.issue("ada");
        assert_eq!(tokens.redeem(&code).as_deref(), Some("ada"));
        assert_eq!(tokens.redeem(&code), None);
        let (one, two) = (tokens.issue("ada"), tokens.issue("ben"));
        tokens.forget("ada");
        assert_eq!(tokens.holder(&one), None);
        assert_eq!(tokens.holder(&two).as_deref(), Some("ben"));
    }

    #[test]
    fn the_oldest_is_forgotten_above_the_bound() {
        let tokens = Tokens::default();
        let first = tokens.issue("ada");
        for _ in 0..MAX_TOKENS {
            tokens.issue("ben");
        }
        assert_eq!(tokens.holder(&first), None);
        assert_eq!(tokens.lock().len(), MAX_TOKENS);
    }
}
