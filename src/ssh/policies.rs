//! Which rules hold for whom: a pool's own, or those of the first group that a person is in.
//!
//! Groups of the gate's host are asked for only where a rule names one; without an answer nobody gets in, since the rules
//! that would hold are not known.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Policy;
use crate::config::{Endpoint, PolicyConfig, PolicyRules, PoolConfig};
use crate::identity::{Grant, unix_groups};

/// Of every pool.
pub(super) struct Policies {
    pools: BTreeMap<String, PoolPolicy>,
    /// How long a directory service may take.
    patience: Duration,
}

struct PoolPolicy {
    rules: Arc<PolicyRules>,
    denied: Arc<[Endpoint]>,
    groups: Vec<Group>,
}

struct Group {
    users: Vec<String>,
    unix_groups: Vec<String>,
    rules: Arc<PolicyRules>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PolicyError {
    #[error("the groups of {user} cannot be found out: {source}")]
    Groups { user: String, source: io::Error },
    #[error("pool {0} has no rules")]
    NoPool(String),
}

impl Policies {
    pub fn new(pools: &BTreeMap<String, PoolConfig>, patience: Duration) -> Self {
        let pool =
            |(name, pool): (&String, &PoolConfig)| (name.clone(), PoolPolicy::of(&pool.policy));
        Self {
            pools: pools.iter().map(pool).collect(),
            patience,
        }
    }

    /// What this person may do in a session of this pool.
    pub async fn policy_for(&self, pool: &str, grant: &Grant) -> Result<Policy, PolicyError> {
        let known = self.pools.get(pool);
        let known = known.ok_or_else(|| PolicyError::NoPool(pool.to_owned()))?;
        let user = grant.user();
        let groups = match known.asks_for_groups() {
            true => self.groups_of(user).await?,
            false => Vec::new(),
        };
        let rules = known.rules_for(user, &groups).clone();
        Ok(Policy::new(
            rules,
            known.denied.clone(),
            grant.restrictions().clone(),
        ))
    }

    async fn groups_of(&self, user: &str) -> Result<Vec<String>, PolicyError> {
        let asked = user.to_owned();
        let asking = tokio::task::spawn_blocking(move || unix_groups::groups_of(&asked));
        let answer = match tokio::time::timeout(self.patience, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(broken)) => Err(io::Error::other(broken)),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        answer.map_err(|source| PolicyError::Groups {
            user: user.to_owned(),
            source,
        })
    }
}

impl PoolPolicy {
    fn of(config: &PolicyConfig) -> Self {
        let groups = config.groups.iter().map(|group| Group {
            users: group.users.clone(),
            unix_groups: group.unix_groups.clone(),
            rules: Arc::new(group.rules.clone()),
        });
        Self {
            rules: Arc::new(config.rules.clone()),
            denied: config.deny_forward_to.clone().into(),
            groups: groups.collect(),
        }
    }

    fn asks_for_groups(&self) -> bool {
        self.groups
            .iter()
            .any(|group| !group.unix_groups.is_empty())
    }

    fn rules_for(&self, user: &str, groups: &[String]) -> &Arc<PolicyRules> {
        let is_in = |group: &&Group| {
            group.users.iter().any(|listed| listed == user)
                || group
                    .unix_groups
                    .iter()
                    .any(|listed| groups.contains(listed))
        };
        let found = self.groups.iter().find(is_in);
        found.map_or(&self.rules, |group| &group.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PolicyGroup, Programs};

    #[test]
    fn the_first_group_of_a_person_counts() {
        let rules = |programs| PolicyRules {
            programs,
            ..PolicyConfig::default().rules
        };
        let group = |users: &[&str], unix_groups: &[&str], programs| PolicyGroup {
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            unix_groups: unix_groups.iter().map(|name| (*name).to_owned()).collect(),
            rules: rules(programs),
        };
        let policy = PoolPolicy::of(&PolicyConfig {
            groups: vec![
                group(&["alice"], &[], Programs::Exec),
                group(&["bob"], &["students"], Programs::Sftp),
            ],
            ..PolicyConfig::default()
        });
        let students = ["students".to_owned()];
        assert!(policy.asks_for_groups());
        assert_eq!(
            policy.rules_for("alice", &students).programs,
            Programs::Exec
        );
        assert_eq!(policy.rules_for("bob", &[]).programs, Programs::Sftp);
        assert_eq!(
            policy.rules_for("carol", &students).programs,
            Programs::Sftp
        );
        assert_eq!(policy.rules_for("carol", &[]).programs, Programs::Any);
    }
}
