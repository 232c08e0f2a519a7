//! A controller on a scale set, with the API's answers and its own requests held against Azure's published description by
//! Prism: a pool sleeps, wakes for people, grows, drains and sleeps again, in a Uniform set and in a Flexible one.

use std::sync::Arc;
use std::time::Duration;

use poolgate::config::load;
use poolgate::pool::{Health, LoginRequest, PlacementPolicy, PoolRules, Protocol, Waiter};
use poolgate::scaling::controller::{Controller, ControllerConfig, Tools};
use poolgate::shared_pool::{Seat, SharedPool};
use poolgate::state::Folder;
use poolgate::telemetry::audit::AuditLog;
use poolgate::telemetry::events::{EventKind, Events};
use poolgate::telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::support::arm::{Arm, Mode};
use crate::support::azure::{Pool, Prism};

/// What is no longer needed is kept for a minute, whatever is configured.
const LONG: Duration = Duration::from_secs(240);

const CONFIG: &str = "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n[pools.main]\ncapacity = 1\n\
    [pools.main.scaling]\nmax = 3\nheadroom = \"0 seats\"\nidle = \"1s\"\nstabilise = \"0s\"\ncool_down = \"0s\"\n\
    [pools.main.fleet]\nprovider = \"command\"\ncommand = [\"it is the test that has the fleet\"]\n";

struct Scene {
    shared: SharedPool,
    events: Events,
    ending: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn over(set: &Pool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("poolgate.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let config = load(Some(&file)).unwrap();
        let shared = SharedPool::new(1);
        shared.configure("main", rules());
        let events = Events::new(AuditLog::open(None).unwrap());
        let tools = Tools {
            pool: shared.clone(),
            events: events.clone(),
            metrics: Metrics::new(),
            traces: Default::default(),
            ask_idle: Arc::new(|_| Box::pin(std::future::ready(None))),
        };
        let settings =
            ControllerConfig::of_pool("main", &config.pools["main"], Folder::new(folder.path()));
        let (controller, _) = Controller::new(settings, tools, set.control.clone());
        let ending = CancellationToken::new();
        tokio::spawn(shared.clone().publish_changes(ending.clone()));
        tokio::spawn(controller.run(ending.clone()));
        tokio::spawn(follow(shared.clone(), set.listing.clone()));
        Self {
            shared,
            events,
            ending,
            _folder: folder,
        }
    }

    /// Stands in line until there is a seat.
    async fn seat(&self, user: &str) -> Seat {
        let waiter = Waiter::Person(user.into());
        let mut changes = self.shared.subscribe();
        let seated = async {
            loop {
                if let Ok(seat) = self.shared.place(&request(user)) {
                    self.shared.lines().leave("main", &waiter);
                    seat.set_live();
                    return seat;
                }
                let snapshot = changes.borrow_and_update().clone();
                let by = (Protocol::Ssh, [127, 0, 0, 1].into());
                let lines = self.shared.lines();
                lines.join(&"main".into(), &waiter, by, &snapshot).unwrap();
                changes.changed().await.unwrap();
            }
        };
        let seated = tokio::time::timeout(LONG, seated).await;
        seated.unwrap_or_else(|_| panic!("{user} never gets in: {:#?}", self.events.after(0)))
    }

    async fn until_told(&self, kind: EventKind, times: usize) {
        let mut newest = self.events.newest();
        let told = newest.wait_for(|_| self.count(kind) >= times);
        let told = tokio::time::timeout(LONG, told).await;
        drop(told.unwrap_or_else(|_| panic!("never {kind:?}: {:#?}", self.events.after(0))));
    }

    fn count(&self, kind: EventKind) -> usize {
        let events = self.events.after(0);
        events.iter().filter(|event| event.kind == kind).count()
    }
}

/// Every machine that is listed answers, and has one seat.
async fn follow(
    shared: SharedPool,
    mut listing: tokio::sync::watch::Receiver<Vec<poolgate::pool::Instance>>,
) {
    while listing.changed().await.is_ok() {
        let mut instances = listing.borrow_and_update().clone();
        for instance in &mut instances {
            instance.capacity = 1;
        }
        shared.sync_instances("main", instances.clone());
        for instance in instances {
            for service in Protocol::ALL {
                shared.observe(&instance.id, service, Health::Up);
            }
        }
    }
}

fn rules() -> PoolRules {
    PoolRules {
        default: true,
        placement: PlacementPolicy::Auto,
        affinity: Duration::from_secs(1),
        rise: 1,
        fall: 1,
    }
}

fn request(user: &str) -> LoginRequest {
    LoginRequest {
        pool: None,
        instance: None,
        user: Some(user.to_owned()),
        proved: true,
        protocol: Protocol::Ssh,
        peer: [127, 0, 0, 1].into(),
        exclude: Vec::new(),
        patient: false,
    }
}

async fn follows_its_people(mode: Mode) {
    let arm = Arm::start(mode).await;
    let Some(prism) = Prism::start(&arm).await else {
        return;
    };
    let set = Pool::start_calmly_through(&arm, prism.address);
    let scene = Scene::over(&set);
    let alice = scene.seat("alice").await;
    assert_eq!(arm.count("PATCH "), 1, "{}", prism.said());
    let (bob, carol) = tokio::join!(scene.seat("bob"), scene.seat("carol"));
    let homes = [&alice, &bob, &carol].map(|seat| seat.instance().id.name.clone());
    assert!(homes[0] != homes[1] && homes[1] != homes[2] && homes[0] != homes[2]);
    drop((bob, carol));
    scene.until_told(EventKind::Gone, 2).await;
    assert!(!alice.ended().is_cancelled());
    drop(alice);
    scene.until_told(EventKind::Gone, 3).await;
    let zero = set.until("zero", |seen| seen.machines.is_empty()).await;
    assert_eq!(zero.capacity, 0);
    let counts = [EventKind::Up, EventKind::Drain, EventKind::Remove].map(|kind| scene.count(kind));
    assert_eq!(counts, [3, 3, 3], "{:#?}", scene.events.after(0));
    assert_eq!(
        scene.count(EventKind::Fault),
        0,
        "{:#?}",
        scene.events.after(0)
    );
    assert!(
        arm.count("PATCH ") <= 3,
        "one write for all who wait at once"
    );
    scene.ending.cancel();
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uniform_set_follows_its_people() {
    follows_its_people(Mode::Uniform).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flexible_set_follows_its_people() {
    follows_its_people(Mode::Flexible).await;
}
