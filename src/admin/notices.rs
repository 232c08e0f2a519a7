//! `POST /api/v1/notices`: a line for people's terminals and browsers. It speaks in the pool's
//! name, so it takes an operator.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::{InstanceName, PersonName, whole};
use super::problem::Problem;
use super::verbs::bad;
use super::{AdminState, named};
use crate::pool::SessionId;
use crate::pool::login_name::check_user;
use crate::shared_pool::Audience;

/// What fits a terminal, and the room the ssh door keeps for the gate's own words.
pub const TEXT_BYTES_MAX: usize = 1000;
const DEADLINE_MAX_S: u64 = 31 * 24 * 3600;

/// One of `session`, `user` and `instance`, or none for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "text": "the pool restarts at noon", "deadline_s": 3600 })))]
pub struct Notice {
    /// Only to this session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Only to this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PersonName>)]
    pub user: Option<String>,
    /// Only to people there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<InstanceName>)]
    pub instance: Option<String>,
    /// At most 1000 bytes.
    #[schema(min_length = 1, max_length = 1000, pattern = r"\S")]
    pub text: String,
    /// Seconds from now until which browsers that come later are shown it too.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::option"
    )]
    #[schema(maximum = 2678400)]
    pub deadline_s: Option<u64>,
    /// Only tell how many would get it.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// To how many sessions it was given; a session without a terminal shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Given {
    pub sessions: usize,
}

impl Notice {
    pub(super) fn post(&self, state: &AdminState) -> Result<Given, Problem> {
        let mut audience = self.audience().map_err(bad)?;
        if let Audience::Instance(name) = &mut audience {
            let id = named::find(name, &state.pool.snapshot().instances)?;
            *name = id.to_string();
        }
        if self.is_dry_run {
            let sessions = state.pool.count_audience(&audience);
            return Ok(Given { sessions });
        }
        let deadline = self.deadline_s.map(Duration::from_secs);
        let sessions = state.pool.announce(&audience, &self.text, deadline);
        tracing::info!(?audience, text = %self.text, sessions, "a notice was given");
        Ok(Given { sessions })
    }

    /// For the audit log.
    pub(super) fn audience_shown(&self) -> String {
        let session = self.session.map(|session| format!("session {session}"));
        let user = self.user.as_ref().map(|user| format!("user {user}"));
        let instance = self
            .instance
            .as_ref()
            .map(|name| format!("instance {name}"));
        let named: Vec<_> = [session, user, instance].into_iter().flatten().collect();
        match named.is_empty() {
            true => "everybody".to_owned(),
            false => named.join(", "),
        }
    }

    fn audience(&self) -> Result<Audience, String> {
        if self.text.trim().is_empty() || self.text.len() > TEXT_BYTES_MAX {
            let text = "text is empty or longer than 1000 bytes: write one line";
            return Err(text.to_owned());
        }
        if self.deadline_s.is_some_and(|after| after > DEADLINE_MAX_S) {
            let text = "deadline_s is more than 31 days away: write up to 2678400 seconds";
            return Err(text.to_owned());
        }
        match (self.session, &self.user, &self.instance) {
            (None, None, None) => Ok(Audience::Everybody),
            (Some(session), None, None) => Ok(Audience::Session(session)),
            (None, Some(user), None) => {
                check_user(user).map_err(|fault| format!("user: {fault}"))?;
                Ok(Audience::User(user.clone()))
            }
            (None, None, Some(instance)) => Ok(Audience::Instance(instance.clone())),
            _ => {
                let text = "name one of session, user and instance, or none of them for everybody";
                Err(text.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_for_one_kind_of_audience_and_says_something() {
        let notice = |text: &str, user: Option<&str>, instance: Option<&str>| Notice {
            text: text.to_owned(),
            user: user.map(str::to_owned),
            instance: instance.map(str::to_owned),
            session: None,
            deadline_s: None,
            is_dry_run: false,
        };
        assert_eq!(notice("x", None, None).audience(), Ok(Audience::Everybody));
        let user = Audience::User("alice".to_owned());
        assert_eq!(notice("x", Some("alice"), None).audience(), Ok(user));
        assert!(notice("x", Some("alice"), Some("vm1")).audience().is_err());
        let late = Notice {
            deadline_s: Some(DEADLINE_MAX_S + 1),
            ..notice("x", None, None)
        };
        assert!(late.audience().is_err());
        assert!(notice(" ", None, None).audience().is_err());
        assert!(notice(&"x".repeat(1001), None, None).audience().is_err());
    }
}
