//! What somebody could do who knows every login and every leaving ahead, and boots machines just in time.
//!
//! `bound` may also move people about at any moment, which nobody can: no policy can undercut it. `settled` leaves people
//! where they are and puts each where the machine time grows least, keeping together those who leave together: what a
//! good plan of the whole week comes to. `blind` knows when people come and not when they leave, as everybody in truth.

use std::collections::BTreeMap;
use std::time::Duration;

use super::trace::Trace;

/// For each number of machines: they must be on while so many are needed, and between two such times either stay on or
/// go and boot again, whichever is cheaper.
pub fn bound(trace: &Trace, capacity: u32, boot: Duration) -> Duration {
    let mut changes: BTreeMap<Duration, i64> = BTreeMap::new();
    for visit in &trace.visits {
        *changes.entry(visit.start).or_default() += 1;
        *changes.entry(visit.start + visit.length).or_default() -= 1;
    }
    let capacity = i64::from(capacity.max(1));
    let mut present = 0_i64;
    let mut on: Vec<Level> = Vec::new();
    for (at, change) in changes {
        present += change;
        let machines = (present + capacity - 1) / capacity;
        let machines = usize::try_from(machines).unwrap_or(0);
        if on.len() < machines {
            on.resize(machines, Level::default());
        }
        for (number, level) in on.iter_mut().enumerate() {
            level.turn(number < machines, at, boot);
        }
    }
    on.iter().map(|level| level.time).sum()
}

/// The machine that is on while at least so many are needed.
#[derive(Clone, Debug, Default)]
struct Level {
    time: Duration,
    since: Option<Duration>,
    until: Option<Duration>,
}

impl Level {
    fn turn(&mut self, is_needed: bool, at: Duration, boot: Duration) {
        match (is_needed, self.since) {
            (true, None) => {
                let gap = self.until.map_or(boot, |until| (at - until).min(boot));
                self.time += gap;
                self.since = Some(at);
            }
            (false, Some(since)) => {
                self.time += at - since;
                self.since = None;
                self.until = Some(at);
            }
            _ => {}
        }
    }
}

/// Machine time of a plan that knows when everybody leaves and moves nobody.
pub fn settled(trace: &Trace, capacity: u32, boot: Duration) -> Duration {
    let capacity = usize::try_from(capacity.max(1)).unwrap_or(usize::MAX);
    let mut machines: Vec<Machine> = Vec::new();
    let mut time = Duration::ZERO;
    for visit in &trace.visits {
        let end = visit.start + visit.length;
        for machine in &mut machines {
            machine.leaves.retain(|leaves| *leaves > visit.start);
        }
        let with_seat = machines.iter_mut();
        let with_seat = with_seat.filter(|machine| machine.leaves.len() < capacity);
        // What it would cost beyond what is spent, and of equals the one whose end is nearest.
        let cheapest = with_seat
            .map(|machine| {
                let gap = visit.start.saturating_sub(machine.off).min(boot);
                let from = machine.off.max(visit.start);
                let added = end.saturating_sub(from) + gap;
                (added, machine.off.abs_diff(end), machine)
            })
            .min_by_key(|(added, distance, _)| (*added, *distance));
        match cheapest {
            Some((added, _, machine)) if added <= visit.length + boot => {
                time += added;
                machine.off = machine.off.max(end);
                machine.leaves.push(end);
            }
            _ => {
                time += visit.length + boot;
                machines.push(Machine {
                    off: end,
                    leaves: vec![end],
                });
            }
        }
    }
    time
}

