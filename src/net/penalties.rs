//! Penalties of sources whose logins come to nothing, as OpenSSH's `PerSourcePenalties`: each offence adds seconds, time
//! takes them away, and whoever has more than `min` of them is refused.
//!
//! Pure: the time comes in. Deliberately absent: forgiveness by a successful login, which somebody with one account could
//! buy as often as they like; and any memory of names, which would let strangers lock people out.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::source::Source;
use crate::config::PenaltiesConfig;

/// What a login did that costs its source something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Being there at all.
    Connection,
    /// A password, an answer or a signature that proved nothing.
    AuthFail,
    /// Gone without having tried to log in.
    NoAuth,
    /// Neither in nor gone when the grace was over.
    GraceExceeded,
    /// Bytes that no honest client sends.
    ProtocolError,
}

/// What became of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Exempt, or an offence that costs nothing.
    Free,
    Noted,
    /// The table was full: the source with the least penalty, perhaps this one, goes without.
    Crowded,
}

pub struct Penalties {
    rules: PenaltiesConfig,
    // Apart, because whoever has an IPv6 network has more sources than any table has room.
    ipv4: Table,
    ipv6: Table,
}

/// When each source will have served its penalty.
#[derive(Default)]
struct Table {
    ends: HashMap<Source, Instant>,
    by_end: BTreeSet<(Instant, Source)>,
}

impl Penalties {
    pub fn new(rules: PenaltiesConfig) -> Self {
        Self {
            rules,
            ipv4: Table::default(),
            ipv6: Table::default(),
        }
    }

    pub fn change(&mut self, rules: PenaltiesConfig) {
        self.rules = rules;
    }

    pub fn charge(&mut self, peer: IpAddr, offence: Offence, now: Instant) -> Charge {
        let cost = match offence {
            Offence::Connection => self.rules.connection,
            Offence::AuthFail => self.rules.authfail,
            Offence::NoAuth => self.rules.noauth,
            Offence::GraceExceeded => self.rules.grace_exceeded,
            Offence::ProtocolError => self.rules.protocol_error,
        };
        if cost.is_zero() || self.is_exempt(peer) {
            return Charge::Free;
        }
        let (most, max_sources) = (now + self.rules.max, self.rules.max_sources);
        let source = Source::of(peer);
        let table = match source.is_ipv6() {
            true => &mut self.ipv6,
            false => &mut self.ipv4,
        };
        table.forget_served(now);
        let end = table.ends.get(&source).copied().unwrap_or(now) + cost;
        table.note(source, end.min(most), max_sources)
    }

    /// How long until this source may log in again; `None` where it may already.
    pub fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let source = Source::of(peer);
        let table = match source.is_ipv6() {
            true => &self.ipv6,
            false => &self.ipv4,
        };
        let end = table.ends.get(&source)?;
        let over = end
            .saturating_duration_since(now)
            .checked_sub(self.rules.min)?;
        (!over.is_zero()).then_some(over)
    }

    /// Whether it has done something that it has not served yet, be it forgiven so far.
    pub fn owes(&self, peer: IpAddr, now: Instant) -> bool {
        let source = Source::of(peer);
        let table = match source.is_ipv6() {
            true => &self.ipv6,
            false => &self.ipv4,
        };
        table.ends.get(&source).is_some_and(|end| *end > now)
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.rules.exempt.iter().any(|net| net.contains(&peer))
    }
}

impl Table {
    fn forget_served(&mut self, now: Instant) {
        while let Some((end, source)) = self.by_end.first().copied() {
            if end > now {
                return;
            }
            self.by_end.pop_first();
            self.ends.remove(&source);
        }
    }

