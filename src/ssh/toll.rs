//! What a failed login costs: the one place where failed tries are counted, slowed down and charged to their source.
//!
//! `net::penalties` has the arithmetic of penalties. This file adds what needs a clock and waiting: a turn before an instance is asked,
//! and the time that every refusal takes, be the name known or not.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::leg::LegError;
use super::login::LoginError;
use super::wire::ident::IdentError;
use super::wire::transport::WireError;
use crate::config::PenaltiesConfig;
use crate::net::penalties::{Charge, Offence, Penalties};
use crate::net::source::Source;
use crate::telemetry::metrics::Metrics;

/// Questions to instances that one source, and about one name all sources that have failed, may have under way at a time;
/// others wait in turn. What is under way when a penalty begins is the most that comes through on top of it.
const TURNS_OF_SOURCE: usize = 8;
const TURNS_OF_NAME: usize = 4;

/// The least time a refusal takes: above what looking for a key file takes on a local disk. A name adds up to as much.
const REFUSAL_MIN: Duration = Duration::from_millis(5);

/// Shared by all logins of a door.
pub(super) struct Tolls {
    penalties: Mutex<Penalties>,
    sources: Turns<Source>,
    names: Turns<String>,
    /// Its secret keeps strangers from computing what a name adds.
    jitter: RandomState,
    metrics: Metrics,
}

impl Tolls {
    pub fn new(rules: PenaltiesConfig, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            penalties: Mutex::new(Penalties::new(rules)),
            sources: Turns::new(TURNS_OF_SOURCE),
            names: Turns::new(TURNS_OF_NAME),
            jitter: RandomState::new(),
            metrics,
        })
    }

    /// From here on offences cost this; what is owed already stays owed.
    pub fn change(&self, rules: PenaltiesConfig) {
        self.penalties().change(rules);
    }

    /// Lets a connection begin, or says how long its source still pays.
    pub fn enter(&self, peer: IpAddr) -> Result<(), Duration> {
        if let Some(wait) = self.wait(peer) {
            return Err(wait);
        }
        self.charge(peer, Offence::Connection);
        Ok(())
    }

    /// How long this source still pays for its failed logins, if it does.
    fn wait(&self, peer: IpAddr) -> Option<Duration> {
        let wait = self.penalties().wait(peer, Instant::now());
        if wait.is_some() {
            self.metrics.count_limit("ssh.penalties.min");
        }
        wait
    }

    /// The least time of a refusal: by the name alone, be it known or not.
    fn refusal_time(&self, user: &str) -> Duration {
        let whole = u64::MAX >> 40;
        let part = self.jitter.hash_one(user) & whole;
        // Up to 5 ms in steps below a microsecond.
        REFUSAL_MIN + REFUSAL_MIN * u32::try_from(part).unwrap_or_default() / (1 << 24)
    }

    fn owes(&self, peer: IpAddr) -> bool {
        self.penalties().owes(peer, Instant::now())
    }

    fn charge(&self, peer: IpAddr, offence: Offence) {
        let charge = self.penalties().charge(peer, offence, Instant::now());
        if charge == Charge::Crowded {
            self.metrics.count_limit("ssh.penalties.max_sources");
        }
    }

    fn penalties(&self) -> MutexGuard<'_, Penalties> {
        self.penalties
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's account.
pub(super) struct Toll {
    tolls: Arc<Tolls>,
    peer: IpAddr,
    has_paid: bool,
    has_asked: bool,
}

impl Toll {
    pub fn new(tolls: &Arc<Tolls>, peer: IpAddr) -> Self {
        Self {
            tolls: tolls.clone(),
            peer,
            has_paid: false,
            has_asked: false,
        }
    }

    /// A try failed. Charged at once, for a thousand connections at the same time must not each have a first try free;
    /// once a connection, for people mistype.
    pub fn failed(&mut self) {
        self.pay(Offence::AuthFail);
    }

    /// Waits until an instance may be asked about this name for this source. Strangers who guess a name wait for each
    /// other; a source that owes nothing does not wait for them, or they could keep the name's owner out.
    pub async fn turn(&mut self, user: &str) -> Result<Turn, LoginError> {
        let source = self.tolls.sources.wait(Source::of(self.peer)).await;
        let has_failed = self.tolls.owes(self.peer);
        let name = match has_failed {
            true => Some(self.tolls.names.wait(user.to_owned()).await),
            false => None,
        };
        // While waiting, the others of this source may have used up its patience.
        if let Some(wait) = self.tolls.wait(self.peer) {
            return Err(LoginError::Penalised(whole_seconds(wait)));
        }
        self.has_asked = true;
        Ok(Turn {
            _source: source,
            _name: name,
        })
    }

