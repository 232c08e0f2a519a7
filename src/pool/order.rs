//! The instances of one pool in the order of their load, kept as they change, so that choosing one costs log n.
//!
//! Loads are fractions and compared exactly, by cross multiplication: capacities differ, and rounding would make one of
//! two equal instances always win. People who left a moment ago count as if they were there: they will be sent back, so
//! that logins which are over at once spread as those that stay. Of equals the one chosen longest ago comes first, and at
//! the beginning a number drawn from the seed and the name decides, so that several gates do not all rush to the same.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::instance::Protocol;
use super::member::Member;

/// One protocol's open instances by load: those that have room for a proven person, and those that have not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Order {
    ranks: BTreeSet<Rank>,
    /// Those that are open and have no room.
    full: BTreeSet<Rank>,
}

/// An instance's place in the order. Seats of unproven people count here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    seats: u32,
    /// People who left a moment ago and belong here, or the load of the machine beyond its people, whichever is more.
    lingering: u32,
    /// 0 only among the full.
    capacity: u32,
    /// When it was last chosen for somebody new, in turns of its pool.
    turn: u64,
    tie: u64,
    pub name: Arc<str>,
}

/// What an order holds of one instance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    rank: Option<Rank>,
    has_room: bool,
}

impl Order {
    /// The least loaded that `suits`; `beyond_capacity` lets unproven people's seats be overlooked.
    pub fn least(&self, beyond_capacity: bool, suits: impl Fn(&Rank) -> bool) -> Option<&Rank> {
        let mut ranks = self.ranks.iter();
        let end = |rank: &&Rank| beyond_capacity || rank.has_seat();
        ranks.by_ref().take_while(end).find(|rank| suits(rank))
    }

    /// The most loaded that has a seat left and `suits`; with `beyond_capacity`, failing that, the least overfilled.
    pub fn most(&self, beyond_capacity: bool, suits: impl Fn(&Rank) -> bool) -> Option<&Rank> {
        let full = Rank::lowest_full();
        let with_seat = (Bound::Unbounded, Bound::Excluded(&full));
        let mut found = self.ranks.range::<Rank, _>(with_seat);
        let found = found.by_ref().rev().find(|rank| suits(rank));
        found.or_else(|| {
            let overfilled = self.ranks.range(&full..);
            overfilled
                .into_iter()
                .find(|rank| beyond_capacity && suits(rank))
        })
    }

    /// Whether more people belong on this instance, for its capacity, than on the least loaded of those that are full.
    pub fn is_above_a_full_one(&self, rank: &Rank) -> bool {
        let share = |full| rank.compare_share(rank.expected(), full, full.expected());
        self.full
            .first()
            .is_some_and(|full| share(full) == Ordering::Greater)
    }

    /// All that are open, the least loaded first, those without room last.
    pub fn ranked(&self) -> impl Iterator<Item = &Rank> {
        self.ranks.iter().chain(&self.full)
    }

    /// Instances that are ready and up, full or not.
    pub fn open(&self) -> usize {
        self.ranks.len() + self.full.len()
    }

    pub fn shift(&mut self, before: Option<Standing>, after: Option<Standing>) {
        if before == after {
            return;
        }
        if let Some((rank, has_room)) = before.and_then(Standing::parts) {
            self.side(has_room).remove(&rank);
        }
        if let Some((rank, has_room)) = after.and_then(Standing::parts) {
            self.side(has_room).insert(rank);
        }
    }

    fn side(&mut self, has_room: bool) -> &mut BTreeSet<Rank> {
        match has_room {
            true => &mut self.ranks,
            false => &mut self.full,
        }
    }
}

impl Standing {
    pub fn of(member: &Member, protocol: Protocol) -> Self {
        let rank = Rank {
            seats: member.seats(),
            lingering: member.lingering.max(member.burden()),
            capacity: member.instance.capacity,
            turn: member.turn,
            tie: member.tie,
            name: member.instance.id.name.clone(),
        };
        Self {
            rank: member.is_open(protocol).then_some(rank),
            has_room: member.is_routable(protocol, true),
        }
    }

    fn parts(self) -> Option<(Rank, bool)> {
        self.rank.map(|rank| (rank, self.has_room))
    }
}

impl Rank {
    fn has_seat(&self) -> bool {
        self.seats < self.capacity
    }

    /// Not above any rank without a seat and above all that have one.
    fn lowest_full() -> Self {
        Self {
            seats: 1,
            lingering: 0,
            capacity: 1,
            turn: 0,
            tie: 0,
            name: Arc::from(""),
        }
    }

    /// `count` of these seats' share of the capacity, against the other's.
    fn compare_share(&self, count: u64, other: &Self, others: u64) -> Ordering {
        let mine = u128::from(count) * u128::from(other.capacity.max(1));
        let theirs = u128::from(others) * u128::from(self.capacity.max(1));
        mine.cmp(&theirs)
    }

    fn expected(&self) -> u64 {
        u64::from(self.seats) + u64::from(self.lingering)
    }

    /// What instances are ordered by, as a share of the capacity.
    pub fn score(&self) -> f64 {
        f64::from(self.seats.saturating_add(self.lingering)) / f64::from(self.capacity.max(1))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let full = |rank: &Self| !rank.has_seat();
        full(self)
            .cmp(&full(other))
            .then_with(|| self.compare_share(self.expected(), other, other.expected()))
            .then_with(|| self.compare_share(self.seats.into(), other, other.seats.into()))
            .then_with(|| self.turn.cmp(&other.turn))
            .then_with(|| self.tie.cmp(&other.tie))
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.capacity.cmp(&other.capacity))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where an instance comes among its equals: settled for one seed, different for another.
pub(super) fn tie(seed: u64, pool: &str, instance: &str) -> u64 {
    // FNV-1a spreads names, SplitMix64's finish spreads the result over all bits.
    let bytes = pool.bytes().chain([0]).chain(instance.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    finish(hash ^ finish(seed))
}

pub(super) fn finish(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(seats: u32, capacity: u32, name: &str) -> Rank {
        Rank {
            seats,
            lingering: 0,
            capacity,
            turn: 0,
            tie: 0,
            name: Arc::from(name),
        }
    }

    #[test]
    fn fractions_compare_exactly() {
        let third = rank(1, 3, "a");
        assert!(rank(33_333_333, 100_000_000, "b") < third);
        assert!(rank(33_333_334, 100_000_000, "b") > third);
        assert!(rank(u32::MAX - 1, u32::MAX, "a") < rank(u32::MAX, u32::MAX, "a"));
        assert!(rank(1, 2, "a") < rank(2, 4, "b"));
    }

    #[test]
    fn ties_differ_by_seed_and_by_pool() {
        assert_eq!(tie(1, "main", "vm1"), tie(1, "main", "vm1"));
        assert_ne!(tie(1, "main", "vm1"), tie(2, "main", "vm1"));
        assert_ne!(tie(1, "main", "vm1"), tie(1, "gpu", "vm1"));
        assert_ne!(tie(1, "ab", "c"), tie(1, "a", "bc"));
    }
}
