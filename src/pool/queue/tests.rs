//! The line by itself, with time passed in.

use super::*;

const JUPYTER: Protocol = Protocol::Jupyter;

fn browser(number: u16) -> Waiter {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    Waiter::Browser(id)
}

fn source(number: u16) -> IpAddr {
    let [a, b] = number.to_be_bytes();
    IpAddr::from([10, 0, a, b])
}

#[test]
fn the_first_to_come_stand_in_front_and_asking_again_changes_nothing() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for number in 0..5 {
        let ahead = queue.join(browser(number), source(number), JUPYTER, now);
        assert_eq!(ahead, Ok(usize::from(number)));
    }
    assert_eq!(queue.join(browser(3), source(3), JUPYTER, now), Ok(3));
    assert!(queue.leave(&browser(1)).is_some() && queue.leave(&browser(1)).is_none());
    assert_eq!(queue.ahead(&browser(0)), Some(0));
    assert_eq!(queue.ahead(&browser(3)), Some(2));
    assert_eq!(
        queue.join(browser(1), source(1), JUPYTER, now),
        Ok(4),
        "at the end"
    );
    assert_eq!(queue.ahead(&Waiter::Person("alice".into())), None);
}

#[test]
fn a_person_has_one_ticket_in_all_their_windows() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let alice = || Waiter::Person("alice".into());
    queue.join(alice(), source(1), JUPYTER, now).unwrap();
    queue.join(browser(1), source(1), JUPYTER, now).unwrap();
    assert_eq!(queue.join(alice(), source(2), JUPYTER, now), Ok(0));
    assert_eq!(queue.len(), 2);
}

#[test]
fn who_is_not_heard_of_loses_the_place() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    let after = |s| start + Duration::from_secs(s);
    for number in 0..3 {
        queue
            .join(browser(number), source(1), JUPYTER, start)
            .unwrap();
    }
    assert_eq!(queue.touch(&browser(1), after(50)), Some(1));
    assert_eq!(queue.touch(&browser(1), after(61)), Some(0));
    assert_eq!((queue.len(), queue.ahead(&browser(0))), (1, None));
    queue.expire(after(122));
    assert!(queue.is_empty() && queue.sources.is_empty());
}

#[test]
fn who_is_called_and_does_not_come_loses_it_sooner() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    let after = |s| start + Duration::from_secs(s);
    queue.join(browser(0), source(0), JUPYTER, start).unwrap();
    queue.join(browser(1), source(1), JUPYTER, start).unwrap();
    queue.call(&browser(0), after(1));
    queue.call(&browser(0), after(10));
    assert_eq!(queue.touch(&browser(1), after(15)), Some(1));
    assert_eq!(queue.touch(&browser(1), after(17)), Some(0));
    queue.call(&browser(1), after(17));
    assert_eq!(
        queue.join(browser(1), source(1), JUPYTER, after(18)),
        Ok(0),
        "came, found it taken"
    );
    assert_eq!(queue.touch(&browser(1), after(40)), Some(0));
}

#[test]
fn who_is_cut_off_holds_nobody_up_and_has_their_place_when_they_return() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    let after = |s| start + Duration::from_secs(s);
    let alice = Waiter::Person("alice".into());
    queue
        .join(alice.clone(), source(1), Protocol::Ssh, start)
        .unwrap();
    queue.join(browser(1), source(2), JUPYTER, start).unwrap();
    let all = |_| true;
    assert_eq!(queue.in_front(Some(&browser(1)), after(15), all), 1);
    queue.touch(&browser(1), after(20));
    assert_eq!(queue.in_front(Some(&browser(1)), after(20), all), 0);
    assert_eq!(queue.ahead(&browser(1)), Some(1), "still behind them");
    queue.touch(&browser(1), after(55));
    let back = queue.join(alice.clone(), source(3), Protocol::Ssh, after(59));
    assert_eq!(back, Ok(0));
    assert_eq!(queue.in_front(Some(&browser(1)), after(59), all), 1);
    assert_eq!(queue.in_front(Some(&alice), after(59), all), 0);
    assert_eq!(queue.in_front(None, after(59), all), 2);
}

#[test]
fn who_waits_for_a_service_that_is_down_everywhere_holds_nobody_up() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let alice = Waiter::Person("alice".into());
    queue.join(alice.clone(), source(1), JUPYTER, now).unwrap();
    let ssh_alone = |by| by == Protocol::Ssh;
    assert_eq!(queue.in_front(None, now, ssh_alone), 0);
    queue.join(alice, source(1), Protocol::Ssh, now).unwrap();
    assert_eq!(queue.in_front(None, now, ssh_alone), 1, "by both now");
    let standing: Vec<_> = queue.standing(now).collect();
    assert_eq!(standing[0].ways, [Protocol::Ssh, JUPYTER]);
    assert_eq!((standing.len(), standing[0].is_there), (1, true));
}

#[test]
fn the_line_is_bounded_in_all_and_by_source() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let bound = u16::try_from(TICKETS_PER_SOURCE_MAX).unwrap();
    for number in 0..bound {
        queue
            .join(browser(number), source(0), JUPYTER, now)
            .unwrap();
    }
    let refused = queue.join(browser(bound), source(0), JUPYTER, now);
    assert_eq!(refused, Err(QueueFull::Source));
    for number in bound..u16::try_from(TICKETS_MAX).unwrap() {
        queue
            .join(browser(number), source(number), JUPYTER, now)
            .unwrap();
    }
    let refused = queue.join(browser(9999), source(9999), JUPYTER, now);
    assert_eq!(refused, Err(QueueFull::Everywhere));
    assert_eq!(
        queue.join(browser(7), source(0), JUPYTER, now),
        Ok(7),
        "has one"
    );
    queue.leave(&browser(7));
    assert!(queue.join(browser(9999), source(0), JUPYTER, now).is_ok());
}

proptest::proptest! {
    /// Against a plain list of who stands in the line and when they were last heard of.
    #[test]
    fn it_is_a_line_whatever_happens(steps in proptest::collection::vec((0_u8..3, 0_u16..12, 0_u64..30), 1..80)) {
        let (mut queue, mut line, mut now) = (Queue::default(), Vec::<(u16, Instant)>::new(), Instant::now());
        for (what, who, wait_s) in steps {
            now += Duration::from_secs(wait_s);
            queue.expire(now);
            line.retain(|(_, seen)| now.duration_since(*seen) <= LIMIT);
            let at = line.iter().position(|(one, _)| *one == who);
            match what {
                0 => {
                    let at = at.unwrap_or(line.len());
                    line.resize(line.len().max(at + 1), (who, now));
                    line[at].1 = now;
                    proptest::prop_assert_eq!(queue.join(browser(who), source(who % 3), JUPYTER, now), Ok(at));
                }
                1 => {
                    if let Some(at) = at {
                        line[at].1 = now;
                    }
                    proptest::prop_assert_eq!(queue.touch(&browser(who), now), at);
                }
                _ => {
                    line.retain(|(one, _)| *one != who);
                    proptest::prop_assert_eq!(queue.leave(&browser(who)).is_some(), at.is_some());
                }
            }
            proptest::prop_assert_eq!(queue.len(), line.len());
            proptest::prop_assert_eq!(queue.sources.values().sum::<usize>(), line.len());
        }
    }
}