    /// Waits until a refusal has taken the time that all refusals of this name take, however long the gate looked for keys.
    pub async fn even_out(&self, user: &str, began: Instant) {
        let least = self.tolls.refusal_time(user);
        tokio::time::sleep_until((began + rounded_up(least, began.elapsed())).into()).await;
    }

    /// Charges a login that came to nothing.
    pub fn settle(&mut self, error: &LoginError) {
        if let Some(offence) = self.offence(error) {
            self.pay(offence);
        }
    }

    fn offence(&self, error: &LoginError) -> Option<Offence> {
        match error {
            LoginError::Client(LegError::Wire(
                WireError::Ident(IdentError::NotSsh | IdentError::Version(_))
                | WireError::Negotiate(_),
            )) => Some(Offence::NoAuth),
            LoginError::Client(LegError::Wire(_))
            | LoginError::Malformed(_)
            | LoginError::OutOfPlace(_)
            | LoginError::TooManyMessages => Some(Offence::ProtocolError),
            // It cost a dial and gave no answer.
            LoginError::Client(_) if self.has_asked => Some(Offence::AuthFail),
            LoginError::Client(_) | LoginError::TooManyOffers => Some(Offence::NoAuth),
            LoginError::Name(_) | LoginError::TooManyTries => Some(Offence::AuthFail),
            LoginError::TooSlow(_) => Some(Offence::GraceExceeded),
            // The pool's fault, or paid for already.
            _ => None,
        }
    }

    fn pay(&mut self, offence: Offence) {
        if !self.has_paid {
            self.has_paid = true;
            self.tolls.charge(self.peer, offence);
        }
    }
}

/// The right to ask an instance; the next in line has it when this is dropped.
pub(super) struct Turn {
    _source: Place<Source>,
    _name: Option<Place<String>>,
}

/// Lines of those who wait, one for each key; a line exists while somebody is in it.
struct Turns<K> {
    at_once: usize,
    lines: Lines<K>,
}

type Lines<K> = Arc<Mutex<HashMap<K, (Arc<Semaphore>, usize)>>>;

/// A place in a line, waiting or at its head.
struct Place<K: Eq + Hash> {
    lines: Lines<K>,
    key: K,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    fn new(at_once: usize) -> Self {
        Self {
            at_once,
            lines: Arc::default(),
        }
    }

    async fn wait(&self, key: K) -> Place<K> {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let (line, people) = lines
                .entry(key.clone())
                .or_insert_with(|| (Arc::new(Semaphore::new(self.at_once)), 0));
            *people += 1;
            line.clone()
        };
        let mut place = Place {
            lines: self.lines.clone(),
            key,
            permit: None,
        };
        // The lines are never closed.
        place.permit = line.acquire_owned().await.ok();
        place
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, people)) = lines.get_mut(&self.key) {
            *people = people.saturating_sub(1);
            if *people == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

/// The least of `least`, twice it, four times it and so on that is above `elapsed`: what a slow disk adds shows only in
/// steps.
fn rounded_up(least: Duration, elapsed: Duration) -> Duration {
    let mut whole = least;
    while whole < elapsed {
        whole = whole.saturating_mul(2);
    }
    whole
}

/// For people, and at least one of them.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + 1)
}

