//! Tells operators that a certificate of the gate's ends soon: 21, 7 and 1 days before, and every day after.
//!
//! One rule for all of them, those of TLS and those of ssh host keys. A certificate of a few days is not told of at its birth: a
//! threshold counts only where it is late in the lifetime.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);
const THRESHOLDS: [Duration; 3] = [
    Duration::from_secs(24 * 3600),
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(21 * 24 * 3600),
];
/// Automatic renewal is done by then.
const LATE_SHARE: u32 = 4;

/// A certificate that the gate shows, and for how long it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// As people find it: its first name, or its file.
    pub name: String,
    pub kind: Kind,
    pub begin: SystemTime,
    pub end: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tls,
    /// Of an ssh host key.
    HostKey,
}

impl Kind {
    const fn remedy(self) -> &'static str {
        match self {
            Self::Tls => "renew it",
            Self::HostKey => {
                "sign the key again (ssh-keygen -s CA -h), which is then read by itself"
            }
        }
    }

    const fn consequence(self) -> &'static str {
        match self {
            Self::Tls => "browsers refuse it",
            Self::HostKey => "clients that trust its authority alone refuse the gate",
        }
    }
}

/// What operators were told of last.
#[derive(Debug, Default)]
pub struct Expiry {
    told: BTreeMap<String, (SystemTime, Stage)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Less than this is left.
    Within(Duration),
    /// Over for so many whole days.
    Ended(u64),
}

impl Expiry {
    /// What is news of their ends, in words; the log is told as well.
    pub fn look(&mut self, all: &[Lifetime], now: SystemTime) -> Vec<String> {
        let mut ends = Vec::new();
        for one in all {
            let Some(stage) = stage(one, now) else {
                continue;
            };
            let news = (one.end, stage);
            if self.told.insert(one.name.clone(), news) == Some(news) {
                continue;
            }
            let certificate = one.name.as_str();
            match stage {
                Stage::Within(threshold) => {
                    let left = one.end.duration_since(now).unwrap_or_default();
                    let hours_left = left.as_secs() / 3600;
                    if threshold <= DAY {
                        tracing::error!(certificate, hours_left, "a certificate ends within a day");
                    } else {
                        tracing::warn!(
                            certificate,
                            hours_left,
                            "a certificate ends soon; renew it"
                        );
                    }
                    let remedy = one.kind.remedy();
                    ends.push(format!(
                        "the certificate {certificate} ends in {hours_left} hours: {remedy}"
                    ));
                }
                Stage::Ended(_) => {
                    let consequence = one.kind.consequence();
                    tracing::error!(certificate, "a certificate has ended: {consequence}");
                    ends.push(format!(
                        "the certificate {certificate} has ended: {consequence}"
                    ));
                }
            }
        }
        self.told
            .retain(|name, _| all.iter().any(|one| one.name == *name));
        ends
    }
}

fn stage(one: &Lifetime, now: SystemTime) -> Option<Stage> {
    match one.end.duration_since(now) {
        Err(over) => Some(Stage::Ended(over.duration().as_secs() / DAY.as_secs())),
        Ok(left) => {
            let lifetime = one.end.duration_since(one.begin).unwrap_or_default();
            let late = lifetime / LATE_SHARE;
            let mut thresholds = THRESHOLDS.iter();
            let passed = thresholds.find(|threshold| left <= **threshold && **threshold <= late);
            passed.map(|threshold| Stage::Within(*threshold))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lifetime: Duration) -> Lifetime {
        let begin = SystemTime::UNIX_EPOCH + DAY * 20_000;
        Lifetime {
            name: "pool.example".to_owned(),
            kind: Kind::Tls,
            begin,
            end: begin + lifetime,
        }
    }

    #[test]
    fn operators_are_told_at_three_weeks_one_week_and_a_day() {
        let one = of(DAY * 90);
        let at = |left: Duration| stage(&one, one.end - left);
        assert_eq!(at(DAY * 22), None);
        assert_eq!(at(DAY * 21), Some(Stage::Within(DAY * 21)));
        assert_eq!(at(DAY * 8), Some(Stage::Within(DAY * 21)));
        assert_eq!(at(DAY * 7), Some(Stage::Within(DAY * 7)));
        assert_eq!(at(DAY), Some(Stage::Within(DAY)));
        assert_eq!(stage(&one, one.end + DAY * 2), Some(Stage::Ended(2)));
    }

    #[test]
    fn a_short_lived_certificate_is_not_told_of_at_its_birth() {
        let one = of(DAY * 6);
        assert_eq!(stage(&one, one.end - DAY * 5), None);
        assert_eq!(stage(&one, one.end - DAY), Some(Stage::Within(DAY)));
    }

    #[test]
    fn each_stage_is_told_once() {
        let one = of(DAY * 90);
        let end = one.end;
        let host_key = Lifetime {
            name: "/etc/poolgate/key-cert.pub".to_owned(),
            kind: Kind::HostKey,
            ..one.clone()
        };
        let all = [one, host_key];
        let mut expiry = Expiry::default();
        let told = expiry.look(&all, end - DAY * 5);
        assert_eq!(told.len(), 2);
        assert_eq!(
            told[0],
            "the certificate pool.example ends in 120 hours: renew it"
        );
        assert!(
            told[1].ends_with("which is then read by itself"),
            "{told:?}"
        );
        assert!(expiry.look(&all, end - DAY * 4).is_empty());
        let over = expiry.look(&all[..1], end + DAY);
        assert_eq!(
            over,
            ["the certificate pool.example has ended: browsers refuse it"]
        );
        expiry.look(&[], end);
        assert!(expiry.told.is_empty());
    }
}
