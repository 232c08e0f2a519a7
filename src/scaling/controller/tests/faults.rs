//! Whatever goes wrong: nobody is cut off, nothing is ordered twice, people get in once it can be, and the reason is told.

use super::cloud::{Fate, View};
use super::*;
use crate::fleet::FleetFault;

fn throttled(seconds: u64) -> FleetFault {
    FleetFault::Throttled {
        what: "429 too many requests".to_owned(),
        after: Duration::from_secs(seconds),
    }
}

/// Two machines with three people.
async fn with_people(max: u32) -> World {
    let mut world = World::new((0, max));
    for user in ["a", "b", "c"] {
        world.wait_in(user).await;
    }
    assert_eq!(world.cloud.count(), 2);
    world.cloud.state().commands.clear();
    world
}

#[tokio::test]
async fn a_refusal_is_waited_out_and_told() {
    for (fault, least_s) in [
        (throttled(90), 90),
        (FleetFault::Transient("500 internal error".to_owned()), 5),
        (FleetFault::Conflict("409 another operation".to_owned()), 5),
        (FleetFault::Quota("the quota is exceeded".to_owned()), 300),
        (
            FleetFault::NoCapacity("no such size is free".to_owned()),
            300,
        ),
        (FleetFault::Auth("403 forbidden".to_owned()), 60),
        (FleetFault::Transient("the answer is cut off".to_owned()), 5),
    ] {
        let mut world = World::new((0, 3));
        world.cloud.state().refusals.push_back(fault.clone());
        let began = world.now.instant;
        world.log_in("alice");
        world
            .until("it is refused", |world| world.cloud.commands().len() == 1)
            .await;
        world
            .until("it is tried again", |world| {
                world.cloud.commands().len() == 2
            })
            .await;
        let passed = world.now.instant.duration_since(began).as_secs();
        assert!(
            (least_s..least_s + 30).contains(&passed),
            "{fault}: {passed} s"
        );
        assert!(
            world.has_event(EventKind::WakeFailed, &fault.to_string()),
            "{}",
            world.story()
        );
        world.wait_in("alice").await;
        assert_eq!(world.cloud.count(), 1, "{fault}");
        assert_eq!(world.prospect().trouble, None, "{fault}");
    }
}

