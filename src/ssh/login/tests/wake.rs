//! Logins to a pool that sleeps: who has proved who they are wakes it and waits; nobody else does.

use std::time::SystemTime;

use super::*;
use crate::pool::{Acquaintance, Prospect};

/// The time a login has without a wait: less than the least time between two lines.
const GRACE: &str = "login_grace = \"2s\"";
const RESIZED: &str =
    "provider = \"command\"\ncommand = [\"/bin/true\"]\n[pools.main.scaling]\nmax = 3";

struct Sleeper {
    scene: Scene,
    vm1: Instance,
}

impl Sleeper {
    async fn new(script: Script, auth: &str) -> Self {
        let scene = Scene::new(script).await;
        let id = InstanceId {
            pool: "main".into(),
            name: "vm1".into(),
        };
        let vm1 = Instance::clone(&scene.pool.instance(&id).unwrap());
        scene.pool.sync_instances("main", Vec::new());
        let gate = start_gate_with(&scene.keys, scene.pool.clone(), (GRACE, auth, RESIZED)).await;
        let scene = Scene { gate, ..scene };
        tokio::spawn(scene.pool.clone().publish_changes(Default::default()));
        let sleeper = Self { scene, vm1 };
        sleeper.foretell(0, None).await;
        sleeper
    }

    async fn foretell(&self, coming: u32, trouble: Option<&str>) {
        let pool = &self.scene.pool;
        let prospect = Prospect {
            coming,
            ready_at: (coming > 0).then(|| SystemTime::now() + Duration::from_secs(85)),
            trouble: trouble.map(Into::into),
        };
        pool.foretell("main", Some(prospect.clone()));
        let mut changes = pool.subscribe();
        let told = changes.wait_for(|snapshot| {
            let view = snapshot.pool("main");
            view.is_some_and(|view| view.prospect.as_ref() == Some(&prospect))
        });
        drop(tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap());
    }

    /// The machine comes up.
    fn wake(&self) {
        let pool = &self.scene.pool;
        pool.sync_instances("main", vec![self.vm1.clone()]);
        pool.observe(&self.vm1.id, Protocol::Ssh, Health::Up);
    }

    fn waiting(&self) -> usize {
        self.scene.pool.lines().len("main")
    }
}

/// Reads on until a banner says this.
async fn wait_told(client: &mut Leg, text: &str) {
    let reading = async {
        loop {
            let message = client.next().await.unwrap();
            assert_eq!(message[0], number::USERAUTH_BANNER, "{message:?}");
            if String::from_utf8_lossy(&message).contains(text) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, reading).await;
    in_time.unwrap_or_else(|_| panic!("{text:?} was not told"));
}

#[tokio::test]
async fn a_proved_login_waits_for_the_machine_that_it_wakes_and_hears_how_far_it_is() {
    let sleeper = Sleeper::new(vec![userauth::success()], "").await;
    let mut client = sleeper.scene.client().await;
    let signed = sleeper.scene.signed(&client, "alice");
    client.send(&signed).await.unwrap();
    wait_told(
        &mut client,
        "pool main is asleep; a machine is being woken for you",
    )
    .await;
    assert_eq!(
        sleeper.waiting(),
        1,
        "whoever resizes the pool sees a ticket"
    );
    // A second window of hers is no second ticket.
    let mut other = sleeper.scene.client().await;
    let signed = sleeper.scene.signed(&other, "alice");
    other.send(&signed).await.unwrap();
    wait_told(&mut other, "is asleep").await;
    assert_eq!(sleeper.waiting(), 1);
    drop(other);
    let began = Instant::now();
    sleeper.foretell(1, None).await;
    wait_told(
        &mut client,
        "a machine of pool main is starting for you, ready in about 90 s",
    )
    .await;
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "longer than login_grace"
    );
    sleeper.foretell(0, Some("boots have failed 3 times")).await;
    wait_told(&mut client, "can be started yet: boots have failed 3 times").await;
    sleeper.wake();
    assert_eq!(client.next().await.unwrap()[0], number::USERAUTH_SUCCESS);
    assert_eq!(sleeper.waiting(), 0);
}

