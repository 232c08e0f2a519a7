//! What an ssh login is told while it waits: where it stands, what comes for it, and what stands in the way.
//!
//! Pure. One line at a time, for a banner cannot be taken back: seconds are told coarsely, so that lines are few.

use crate::pool::Stand;
use crate::pool::{Progress, WakeStage};

pub(super) fn words(pool: &str, stand: &Stand, progress: Option<&Progress>) -> String {
    if stand.outlook.is_open {
        let place = match stand.ahead {
            None | Some(0) => "you are next in line".to_owned(),
            Some(ahead) => format!("you are number {} in line", ahead.saturating_add(1)),
        };
        let begin = format!(
            "every instance of pool {pool} is full; {place} and get in as soon as a seat is free"
        );
        return match progress {
            Some(progress) => begin + &words_of_another(progress),
            None => begin,
        };
    }
    if let Some(progress) = progress {
        return words_of_wake(pool, progress);
    }
    let begin = format!("no instance of pool {pool} is up");
    match stand.left_s {
        Some(0) => format!("{begin}; waiting for one, which takes longer than the last times"),
        Some(left) => format!(
            "{begin}; waiting for one, which took about {} s more the last times",
            coarse(left)
        ),
        None => format!("{begin}; waiting for one"),
    }
}

fn words_of_wake(pool: &str, progress: &Progress) -> String {
    let left = words_of_time(progress.left_s);
    let begin = match (progress.stage, &progress.trouble) {
        (WakeStage::Asleep | WakeStage::Closed, Some(trouble)) => {
            return format!("no machine of pool {pool} can be started yet: {trouble}");
        }
        (WakeStage::Asleep, None) => {
            format!("pool {pool} is asleep; a machine is being woken for you{left}")
        }
        (WakeStage::Closed, None) => {
            format!("no instance of pool {pool} takes people; another machine is asked for{left}")
        }
        (WakeStage::Booting, _) => format!("a machine of pool {pool} is starting for you{left}"),
        (WakeStage::Starting, _) => "the machine is up; its services are starting".to_owned(),
    };
    match &progress.trouble {
        Some(trouble) => format!("{begin}; {trouble}"),
        None => begin,
    }
}

/// For who stands in a line that moves anyway.
fn words_of_another(progress: &Progress) -> String {
    match (progress.stage, &progress.trouble) {
        (WakeStage::Booting | WakeStage::Starting, _) => {
            let left = words_of_time(progress.left_s);
            format!("; another machine is starting{left}")
        }
        (_, Some(trouble)) => format!("; no other machine comes: {trouble}"),
        (_, None) => String::new(),
    }
}

/// For who has proved nothing, for whom no machine is woken.
pub(super) fn words_of_sleep(pool: &str, progress: &Progress, has_web: bool) -> String {
    if matches!(progress.stage, WakeStage::Booting | WakeStage::Starting) {
        return format!(
            "a machine of pool {pool} is starting{}; log in again then",
            words_of_time(progress.left_s)
        );
    }
    let other = match has_web {
        true => "log in with a key, or open the pool's page in a browser; both wake a machine",
        false => "log in with a key, which wakes a machine",
    };
    format!(
        "pool {pool} is asleep, and a password cannot be checked before a machine is up: {other}"
    )
}

fn words_of_time(left_s: Option<u64>) -> String {
    match left_s {
        None => String::new(),
        Some(0) => ", which takes longer than usual".to_owned(),
        Some(left) => format!(", ready in about {} s", coarse(left)),
    }
}

/// Rounded up, the coarser the longer.
fn coarse(left_s: u64) -> u64 {
    let step = match left_s {
        0..=60 => 15,
        61..=300 => 30,
        _ => 60,
    };
    left_s.div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Outlook;

    fn stand(ahead: usize, is_open: bool, left_s: Option<u64>) -> Stand {
        Stand {
            ahead: Some(ahead),
            outlook: Outlook {
                is_open,
                ..Outlook::default()
            },
            left_s,
            ..Stand::CROWDED
        }
    }

    fn progress(stage: WakeStage, left_s: Option<u64>, trouble: Option<&str>) -> Progress {
        Progress {
            stage,
            left_s,
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn the_place_and_the_wait_are_told_in_plain_words() {
        let full = |ahead| words("main", &stand(ahead, true, None), None);
        assert!(full(0).contains("full; you are next in line"));
        assert!(full(4).contains("you are number 5 in line"));
        let closed = |left_s| words("main", &stand(3, false, left_s), None);
        assert!(closed(None).ends_with("is up; waiting for one"));
        assert!(closed(Some(31)).contains("about 45 s"));
        assert_eq!(closed(Some(59)), closed(Some(46)));
        assert!(closed(Some(0)).contains("longer than"));
    }

    #[test]
    fn a_wake_is_told_stage_by_stage() {
        use WakeStage::{Asleep, Booting, Closed, Starting};
        let told = |stage, left_s, trouble| {
            let progress = progress(stage, left_s, trouble);
            words("main", &stand(0, false, None), Some(&progress))
        };
        assert_eq!(
            told(Asleep, Some(200), None),
            "pool main is asleep; a machine is being woken for you, ready in about 210 s"
        );
        assert!(told(Asleep, None, None).ends_with("woken for you"));
        assert!(told(Closed, None, None).contains("takes people; another machine is asked for"));
        assert_eq!(
            told(Booting, Some(61), None),
            "a machine of pool main is starting for you, ready in about 90 s"
        );
        assert!(told(Booting, Some(0), None).ends_with("longer than usual"));
        assert_eq!(
            told(Starting, Some(5), None),
            "the machine is up; its services are starting"
        );
        let failed = "boots have failed 3 times; the next try is in 2 min";
        assert_eq!(
            told(Asleep, Some(9), Some(failed)),
            format!("no machine of pool main can be started yet: {failed}")
        );
        assert!(told(Booting, None, Some("it is slow")).ends_with("for you; it is slow"));
    }

    #[test]
    fn a_line_before_a_full_pool_hears_of_machines_that_come() {
        let told = |progress| words("main", &stand(2, true, None), Some(&progress));
        let another = told(progress(WakeStage::Booting, Some(31), None));
        assert!(
            another.ends_with("seat is free; another machine is starting, ready in about 45 s")
        );
        let none = told(progress(
            WakeStage::Closed,
            None,
            Some("the quota is used up"),
        ));
        assert!(
            none.ends_with("; no other machine comes: the quota is used up"),
            "{none}"
        );
        assert!(told(progress(WakeStage::Closed, None, None)).ends_with("a seat is free"));
    }

    #[test]
    fn who_cannot_wake_a_pool_hears_what_does() {
        let asleep = progress(WakeStage::Asleep, None, None);
        let told = words_of_sleep("main", &asleep, true);
        assert!(
            told.contains("with a key") && told.contains("in a browser"),
            "{told}"
        );
        assert!(!words_of_sleep("main", &asleep, false).contains("browser"));
        let coming = progress(WakeStage::Booting, Some(20), None);
        let told = words_of_sleep("main", &coming, true);
        assert_eq!(
            told,
            "a machine of pool main is starting, ready in about 30 s; log in again then"
        );
    }

    #[test]
    fn seconds_are_counted_down_in_few_steps() {
        let mut told: Vec<u64> = (1..=600).rev().map(coarse).collect();
        told.dedup();
        assert!(
            told.len() < 20 && told.is_sorted_by(|a, b| a > b),
            "{told:?}"
        );
        assert!((1..=600).all(|left| coarse(left) >= left));
    }
}
