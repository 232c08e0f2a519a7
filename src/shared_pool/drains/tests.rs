//! What people on a drained instance hear, and when they hear no more of it.

use std::time::Duration;

use super::*;
use crate::pool::{Instance, LoginRequest, PlacementPolicy, PoolRules, Protocol};
use crate::shared_pool::{Reader, Seat};

fn id(name: &str) -> InstanceId {
    InstanceId {
        pool: "main".into(),
        name: name.into(),
    }
}

fn instance(name: &str, generation: u64) -> Instance {
    Instance {
        id: id(name),
        address: "192.0.2.1".into(),
        ssh_port: 22,
        jupyter_port: None,
        capacity: 100,
        generation,
    }
}

struct Scene {
    pool: SharedPool,
    seat: Seat,
}

impl Scene {
    /// Alice on the one instance there is.
    async fn new() -> Self {
        let pool = SharedPool::new(7);
        let rules = PoolRules {
            default: true,
            placement: PlacementPolicy::Spread,
            affinity: Duration::ZERO,
            rise: 1,
            fall: 1,
        };
        pool.configure("main", rules);
        pool.sync_instances("main", vec![instance("vm1", 1)]);
        pool.observe(&id("vm1"), Protocol::Ssh, crate::pool::Health::Up);
        let request = LoginRequest {
            pool: None,
            instance: None,
            user: Some("alice".into()),
            proved: true,
            protocol: Protocol::Ssh,
            peer: [192, 0, 2, 7].into(),
            exclude: Vec::new(),
            patient: false,
        };
        let seat = pool.place(&request).unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        stop.cancel();
        pool.clone().publish_changes(stop).await;
        Self { pool, seat }
    }

    fn drain(&self, decision: Decision) {
        assert!(self.pool.decide(&id("vm1"), decision));
    }

    /// What has come to Alice's terminals.
    fn lines(&self) -> Vec<String> {
        let lines = self.seat.mailbox().take_lines().into_iter();
        lines.map(|line| line.to_string()).collect()
    }

    /// What stands for a browser that comes there.
    fn standing(&self) -> Vec<Standing> {
        self.pool.notices(Reader {
            session: None,
            user: None,
            instance: &id("vm1"),
        })
    }
}

fn by_admin(reason: &str) -> Decision {
    Decision::by_admin(AdminState::Draining, reason)
}

#[tokio::test]
async fn a_drain_is_told_once_with_its_reason_and_deadline() {
    let scene = Scene::new().await;
    scene.drain(by_admin("its disk fails"));
    scene.drain(by_admin("its disk fails"));
    let lines = scene.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("out of service: its disk fails; log out when you can"),
        "{lines:?}"
    );
    let first = scene.standing();
    assert_eq!(first.len(), 1);
    let deadline = Decision {
        deadline: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_539_600)),
        ..by_admin("its disk fails")
    };
    scene.drain(deadline.clone());
    let lines = scene.lines();
    assert!(
        lines[0].ends_with("(until 2026-11-24 17:00 UTC)"),
        "{lines:?}"
    );
    let second = scene.standing();
    assert_eq!((second.len(), second[0].deadline), (1, deadline.deadline));
    assert!(second[0].id > first[0].id, "it is shown anew");
}

#[tokio::test]
async fn a_drain_by_policy_alarms_nobody() {
    let scene = Scene::new().await;
    scene.drain(Decision::by_policy(
        AdminState::Draining,
        "3 machines too many",
    ));
    let lines = scene.lines();
    assert!(lines[0].contains("Nothing you run here ends"), "{lines:?}");
    assert!(!lines[0].contains("too many"), "{lines:?}");
}

#[tokio::test]
async fn a_drain_that_is_called_off_is_taken_back() {
    let scene = Scene::new().await;
    for undo in [
        Decision::none(),
        Decision::by_admin(AdminState::Cordoned, "wait"),
    ] {
        scene.drain(by_admin(""));
        assert_eq!(scene.lines().len(), 1);
        scene.drain(undo);
        let lines = scene.lines();
        assert!(lines[0].contains("vm1 stays in service"), "{lines:?}");
        assert!(scene.standing().is_empty() && !scene.pool.has_notices());
    }
    scene.drain(Decision::none());
    scene.drain(Decision::by_policy(AdminState::Draining, ""));
    scene.lines();
    assert!(scene.pool.reopen(&id("vm1")));
    assert_eq!(scene.lines().len(), 1);
    assert!(!scene.pool.reopen(&id("vm1")) && scene.lines().is_empty());
}

#[tokio::test]
async fn a_new_machine_under_an_old_name_does_not_drain() {
    let scene = Scene::new().await;
    scene.drain(by_admin(""));
    scene.pool.sync_instances("main", vec![instance("vm1", 1)]);
    assert_eq!(scene.standing().len(), 1);
    scene.pool.sync_instances("main", vec![instance("vm1", 2)]);
    assert!(scene.standing().is_empty());
}
