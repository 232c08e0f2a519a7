//! From what a provider vouches for to who somebody is here, and which role they have: pure.
//!
//! A mail address that nobody has checked is no name: whoever opens an account somewhere may write any into it.

use serde_json::{Map, Value};

use super::super::roles::Role;
use crate::config::{Member, OidcConfig, OidcRoles};

pub type Claims = Map<String, Value>;

/// As long as a line of the audit log should hold.
const NAME_CHARS_MAX: usize = 128;
/// Looked at, of all the groups somebody may be in.
const GROUPS_MAX: usize = 2000;

/// Somebody with a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub role: Role,
}

/// Why somebody whom the provider knows is nobody here; what to do, in words for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    #[error(
        "the provider tells no {0:?} of your account: an admin of this gate writes another name_claim in [admin.oidc], or has the provider tell it"
    )]
    Nameless(String),
    #[error(
        "nobody has checked the mail address {0} of your account: confirm it at the provider, or have an admin of this gate write another name_claim in [admin.oidc]"
    )]
    Unchecked(String),
    #[error(
        "you are {name}, and nobody with a role here: ask an admin of this gate to write {name:?}{groups} into roles of [admin.oidc]"
    )]
    NoRole { name: String, groups: String },
}

/// Whether the claims lack something that another answer of the provider may have.
pub fn is_incomplete(claims: &Claims, config: &OidcConfig) -> bool {
    let asks_groups = config
        .roles
        .all()
        .any(|one| matches!(one, Member::Group(_)));
    !claims.contains_key(&config.name_claim)
        || asks_groups && !claims.contains_key(&config.groups_claim)
}

/// # Errors
/// They have no name, or no role.
pub fn judge(claims: &Claims, config: &OidcConfig) -> Result<Person, Stranger> {
    let name = name(claims, &config.name_claim)?;
    let groups = groups(claims, &config.groups_claim);
    match role(&name, &groups, &config.roles) {
        Some(role) => Ok(Person { name, role }),
        None => {
            let groups = told(&groups, claims);
            Err(Stranger::NoRole { name, groups })
        }
    }
}

fn name(claims: &Claims, claim: &str) -> Result<String, Stranger> {
    let name = claims.get(claim).and_then(Value::as_str).unwrap_or("");
    let is_name = !name.trim().is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.contains(char::is_control);
    if !is_name {
        return Err(Stranger::Nameless(claim.to_owned()));
    }
    if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(Stranger::Unchecked(name.to_owned()));
    }
    Ok(name.to_owned())
}

fn groups<'a>(claims: &'a Claims, claim: &str) -> Vec<&'a str> {
    match claims.get(claim) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => {
            let texts = list.iter().filter_map(Value::as_str);
            texts.take(GROUPS_MAX).collect()
        }
        _ => Vec::new(),
    }
}

fn role(name: &str, groups: &[&str], roles: &OidcRoles) -> Option<Role> {
    let is_one = |member: &Member| match member {
        Member::Everybody => true,
        Member::Name(one) => one == name,
        Member::Group(one) => groups.contains(&one.as_str()),
    };
    let by_rank = [
        (Role::Admin, &roles.admin),
        (Role::Operator, &roles.operator),
        (Role::Viewer, &roles.viewer),
    ];
    let mut having = by_rank.into_iter().filter(|(_, of)| of.iter().any(is_one));
    having.next().map(|(role, _)| role)
}

/// Some of the groups, as an admin would write them.
fn told(groups: &[&str], claims: &Claims) -> String {
    const TOLD_MAX: usize = 5;
    let shown = groups.iter().filter(|group| {
        group.chars().count() <= NAME_CHARS_MAX && !group.contains(char::is_control)
    });
    let shown: Vec<_> = shown
        .take(TOLD_MAX)
        .map(|group| format!("\"group:{group}\""))
        .collect();
    // What Entra ID tells in place of more groups than fit.
    let is_cut = claims.contains_key("_claim_names") || claims.contains_key("hasgroups");
    match (shown.is_empty(), is_cut) {
        (true, true) => {
            " (your groups are too many for the provider to tell: app roles are few)".to_owned()
        }
        (true, false) => String::new(),
        (false, _) => format!(" or one of your groups ({})", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
