//! Two gates of one place: the older one's logins get seats and stand in line at the newer one.

use std::net::IpAddr;

use super::*;
use crate::pool::{AdminState, Decision, Place, Plea, Refused, Reply, Waiter};
use crate::shared_pool::{Elsewhere, Newer};

/// An older gate, a newer one, and what they say to each other.
struct Gates {
    older: SharedPool,
    newer: SharedPool,
    elsewhere: Elsewhere,
    asked: Newer,
}

fn small(name: &str, generation: u64) -> Instance {
    Instance {
        capacity: 1,
        ..instance(name, generation)
    }
}

fn gate(seed: u64) -> SharedPool {
    let pool = SharedPool::new(seed);
    pool.configure("main", rules());
    list(&pool, &["vm1"]);
    pool
}

/// Instances of one seat each, all up.
fn list(pool: &SharedPool, names: &[&str]) {
    pool.sync_instances("main", names.iter().map(|name| small(name, 1)).collect());
    for name in names {
        for _ in 0..2 {
            pool.observe(&id(name), Protocol::Ssh, Health::Up);
        }
    }
    pool.publish_now();
}

fn person(user: &str) -> Waiter {
    Waiter::Person(user.into())
}

fn plea(user: &str) -> Plea {
    Plea {
        request: login(user),
        waiter: Some(person(user)),
        ticket: None,
    }
}

fn source() -> IpAddr {
    [192, 0, 2, 7].into()
}

/// Stands in the line of one gate.
fn join(pool: &SharedPool, user: &str) -> Option<usize> {
    let by = (Protocol::Ssh, source());
    let joined = pool
        .lines()
        .join(&"main".into(), &person(user), by, &pool.snapshot());
    joined.unwrap().ahead
}

impl Gates {
    fn new() -> Self {
        let (older, newer) = (gate(7), gate(8));
        let (elsewhere, _errands) = Elsewhere::new(newer.clone(), 4711);
        let asked = older.ask_newer();
        Self {
            older,
            newer,
            elsewhere,
            asked,
        }
    }

    /// A login at the older gate asks, and the newer one answers.
    async fn ask(&mut self, plea: &Plea) -> Result<Seat, Refused> {
        self.newer.publish_now();
        let answering = async {
            let asked = self.asked.next().await;
            let reply = self.elsewhere.answer(asked.plea().clone());
            asked.pass_on(&self.older, reply);
        };
        let (told, ()) = tokio::join!(self.older.plead(plea), answering);
        told.unwrap()
    }

    /// The same for somebody who waits there.
    async fn wait(&mut self, user: &str) -> Result<Seat, Box<Place>> {
        let ticket = self.older.lines().ticket(&"main".into(), &person(user));
        let plea = Plea {
            ticket,
            ..plea(user)
        };
        let told = self.ask(&plea).await;
        told.map_err(|refused| refused.place.unwrap())
    }

    fn seated(&self) -> u32 {
        self.newer.publish_now();
        let snapshot = self.newer.snapshot();
        snapshot.instances.iter().map(|view| view.sessions).sum()
    }

    /// Somebody who comes to the newer gate.
    fn arrive(&self, user: &str) -> Result<Seat, Refusal> {
        self.newer.publish_now();
        self.newer.place_in_turn(&login(user), Some(&person(user)))
    }
}

#[tokio::test]
async fn who_waits_at_an_older_gate_is_not_passed_and_no_seat_is_given_twice() {
    let mut gates = Gates::new();
    let first = gates.arrive("alice").unwrap();
    // The older gate knows of nobody there, and would have a seat.
    assert_eq!(join(&gates.older, "bob"), Some(0));
    let place = gates.wait("bob").await.err().unwrap();
    assert_eq!(
        (place.stand.ahead, place.stand.is_ready()),
        (Some(0), false)
    );
    assert_eq!(join(&gates.newer, "carol"), Some(1), "behind him");
    assert_eq!(gates.newer.lines().len("main"), 2, "all are counted");
    drop(first);
    assert!(gates.arrive("carol").is_err(), "it is his turn");
    let seat = gates.wait("bob").await.unwrap();
    assert_eq!(&*seat.instance().id.name, "vm1");
    assert_eq!(gates.newer.lines().len("main"), 1);
    assert!(gates.arrive("carol").is_err(), "his seat is counted");
    let snapshot = gates.newer.snapshot();
    let session = snapshot.session(seat.session()).unwrap();
    assert!(session.is_elsewhere && session.user.as_deref() == Some("bob"));
    // What he is at the older gate is the same session.
    gates.older.publish_now();
    let told = gates.older.snapshot();
    let told = told.session(seat.session()).unwrap().clone();
    gates.elsewhere.hold(told, 1);
    assert_eq!(gates.seated(), 1);
    gates.elsewhere.release(seat.session());
    drop(seat);
    assert!(gates.arrive("carol").is_ok());
}

