//! The collector of traces: whether it takes what the gate would send. Nobody is kept out while it does not, so it never fails.

use super::Check;
use crate::config::Config;
use crate::telemetry::traces::export;

pub(super) async fn look(config: &Config) -> Option<Check> {
    let traces = config.traces.as_ref()?;
    let (subject, endpoint) = ("traces.endpoint", &traces.endpoint);
    Some(match export::examine(traces).await {
        Ok(says) => Check::ok(subject, format!("{endpoint} {says}")),
        Err(why) => Check::warn(
            subject,
            format!("{endpoint} takes no traces: {why}"),
            format!(
                "curl -i -H 'content-type: application/x-protobuf' --data-binary '' {endpoint}: a collector's port for OTLP/HTTP is usually 4318 (4317 is gRPC's)"
            ),
        ),
    })
}
