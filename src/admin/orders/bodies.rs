//! The bodies of orders about instances and sessions, and of their answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::whole;
use crate::pool::SessionId;

/// Bytes of a reason: people read it in a terminal.
pub const REASON_MAX: usize = 500;
/// Seconds of 31 days.
pub const DEADLINE_MAX_S: u64 = 31 * 24 * 3600;

/// One line for people and for the audit log: no control characters, and at most 500 bytes.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 500,
    pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$"
)]
#[expect(dead_code, reason = "only described")]
pub struct Reason(String);

/// `NAME`, or `POOL/NAME` where several pools have an instance of that name.
#[derive(ToSchema)]
#[schema(max_length = 127, example = "main/vm1")]
#[expect(dead_code, reason = "only described")]
pub struct InstanceName(String);

/// A person's name.
#[derive(ToSchema)]
#[schema(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$", example = "alice")]
#[expect(dead_code, reason = "only described")]
pub struct PersonName(String);

/// What people type to log in: USER, USER+POOL, USER%INSTANCE or USER+POOL%INSTANCE.
#[derive(ToSchema)]
#[schema(
    pattern = r"^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}(\+[a-z0-9][a-z0-9._-]{0,62})?(%[a-z0-9][a-z0-9._-]{0,62})?$",
    example = "alice"
)]
#[expect(dead_code, reason = "only described")]
pub struct LoginName(String);

/// Nobody new is sent to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "instance": "vm1", "reason": "a disk is being replaced" })))]
pub struct CordonOrder {
    #[schema(value_type = InstanceName)]
    pub instance: String,
    #[schema(value_type = Reason)]
    pub reason: String,
    /// Only tell what would be done.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// People are sent there again, whoever had decided otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "instance": "main/vm1", "reason": "the disk is new" })))]
pub struct UncordonOrder {
    #[schema(value_type = InstanceName)]
    pub instance: String,
    /// Like that of other orders, but it may be left out or empty.
    #[serde(default)]
    #[schema(max_length = 500, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    pub reason: String,
    /// Only tell what would be done.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// Nobody new, people there are told, and it is done when they have left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "instance": "vm1", "reason": "a new kernel", "deadline_s": 7200 })))]
pub struct DrainOrder {
    #[schema(value_type = InstanceName)]
    pub instance: String,
    #[schema(value_type = Reason)]
    pub reason: String,
    /// Seconds from now until the sessions that are left are ended; without it none is, or where an operator drains the instance
    /// already, that one's deadline stays.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::option"
    )]
    #[schema(maximum = 2678400)]
    pub deadline_s: Option<u64>,
    /// Only tell what would be done.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// A session ends; its person is told why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "session": "00000000000000ff", "reason": "it runs a miner" })))]
pub struct EvictOrder {
    pub session: SessionId,
    #[schema(value_type = Reason)]
    pub reason: String,
    /// Only tell what would be done.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// The policy leaves an instance alone until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "instance": "vm1", "until": "18:00" }), json!({ "instance": "vm1", "until": "off" })))]
pub struct KeepOrder {
    #[schema(value_type = InstanceName)]
    pub instance: String,
    /// `18:00` by the pool's clock, `2h` from now, or `off`; at most 31 days away.
    #[schema(max_length = 40)]
    pub until: String,
    /// Only tell what would be done.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// What was done, to which instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    pub pool: String,
    pub instance: String,
    /// In words.
    pub text: String,
    /// Nothing was done: `text` says what would be.
    #[serde(default)]
    pub is_dry_run: bool,
}
