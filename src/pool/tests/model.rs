//! Random lives of two pools, held against a reference so naive that it is right by reading: lists, scanned.
//!
//! After each step the pool's counts must be true; each placement must be one the reference allows, for the reason it
//! names; each refusal must be the one it gives. What the services' health is, is taken from the pool: `health` has its
//! own tests.

mod reference;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use reference::Reference;

const POOLS: [&str; 2] = ["main", "gpu"];
const NAMES: [&str; 5] = ["vm1", "vm2", "vm3", "vm4", "vm5"];
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

#[derive(Clone, Debug)]
enum Step {
    Configure(&'static str, PoolRules),
    Sync(&'static str, Vec<Instance>),
    Observe(InstanceId, Protocol, Health),
    Decide(InstanceId, AdminState),
    Hear(InstanceId, Option<Vec<&'static str>>),
    Place(LoginRequest),
    Prove(Index, &'static str),
    SetLive(Index),
    TurnAway(Index),
    End(Index),
    Wait(u64),
    Expire,
}

fn any_rules() -> impl Strategy<Value = PoolRules> {
    let policy = select(&[
        PlacementPolicy::Spread,
        PlacementPolicy::Pack,
        PlacementPolicy::Auto,
    ]);
    let made = (
        any::<bool>(),
        policy,
        select(&[0, 10, 1000]),
        1..3u32,
        1..3u32,
    );
    made.prop_map(|(default, placement, affinity, rise, fall)| PoolRules {
        default,
        placement,
        affinity: Duration::from_secs(affinity),
        rise,
        fall,
    })
}

fn any_id() -> impl Strategy<Value = InstanceId> {
    // The default pool is where most happens.
    let pool = prop_oneof![4 => Just("main"), 1 => Just("gpu")];
    let made = (pool, select(&NAMES));
    made.prop_map(|(pool, name)| InstanceId {
        pool: pool.into(),
        name: name.into(),
    })
}

fn any_listing() -> impl Strategy<Value = (&'static str, Vec<Instance>)> {
    let machine = (
        0..5u32,
        prop_oneof![9 => Just(1), 1 => Just(2u64)],
        prop_oneof![4 => Just(true), 1 => Just(false)],
    );
    let machine = prop_oneof![9 => machine.prop_map(Some), 1 => Just(None)];
    let machines = proptest::collection::vec(machine, NAMES.len());
    (select(&POOLS), machines).prop_map(|(pool, machines)| {
        let listed = NAMES.iter().zip(machines).filter_map(|(name, machine)| {
            let (capacity, generation, has_hub) = machine?;
            Some(Instance {
                id: InstanceId {
                    pool: pool.into(),
                    name: (*name).into(),
                },
                jupyter_port: has_hub.then_some(8000),
                generation,
                ..instance(name, capacity)
            })
        });
        (pool, listed.collect())
    })
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    select(&Protocol::ALL)
}

fn any_request() -> impl Strategy<Value = LoginRequest> {
    let pool = prop_oneof![6 => Just(None), 2 => Just(Some("gpu")), 1 => Just(Some("none"))];
    let wish =
        prop_oneof![6 => Just(None), 2 => select(&NAMES).prop_map(Some), 1 => Just(Some("vm9"))];
    let user = prop_oneof![9 => select(&USERS).prop_map(Some), 1 => Just(None)];
    let exclude =
        prop_oneof![4 => Just(Vec::new()), 1 => proptest::collection::vec(any_id(), 1..4)];
    let made = (pool, wish, user, any::<bool>(), any_protocol(), exclude);
    made.prop_map(
        |(pool, wish, user, proved, protocol, exclude)| LoginRequest {
            pool: pool.map(Into::into),
            instance: wish.map(Into::into),
            user: user.map(Into::into),
            proved,
            protocol,
            exclude,
            ..proven("")
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        6 => Just(Health::Up),
        2 => Just(Health::Down),
        1 => Just(Health::NoLogins),
        1 => Just(Health::Unknown),
    ];
    let state = select(&[
        AdminState::Ready,
        AdminState::Cordoned,
        AdminState::Draining,
    ]);
    prop_oneof![
        1 => (select(&POOLS), any_rules()).prop_map(|(pool, rules)| Step::Configure(pool, rules)),
        1 => any_listing().prop_map(|(pool, listing)| Step::Sync(pool, listing)),
        8 => (any_id(), any_protocol(), answer).prop_map(|(id, by, answer)| Step::Observe(id, by, answer)),
        2 => (any_id(), state).prop_map(|(id, state)| Step::Decide(id, state)),
        2 => (any_id(), any_people()).prop_map(|(id, people)| Step::Hear(id, people)),
        16 => any_request().prop_map(Step::Place),
        3 => (any::<Index>(), select(&USERS)).prop_map(|(at, user)| Step::Prove(at, user)),
        8 => any::<Index>().prop_map(Step::SetLive),
        1 => any::<Index>().prop_map(Step::TurnAway),
        7 => any::<Index>().prop_map(Step::End),
        2 => select(&[1, 9, 10, 500]).prop_map(Step::Wait),
        1 => Just(Step::Expire),
    ]
}

fn any_people() -> impl Strategy<Value = Option<Vec<&'static str>>> {
    let some = proptest::sample::subsequence(USERS.to_vec(), 0..=2);
    prop_oneof![4 => some.prop_map(Some), 1 => Just(None)]
}

/// Both begin with everything up, or most of the time nothing would be routable.
fn begin() -> (World, Reference) {
    let mut world = World::new(7, PlacementPolicy::Spread, &[1, 2, 2, 3, 4]);
    let mut reference = Reference::default();
    reference.configure("main", rules(PlacementPolicy::Spread));
    let listing = [1, 2, 2, 3, 4].into_iter().zip(NAMES);
    let listing: Vec<_> = listing
        .map(|(capacity, name)| instance(name, capacity))
        .collect();
    reference.sync("main", &listing, world.now.instant);
    world.sync(listing);
    (world, reference)
}

fn take(world: &mut World, reference: &mut Reference, step: Step) -> Result<(), TestCaseError> {
    let now = world.now;
    match step {
        Step::Configure(pool, rules) => {
            world.pool.configure(pool, rules.clone());
            reference.configure(pool, rules);
        }
        Step::Sync(pool, listing) => {
            let expected = reference.sync(pool, &listing, now.instant);
            prop_assert_eq!(world.pool.sync_instances(pool, listing, now), expected);
        }
        Step::Observe(id, service, answer) => {
            world.pool.observe(&id, service, answer, now);
        }
        Step::Decide(id, state) => {
            prop_assert_eq!(
                world.pool.decide(&id, Decision::by_admin(state, "a test")),
                reference.decide(&id, state)
            );
        }
        Step::Hear(id, people) => {
            let told = people.clone().map(|people| {
                let of = |user: &str| HubPerson {
                    name: user.into(),
                    is_pending: false,
                    last_activity: SystemTime::UNIX_EPOCH,
                };
                people.into_iter().map(of).collect()
            });
            world.pool.hear_hub(&id, told);
            reference.hear_hub(&id, people);
        }
        Step::Place(request) => place(world, reference, &request)?,
        Step::Prove(at, user) => {
            if let Some(session) = reference.session(at) {
                prop_assert!(world.pool.prove(session, user, now));
                reference.prove(session, user, now.instant);
            }
        }
        Step::SetLive(at) => {
            if let Some(session) = reference.session(at) {
                prop_assert!(world.pool.set_live(session));
                reference.set_live(session);
            }
        }
        Step::TurnAway(at) => {
            if let Some(session) = reference.session(at) {
                world.pool.turn_away(session);
                reference.turn_away(session);
            }
        }
        Step::End(at) => {
            if let Some(session) = reference.session(at) {
                prop_assert!(world.pool.end_session(session, now).is_some());
                reference.end(session, now.instant);
            }
        }
        Step::Wait(seconds) => world.wait(seconds),
        Step::Expire => world.pool.expire(now),
    }
    Ok(())
}

fn place(
    world: &mut World,
    reference: &mut Reference,
    request: &LoginRequest,
) -> Result<(), TestCaseError> {
    let health = world.pool.clone();
    let allowed = reference.allowed(request, world.now.instant, &|id, protocol| {
        let services = health.services(id).unwrap();
        match protocol {
            Protocol::Ssh => Some(services.ssh),
            Protocol::Jupyter => services.jupyter,
        }
    });
    match (world.place(request), allowed) {
        (Ok(placement), Ok((allowed, reason))) => {
            let id = placement.instance.id.clone();
            prop_assert!(allowed.contains(&id), "{id} is none of {allowed:?}");
            prop_assert_eq!(placement.reason, reason);
            reference.admit(placement.session, id, request, world.now.instant);
        }
        (answer, allowed) => prop_assert_eq!(
            answer.map(|placed| placed.instance),
            allowed.map(|_| unreachable())
        ),
    }
    Ok(())
}

/// Stands for a placement in a comparison that has failed already.
fn unreachable() -> Arc<Instance> {
    Arc::new(instance("allowed", 0))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn both_answers_are_right(steps in proptest::collection::vec(any_step(), 1..150)) {
        let (mut world, mut reference) = begin();
        for step in steps {
            take(&mut world, &mut reference, step)?;
            prop_assert_eq!(world.pool.check_invariants(), Ok(()));
            let snapshot = world.pool.snapshot();
            for instance in &snapshot.instances {
                let (pool, name) = (&*instance.pool, &*instance.name);
                let (seats, proven) = reference.seats(pool, name);
                let seats = (seats, proven + reference.direct(pool, name));
                prop_assert_eq!((instance.sessions, instance.load), seats);
            }
            prop_assert_eq!(snapshot.sessions.len(), reference.sessions.len());
        }
    }
}