    /// A crowd of fresh sources cannot wash out a heavy penalty: the lightest goes first, be it the newest.
    fn note(&mut self, source: Source, end: Instant, max_sources: usize) -> Charge {
        let mut charge = Charge::Noted;
        match self.ends.get(&source) {
            Some(old) => {
                self.by_end.remove(&(*old, source));
            }
            None if self.ends.len() >= max_sources => {
                charge = Charge::Crowded;
                match self.by_end.first().copied() {
                    Some((least, lightest)) if least < end => {
                        self.by_end.pop_first();
                        self.ends.remove(&lightest);
                    }
                    _ => return charge,
                }
            }
            None => {}
        }
        self.ends.insert(source, end);
        self.by_end.insert((end, source));
        charge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalties(max_sources: usize) -> Penalties {
        Penalties::new(PenaltiesConfig {
            max_sources,
            exempt: vec!["198.51.100.0/24".parse().unwrap()],
            ..PenaltiesConfig::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_who_mistypes_locks_nobody_out_and_a_guesser_waits() {
        let (mut penalties, now) = (penalties(10), Instant::now());
        let nat = ip("192.0.2.1");
        for _ in 0..3 {
            penalties.charge(nat, Offence::AuthFail, now);
        }
        // Three connections with wrong passwords in one moment are what is forgiven.
        assert_eq!(penalties.wait(nat, now), None);
        penalties.charge(nat, Offence::AuthFail, now);
        assert_eq!(penalties.wait(nat, now), Some(s(5)));
        assert_eq!(penalties.wait(nat, now + s(4)), Some(s(1)));
        assert_eq!(penalties.wait(nat, now + s(5)), None);
        assert_eq!(penalties.wait(ip("192.0.2.2"), now), None);
    }

    #[test]
    fn a_penalty_grows_with_offences_up_to_its_maximum_and_ends() {
        let (mut penalties, now) = (penalties(10), Instant::now());
        let source = ip("192.0.2.1");
        for _ in 0..1000 {
            penalties.charge(source, Offence::ProtocolError, now);
        }
        assert_eq!(penalties.wait(source, now), Some(s(600 - 15)));
        penalties.charge(ip("192.0.2.9"), Offence::NoAuth, now + s(601));
        assert_eq!(penalties.ipv4.ends.len(), 1, "what is served is forgotten");
    }

    #[test]
    fn connections_that_cost_something_are_bounded_in_their_rate() {
        let rules = PenaltiesConfig {
            connection: Duration::from_millis(100),
            ..PenaltiesConfig::default()
        };
        let (mut penalties, start) = (Penalties::new(rules), Instant::now());
        let source = ip("192.0.2.1");
        let mut taken = 0;
        for tick in 0..10_000u32 {
            let now = start + Duration::from_millis(10) * tick;
            if penalties.wait(source, now).is_none() {
                penalties.charge(source, Offence::Connection, now);
                taken += 1;
            }
        }
        // 150 at first, then 10 a second for 100 seconds.
        assert!((1145..=1155).contains(&taken), "{taken}");
    }

    #[test]
    fn exempt_networks_pay_nothing_and_an_ipv6_site_pays_as_one() {
        let (mut penalties, now) = (penalties(10), Instant::now());
        let exempt = ip("::ffff:198.51.100.7");
        let charge = penalties.charge(exempt, Offence::AuthFail, now);
        assert_eq!(charge, Charge::Free);
        for host in 1..=4 {
            let address = ip(&format!("2001:db8::{host}"));
            penalties.charge(address, Offence::GraceExceeded, now);
        }
        assert!(penalties.wait(ip("2001:db8::ffff"), now).is_some());
        assert!(penalties.wait(ip("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn a_crowd_of_sources_cannot_wash_out_a_heavy_penalty() {
        let (mut penalties, now) = (penalties(100), Instant::now());
        let guesser = ip("192.0.2.1");
        for _ in 0..20 {
            penalties.charge(guesser, Offence::AuthFail, now);
        }
        let crowd = (0..1000u32).map(|host| IpAddr::V4((0x0a00_0000 + host).into()));
        let charges: Vec<Charge> = crowd
            .map(|peer| penalties.charge(peer, Offence::AuthFail, now))
            .collect();
        assert!(charges.contains(&Charge::Crowded));
        assert_eq!(penalties.ipv4.ends.len(), 100);
        assert_eq!(penalties.ipv4.by_end.len(), 100);
        assert_eq!(penalties.wait(guesser, now), Some(s(100 - 15)));
        // Nor does a whole IPv6 network reach what IPv4 owes.
        for site in 0..1000 {
            let peer = ip(&format!("2001:db8:0:{site:x}::1"));
            penalties.charge(peer, Offence::ProtocolError, now);
        }
        assert_eq!(penalties.wait(guesser, now), Some(s(100 - 15)));
    }
}
