//! Tells operators that a certificate ends soon: 21, 7 and 1 days before, and every day after.
//!
//! A certificate of a few days is not told of at its birth: a threshold counts only where it is late in the lifetime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::pair::Pair;

const DAY: Duration = Duration::from_secs(24 * 3600);
const THRESHOLDS: [Duration; 3] = [
    Duration::from_secs(24 * 3600),
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(21 * 24 * 3600),
];
/// Automatic renewal is done by then.
const LATE_SHARE: u32 = 4;

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
    pub fn look(&mut self, pairs: &[Arc<Pair>], now: SystemTime) -> Vec<String> {
        let mut ends = Vec::new();
        for pair in pairs {
            let Some(stage) = stage(pair, now) else {
                continue;
            };
            let news = (pair.not_after, stage);
            if self.told.insert(pair.name().to_owned(), news) == Some(news) {
                continue;
            }
            let certificate = pair.name();
            match stage {
                Stage::Within(threshold) => {
                    let left = pair.not_after.duration_since(now).unwrap_or_default();
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
                    ends.push(format!(
                        "the certificate {certificate} ends in {hours_left} hours: renew it"
                    ));
                }
                Stage::Ended(_) => {
                    tracing::error!(certificate, "a certificate has ended: browsers refuse it");
                    ends.push(format!(
                        "the certificate {certificate} has ended: browsers refuse it"
                    ));
                }
            }
        }
        self.told
            .retain(|name, _| pairs.iter().any(|pair| pair.name() == name));
        ends
    }
}

fn stage(pair: &Pair, now: SystemTime) -> Option<Stage> {
    match pair.not_after.duration_since(now) {
        Err(over) => Some(Stage::Ended(over.duration().as_secs() / DAY.as_secs())),
        Ok(left) => {
            let late = pair.lifetime() / LATE_SHARE;
            let mut thresholds = THRESHOLDS.iter();
            let passed = thresholds.find(|threshold| left <= **threshold && **threshold <= late);
            passed.map(|threshold| Stage::Within(*threshold))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn pair(lifetime: Duration) -> (Pair, SystemTime) {
        let start = SystemTime::now();
        let mut params = CertificateParams::new(vec!["pool.example".to_owned()]).unwrap();
        params.not_before = start.into();
        params.not_after = (start + lifetime).into();
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let pair = Pair::new(vec![made.der().clone()], key.into()).unwrap();
        let end = pair.not_after;
        (pair, end)
    }

    #[test]
    fn operators_are_told_at_three_weeks_one_week_and_a_day() {
        let (pair, end) = pair(DAY * 90);
        let at = |left: Duration| stage(&pair, end - left);
        assert_eq!(at(DAY * 22), None);
        assert_eq!(at(DAY * 21), Some(Stage::Within(DAY * 21)));
        assert_eq!(at(DAY * 8), Some(Stage::Within(DAY * 21)));
        assert_eq!(at(DAY * 7), Some(Stage::Within(DAY * 7)));
        assert_eq!(at(DAY), Some(Stage::Within(DAY)));
        assert_eq!(stage(&pair, end + DAY * 2), Some(Stage::Ended(2)));
    }

    #[test]
    fn a_short_lived_certificate_is_not_told_of_at_its_birth() {
        let (pair, end) = pair(DAY * 6);
        assert_eq!(stage(&pair, end - DAY * 5), None);
        assert_eq!(stage(&pair, end - DAY), Some(Stage::Within(DAY)));
    }

    #[test]
    fn each_stage_is_told_once() {
        let (pair, end) = pair(DAY * 90);
        let pairs = [Arc::new(pair)];
        let mut expiry = Expiry::default();
        let told = expiry.look(&pairs, end - DAY * 5);
        assert_eq!(
            told,
            ["the certificate pool.example ends in 120 hours: renew it"]
        );
        assert!(expiry.look(&pairs, end - DAY * 4).is_empty());
        expiry.look(&[], end);
        assert!(expiry.told.is_empty());
    }
}
