//! How an operation goes, from the answer to one question after it. Pure.

use std::time::Duration;

use http::StatusCode;

use super::client::Reply;
use super::faults;
use super::wire::Progress;
use crate::fleet::control::{OpState, PollBy};

/// Azure allows 15 such questions a minute.
const AGAIN_MIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);

pub(super) fn state(by: PollBy, reply: &Reply) -> OpState {
    let again_in = faults::retry_after(&reply.headers).unwrap_or(AGAIN_MIN);
    let running = OpState::Running {
        again_in: again_in.clamp(AGAIN_MIN, AGAIN_MAX),
    };
    match by {
        PollBy::Code if reply.status == StatusCode::ACCEPTED => running,
        PollBy::Code => OpState::Done,
        PollBy::Status => {
            let progress = serde_json::from_slice::<Progress>(&reply.body).unwrap_or_default();
            match progress.status.to_ascii_lowercase().as_str() {
                "succeeded" => OpState::Done,
                "failed" | "canceled" => {
                    let what = "the operation has ended";
                    let reason = progress.error.unwrap_or_default();
                    OpState::Failed(faults::of_operation(what, &progress.status, &reason))
                }
                // Words for going on differ from service to service; an answer that cannot be read is asked for again.
                _ => running,
            }
        }
    }
}

/// Of several answers the worst, then the slowest.
pub(super) fn together(states: Vec<OpState>) -> OpState {
    let weight = |state: &OpState| match state {
        OpState::Done => Duration::ZERO,
        OpState::Running { again_in } => *again_in,
        OpState::Failed(_) => Duration::MAX,
    };
    states
        .into_iter()
        .max_by_key(weight)
        .unwrap_or(OpState::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::FleetFault;
    use bytes::Bytes;
    use http::HeaderMap;

    fn reply(status: u16, retry_after: &'static str, body: &'static str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", retry_after.parse().unwrap());
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn seconds(state: &OpState) -> Option<u64> {
        match state {
            OpState::Running { again_in } => Some(again_in.as_secs()),
            OpState::Done | OpState::Failed(_) => None,
        }
    }

    #[test]
    fn both_ways_of_telling_are_understood() {
        let going = state(
            PollBy::Status,
            &reply(200, "17", "{\"status\":\"InProgress\"}"),
        );
        assert_eq!(seconds(&going), Some(17));
        let hasty = state(PollBy::Code, &reply(202, "0", ""));
        assert_eq!(seconds(&hasty), Some(5));
        assert_eq!(state(PollBy::Code, &reply(204, "0", "")), OpState::Done);
        let done = reply(200, "0", "{\"status\":\"succeeded\",\"error\":{}}");
        assert_eq!(state(PollBy::Status, &done), OpState::Done);
        let torn = state(PollBy::Status, &reply(200, "9", "{\"stat"));
        assert_eq!(seconds(&torn), Some(9));
        let full =
            "{\"status\":\"Failed\",\"error\":{\"code\":\"AllocationFailed\",\"message\":\"m\"}}";
        let OpState::Failed(fault) = state(PollBy::Status, &reply(200, "0", full)) else {
            panic!("it failed");
        };
        assert_eq!(fault.kind(), "no-capacity");
    }

    #[test]
    fn one_failure_among_several_shows() {
        let running = |seconds| OpState::Running {
            again_in: Duration::from_secs(seconds),
        };
        let failed = OpState::Failed(FleetFault::Transient("x".into()));
        assert_eq!(
            together(vec![OpState::Done, running(3), running(9)]),
            running(9)
        );
        assert_eq!(together(vec![running(3), failed.clone()]), failed);
        assert_eq!(together(Vec::new()), OpState::Done);
    }
}
