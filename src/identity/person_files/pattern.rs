//! Where a person's keys lie: a path with `%u`, `%h` and `%%`, and whose the file must be.

use std::path::{Component, Path, PathBuf};

use nix::unistd::User;

use crate::identity::percent::{self, Part};
use crate::identity::strict_modes::Owner;

/// A checked pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part<Token>>,
    /// As it is written.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    User,
    Home,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("{0:?}: after % may stand u (login name), h (home folder) or %")]
    Token(String),
    #[error("{0:?}: write an absolute path, or one that begins with %h/")]
    Relative(String),
    #[error("{0:?}: a path with .. has no place here; write where it leads")]
    Parent(String),
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let token = |c| match c {
            'u' => Some(Token::User),
            'h' => Some(Token::Home),
            _ => None,
        };
        let parts = percent::parts(text, token);
        let parts = parts.ok_or_else(|| PatternError::Token(text.into()))?;
        let is_absolute = match parts.first() {
            Some(Part::Text(text)) => text.starts_with('/'),
            Some(home @ Part::Token(Token::Home)) => !parts.iter().skip(1).any(|part| part == home),
            _ => false,
        };
        if !is_absolute {
            return Err(PatternError::Relative(text.into()));
        }
        if Path::new(text)
            .components()
            .any(|part| part == Component::ParentDir)
        {
            return Err(PatternError::Parent(text.into()));
        }
        Ok(Self {
            parts,
            text: text.into(),
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file for this person and whose it must be; `None` if the pattern asks for the home folder of an account this
    /// machine does not know. Blocking: the account may be looked up in a directory service.
    pub fn expand(&self, user: &str) -> Option<(PathBuf, Owner)> {
        let account = User::from_name(user).ok().flatten();
        let mut path = String::new();
        // Where in `path` the part that belongs to the person begins.
        let mut personal: Option<usize> = None;
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Token(Token::User) => {
                    personal.get_or_insert(path.len());
                    path.push_str(user);
                }
                Part::Token(Token::Home) => {
                    path.push_str(account.as_ref()?.dir.to_str()?);
                    personal.get_or_insert(path.len());
                }
            }
        }
        let Some(personal) = personal else {
            return Some((path.into(), Owner::Operator));
        };
        // The home is the component the person's part stands in.
        let end = path
            .get(personal..)
            .and_then(|rest| rest.find('/'))
            .map_or(path.len(), |at| personal + at);
        let home = PathBuf::from(path.get(..end)?);
        let uid = account.map(|account| account.uid.as_raw());
        Some((path.into(), Owner::Person { home, uid }))
    }
}

/// Login names are validated when they are parsed; a name that could leave its folder is stopped here all the same.
pub(in crate::identity) fn is_plain_name(user: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && c != '/' && c != '\u{FFFD}';
    !user.is_empty()
        && user.len() <= 255
        && user != "."
        && user != ".."
        && user.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(pattern: &str, user: &str) -> (PathBuf, Owner) {
        Pattern::parse(pattern).unwrap().expand(user).unwrap()
    }

    #[test]
    fn the_home_is_the_component_with_the_name() {
        let person = |home: &str| Owner::Person {
            home: home.into(),
            uid: None,
        };
        let (path, owner) = expand("/shared/home/%u/.ssh/authorized_keys", "zoe-x");
        assert_eq!(path, Path::new("/shared/home/zoe-x/.ssh/authorized_keys"));
        assert_eq!(owner, person("/shared/home/zoe-x"));
        assert_eq!(expand("/h/u-%u.d/keys", "zoe-x").1, person("/h/u-zoe-x.d"));
        let (path, owner) = expand("/etc/keys/100%%/%u", "zoe-x");
        assert_eq!(path, Path::new("/etc/keys/100%/zoe-x"));
        assert_eq!(owner, person("/etc/keys/100%/zoe-x"));
        assert_eq!(expand("/etc/keys/all", "zoe-x").1, Owner::Operator);
    }

    #[test]
    fn the_home_folder_is_the_accounts() {
        let (path, owner) = expand("%h/.ssh/authorized_keys", "root");
        assert_eq!(path, Path::new("/root/.ssh/authorized_keys"));
        assert_eq!(
            owner,
            Owner::Person {
                home: "/root".into(),
                uid: Some(0)
            }
        );
        assert_eq!(
            Pattern::parse("%h/k").unwrap().expand("no-such-account"),
            None
        );
    }

    #[test]
    fn bad_patterns_are_named() {
        assert!(matches!(
            Pattern::parse("/a/%x"),
            Err(PatternError::Token(_))
        ));
        assert!(matches!(
            Pattern::parse("/a/%"),
            Err(PatternError::Token(_))
        ));
        assert!(matches!(
            Pattern::parse("a/%u"),
            Err(PatternError::Relative(_))
        ));
        assert!(matches!(Pattern::parse(""), Err(PatternError::Relative(_))));
        assert!(matches!(
            Pattern::parse("/a/../%u"),
            Err(PatternError::Parent(_))
        ));
    }

    #[test]
    fn names_that_leave_their_folder_are_stopped() {
        assert!(is_plain_name("alice@example.com"));
        for name in ["", ".", "..", "a/b", "../root", "a\0b"] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}