/// What a refused client reads in the place of an identification; RFC 4253 section 4.2 allows such lines.
pub(super) fn refusal(wait: Duration) -> String {
    format!(
        "Not allowed at this time: too many failed logins from your address; try again in {:?}.\r\n",
        whole_seconds(wait)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toll(tolls: &Arc<Tolls>) -> Toll {
        Toll::new(tolls, "192.0.2.1".parse().unwrap())
    }

    fn tolls() -> Arc<Tolls> {
        Tolls::new(PenaltiesConfig::default(), Metrics::new())
    }

    #[test]
    fn a_connection_pays_once() {
        let tolls = tolls();
        let mut first = toll(&tolls);
        for _ in 0..100 {
            first.failed();
        }
        first.settle(&LoginError::TooManyTries);
        assert_eq!(tolls.wait(first.peer), None);
        for _ in 0..3 {
            toll(&tolls).settle(&LoginError::TooManyTries);
        }
        assert!(tolls.wait(first.peer).is_some());
        let other = "192.0.2.2".parse().unwrap();
        assert_eq!(tolls.wait(other), None);
    }

    #[test]
    fn an_agent_full_of_keys_and_a_missing_seat_are_nearly_free() {
        let tolls = tolls();
        for _ in 0..10 {
            toll(&tolls).settle(&LoginError::TooManyOffers);
            toll(&tolls).settle(&LoginError::Unreachable(String::new()));
        }
        assert_eq!(tolls.wait("192.0.2.1".parse().unwrap()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_a_name_take_the_same_time_whatever_was_looked_for() {
        let tolls = tolls();
        let toll = toll(&tolls);
        let mut took = Vec::new();
        for _ in 0..2 {
            let shown = tokio::time::Instant::now();
            toll.even_out("alice", shown.into_std()).await;
            took.push(shown.elapsed());
        }
        let bounds =
            REFUSAL_MIN - Duration::from_millis(1)..=REFUSAL_MIN * 2 + Duration::from_millis(2);
        assert!(took.iter().all(|took| bounds.contains(took)), "{took:?}");
        let ms = Duration::from_millis;
        assert_eq!(rounded_up(ms(7), ms(3)), ms(7));
        assert_eq!(rounded_up(ms(7), ms(20)), ms(28));
    }

    #[test]
    fn ten_thousand_probes_learn_of_a_name_what_its_letters_say_and_the_gates_secret() {
        let (gate, other) = (tolls(), tolls());
        let mut seen = std::collections::BTreeSet::new();
        let mut alike = 0;
        for number in 0..10_000 {
            let name = format!("person{number}");
            let time = gate.refusal_time(&name);
            assert_eq!(time, gate.refusal_time(&name), "asked again");
            assert!((REFUSAL_MIN..REFUSAL_MIN * 2).contains(&time), "{time:?}");
            alike += usize::from(time == other.refusal_time(&name));
            seen.insert(time);
        }
        assert!(seen.len() > 9_000, "{} times", seen.len());
        assert!(alike < 100, "another gate gives away this one's: {alike}");
    }

    #[tokio::test]
    async fn a_source_has_so_many_turns_and_its_line_leaves_nothing() {
        let tolls = tolls();
        let mut tolls_of = (0..=TURNS_OF_SOURCE)
            .map(|_| toll(&tolls))
            .collect::<Vec<_>>();
        let mut last = tolls_of.pop().unwrap();
        let mut turns = Vec::new();
        for (number, toll) in tolls_of.iter_mut().enumerate() {
            turns.push(toll.turn(&format!("person{number}")).await.unwrap());
        }
        let waiting = tokio::time::timeout(Duration::from_millis(20), last.turn("late")).await;
        assert!(waiting.is_err(), "one too many");
        turns.pop();
        for _ in 0..4 {
            toll(&tolls).settle(&LoginError::TooManyTries);
        }
        let refused = last.turn("late").await.err().unwrap();
        assert!(matches!(refused, LoginError::Penalised(_)), "{refused}");
        drop(turns);
        assert!(tolls.sources.lines.lock().unwrap().is_empty());
        assert!(tolls.names.lines.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn guessers_of_a_name_wait_for_each_other_and_its_owner_does_not() {
        let tolls = tolls();
        let from = |host: u8| Toll::new(&tolls, [192, 0, 2, host].into());
        let mut guessers: Vec<_> = (10..30).map(from).collect();
        let mut turns = Vec::new();
        let mut waiting = 0;
        for guesser in &mut guessers {
            guesser.failed();
            let turn = guesser.turn("alice");
            match tokio::time::timeout(Duration::from_millis(5), turn).await {
                Ok(turn) => turns.push(turn.unwrap()),
                Err(_) => waiting += 1,
            }
        }
        assert_eq!((turns.len(), waiting), (TURNS_OF_NAME, 20 - TURNS_OF_NAME));
        from(1).turn("alice").await.unwrap();
        guessers[19].turn("bob").await.unwrap();
    }
}
