//! The name somebody logs in with: `USER[+POOL][%INSTANCE]`.
//!
//! Only its form is judged here: whether the person, the pool or the instance exists is for others to say. What passes
//! is safe as a path component and as an argument: no slash, no control character, no leading dash, never `.` or `..`.

use std::fmt;
use std::str::FromStr;

/// A login name taken apart; `Display` puts it together again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginName {
    pub user: String,
    /// `None`: the default pool.
    pub pool: Option<String>,
    /// `None`: whichever instance placement chooses.
    pub instance: Option<String>,
}

/// Bytes of a user's name.
pub const USER_MAX: usize = 64;
/// Bytes of a pool's or an instance's name.
pub const NAME_MAX: usize = 63;

/// Why a login name was refused. Carries no part of what was typed: people type passwords there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginNameError {
    #[error("the login name is empty: write USER, USER+POOL, USER%INSTANCE or USER+POOL%INSTANCE")]
    Empty,
    #[error("the user name has more than {USER_MAX} bytes: write a shorter one")]
    UserTooLong,
    #[error(
        "the user name must begin with a letter, a digit or '_', and hold only letters, digits, '.', '-', '_' and '@'"
    )]
    UserForm,
    #[error(
        "the pool after '+' must be 1 to {NAME_MAX} of a-z, 0-9, '.', '-' and '_', beginning with a letter or a digit"
    )]
    PoolForm,
    #[error(
        "the instance after '%' must be 1 to {NAME_MAX} of a-z, 0-9, '.', '-' and '_', beginning with a letter or a digit"
    )]
    InstanceForm,
}

impl FromStr for LoginName {
    type Err = LoginNameError;

    fn from_str(text: &str) -> Result<Self, LoginNameError> {
        let (rest, instance) = match text.split_once('%') {
            Some((rest, instance)) => (rest, Some(instance)),
            None => (text, None),
        };
        let (user, pool) = match rest.split_once('+') {
            Some((user, pool)) => (user, Some(pool)),
            None => (rest, None),
        };
        check_user(user)?;
        if !pool.is_none_or(is_name) {
            return Err(LoginNameError::PoolForm);
        }
        if !instance.is_none_or(is_name) {
            return Err(LoginNameError::InstanceForm);
        }
        Ok(Self {
            user: user.to_owned(),
            pool: pool.map(str::to_owned),
            instance: instance.map(str::to_owned),
        })
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        if let Some(pool) = &self.pool {
            write!(f, "+{pool}")?;
        }
        if let Some(instance) = &self.instance {
            write!(f, "%{instance}")?;
        }
        Ok(())
    }
}

/// Whether a pool or an instance may bear this name: `[a-z0-9][a-z0-9._-]*`, at most `NAME_MAX` bytes.
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(is_plain)
        && name
            .bytes()
            .all(|byte| is_plain(byte) || b"._-".contains(&byte))
}

/// Whether a person may bear this name; the form of `USER` alone, as a browser's login proves it.
pub fn check_user(user: &str) -> Result<(), LoginNameError> {
    let begins_well = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match user.bytes().next() {
        None => return Err(LoginNameError::Empty),
        Some(_) if user.len() > USER_MAX => return Err(LoginNameError::UserTooLong),
        Some(first) if !begins_well(first) => return Err(LoginNameError::UserForm),
        Some(_) => {}
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if user.bytes().all(fits) {
        Ok(())
    } else {
        Err(LoginNameError::UserForm)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<LoginName, LoginNameError> {
        text.parse()
    }

    #[test]
    fn takes_each_part_apart() {
        let name = |user: &str, pool: Option<&str>, instance: Option<&str>| LoginName {
            user: user.into(),
            pool: pool.map(Into::into),
            instance: instance.map(Into::into),
        };
        let cases = [
            ("alice", name("alice", None, None)),
            ("alice+gpu", name("alice", Some("gpu"), None)),
            ("alice%vm-1.a", name("alice", None, Some("vm-1.a"))),
            (
                "a.b-c_d@corp.example+gpu%vm1",
                name("a.b-c_d@corp.example", Some("gpu"), Some("vm1")),
            ),
            ("_svc", name("_svc", None, None)),
            ("7of9", name("7of9", None, None)),
            ("Alice", name("Alice", None, None)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        use LoginNameError::*;
        let long = "a".repeat(USER_MAX + 1);
        let long_pool = format!("a+{}", "p".repeat(NAME_MAX + 1));
        let cases = [
            ("", Empty),
            ("+gpu", Empty),
            ("%vm1", Empty),
            (&long, UserTooLong),
            (&long_pool, PoolForm),
            ("-oProxyCommand", UserForm),
            (".", UserForm),
            ("..", UserForm),
            ("a/b", UserForm),
            ("a\\b", UserForm),
            ("a b", UserForm),
            ("a\0", UserForm),
            ("a\u{7f}", UserForm),
            ("ä", UserForm),
            ("alice+", PoolForm),
            ("alice+GPU", PoolForm),
            ("alice+-gpu", PoolForm),
            ("alice+a+b", PoolForm),
            ("alice%", InstanceForm),
            ("alice%../x", InstanceForm),
            ("alice%a%b", InstanceForm),
            ("alice%vm1+gpu", InstanceForm),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_it_was_typed(text in "[a-zA-Z0-9_.@/+%-]{0,12}") {
            if let Ok(name) = parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn no_bytes_break_it(text in any::<String>()) {
            if let Ok(name) = parse(&text) {
                prop_assert!(!name.user.contains(['/', '+', '%', '\0', ' ']));
                prop_assert!(!name.user.starts_with(['-', '.']));
            }
        }
    }
}
