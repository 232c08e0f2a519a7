//! Sessions of another process: seats, people, errands, and their end.

use super::*;
use crate::pool::{AdminState, Decision, SessionView, Stage};
use crate::shared_pool::{Elsewhere, Errand};

fn view(id: u64, at: &str) -> SessionView {
    SessionView {
        id: SessionId(id),
        user: Some("alice".into()),
        protocol: Protocol::Ssh,
        pool: "main".into(),
        instance: at.into(),
        peer: [192, 0, 2, 7].into(),
        since: SystemTime::UNIX_EPOCH,
        stage: Stage::Live,
        is_elsewhere: false,
    }
}

fn sessions(pool: &SharedPool, at: &str) -> u32 {
    pool.publish_now();
    let snapshot = pool.snapshot();
    snapshot.instance("main", at).unwrap().sessions
}

#[tokio::test]
async fn they_take_seats_and_draw_their_person() {
    let pool = pool_of(2);
    let (mut elsewhere, _errands) = Elsewhere::new(pool.clone(), 4711);
    elsewhere.hold(view(1, "vm2"), 1);
    elsewhere.hold(view(2, "vm2"), 1);
    elsewhere.hold(view(3, "vm1"), 7);
    assert_eq!((sessions(&pool, "vm1"), sessions(&pool, "vm2")), (0, 2));
    assert!(pool.snapshot().sessions[0].is_elsewhere);
    let seat = pool.place(&login("alice")).unwrap();
    assert_eq!(&*seat.instance().id.name, "vm2");
    drop(seat);
    // The same session again is one session.
    elsewhere.hold(view(2, "vm2"), 1);
    elsewhere.release(SessionId(1));
    assert_eq!(sessions(&pool, "vm2"), 1);
    // The third was on a machine that is listed only now.
    pool.sync_instances("main", vec![instance("vm1", 7), instance("vm2", 1)]);
    assert_eq!(sessions(&pool, "vm1"), 1);
    drop(elsewhere);
    assert_eq!((sessions(&pool, "vm1"), sessions(&pool, "vm2")), (0, 0));
}

#[tokio::test]
async fn what_is_decided_about_them_goes_where_they_are() {
    let pool = pool_of(1);
    let (mut elsewhere, mut errands) = Elsewhere::new(pool.clone(), 4711);
    elsewhere.hold(view(1, "vm1"), 1);
    pool.publish_now();
    let session = SessionId(1);
    assert_eq!(pool.notify(&Audience::Everybody, "tea"), 1);
    let line = "tea".into();
    assert_eq!(errands.recv().await, Some(Errand::Tell { session, line }));
    assert!(pool.evict_because(session, "the end"));
    let reason = Some("the end".into());
    assert_eq!(
        errands.recv().await,
        Some(Errand::Evict { session, reason })
    );
    // It counts until it has ended there.
    assert_eq!(sessions(&pool, "vm1"), 1);
    // An id of this gate's own is left alone.
    let seat = pool.place(&login("bob")).unwrap();
    elsewhere.hold(view(seat.session().0, "vm1"), 1);
    drop(elsewhere);
    assert_eq!(sessions(&pool, "vm1"), 1);
}

#[tokio::test]
async fn a_process_that_has_not_told_may_hold_anybody() {
    let pool = pool_of(1);
    let drained = Decision::by_policy(AdminState::Draining, "nobody is on it");
    assert!(pool.decide(&id("vm1"), drained));
    let (mut elsewhere, _errands) = Elsewhere::new(pool.clone(), 4711);
    assert!(!pool.seal(&id("vm1")), "somebody may be there");
    pool.publish_now();
    let unheard = |pool: &SharedPool| {
        pool.snapshot()
            .unheard()
            .map(|gate| gate.pid)
            .collect::<Vec<_>>()
    };
    assert_eq!(unheard(&pool), [4711]);
    elsewhere.hold_only(vec![(view(1, "vm1"), 1), (view(2, "vm1"), 1)]);
    elsewhere.hear("1.2.3");
    pool.publish_now();
    let told = pool.snapshot().older[0].clone();
    assert_eq!((told.version.as_deref(), told.sessions), (Some("1.2.3"), 2));
    assert_eq!(unheard(&pool), [0; 0]);
    assert!(!pool.seal(&id("vm1")), "somebody is there");
    // Out of sight they are there still; told anew, only those told are.
    elsewhere.lose_sight();
    assert_eq!(sessions(&pool, "vm1"), 2);
    elsewhere.hold_only(vec![(view(2, "vm1"), 1)]);
    elsewhere.hear("1.2.3");
    assert_eq!(sessions(&pool, "vm1"), 1);
    elsewhere.hold_only(Vec::new());
    assert!(pool.seal(&id("vm1")));
    drop(elsewhere);
    assert_eq!(pool.older(), []);
}
