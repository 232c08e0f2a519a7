//! What Azure does wrong, or is made to: each fault has its kind, nothing is done twice, and no machine leaves the listing
//! because looking failed.

use std::time::Duration;

use poolgate::config::AzureCredential;
use poolgate::fleet::{Op, OpState};
use poolgate::pool::MachinePhase;

use crate::support::arm::{Arm, Fault, Mode};
use crate::support::azure::{Pool, chosen};

const SET: &str = "virtualMachineScaleSets/pool";

/// Waits until the fake has been looked at `looks` times more.
async fn looked_at(arm: &Arm, looks: usize) {
    let begun = arm.count("GET ");
    let more = async {
        // The set itself is read at each look, whatever comes after.
        while arm.count("GET ") < begun + looks * 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), more)
        .await
        .expect("it is not looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_growth_is_told_by_its_kind_and_sent_once() {
    let arm = Arm::start(Mode::Uniform).await;
    let cases = [
        (Fault::Status(500, "InternalServerError", "x"), "transient"),
        (
            Fault::Status(
                409,
                "OperationNotAllowed",
                "exceeding approved Total Regional Cores quota",
            ),
            "quota",
        ),
        (Fault::Status(409, "Conflict", "x"), "conflict"),
        (Fault::Status(412, "ConditionNotMet", "x"), "conflict"),
        (Fault::Status(400, "SkuNotAvailable", "x"), "no-capacity"),
        (Fault::Status(403, "AuthorizationFailed", "x"), "auth"),
        (Fault::Status(404, "ResourceNotFound", "x"), "not-found"),
        (Fault::Hang, "transient"),
    ];
    for (index, (fault, kind)) in cases.into_iter().enumerate() {
        // A fleet of its own: four writes a minute are a set's.
        let pool = Pool::start(&arm);
        let seen = pool.until("seen", |_| true).await;
        arm.fail_next("PATCH ", fault.clone());
        let refused = pool.control.grow_to(1, &seen.version).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{fault:?}: {refused}");
        assert_eq!(arm.count("PATCH "), index + 1, "{fault:?}: sent once");
        pool.stop().await;
    }
    assert_eq!(arm.with(|state| state.capacity), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_set_is_left_alone_as_long_as_it_asks() {
    let arm = Arm::start(Mode::Uniform).await;
    let pool = Pool::start(&arm);
    let seen = pool.until("seen", |_| true).await;
    arm.fail_next("PATCH ", Fault::Status(429, "900", "x"));
    let refused = pool.control.grow_to(1, &seen.version).await.unwrap_err();
    assert_eq!(refused.kind(), "throttled");
    assert_eq!(refused.wait_at_least(), Duration::from_secs(900));
    let held_back = pool.control.grow_to(1, &seen.version).await.unwrap_err();
    assert_eq!(held_back.kind(), "throttled");
    assert!(held_back.wait_at_least() > Duration::from_secs(800));
    assert_eq!(arm.count("PATCH "), 1, "the second one never left");
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growth_whose_answer_is_lost_is_not_done_twice() {
    let arm = Arm::start(Mode::Flexible).await;
    let pool = Pool::start(&arm);
    let seen = pool.until("seen", |_| true).await;
    arm.fail_next("PATCH ", Fault::LoseAnswer);
    let lost = pool.control.grow_to(2, &seen.version).await.unwrap_err();
    assert_eq!(lost.kind(), "transient");
    let again = pool.control.grow_to(2, &seen.version).await.unwrap_err();
    assert_eq!(again.kind(), "conflict", "it must look first");
    let two = pool.until("it grew", |seen| seen.capacity == 2).await;
    let same = pool.control.grow_to(2, &two.version).await.unwrap_err();
    assert!(same.to_string().contains("would not grow"), "{same}");
    assert_eq!(arm.count("PATCH "), 1);

    pool.until_listed(2).await;
    arm.fail_next("/delete", Fault::LoseAnswer);
    let first = chosen([&two.machines[0]]);
    assert_eq!(
        pool.control.remove(&first).await.unwrap_err().kind(),
        "transient"
    );
    assert_eq!(
        pool.control.remove(&first).await.unwrap_err().kind(),
        "conflict"
    );
    pool.until("one is gone", |seen| seen.machines.len() == 1)
        .await;
    assert_eq!(arm.count("/delete"), 1);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_look_empties_nothing() {
    let arm = Arm::start(Mode::Uniform).await;
    let pool = Pool::start(&arm);
    pool.grown_to(3).await;
    let before = pool.until_listed(3).await;
    arm.with(|state| state.lists_nothing = true);
    looked_at(&arm, 4).await;
    assert_eq!(
        *pool.listing.borrow(),
        before,
        "an empty listing of a full set"
    );
    arm.with(|state| state.lists_nothing = false);
    pool.stop().await;

    let set = format!("GET {}", arm.with(|state| state.set_path()));
    let machines = format!("{SET}/virtualMachines");
    let truncated = "{\"value\":[{\"id\":\"/x\",\"name\":";
    let wrong = "{\"id\":\"/x\",\"sku\":{\"name\":\"s\",\"capacity\":\"two\"},\"properties\":{}}";
    let faults = [
        (machines.as_str(), Fault::Body(truncated)),
        (
            machines.as_str(),
            Fault::Status(500, "InternalServerError", "x"),
        ),
        (set.as_str(), Fault::Body(wrong)),
        (set.as_str(), Fault::Status(404, "ResourceNotFound", "x")),
        (
            set.as_str(),
            Fault::Status(401, "ExpiredAuthenticationToken", "x"),
        ),
        ("networkInterfaces", Fault::Body("[]")),
        (machines.as_str(), Fault::Hang),
    ];
    // Each spoils one look, of a fleet of its own: after some it is not looked at for a minute.
    for (what, fault) in faults {
        let pool = Pool::start(&arm);
        pool.until_listed(3).await;
        arm.fail_next(what, fault.clone());
        let met = async {
            while arm.with(|state| !state.faults.is_empty()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), met)
            .await
            .expect("never met");
        assert_eq!(pool.listing.borrow().len(), 3, "{fault:?}");
        pool.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_machine_leaves_and_one_that_never_boots_is_never_listed() {
    let arm = Arm::start(Mode::Flexible).await;
    let pool = Pool::start(&arm);
    pool.grown_to(2).await;
    arm.with(|state| state.evict(0));
    let left = pool.until_listed(1).await;
    assert_eq!(left[0].address, "10.0.0.5");

    arm.with(|state| state.is_boot_stuck = true);
    let seen = pool
        .until("settled", |seen| {
            seen.capacity == 1 && seen.machines.len() == 1
        })
        .await;
    pool.control.grow_to(2, &seen.version).await.unwrap();
    let creating = |phase| phase == MachinePhase::Creating;
    pool.until("creating", |seen| {
        seen.machines.iter().any(|one| creating(one.phase))
    })
    .await;
    looked_at(&arm, 3).await;
    assert_eq!(pool.listing.borrow().len(), 1);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_goes_on_over_a_restart_and_tells_why_it_failed() {
    let arm = Arm::start(Mode::Uniform).await;
    let pool = Pool::start(&arm);
    let seen = pool.until("seen", |_| true).await;
    arm.with(|state| state.next_failure = Some("OperationPreempted"));
    let op = pool.control.grow_to(1, &seen.version).await.unwrap();
    let kept = serde_json::to_string(&op).unwrap();
    pool.stop().await;

    let pool = Pool::start(&arm);
    let op: Op = serde_json::from_str(&kept).unwrap();
    let OpState::Failed(fault) = pool.end_of(&op).await else {
        panic!("it failed");
    };
    assert_eq!(fault.kind(), "conflict");
    let mut forged = op.clone();
    forged.polls[0].url = "https://management.azure.com.evil.example/operations/0".into();
    let refused = pool.control.poll(&forged).await.unwrap_err();
    assert!(
        refused.to_string().contains("it gets no token"),
        "{refused}"
    );
    assert!(
        !pool
            .hosts
            .lock()
            .unwrap()
            .iter()
            .any(|host| host.contains("evil"))
    );
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_page_elsewhere_gets_no_token() {
    let arm = Arm::start(Mode::Uniform).await;
    let pool = Pool::start(&arm);
    pool.grown_to(3).await;
    arm.with(|state| state.next_host = "evil.example");
    let seen = pool.until("seen", |_| true).await;
    // Looks before it acts, as the loop does.
    let refused = pool
        .control
        .remove(&chosen([&seen.machines[0]]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), "fatal");
    assert!(
        refused.to_string().contains("it gets no token"),
        "{refused}"
    );
    assert_eq!(pool.listing.borrow().len(), 3);
    assert!(
        !pool
            .hosts
            .lock()
            .unwrap()
            .iter()
            .any(|host| host.contains("evil"))
    );
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_resized_beside_a_rival() {
    let arm = Arm::start(Mode::Uniform).await;
    arm.with(|state| {
        state.has_autoscale = true;
        state.has_repairs = true;
    });
    let pool = Pool::start(&arm);
    let seen = pool.until("seen", |_| true).await;
    assert_eq!(seen.hindrances.len(), 2, "{:?}", seen.hindrances);
    let refused = pool.control.grow_to(1, &seen.version).await.unwrap_err();
    assert!(refused.to_string().contains("run: az "), "{refused}");
    assert_eq!(arm.count("PATCH "), 0);
    arm.with(|state| {
        state.has_autoscale = false;
        state.has_repairs = false;
    });
    pool.until("the rivals are gone", |seen| seen.hindrances.is_empty())
        .await;
    pool.grown_to(1).await;

    arm.with(|state| {
        state
            .machines
            .values_mut()
            .for_each(|one| one.is_protected = true)
    });
    let kept = pool
        .until("protected", |seen| {
            seen.machines.iter().all(|one| one.is_protected)
        })
        .await;
    let refused = pool
        .control
        .remove(&chosen(&kept.machines))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("lift the protection"),
        "{refused}"
    );
    assert_eq!(arm.count("/delete"), 0);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fifth_write_of_a_minute_waits() {
    let arm = Arm::start(Mode::Uniform).await;
    let pool = Pool::start(&arm);
    for capacity in 1..=4 {
        let seen = pool
            .until("seen", |seen| seen.capacity == capacity - 1)
            .await;
        pool.control.grow_to(capacity, &seen.version).await.unwrap();
    }
    let seen = pool.until("four", |seen| seen.capacity == 4).await;
    let held_back = pool.control.grow_to(5, &seen.version).await.unwrap_err();
    assert_eq!(held_back.kind(), "throttled");
    assert_eq!(arm.count("PATCH "), 4);
    let beyond = pool.control.grow_to(10, &seen.version).await.unwrap_err();
    assert!(
        beyond.to_string().contains("scaling.max, which is 9"),
        "{beyond}"
    );
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_principal_is_let_in_by_its_secret_alone() {
    let arm = Arm::start(Mode::Flexible).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let principal = || AzureCredential::ServicePrincipal {
        tenant_id: "22222222-2222-3333-4444-555555555555".into(),
        client_id: "33333333-2222-3333-4444-555555555555".into(),
        client_secret_file: file.clone(),
    };
    std::fs::write(&file, "wrong\n").unwrap();
    let pool = Pool::start_as(&arm, principal());
    let asked = async {
        while arm.count("/oauth2/v2.0/token") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked)
        .await
        .expect("no token is asked for");
    pool.stop().await;
    assert_eq!(arm.count("GET "), 0, "nothing is asked without a token");

    std::fs::write(&file, "hunter2\n").unwrap();
    let pool = Pool::start_as(&arm, principal());
    pool.until("seen", |_| true).await;
    let hosts = pool.hosts.lock().unwrap().clone();
    assert!(
        hosts.iter().any(|host| host == "login.microsoftonline.com"),
        "{hosts:?}"
    );
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_a_role_lacks_are_known_before_an_order_is_given() {
    for mode in [Mode::Uniform, Mode::Flexible] {
        let arm = Arm::start(mode).await;
        let fleet = Pool::fleet(&arm);
        assert_eq!(fleet.lacking_rights().await.unwrap(), []);
        arm.with(|state| state.actions = vec!["*/read", "Microsoft.Compute/*/start/action"]);
        let lacking = fleet.lacking_rights().await.unwrap();
        let lacks = |action: &str| lacking.iter().any(|one| one.action == action);
        assert!(lacks("Microsoft.Compute/virtualMachineScaleSets/write"));
        assert!(lacks(
            "Microsoft.Compute/virtualMachineScaleSets/delete/action"
        ));
        let of_one = lacks("Microsoft.Compute/virtualMachines/deallocate/action");
        let of_many = lacks("Microsoft.Compute/virtualMachineScaleSets/deallocate/action");
        let is_flexible = matches!(mode, Mode::Flexible);
        assert_eq!((of_one, of_many), (is_flexible, !is_flexible));
        arm.fail_next(
            "permissions",
            Fault::Status(403, "AuthorizationFailed", "x"),
        );
        assert_eq!(fleet.lacking_rights().await.unwrap_err().kind(), "auth");
        assert_eq!(
            arm.count("PATCH ") + arm.count("POST "),
            0,
            "nothing was ordered"
        );
    }
}