#[tokio::test]
async fn what_is_merely_offered_or_claimed_wakes_nothing() {
    let sleeper = Sleeper::new(Vec::new(), "").await;
    let mut client = sleeper.scene.client().await;
    let public = sleeper.scene.key.public_blob();
    let offer = Writer::new(number::USERAUTH_REQUEST)
        .string("alice")
        .string("ssh-connection")
        .string("publickey")
        .boolean(false)
        .string("ssh-ed25519")
        .string(public)
        .finish();
    client.send(&offer).await.unwrap();
    assert_eq!(client.next().await.unwrap()[0], number::USERAUTH_60);
    assert_eq!(sleeper.waiting(), 0);
    let password = userauth::password_request("alice", &Secret::new(b"any"));
    client.send(&password).await.unwrap();
    let told = "pool main is asleep, and a password cannot be checked before a machine is up: log in with a key";
    wait_told(&mut client, told).await;
    assert!(client.next().await.is_err());
    assert_eq!(sleeper.waiting(), 0);
}

#[tokio::test]
async fn a_password_wakes_the_pool_for_a_name_that_was_proved_before() {
    let script = vec![userauth::failure(&["password"], false), userauth::success()];
    let sleeper = Sleeper::new(script, "").await;
    sleeper.scene.pool.take_back_known(vec![Acquaintance {
        pool: "main".into(),
        user: "alice".into(),
        proved: SystemTime::now() - Duration::from_secs(89 * 24 * 3600),
    }]);
    let password = |word: &[u8]| userauth::password_request("alice", &Secret::new(word));
    let mut client = sleeper.scene.client().await;
    client.send(&password(b"wrong")).await.unwrap();
    wait_told(
        &mut client,
        "pool main is asleep; a machine is being woken for you",
    )
    .await;
    assert_eq!(sleeper.waiting(), 1);
    assert!(sleeper.scene.requests.lock().unwrap().is_empty());
    sleeper.wake();
    // From here on it is a login like any other: the instance judges.
    assert_eq!(client.next().await.unwrap()[0], number::USERAUTH_FAILURE);
    assert_eq!(sleeper.waiting(), 0);
    client.send(&password(b"right")).await.unwrap();
    assert_eq!(client.next().await.unwrap()[0], number::USERAUTH_SUCCESS);
}

#[tokio::test]
async fn a_name_proved_too_long_ago_wakes_nothing_by_a_password() {
    let sleeper = Sleeper::new(Vec::new(), "").await;
    sleeper.scene.pool.take_back_known(vec![Acquaintance {
        pool: "main".into(),
        user: "alice".into(),
        proved: SystemTime::now() - Duration::from_secs(91 * 24 * 3600),
    }]);
    let mut client = sleeper.scene.client().await;
    let password = userauth::password_request("alice", &Secret::new(b"any"));
    client.send(&password).await.unwrap();
    wait_told(&mut client, "a password cannot be checked").await;
    assert_eq!(sleeper.waiting(), 0);
}

#[tokio::test]
async fn the_first_of_two_factors_wakes_the_pool_whose_instance_judges_the_second() {
    let script = vec![userauth::failure(&["password"], false), userauth::success()];
    let sleeper = Sleeper::new(script, "methods = [\"publickey,password\"]").await;
    let mut client = sleeper.scene.client().await;
    let signed = sleeper.scene.signed(&client, "alice");
    client.send(&signed).await.unwrap();
    let answer = client.next().await.unwrap();
    assert_eq!(
        (answer[0], answer.last()),
        (number::USERAUTH_FAILURE, Some(&1))
    );
    assert_eq!(sleeper.waiting(), 0, "nothing needs an instance yet");
    let password = userauth::password_request("alice", &Secret::new(b"right"));
    client.send(&password).await.unwrap();
    wait_told(&mut client, "is asleep").await;
    assert_eq!(sleeper.waiting(), 1);
    sleeper.wake();
    assert_eq!(client.next().await.unwrap()[0], number::USERAUTH_SUCCESS);
}
