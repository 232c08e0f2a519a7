//! A scale set's whole life, rivals included, validated in both directions by Prism against Azure's published description: from nothing, up,
//! off and on again, down machine by machine, to nothing; in a Uniform set and in a Flexible one.

use poolgate::fleet::OpState;
use poolgate::pool::MachinePhase;

use crate::support::arm::{Arm, Mode};
use crate::support::azure::{Pool, Prism, chosen};

/// An autoscale setting and automatic repairs, on or off.
fn set_rivals(arm: &Arm, are_on: bool) {
    arm.with(|state| (state.has_autoscale, state.has_repairs) = (are_on, are_on));
}

async fn live(mode: Mode) {
    let arm = Arm::start(mode).await;
    let Some(prism) = Prism::start(&arm).await else {
        return;
    };
    set_rivals(&arm, true);
    let pool = Pool::start_through(&arm, prism.address);
    let control = &pool.control;
    pool.until("rivals", |seen| seen.hindrances.len() == 2)
        .await;
    set_rivals(&arm, false);
    pool.until("alone", |seen| seen.hindrances.is_empty()).await;
    let empty = pool.until("seen through the validator", |_| true).await;
    assert_eq!(
        (empty.capacity, empty.machines.len()),
        (0, 0),
        "{}",
        prism.said()
    );

    // Three machines are two pages of a listing.
    let three = pool.grown_to(3).await;
    let listed = pool.until_listed(3).await;
    assert_eq!(listed[0].address, "10.0.0.4");
    let [first, second, third] = &three.machines[..] else {
        panic!("{three:?}");
    };
    let op = control.remove(&chosen([second])).await.unwrap();
    assert_eq!(pool.end_of(&op).await, OpState::Done);
    let two = pool
        .until("one removed", |seen| {
            seen.machines.len() == 2 && seen.capacity == 2
        })
        .await;
    let left: Vec<_> = two.machines.iter().map(|one| &one.id).collect();
    assert_eq!(left, [&first.id, &third.id], "that one and no other");

    let op = control.stop(&chosen([first, third])).await.unwrap();
    assert_eq!(pool.end_of(&op).await, OpState::Done);
    let off = |phase| phase == MachinePhase::Deallocated;
    pool.until("off", |seen| seen.machines.iter().all(|one| off(one.phase)))
        .await;
    pool.until_listed(0).await;
    let op = control.start(&chosen([first, third])).await.unwrap();
    assert_eq!(pool.end_of(&op).await, OpState::Done);
    pool.until_listed(2).await;

    // A number that comes free is given again, to another machine; so it is to a gate that was restarted meanwhile.
    pool.stop().await;
    let pool = Pool::start_through(&arm, prism.address);
    let control = &pool.control;
    let again = pool.grown_to(3).await;
    let reborn = again
        .machines
        .iter()
        .find(|one| one.id == second.id)
        .unwrap();
    assert_ne!(reborn.generation, second.generation);
    let stale = control.remove(&chosen([second])).await.unwrap_err();
    assert_eq!(stale.kind(), "conflict");

    let op = control.remove(&chosen(&again.machines)).await.unwrap();
    assert_eq!(pool.end_of(&op).await, OpState::Done);
    let zero = pool.until("zero", |seen| seen.machines.is_empty()).await;
    assert_eq!(zero.capacity, 0);
    pool.until_listed(0).await;
    pool.stop().await;
    assert_eq!(arm.count("PATCH "), 2);
    assert_eq!(arm.count("/delete"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uniform_set_lives_by_azures_own_description() {
    live(Mode::Uniform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flexible_set_lives_by_azures_own_description() {
    live(Mode::Flexible).await;
}
