//! How long a session may last, and how long it may be idle: when to warn its person, and when it is over.
//!
//! Pure: moments come in. Idle is a session on whose channels no data move, either way; keepalives and window grants count
//! for nothing. Both bounds are off unless configured.

use std::time::{Duration, Instant};

/// A warning comes this long before the end, or after three quarters of a shorter time.
const WARNING: Duration = Duration::from_secs(60);

/// `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub idle: Option<Duration>,
    pub session: Option<Duration>,
}

/// What the clock calls for.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    Warn(String),
    End(String),
}

/// One session's time.
#[derive(Debug)]
pub struct Clock {
    bounds: Bounds,
    began: Instant,
    is_warned: bool,
    /// The last move of data that a warning of idleness was given for.
    warned_idle: Option<Instant>,
}

impl Clock {
    pub fn new(bounds: Bounds, began: Instant) -> Self {
        Self {
            bounds,
            began,
            is_warned: false,
            warned_idle: None,
        }
    }

    /// When to ask again, if data last moved then.
    pub fn next(&self, moved: Instant) -> Option<Instant> {
        let session = self
            .bounds
            .session
            .map(|limit| self.began + due(limit, self.is_warned));
        let idle = self
            .bounds
            .idle
            .map(|limit| moved + due(limit, self.warned_idle == Some(moved)));
        [session, idle].into_iter().flatten().min()
    }

    pub fn check(&mut self, now: Instant, moved: Instant) -> Option<Call> {
        let session = self.bounds.session.map(|limit| (limit, self.began + limit));
        let idle = self.bounds.idle.map(|limit| (limit, moved + limit));
        if let Some((limit, end)) = session {
            if now >= end {
                let text = format!("it has reached its limit of {}", in_words(limit));
                return Some(Call::End(text));
            }
            if !self.is_warned && now >= self.began + due(limit, false) {
                self.is_warned = true;
                let left = in_words(end - now);
                let text = format!(
                    "this session ends in {left}: it reaches its limit of {}",
                    in_words(limit)
                );
                return Some(Call::Warn(text));
            }
        }
        let (limit, end) = idle?;
        if now >= end {
            return Some(Call::End(format!("it was idle for {}", in_words(limit))));
        }
        if self.warned_idle != Some(moved) && now >= moved + due(limit, false) {
            self.warned_idle = Some(moved);
            let left = in_words(end - now);
            let text = format!(
                "this session ends in {left} unless something is typed or shown: it is idle"
            );
            return Some(Call::Warn(text));
        }
        None
    }
}

/// When something is due within a limit: the warning first, then the end.
fn due(limit: Duration, is_warned: bool) -> Duration {
    match is_warned {
        true => limit,
        false => limit - WARNING.min(limit / 4),
    }
}

/// In the largest units that tell it well enough.
fn in_words(time: Duration) -> String {
    // Rounded up: a clock that rings a little late must not say "0 minutes".
    let seconds = time.as_secs() + u64::from(time.subsec_millis() > 0);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn nothing_is_due_without_bounds() {
        let began = Instant::now();
        let mut clock = Clock::new(Bounds::default(), began);
        assert_eq!(clock.next(began), None);
        assert_eq!(clock.check(began + seconds(1_000_000), began), None);
    }

    #[test]
    fn idleness_is_warned_of_once_and_anew_after_data() {
        let began = Instant::now();
        let bounds = Bounds {
            idle: Some(seconds(600)),
            session: None,
        };
        let mut clock = Clock::new(bounds, began);
        assert_eq!(clock.next(began), Some(began + seconds(540)));
        assert_eq!(clock.check(began + seconds(539), began), None);
        let warning =
            "this session ends in 60 seconds unless something is typed or shown: it is idle";
        assert_eq!(
            clock.check(began + seconds(540), began),
            Some(Call::Warn(warning.to_owned()))
        );
        assert_eq!(clock.check(began + seconds(541), began), None);
        assert_eq!(clock.next(began), Some(began + seconds(600)));
        let moved = began + seconds(550);
        assert_eq!(clock.check(began + seconds(600), moved), None);
        assert_eq!(clock.next(moved), Some(moved + seconds(540)));
        assert!(matches!(
            clock.check(moved + seconds(540), moved),
            Some(Call::Warn(_))
        ));
        let end = Call::End("it was idle for 10 minutes".to_owned());
        assert_eq!(clock.check(moved + seconds(600), moved), Some(end));
    }

    #[test]
    fn a_session_ends_however_busy_it_is() {
        let began = Instant::now();
        let bounds = Bounds {
            idle: None,
            session: Some(seconds(8)),
        };
        let mut clock = Clock::new(bounds, began);
        assert_eq!(clock.next(began), Some(began + seconds(6)));
        let now = began + seconds(6);
        assert!(matches!(clock.check(now, now), Some(Call::Warn(_))));
        assert_eq!(clock.next(now), Some(began + seconds(8)));
        let end = Call::End("it has reached its limit of 8 seconds".to_owned());
        assert_eq!(clock.check(began + seconds(8), now), Some(end));
    }
}
