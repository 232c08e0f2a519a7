//! How a gate without new logins lets its sessions end: by themselves until `drain_limit`, with warnings before the end.
//!
//! Why it takes no new logins is the caller's to say. What happens to connections after the limit is `App::stop`'s.

use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::GOODBYES;
use crate::config::show_duration;
use crate::shared_pool::{Audience, SharedPool};

/// So long before the end people are warned; under a shorter limit, a quarter of it before.
const WARNINGS: [Duration; 3] = [
    Duration::from_secs(3600),
    Duration::from_secs(600),
    Duration::from_secs(60),
];

/// Returns when no connection is left, or when the limit has passed and each session was told why it ends.
pub(super) async fn run(pool: &SharedPool, connections: &TaskTracker, limit: Duration, why: &str) {
    let warning = warn_and_end(pool, limit, why);
    tokio::select! {
        () = connections.wait() => {}
        () = warning => {
            // Whoever does not take their goodbye is ended without.
            drop(tokio::time::timeout(GOODBYES, connections.wait()).await);
        }
    }
}

async fn warn_and_end(pool: &SharedPool, limit: Duration, why: &str) {
    let mut left = limit;
    for warning in warnings(limit) {
        tokio::time::sleep(left.saturating_sub(warning)).await;
        left = warning;
        let text = format!(
            "{why} and ends this session in {}: save your work, and log in again",
            show_duration(left)
        );
        let sessions = pool.announce(&Audience::Everybody, &text, Some(left));
        tracing::info!(sessions, left = show_duration(left), "people are warned");
    }
    tokio::time::sleep(left).await;
    let reason = format!(
        "{why}, and keeps sessions for no more than {}: log in again",
        show_duration(limit)
    );
    let ended = pool.evict_all_because(&reason);
    tracing::warn!(ended, limit = "drain_limit", "sessions that are left end");
}

/// How long before the end people are warned, the longest first.
fn warnings(limit: Duration) -> Vec<Duration> {
    let within: Vec<_> = WARNINGS
        .into_iter()
        .filter(|before| *before < limit)
        .collect();
    match within.is_empty() {
        true => vec![limit / 4],
        false => within,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_before_the_end_whatever_the_limit() {
        let of = |s| {
            let warnings = warnings(Duration::from_secs(s));
            warnings.iter().map(Duration::as_secs).collect::<Vec<_>>()
        };
        assert_eq!(of(86_400), [3600, 600, 60]);
        assert_eq!(of(3600), [600, 60]);
        assert_eq!(of(61), [60]);
        assert_eq!(of(60), [15]);
        assert_eq!(of(8), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_last_connection_or_at_the_limit() {
        let pool = SharedPool::new(1);
        let connections = TaskTracker::new();
        let stays = connections.spawn(std::future::pending::<()>());
        connections.close();
        let began = tokio::time::Instant::now();
        let limit = Duration::from_secs(7200);
        run(&pool, &connections, limit, "this gate is being stopped").await;
        assert_eq!(began.elapsed(), limit + GOODBYES);
        stays.abort();
        run(&pool, &connections, limit, "this gate is being stopped").await;
        assert_eq!(began.elapsed(), limit + GOODBYES, "at once");
    }
}
