//! What is drawn is what was seen: no more points than pixels, nothing where nothing was seen.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

use super::*;

fn clock() -> Clock {
    Clock {
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_774_267_200),
        zone: TimeZone::UTC,
    }
}

fn minutes(sessions: impl Fn(u64) -> Option<u32>) -> Vec<Minute> {
    let newest = minute_of(clock().now);
    let minutes = (0..1440).rev().filter_map(|ago| {
        Some(Minute {
            minute: newest - ago,
            sessions: sessions(ago)?,
            waiting: 1,
            ..Minute::default()
        })
    });
    minutes.collect()
}

fn plan(is_stacked: bool) -> Plan {
    Plan {
        id: "x",
        title: "Sessions",
        unit: "sessions",
        series: vec![
            Series {
                name: "sessions",
                class: "a",
                value: Box::new(|one| Some(one.sessions)),
            },
            Series {
                name: "waiting",
                class: "b",
                value: Box::new(|one| Some(one.waiting)),
            },
        ],
        is_stacked,
    }
}

#[test]
fn round_figures_stand_at_the_side() {
    for (highest, top) in [
        (0, 2),
        (1, 2),
        (3, 4),
        (5, 6),
        (7, 8),
        (9, 10),
        (11, 20),
        (41, 60),
        (999, 1000),
        (1001, 2000),
    ] {
        assert_eq!(nice(highest), top, "{highest}");
    }
    assert!(nice(u32::MAX) >= 4_000_000_000);
}

#[test]
fn a_steady_line_is_short_and_a_peak_of_a_minute_shows() {
    let chart = draw(&plan(false), &minutes(|_| Some(50)), &clock());
    let path = &chart.shapes[0].path;
    assert!(path.starts_with("M0.0 "), "{path}");
    assert!(path.ends_with("H720.0"), "{path}");
    assert!(!path.contains('V'), "{path}");
    let peak = draw(
        &plan(false),
        &minutes(|ago| Some(if ago == 700 { 90 } else { 3 })),
        &clock(),
    );
    assert_eq!(peak.marks, ["100", "50", "0"]);
    assert!(
        peak.summary.contains("sessions: 3 now, at most 90"),
        "{}",
        peak.summary
    );
    assert_eq!(peak.rows.len(), 24);
    assert!(peak.rows.iter().any(|row| row.values == ["90", "1"]));
    assert_eq!(peak.times, ["12:00", "18:00", "00:00", "06:00", "12:00"]);
}

#[test]
fn nothing_is_drawn_where_nothing_was_seen() {
    let empty = draw(&plan(true), &[], &clock());
    assert!(empty.is_empty && empty.rows.is_empty());
    assert!(empty.shapes.iter().all(|shape| shape.path.is_empty()));
    let gap = draw(
        &plan(false),
        &minutes(|ago| (!(300..600).contains(&ago)).then_some(5)),
        &clock(),
    );
    assert_eq!(gap.shapes[0].path.matches('M').count(), 2);
    assert_eq!(gap.rows.len(), 19);
}

#[test]
fn areas_lie_on_one_another() {
    let chart = draw(&plan(true), &minutes(|_| Some(3)), &clock());
    assert_eq!(chart.marks, ["4", "2", "0"]);
    let [first, second] = &chart.shapes[..] else {
        panic!("two shapes");
    };
    // From 3 of 4 down to the floor, and from 4 down to 3.
    assert_eq!(first.path, "M0.0 40.0H720.0V160.0H0.0Z");
    assert_eq!(second.path, "M0.0 0.0H720.0V40.0H0.0Z");
    assert_eq!(second.latest, "1");
}
