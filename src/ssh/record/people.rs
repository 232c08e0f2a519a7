//! Whose terminals are recorded: everybody's, or those of some people and groups.
//!
//! Groups are the gate's own host's, as `id` shows them. They are looked up off the runtime's threads, as a directory may hang;
//! a question without an answer counts as a yes, since no recording is what cannot be made good.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::unix_groups;

/// How long one look-up of a person's groups may take.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct People {
    users: Vec<String>,
    groups: Arc<[String]>,
}

impl People {
    /// Without users and groups: everybody.
    pub fn new(users: &[String], groups: &[String]) -> Self {
        Self {
            users: users.to_vec(),
            groups: groups.into(),
        }
    }

    pub async fn has(&self, user: &str) -> bool {
        if self.users.is_empty() && self.groups.is_empty() {
            return true;
        }
        if self.users.iter().any(|name| name == user) {
            return true;
        }
        if self.groups.is_empty() {
            return false;
        }
        let (groups, name) = (self.groups.clone(), user.to_owned());
        let asked = tokio::task::spawn_blocking(move || is_in_one(&name, &groups));
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(Ok(is_in_one))) => is_in_one,
            Ok(Ok(Err(error))) => {
                tracing::warn!(user, %error, "the groups cannot be looked up: this session is recorded");
                true
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(
                    user,
                    "the groups were not told within {TIMEOUT:?}: this session is recorded"
                );
                true
            }
        }
    }
}

fn is_in_one(user: &str, groups: &[String]) -> io::Result<bool> {
    let theirs = unix_groups::groups_of(user)?;
    Ok(theirs.iter().any(|group| groups.contains(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(users: &[&str], groups: &[&str]) -> People {
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        People::new(&owned(users), &owned(groups))
    }

    #[tokio::test]
    async fn without_names_everybody_is_recorded() {
        assert!(people(&[], &[]).has("alice").await);
    }

    #[tokio::test]
    async fn people_are_named_by_themselves_or_by_a_group() {
        assert!(people(&["alice"], &[]).has("alice").await);
        assert!(!people(&["alice"], &[]).has("bob").await);
        assert!(people(&[], &["no-such-group", "root"]).has("root").await);
        assert!(!people(&["alice"], &["root"]).has("nobody").await);
        assert!(!people(&[], &["root"]).has("no-such-person").await);
    }
}