#[tokio::test]
async fn people_are_told_of_what_stands_in_the_way() {
    let mut world = World::new((0, 3));
    let quota = || FleetFault::Quota("the quota is exceeded".to_owned());
    world
        .cloud
        .state()
        .refusals
        .extend([quota(), quota(), quota()]);
    world.log_in("alice");
    world.pass(5).await;
    let trouble = world.prospect().trouble.unwrap();
    assert!(trouble.contains("no machine to be had"), "{trouble}");
    world.pass(900).await;
    assert_eq!(
        world.count(EventKind::WakeFailed),
        1,
        "once, however often\n{}",
        world.story()
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_not_given_twice() {
    let mut world = World::new((0, 3));
    world.cloud.state().is_hanging = true;
    world.log_in("alice");
    world.pass(200).await;
    assert_eq!(world.cloud.commands(), ["grow to 1"]);
    world.cloud.release();
    world.wait_in("alice").await;
    assert_eq!(world.cloud.commands(), ["grow to 1"]);
}

#[tokio::test]
async fn a_command_that_was_taken_and_fails_is_given_again() {
    let mut world = with_people(3).await;
    world.log_out("c");
    world
        .cloud
        .state()
        .failures
        .push_back(FleetFault::Transient("preempted".to_owned()));
    world
        .until("it is removed", |world| world.cloud.names().len() == 1)
        .await;
    assert!(world.has_event(EventKind::Fault, "machines cannot be deleted"));
}

#[tokio::test]
async fn a_listing_that_is_empty_by_mistake_cuts_nobody_off() {
    for view in [View::Nothing, View::Old, View::Capacity(50)] {
        let mut world = with_people(4).await;
        let before = world.count(EventKind::Freeze);
        world.cloud.state().view = view;
        world.pass(1200).await;
        world.log_out("c");
        world.pass(1200).await;
        assert!(
            world.cloud.commands().is_empty(),
            "{:?}",
            world.cloud.commands()
        );
        assert!(
            world
                .seats
                .values()
                .all(|seat| !seat.ended().is_cancelled())
        );
        assert!(world.log_in("c"), "people still get in");
        assert_eq!(
            world.count(EventKind::Freeze),
            before + 1,
            "{}",
            world.story()
        );
        assert_eq!(world.count(EventKind::Gone), 0);
        world.cloud.state().view = View::Truth;
        world.log_out("c");
        world
            .until("it is resized again", |world| {
                world.count(EventKind::Remove) == 1
            })
            .await;
    }
}

#[tokio::test]
async fn a_hindrance_is_told_and_nothing_is_changed() {
    let mut world = with_people(3).await;
    world.cloud.state().hindrance =
        Some("another autoscaler resizes the set: delete it".to_owned());
    world.log_out("c");
    world.pass(1200).await;
    assert!(world.cloud.commands().is_empty());
    assert!(
        world.has_event(EventKind::Freeze, "another autoscaler"),
        "{}",
        world.story()
    );
}

#[tokio::test]
async fn boots_that_fail_are_told_retried_ever_more_slowly_and_cleared_away() {
    for fate in [Fate::Sick, Fate::Fails] {
        let mut world = World::new((0, 4));
        world.cloud.state().fates.extend([fate; 3]);
        world.log_in("alice");
        let mut is_told = false;
        for _ in 0..3600 {
            if world.log_in("alice") {
                break;
            }
            world.second().await;
            let trouble = world.prospect().trouble;
            is_told |= trouble.is_some_and(|words| words.contains("in a row did not start"));
        }
        assert!(
            world.seats.contains_key("alice"),
            "{fate:?}\n{}",
            world.story()
        );
        assert!(is_told, "{fate:?}");
        world
            .until("the broken ones are gone", |world| {
                world.cloud.names().len() == 1
            })
            .await;
    }
}

#[tokio::test]
async fn a_machine_the_cloud_takes_is_closed_and_replaced() {
    let mut world = with_people(4).await;
    let id = world.seats["a"].instance().id.clone();
    world.cloud.take(&id, 30);
    world
        .until("it is closed", |world| {
            let snapshot = world.pool.snapshot();
            let view = snapshot.instance("main", &id.name);
            view.is_some_and(|view| view.admin_state == AdminState::Draining)
        })
        .await;
    world
        .until("another is asked for", |world| {
            world.cloud.commands().len() == 1
        })
        .await;
    world
        .until("it is gone", |world| {
            !world.cloud.names().contains(&id.name.to_string())
        })
        .await;
    world.seats.retain(|_, seat| seat.instance().id != id);
    world.wait_in("a").await;
}

#[tokio::test]
async fn a_clock_that_jumps_by_a_day_removes_nobody() {
    for is_forward in [true, false] {
        let mut world = with_people(3).await;
        let day = Duration::from_secs(86_400);
        match is_forward {
            true => world.now.wall += day,
            false => world.now.wall -= day,
        }
        world.log_out("c");
        world.pass(30).await;
        assert!(world.cloud.commands().is_empty());
        world
            .until("it goes", |world| world.cloud.names().len() == 1)
            .await;
        assert_eq!(world.cloud.commands().len(), 1);
    }
}

#[tokio::test]
async fn a_restart_in_mid_operation_repeats_nothing() {
    let mut world = World::new((0, 3));
    world.log_in("alice");
    world.pass(3).await;
    world.restart().await;
    world.wait_in("alice").await;
    assert_eq!(world.cloud.commands(), ["grow to 1"]);
    world.log_out("alice");
    world
        .until("it is removed", |world| world.cloud.commands().len() == 2)
        .await;
    world.restart().await;
    assert!(
        !world.log_in("alice"),
        "nobody gets onto what is being deleted"
    );
    world
        .until("it is gone", |world| {
            !world.cloud.names().contains(&"vm1".to_owned())
        })
        .await;
    world.wait_in("alice").await;
    assert_eq!(
        world.cloud.commands().len(),
        3,
        "{:?}",
        world.cloud.commands()
    );
}

#[tokio::test]
async fn a_restart_before_a_command_was_noted_repeats_nothing() {
    let mut world = World::new((0, 3));
    world.cloud.state().is_hanging = true;
    world.log_in("alice");
    world.pass(3).await;
    // The cloud has taken it; this process dies before it hears so.
    let hung = std::mem::take(&mut world.controller.running);
    world.cloud.release();
    hung.join_all().await;
    world.cloud.state().commands.clear();
    world.cloud.look(world.now.wall);
    world.restart().await;
    world.wait_in("alice").await;
    assert!(
        world.cloud.commands().is_empty(),
        "{:?}",
        world.cloud.commands()
    );
}

/// Killed after the fleet was asked to remove a machine, before its answer came: it may be at it for a while yet.
#[tokio::test]
async fn a_removal_without_an_answer_is_not_repeated_after_a_crash() {
    let mut world = with_people(3).await;
    world.log_out("c");
    world.cloud.state().is_hanging = true;
    world
        .until("it is to be removed", |world| {
            world.cloud.commands().len() == 1
        })
        .await;
    let command = world.cloud.commands();
    drop(std::mem::take(&mut world.controller.running));
    world.restart().await;
    world.pass(250).await;
    assert_eq!(world.cloud.commands(), command, "{}", world.story());
    let machine = command[0].strip_prefix("remove ").unwrap().to_owned();
    let snapshot = world.pool.snapshot();
    let view = snapshot.instance("main", &machine).unwrap();
    assert!(view.is_sealed && view.admin_state == AdminState::Draining);
    // It never came through: once it must be clear, the same machine is removed and no other.
    world.cloud.release();
    world
        .until("it is gone", |world| world.cloud.names().len() == 1)
        .await;
    assert_eq!(
        world.cloud.commands(),
        [command[0].clone(), command[0].clone()]
    );
    assert!(world.has_event(EventKind::Fault, "tried again"));
}

#[tokio::test]
async fn what_was_decided_holds_before_the_first_login_after_a_restart() {
    let mut world = with_people(3).await;
    let ids: Vec<_> = world
        .pool
        .snapshot()
        .instances
        .iter()
        .map(gather::id_of)
        .collect();
    let disk = Decision::by_admin(AdminState::Cordoned, "a new disk");
    ids.iter()
        .for_each(|id| assert!(world.pool.decide(id, disk.clone())));
    world.pass(2).await;
    world.seats.clear();
    world.pool.sync_instances("main", Vec::new());
    world.restart().await;
    world.list_and_probe();
    assert!(!world.log_in("new"), "before the first round");
    let view = world.pool.explain("new", None).unwrap();
    assert!(view.waiting.is_some());
}

#[tokio::test]
async fn a_machine_that_falls_ill_is_replaced_and_its_people_stay() {
    let mut world = with_people(4).await;
    let id = world.seats["c"].instance().id.clone();
    world.cloud.fall_ill(&id);
    world.pass(1200).await;
    assert!(world.cloud.exists(&id), "{}", world.story());
    assert_eq!(
        world.cloud.count(),
        3,
        "another has come for whoever is stranded"
    );
    world.seats.retain(|_, seat| seat.instance().id != id);
    world
        .until("it is gone", |world| !world.cloud.exists(&id))
        .await;
}
