//! What a login tried, for the line of the log that tells why it came to nothing: `ssh` itself says "Permission denied
//! (publickey)" and no more, and the operator who is asked about it knows neither the key nor where the gate looked.
//!
//! Nothing here has an effect on a login. Keys are kept by their fingerprints, and no more of them than fit a line.

use std::fmt;

use super::super::leg::LegError;
use super::LoginError;

/// Keys that are told; who offers more is told by number.
const KEPT_MAX: usize = 8;

/// Of one login.
#[derive(Debug, Default)]
pub(in crate::ssh) struct Tried {
    keys: Vec<Key>,
    /// Keys beyond those kept.
    more: u32,
    failures: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Key {
    fingerprint: String,
    is_listed: bool,
}

impl Tried {
    /// A key that was offered or signed with, and whether it would let its owner in. Clients offer first and sign then.
    pub(super) fn note_key(&mut self, fingerprint: String, is_listed: bool) {
        let known = |key: &&mut Key| key.fingerprint == fingerprint;
        if let Some(key) = self.keys.iter_mut().find(known) {
            key.is_listed |= is_listed;
        } else if self.keys.len() < KEPT_MAX {
            self.keys.push(Key {
                fingerprint,
                is_listed,
            });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    pub(super) fn note_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(in crate::ssh) fn fingerprints(&self) -> Vec<String> {
        let keys = self.keys.iter();
        keys.map(|key| key.fingerprint.clone()).collect()
    }

    /// Why the login came to nothing: `error` says how it ended, and mostly it is the client that ends it, having tried all it has.
    pub(in crate::ssh) fn why(&self, error: &LoginError) -> String {
        if !matches!(
            error,
            LoginError::Client(LegError::Closed | LegError::Disconnected { .. })
        ) {
            return error.to_string();
        }
        let listed = self.keys.iter().filter(|key| key.is_listed).count();
        let what = match (self.keys.len(), listed, self.failures) {
            (_, 1.., 0) => "a listed key was offered and not signed with".to_owned(),
            (_, _, 1..) => format!("{} failed tries", self.failures),
            (0, _, _) => "no key was offered".to_owned(),
            _ => "no key that was offered is listed".to_owned(),
        };
        format!("{what}, then {error}")
    }
}

/// The fingerprints, and how many more there were.
impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.keys.iter().enumerate() {
            let lead = if at == 0 { "" } else { " " };
            write!(f, "{lead}{}", key.fingerprint)?;
        }
        match (self.keys.is_empty(), self.more) {
            (true, _) => f.write_str("none"),
            (false, 0) => Ok(()),
            (false, more) => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_told_by_what_it_tried() {
        let left = LoginError::Client(LegError::Closed);
        let mut tried = Tried::default();
        assert_eq!(tried.to_string(), "none");
        assert_eq!(
            tried.why(&left),
            "no key was offered, then the connection was closed"
        );
        tried.note_key("SHA256:a".into(), false);
        tried.note_key("SHA256:b".into(), false);
        assert_eq!(tried.to_string(), "SHA256:a SHA256:b");
        assert!(tried.why(&left).starts_with("no key that was offered is"));
        tried.note_key("SHA256:b".into(), true);
        assert!(tried.why(&left).starts_with("a listed key was offered"));
        tried.note_failure();
        assert!(tried.why(&left).starts_with("1 failed tries, then"));
        let end = LoginError::TooManyTries;
        assert_eq!(tried.why(&end), end.to_string());
    }

    #[test]
    fn an_agent_full_of_keys_fits_a_line() {
        let mut tried = Tried::default();
        for number in 0..100 {
            tried.note_key(format!("SHA256:{number}"), false);
        }
        assert_eq!(tried.fingerprints().len(), KEPT_MAX);
        assert!(tried.to_string().ends_with("SHA256:7 and 92 more"));
    }
}
