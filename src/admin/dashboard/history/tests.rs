//! A day is kept, a minute at a time, over restarts and clocks that are set.

use super::*;

const START_S: u64 = 1_774_267_200;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(START_S + seconds)
}

fn look(sessions: u32, waiting: u32) -> Look {
    Look {
        sessions,
        waiting,
        billed: 2,
        ..Look::default()
    }
}

#[test]
fn a_minute_holds_the_most_there_was_and_a_day_is_all() {
    let mut history = History::default();
    for (second, sessions) in [(0, 3), (20, 9), (59, 4), (60, 1)] {
        history.note("main", look(sessions, 0), at(second));
    }
    let minutes = history.minutes(Some("main"));
    let sessions: Vec<_> = minutes.iter().map(|one| one.sessions).collect();
    assert_eq!(sessions, [9, 1]);
    assert_eq!(minutes[0].time(), at(0));
    for minute in 0..3000 {
        history.note("main", look(minute, 0), at(u64::from(minute) * 60));
    }
    let minutes = history.minutes(Some("main"));
    assert_eq!(minutes.len(), MINUTES);
    assert_eq!(minutes.last().unwrap().sessions, 2999);
    // After a gap of a day nothing of before is left.
    history.note("main", look(5, 0), at(86_400 * 9));
    assert_eq!(history.minutes(Some("main")).len(), 1);
}

#[test]
fn waits_are_told_by_what_most_had() {
    let mut history = History::default();
    let waits: Vec<_> = (1..=100).map(Duration::from_secs).collect();
    let first = Look {
        waits: waits[..50].to_vec(),
        ..look(0, 3)
    };
    let second = Look {
        waits: waits[50..].to_vec(),
        ..look(0, 1)
    };
    history.note("main", first, at(0));
    history.note("main", second, at(30));
    history.note("main", look(0, 0), at(60));
    let minutes = history.minutes(None);
    assert_eq!((minutes[0].wait_p95_s, minutes[0].waiting), (Some(95), 3));
    assert_eq!(minutes[1].wait_p95_s, None);
    assert_eq!(percentile(&[7], 95), Some(7));
}

#[test]
fn pools_add_up() {
    let mut history = History::default();
    for pool in ["gpu", "main"] {
        let mut look = look(4, 1);
        look.states.insert(State::Ready, 2);
        history.note(pool, look, at(0));
    }
    history.note("main", look(1, 0), at(60));
    let minutes = history.minutes(None);
    let sessions: Vec<_> = minutes.iter().map(|one| one.sessions).collect();
    assert_eq!(sessions, [8, 1]);
    assert_eq!(minutes[0].states[&State::Ready], 4);
    assert_eq!(history.pools().collect::<Vec<_>>(), ["gpu", "main"]);
    assert!(history.minutes(Some("other")).is_empty());
}

#[test]
fn what_was_written_down_is_read_back_and_nothing_else_is_believed() {
    let mut history = History::default();
    history.note("main", look(4, 1), at(0));
    history.note("main", look(5, 1), at(60));
    let text = serde_json::to_string(&history).unwrap();
    let mut back: History = serde_json::from_str(&text).unwrap();
    back.settle(at(120));
    assert_eq!(back.minutes(None), history.minutes(None));
    back.settle(at(86_400));
    assert_eq!(back.minutes(None).len(), 1, "the first is a day old");
    // Written by a clock that was ahead.
    history.settle(at(0));
    assert_eq!(history.minutes(None).len(), 1);
    // A clock that is set back in mid-run.
    let mut history = History::default();
    history.note("main", look(4, 1), at(600));
    history.note("main", look(5, 1), at(0));
    assert_eq!(history.minutes(None).len(), 1);
}