#[tokio::test]
async fn who_came_first_stands_first_at_whichever_gate() {
    let mut gates = Gates::new();
    let _first = gates.arrive("alice").unwrap();
    join(&gates.older, "bob");
    assert_eq!(join(&gates.newer, "carol"), Some(0));
    join(&gates.older, "dave");
    assert_eq!(gates.wait("dave").await.err().unwrap().stand.ahead, Some(1));
    assert_eq!(gates.wait("bob").await.err().unwrap().stand.ahead, Some(0));
    assert_eq!(join(&gates.newer, "carol"), Some(1));
    assert_eq!(gates.wait("dave").await.err().unwrap().stand.ahead, Some(2));
}

#[tokio::test]
async fn what_the_newer_gate_knows_of_instances_holds_for_the_older_ones_logins() {
    let mut gates = Gates::new();
    let cordoned = Decision::by_admin(AdminState::Cordoned, "it is patched");
    assert!(gates.newer.decide(&id("vm1"), cordoned));
    let refused = gates.ask(&plea("alice")).await.err().unwrap();
    assert_eq!(refused.refusal, Refusal::NoneUp("main".into()));
    // Listed there alone, and so is what is known of its health.
    list(&gates.newer, &["vm1", "vm2"]);
    let seat = gates.ask(&plea("alice")).await.unwrap();
    assert_eq!(seat.instance().id, id("vm2"));
    gates.older.publish_now();
    let snapshot = gates.older.snapshot();
    assert_eq!(snapshot.instance("main", "vm2").unwrap().sessions, 1);
    // A listing of an operator's leaves it as long as somebody is there.
    let kept = gates.older.keep_used("main", &[small("vm1", 1)]);
    assert_eq!(kept, [small("vm2", 1)]);
    assert!(gates.ask(&plea("bob")).await.is_err(), "it is full");
    let refused = Plea {
        request: LoginRequest {
            instance: Some("vm1".into()),
            ..login("bob")
        },
        ..plea("bob")
    };
    let refused = gates.ask(&refused).await.err().unwrap().refusal;
    assert_eq!(
        refused.to_string(),
        "instance vm1 takes no logins: it is cordoned"
    );
}

#[tokio::test]
async fn a_seat_on_another_machine_under_its_name_is_not_taken() {
    let mut gates = Gates::new();
    gates.newer.sync_instances("main", vec![small("vm1", 2)]);
    for _ in 0..2 {
        gates.newer.observe(&id("vm1"), Protocol::Ssh, Health::Up);
    }
    let refused = gates.ask(&plea("alice")).await.err().unwrap();
    assert_eq!(refused.refusal, Refusal::NoneUp("main".into()));
    gates.older.publish_now();
    assert!(gates.older.snapshot().sessions.is_empty());
    // The gate that asked tells all that it holds, and that is not among it.
    assert_eq!(gates.seated(), 1);
    gates.elsewhere.hold_only(Vec::new());
    assert_eq!(gates.seated(), 0);
}

#[tokio::test]
async fn without_a_newer_gate_the_older_one_places_by_itself() {
    let gates = Gates::new();
    let Gates {
        older,
        mut asked,
        elsewhere,
        ..
    } = gates;
    drop(elsewhere);
    let wish = plea("alice");
    let gone = async {
        asked.next().await;
        drop(asked);
    };
    let (told, ()) = tokio::join!(older.plead(&wish), gone);
    assert!(told.is_none() && !older.has_newer());
    assert!(older.plead(&wish).await.is_none());
    assert!(older.place_in_turn(&wish.request, None).is_ok());
}

#[tokio::test]
async fn of_two_newer_gates_one_is_asked_and_the_other_once_that_is_gone() {
    let gates = Gates::new();
    let (older, mut first) = (gates.older.clone(), gates.asked);
    let mut second = older.ask_newer();
    let reply = || {
        Reply::Refused(Refused {
            refusal: Refusal::Full("main".into()),
            place: None,
        })
    };
    let wish = plea("alice");
    let answering = async {
        first.next().await.pass_on(&older, reply());
    };
    let (told, ()) = tokio::join!(older.plead(&wish), answering);
    assert!(told.unwrap().is_err());
    // It goes without an answer.
    let going = async {
        first.next().await;
        drop(first);
        second.next().await.pass_on(&older, reply());
    };
    let (told, ()) = tokio::join!(older.plead(&wish), going);
    assert!(told.unwrap().is_err());
}