/// Machine time of a plan to which each login is known a boot ahead, so that no seat need be kept free, and which learns
/// of a leaving when it happens. People go where others have been for longest, since such a machine stays on anyway: of
/// the orders that were tried (fullest, oldest, likeliest to be on in an hour) none is clearly better where stays are uneven.
pub fn blind(trace: &Trace, capacity: u32, boot: Duration) -> Duration {
    let capacity = usize::try_from(capacity.max(1)).unwrap_or(usize::MAX);
    let mut machines: Vec<Cohort> = Vec::new();
    let mut time = Duration::ZERO;
    for visit in &trace.visits {
        let at = visit.start;
        machines.retain_mut(|machine| {
            let last = machine.people.iter().map(|(_, leaves)| *leaves).max();
            machine.people.retain(|(_, leaves)| *leaves > at);
            let is_over = machine.people.is_empty();
            time += match last {
                Some(last) if is_over => boot + last - machine.since,
                _ => Duration::ZERO,
            };
            !is_over
        });
        let with_seat = machines.iter_mut();
        let with_seat = with_seat.filter(|machine| machine.people.len() < capacity);
        let stay = |came: Duration| (at - came).clamp(STAY_MIN, STAY_MAX);
        let firmest = with_seat.max_by_key(|machine| {
            let stays = machine.people.iter().map(|(came, _)| stay(*came));
            stays.sum::<Duration>()
        });
        let person = (at, at + visit.length);
        match firmest {
            Some(machine) => machine.people.push(person),
            None => machines.push(Cohort {
                since: at,
                people: vec![person],
            }),
        }
    }
    let ends = machines.iter().filter_map(|machine| {
        let last = machine.people.iter().map(|(_, leaves)| *leaves).max();
        last.map(|last| boot + last - machine.since)
    });
    time + ends.sum::<Duration>()
}

const STAY_MIN: Duration = Duration::from_secs(300);
const STAY_MAX: Duration = Duration::from_secs(8 * 3600);

/// People on one machine: when each came, and leaves.
struct Cohort {
    since: Duration,
    people: Vec<(Duration, Duration)>,
}

struct Machine {
    /// When the last of those on it leaves.
    off: Duration,
    leaves: Vec<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Protocol;
    use crate::simulate::Visit;
    use std::time::SystemTime;

    fn visit(start_s: u64, end_s: u64) -> Visit {
        Visit {
            user: "alice".into(),
            start: Duration::from_secs(start_s),
            length: Duration::from_secs(end_s - start_s),
            protocol: Protocol::Ssh,
        }
    }

    fn seconds(visits: &[Visit]) -> u64 {
        let trace = Trace::new(SystemTime::UNIX_EPOCH, visits.to_vec());
        bound(&trace, 2, Duration::from_secs(100)).as_secs()
    }

    #[test]
    fn a_machine_boots_once_and_is_on_while_needed() {
        assert_eq!(seconds(&[visit(1000, 2000)]), 1100);
        assert_eq!(seconds(&[visit(1000, 2000), visit(1500, 1800)]), 1100);
        assert_eq!(
            seconds(&[visit(1000, 2000), visit(1500, 1800), visit(1500, 1800)]),
            1100 + 400
        );
    }

    #[test]
    fn to_move_nobody_takes_at_least_as_long() {
        let visits = [
            visit(0, 5000),
            visit(0, 1000),
            visit(10, 900),
            visit(20, 5000),
        ];
        let trace = Trace::new(SystemTime::UNIX_EPOCH, visits.to_vec());
        let boot = Duration::from_secs(100);
        let settled = settled(&trace, 2, boot);
        assert!(settled >= bound(&trace, 2, boot));
        assert!(settled <= Duration::from_secs(2 * 5100 + 1000));
    }

    #[test]
    fn who_does_not_know_when_people_leave_cannot_keep_them_together() {
        let visits = [visit(0, 5000), visit(10, 100), visit(200, 9000)];
        let trace = Trace::new(SystemTime::UNIX_EPOCH, visits.to_vec());
        let boot = Duration::from_secs(100);
        assert_eq!(blind(&trace, 1, boot).as_secs(), 5100 + 190 + 8900);
        assert_eq!(blind(&trace, 2, boot).as_secs(), 9100);
    }

    #[test]
    fn a_short_gap_is_sat_out_and_a_long_one_is_not() {
        assert_eq!(seconds(&[visit(0, 1000), visit(1050, 2000)]), 2100);
        assert_eq!(seconds(&[visit(0, 1000), visit(5000, 6000)]), 2200);
    }
}
