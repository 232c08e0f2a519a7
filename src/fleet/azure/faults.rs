//! What Azure's refusals mean, by their code and status. Pure.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::fleet::FleetFault;

/// Where Azure asks to wait without saying how long.
const WAIT_DEFAULT: Duration = Duration::from_secs(60);
/// A longer wait is looked at again all the same.
const WAIT_MAX: Duration = Duration::from_secs(3600);

const MESSAGE_CHARS_MAX: usize = 300;

#[derive(Default, Deserialize)]
struct Envelope {
    error: Option<Reason>,
}

/// Azure's word and its explanation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    pub code: String,
    pub message: String,
}

/// What a refusal of `what` (a command in words) means.
pub(super) fn of_answer(
    what: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> FleetFault {
    let reason = serde_json::from_slice::<Envelope>(body)
        .unwrap_or_default()
        .error
        .unwrap_or_default();
    let said = said(what, status.as_str(), &reason);
    let after = retry_after(headers);
    match status {
        StatusCode::TOO_MANY_REQUESTS => FleetFault::Throttled {
            what: said,
            after: after.unwrap_or(WAIT_DEFAULT),
        },
        StatusCode::SERVICE_UNAVAILABLE if after.is_some() => FleetFault::Throttled {
            what: said,
            after: after.unwrap_or(WAIT_DEFAULT),
        },
        _ => by_code(&reason, said.clone()).unwrap_or_else(|| match status.as_u16() {
            401 | 403 => FleetFault::Auth(said),
            404 => FleetFault::NotFound(said),
            409 | 412 => FleetFault::Conflict(said),
            408 | 500.. => FleetFault::Transient(said),
            _ => FleetFault::Fatal(said),
        }),
    }
}

/// Why an operation that was accepted has failed.
pub(super) fn of_operation(what: &str, status: &str, reason: &Reason) -> FleetFault {
    let said = said(what, status, reason);
    by_code(reason, said.clone()).unwrap_or(FleetFault::Transient(said))
}

fn by_code(reason: &Reason, said: String) -> Option<FleetFault> {
    let is_quota = || reason.message.to_ascii_lowercase().contains("quota");
    Some(match reason.code.as_str() {
        "QuotaExceeded" => FleetFault::Quota(said),
        "OperationNotAllowed" if is_quota() => FleetFault::Quota(said),
        "SkuNotAvailable"
        | "AllocationFailed"
        | "ZonalAllocationFailed"
        | "OverconstrainedAllocationRequest"
        | "OverconstrainedZonalAllocationRequest" => FleetFault::NoCapacity(said),
        "ConditionNotMet"
        | "OperationPreempted"
        | "Conflict"
        | "OperationInProgress"
        | "AnotherOperationInProgress" => FleetFault::Conflict(said),
        "AuthorizationFailed" | "LinkedAuthorizationFailed" | "InvalidAuthenticationToken" => {
            FleetFault::Auth(said)
        }
        "ScaleSetNotFound"
        | "ResourceNotFound"
        | "ResourceGroupNotFound"
        | "SubscriptionNotFound" => FleetFault::NotFound(said),
        "InternalExecutionError" | "InternalServerError" | "NetworkingInternalOperationError" => {
            FleetFault::Transient(said)
        }
        _ => return None,
    })
}

fn said(what: &str, status: &str, reason: &Reason) -> String {
    match reason.code.as_str() {
        "" => format!("{what}: Azure says {status}"),
        code => format!(
            "{what}: Azure says {status} {code}: {}",
            shortened(&reason.message)
        ),
    }
}

/// In seconds, as Azure writes it; no date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// Somebody else's words, fit for one line of a log.
pub(super) fn shortened(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, code: &str, message: &str) -> &'static str {
        let body = serde_json::json!({ "error": { "code": code, "message": message } });
        let status = StatusCode::from_u16(status).unwrap();
        of_answer(
            "growing",
            status,
            &HeaderMap::new(),
            body.to_string().as_bytes(),
        )
        .kind()
    }

    #[test]
    fn codes_say_more_than_statuses() {
        assert_eq!(kind(412, "ConditionNotMet", ""), "conflict");
        assert_eq!(
            kind(409, "OperationNotAllowed", "exceeding approved Cores Quota"),
            "quota"
        );
        assert_eq!(
            kind(409, "OperationNotAllowed", "the host is isolated"),
            "conflict"
        );
        assert_eq!(kind(400, "QuotaExceeded", ""), "quota");
        assert_eq!(kind(409, "SkuNotAvailable", ""), "no-capacity");
        assert_eq!(kind(403, "AuthorizationFailed", ""), "auth");
        assert_eq!(kind(404, "ResourceNotFound", ""), "not-found");
        assert_eq!(kind(400, "InvalidParameter", ""), "fatal");
        assert_eq!(kind(500, "", ""), "transient");
        assert_eq!(kind(502, "NoSuchCode", ""), "transient");
    }

    #[test]
    fn a_throttled_caller_waits_as_long_as_it_is_told() {
        let mut headers = HeaderMap::new();
        let after = |headers: &HeaderMap| {
            let fault = of_answer("x", StatusCode::TOO_MANY_REQUESTS, headers, b"<html>");
            fault.wait_at_least().as_secs()
        };
        assert_eq!(after(&headers), 60);
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(after(&headers), 7);
        headers.insert(header::RETRY_AFTER, "999999999".parse().unwrap());
        assert_eq!(after(&headers), 3600);
    }

    #[test]
    fn an_operation_that_was_overtaken_is_a_conflict() {
        let reason = Reason {
            code: "OperationPreempted".into(),
            message: "by a more recent\noperation".into(),
        };
        let fault = of_operation("growing", "Failed", &reason);
        assert_eq!(fault.kind(), "conflict");
        assert!(!fault.to_string().contains('\n'));
    }
}
