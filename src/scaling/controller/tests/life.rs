//! A pool's ordinary life: from nothing to as many as are needed and back, and what people and operators decide meanwhile.

use super::cloud::View;
use super::*;

#[tokio::test]
async fn a_pool_sleeps_wakes_grows_drains_and_sleeps_again() {
    let mut world = World::new((0, 3));
    world.pass(60).await;
    assert_eq!((world.cloud.count(), world.cloud.commands().len()), (0, 0));
    for user in ["alice", "bob"] {
        assert!(!world.log_in(user));
    }
    world.pass(3).await;
    assert_eq!(
        world.cloud.commands(),
        ["grow to 1"],
        "one write for all who wait"
    );
    let prospect = world.prospect();
    assert_eq!((prospect.coming, prospect.trouble), (1, None));
    assert_eq!(prospect.ready_at, None, "no boot was measured yet");
    let intent = world.intent();
    assert_eq!(intent.desired, 1);
    assert!(intent.notes[0].contains("2 people wait"), "{intent:?}");
    let told = world.explained();
    for part in [
        "Pool main should have 1 machine in service, and ",
        "Phase always is in force: at least 0 machines, at most ",
        "Counted: phase always: 0 seats taken, 2 people wait",
        "It waits: ",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let waited = world.wait_in("alice").await;
    assert!(waited < BOOT_S + 15, "{waited} s");
    assert!(world.log_in("bob"));
    for user in ["carol", "dave", "eve"] {
        world.wait_in(user).await;
    }
    assert_eq!(world.cloud.count(), 3);
    let users: Vec<_> = world.seats.keys().cloned().collect();
    users.iter().for_each(|user| world.log_out(user));
    world
        .until("the next step is foretold", |world| {
            let next = world.intent().next;
            next.is_some_and(|next| next.at > world.now.wall && next.step.starts_with("drain "))
        })
        .await;
    world
        .until("it sleeps", |world| world.cloud.names().is_empty())
        .await;
    for (kind, least) in [
        (EventKind::Grow, 2),
        (EventKind::Up, 3),
        (EventKind::Drain, 3),
        (EventKind::Remove, 3),
    ] {
        assert!(world.count(kind) >= least, "{kind:?}\n{}", world.story());
    }
    assert_eq!(world.count(EventKind::Fault), 0, "{}", world.story());
    world.restart().await;
    world.log_in("alice");
    world.pass(3).await;
    let left = world
        .prospect()
        .ready_at
        .map(|at| at.duration_since(world.now.wall).unwrap());
    let left = left.expect("the boots before the restart count").as_secs();
    assert!((BOOT_S - 10..BOOT_S + 20).contains(&left), "{left} s");
    let cost = world.controller.cost().unwrap();
    assert!(cost.hours.billed_h > 0.0 && cost.hours.used_h > 0.0);
    assert!(cost.people.iter().any(|person| &*person.user == "alice"));
}

#[tokio::test]
async fn whoever_stays_keeps_their_machine_and_is_asked_back_when_people_come() {
    let mut world = World::new((0, 4));
    for user in ["a", "b", "c", "d"] {
        world.wait_in(user).await;
    }
    assert_eq!(world.cloud.count(), 2);
    world.pass(60).await;
    // One person on each machine: one machine would do.
    let on = |world: &World, user: &str| world.seats[user].instance().id.clone();
    let first = on(&world, "a");
    let partner = ["b", "c", "d"]
        .into_iter()
        .find(|user| on(&world, user) == first)
        .unwrap();
    world.log_out(partner);
    let other = ["b", "c", "d"]
        .into_iter()
        .find(|user| *user != partner)
        .unwrap();
    world.log_out(other);
    world
        .until("one drains", |world| world.count(EventKind::Drain) == 1)
        .await;
    world.pass(1200).await;
    assert_eq!(
        world.cloud.count(),
        2,
        "nobody was cut off\n{}",
        world.story()
    );
    for user in ["e", "f"] {
        world.wait_in(user).await;
    }
    assert_eq!(world.count(EventKind::Undrain), 1, "{}", world.story());
    assert_eq!(world.cloud.count(), 2, "no machine was asked for");
}

#[tokio::test]
async fn what_people_decide_outlives_a_restart_and_is_not_overruled() {
    let mut world = World::new((0, 3));
    for user in ["a", "b", "c", "d"] {
        world.wait_in(user).await;
    }
    let kept = world.seats["a"].instance().id.clone();
    let cordoned = ["b", "c", "d"]
        .into_iter()
        .map(|user| world.seats[user].instance().id.clone())
        .find(|id| *id != kept)
        .unwrap();
    let until = world.now.wall + Duration::from_secs(3600);
    world.pool.keep(
        &kept,
        Some(crate::pool::Keep {
            by: "a".into(),
            until,
        }),
    );
    world.pool.decide(
        &cordoned,
        Decision::by_admin(AdminState::Cordoned, "a new disk"),
    );
    world.pass(2).await;
    world.restart().await;
    let spent = world.controller.history.month_seconds();
    assert!(spent > 60, "the month's budget: {spent} s");
    world.pool.sync_instances("main", Vec::new());
    world.seats.clear();
    world.pass(1800).await;
    assert_eq!(world.cloud.count(), 2, "{}", world.story());
    let snapshot = world.pool.snapshot();
    let view = snapshot.instance("main", &cordoned.name).unwrap();
    assert_eq!(view.admin_state, AdminState::Cordoned);
    assert_eq!(view.reason.as_deref(), Some("a new disk"));
    let view = snapshot.instance("main", &kept.name).unwrap();
    assert_eq!(view.keep.as_ref().map(|keep| &*keep.by), Some("a"));
    world.pool.decide(&cordoned, Decision::none());
    world
        .until("all go", |world| world.cloud.names().is_empty())
        .await;
}

#[tokio::test]
async fn an_operator_orders_a_number_of_machines() {
    let mut world = World::new((0, 3));
    world.pass(2).await;
    let wish = |machines, is_dry_run| Wish {
        machines,
        hold: Duration::from_secs(600),
        is_dry_run,
        by: "root".to_owned(),
    };
    let now = world.now;
    let dry = world.controller.scale(&wish(2, true), now).unwrap();
    assert!(dry.steps[0].starts_with("grow by 2"), "{dry:?}");
    world.pass(5).await;
    assert_eq!(world.cloud.count(), 0);
    assert!(
        world
            .controller
            .scale(&wish(4, false), now)
            .unwrap_err()
            .contains("max")
    );
    let now = world.now;
    world.controller.scale(&wish(2, false), now).unwrap();
    world.pass(300).await;
    assert_eq!(world.cloud.count(), 2);
    world.restart().await;
    world.pass(100).await;
    assert_eq!(world.cloud.count(), 2, "it holds over a restart");
    world
        .until("they go", |world| world.cloud.names().is_empty())
        .await;
    assert!(world.has_event(EventKind::Order, "root asks for 2 machines"));
}

#[tokio::test]
async fn machines_that_are_off_are_started_first() {
    let mut world = World::new((0, 3));
    world.cloud.state().make_off();
    world.cloud.look(world.now.wall);
    world.wait_in("alice").await;
    assert_eq!(world.cloud.commands(), ["start vm1"]);
}

#[tokio::test]
async fn people_are_made_to_leave_only_where_somebody_wants_that() {
    let mut world = World::with((0, 3), |config| {
        config.eviction = Some(Eviction::after(Duration::from_secs(600)));
    });
    for user in ["a", "b", "c"] {
        world.wait_in(user).await;
    }
    let alone = ["a", "b", "c"].into_iter().find(|user| {
        let id = &world.seats[*user].instance().id;
        world
            .seats
            .values()
            .filter(|seat| seat.instance().id == *id)
            .count()
            == 1
    });
    let (alone, other) = match alone.unwrap() {
        "a" => ("a", "b"),
        user => (user, "a"),
    };
    world.log_out(other);
    world
        .until("it drains", |world| world.count(EventKind::Drain) == 1)
        .await;
    let ended = world.seats.values().map(Seat::ended).collect::<Vec<_>>();
    world.pass(590).await;
    assert!(ended.iter().all(|one| !one.is_cancelled()), "{alone}");
    world.pass(15).await;
    assert_eq!(ended.iter().filter(|one| one.is_cancelled()).count(), 1);
    assert_eq!(world.count(EventKind::Evict), 1, "{}", world.story());
}

#[tokio::test]
async fn a_pool_that_is_not_resized_keeps_its_decisions_all_the_same() {
    let mut world = World::with((0, 3), |config| config.is_resized = false);
    world.log_in("alice");
    world.pass(120).await;
    assert!(world.cloud.commands().is_empty());
    assert!(
        world
            .pool
            .snapshot()
            .pool("main")
            .unwrap()
            .prospect
            .is_none()
    );
    world.cloud.state().view = View::Truth;
    assert!(world.events().is_empty(), "{}", world.story());
}
