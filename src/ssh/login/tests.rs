//! Logins against a scripted instance, over loopback: what reaches it, and what a hostile client gets out of the gate.

mod security_keys;
mod wake;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::files::FileFaults;
use crate::net::accept::{self, Bounds, Limits};
use crate::net::shutdown::Shutdown;
use crate::pool::{Health, Instance, InstanceId, PlacementPolicy, PoolRules, Protocol};
use crate::shared_pool::SharedPool;
use crate::ssh::entropy::SystemEntropy;
use crate::ssh::front::SshFront;
use crate::ssh::leg::LegError;
use crate::ssh::test_keys::Keys;
use crate::ssh::wire::keys::{PrivateKey, SigAlg};
use crate::ssh::wire::message::Writer;
use crate::ssh::wire::transport::{ClientSettings, ServerSettings, Transport};
use crate::ssh::wire::userauth::Secret;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the instance answers to each request, in order; then it falls silent.
type Script = Vec<Vec<u8>>;

/// A gate in this process, one instance behind it, and alice with one key.
struct Scene {
    keys: Keys,
    key: PrivateKey,
    gate: std::net::SocketAddr,
    pool: SharedPool,
    /// Userauth requests that reached the instance.
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Scene {
    async fn new(script: Script) -> Self {
        let keys = Keys::new();
        for name in ["host", "ca", "alice"] {
            keys.make(name, "ed25519");
        }
        let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        let home = keys.path("homes/alice");
        fs::create_dir_all(&home).unwrap();
        for path in [keys.path("."), keys.path("homes"), home.clone()] {
            open(&path).unwrap();
        }
        fs::write(home.join("keys"), keys.line("alice")).unwrap();
        let requests: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let instance = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = instance.local_addr().unwrap().port();
        tokio::spawn(play_instance(instance, script, requests.clone()));
        let pool = pool_with(port);
        let gate = start_gate(&keys, pool.clone()).await;
        let key = fs::read_to_string(keys.path("alice")).unwrap();
        Self {
            key: PrivateKey::from_openssh(&key).unwrap(),
            keys,
            gate,
            pool,
            requests,
        }
    }

    async fn client(&self) -> Leg {
        let stream = TcpStream::connect(self.gate).await.unwrap();
        let mut leg = Leg::new(stream, |entropy, now, out| {
            Transport::client(Arc::new(ClientSettings::default()), entropy, now, out)
        })
        .unwrap();
        leg.established().await.unwrap();
        let service = message::service_request(message::SERVICE_USERAUTH);
        leg.send(&service).await.unwrap();
        assert_eq!(leg.next().await.unwrap()[0], number::SERVICE_ACCEPT);
        leg
    }

    fn signed(&self, client: &Leg, user: &str) -> Vec<u8> {
        let session = client.transport.session_id().unwrap();
        userauth::publickey_request(session, user, &self.key, None, SigAlg::Ed25519).unwrap()
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    async fn wait_until_empty(&self) {
        let mut changes = self.pool.subscribe();
        let publishing = tokio::spawn(self.pool.clone().publish_changes(Default::default()));
        changes.changed().await.unwrap();
        let empty = changes.wait_for(|snapshot| snapshot.sessions.is_empty());
        tokio::time::timeout(PATIENCE, empty)
            .await
            .expect("a seat leaks")
            .unwrap();
        publishing.abort();
    }
}

fn pool_with(port: u16) -> SharedPool {
    let pool = SharedPool::new(7);
    let hour = Duration::from_secs(3600);
    pool.configure(
        "main",
        PoolRules {
            default: true,
            placement: PlacementPolicy::Spread,
            affinity: hour,
            rise: 1,
            fall: 3,
        },
    );
    let id = InstanceId {
        pool: "main".into(),
        name: "vm1".into(),
    };
    pool.sync_instances(
        "main",
        vec![Instance {
            id: id.clone(),
            address: "127.0.0.1".to_owned(),
            ssh_port: port,
            jupyter_port: None,
            capacity: 8,
            generation: 1,
        }],
    );
    pool.observe(&id, Protocol::Ssh, Health::Up);
    pool
}

async fn start_gate(keys: &Keys, pool: SharedPool) -> std::net::SocketAddr {
    let fleet = "provider = \"static\"\ninstances = [{ name = \"vm1\", address = \"127.0.0.1\" }]";
    start_gate_with(keys, pool, ("", "", fleet)).await
}

/// With lines for `[ssh]`, `[ssh.auth]`, and the pool's fleet and what follows it.
async fn start_gate_with(
    keys: &Keys,
    pool: SharedPool,
    (ssh, auth, fleet): (&str, &str, &str),
) -> std::net::SocketAddr {
    let folder = keys.path("");
    let text = format!(
        "state_dir = \"{0}\"\n[ssh]\nlisten = [\"127.0.0.1:2022\"]\nhost_keys = [\"{0}/host\"]\n\
         user_ca = \"{0}/ca\"\n{ssh}\n[ssh.penalties]\nexempt = [\"127.0.0.0/8\"]\n[ssh.auth]\nauthorized_keys = [\"{0}/homes/%u/keys\"]\n\
         password = \"instance\"\n{auth}\n[pools.main]\ndefault = true\n[pools.main.fleet]\n{fleet}\n",
        folder.to_str().unwrap().trim_end_matches('/')
    );
    let config = crate::config::parse(Path::new("test.toml"), &text, HashMap::new());
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let (shutdown, metrics) = (Shutdown::default(), Metrics::new());
    let audit = AuditLog::open(None).unwrap();
    let front = SshFront::build(
        config.ssh.as_ref().unwrap(),
        &config.pools,
        &folder,
        pool,
        (audit.clone(), Events::new(audit), FileFaults::default()),
        (metrics.clone(), Traces::default()),
        shutdown.clone(),
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounds = Bounds {
        connections_max: 100,
        startups_max: 100,
        startups_per_source_max: 100,
        early_drop: None,
        proxies: Vec::new(),
    };
    let limits = Limits::new(Protocol::Ssh, bounds, metrics);
    tokio::spawn(accept::serve(
        listener,
        limits,
        shutdown,
        move |stream, peer, permit| front.clone().serve(stream, peer, permit),
    ));
    address
}

async fn play_instance(
    listener: TcpListener,
    script: Script,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
) -> Result<(), LegError> {
    let key = PrivateKey::generate_ed25519(&mut SystemEntropy::default()).unwrap();
    let settings = Arc::new(ServerSettings::new(Arc::new(vec![key])));
    let mut script = script.into_iter();
    loop {
        let (stream, _) = listener.accept().await?;
        let mut leg = Leg::new(stream, |entropy, now, out| {
            Transport::server(settings.clone(), entropy, now, out)
        })?;
        leg.established().await?;
        while let Ok(asked) = leg.next().await {
            if asked[0] == number::SERVICE_REQUEST {
                leg.send(&message::service_accept(message::SERVICE_USERAUTH))
                    .await?;
                continue;
            }
            requests.lock().unwrap().push(asked.to_vec());
            if let Some(answer) = script.next() {
                leg.send(&answer).await?;
            }
        }
    }
}

#[tokio::test]
async fn one_key_shown_twice_is_not_two_keys() {
    // The instance wants two keys, and would take any second certificate for another one.
    let partial = userauth::failure(&["publickey"], true);
    let scene = Scene::new(vec![partial, userauth::success()]).await;
    let mut client = scene.client().await;
    for partial in [1, 0] {
        client.send(&scene.signed(&client, "alice")).await.unwrap();
        let answer = client.next().await.unwrap();
        assert_eq!(answer[0], number::USERAUTH_FAILURE, "{answer:?}");
        assert_eq!(answer.last(), Some(&partial));
    }
    assert_eq!(scene.requests(), 1, "the second one never reached it");
    drop(client);
    scene.wait_until_empty().await;
}

#[tokio::test]
async fn a_login_that_never_ends_is_ended() {
    let scene = Scene::new(Vec::new()).await;
    for flood in [
        userauth::none_request("alice"),
        message::service_request(message::SERVICE_USERAUTH),
    ] {
        let mut client = scene.client().await;
        let mut sent = 0;
        let end = loop {
            sent += 1;
            assert!(sent < 1000, "nobody minds");
            if let Err(error) = client.send(&flood).await {
                break error;
            }
            if let Err(error) = client.next().await {
                break error;
            }
        };
        assert!(end.to_string().contains("too many messages"), "{end}");
    }
    assert_eq!(scene.requests(), 0);
}

#[tokio::test]
async fn proofs_of_one_name_serve_no_other_name_and_no_other_service() {
    let scene = Scene::new(Vec::new()).await;
    let service = |name: &str| {
        Writer::new(number::USERAUTH_REQUEST)
            .string("alice")
            .string(name)
            .string("none")
            .finish()
    };
    let mut renamed = scene.client().await;
    renamed.send(&userauth::none_request("bob")).await.unwrap();
    renamed.next().await.unwrap();
    renamed
        .send(&scene.signed(&renamed, "alice"))
        .await
        .unwrap();
    assert!(renamed.next().await.is_err());
    let mut other = scene.client().await;
    other.send(&service("ssh-userauth")).await.unwrap();
    assert!(other.next().await.is_err());
    // A signature of another connection.
    let (first, mut second) = (scene.client().await, scene.client().await);
    second.send(&scene.signed(&first, "alice")).await.unwrap();
    assert_eq!(second.next().await.unwrap()[0], number::USERAUTH_FAILURE);
    assert_eq!(scene.requests(), 0);
}

#[tokio::test]
async fn a_person_who_leaves_while_a_password_is_judged_leaves_no_seat() {
    let scene = Scene::new(vec![userauth::failure(&["password"], false)]).await;
    let mut client = scene.client().await;
    let password = userauth::password_request("alice", &Secret::new(b"wrong"));
    client.send(&password).await.unwrap();
    let answer = client.next().await.unwrap();
    assert_eq!(*answer, userauth::failure(&["password"], false));
    assert_eq!(scene.requests(), 1);
    drop(client);
    scene.wait_until_empty().await;
}

#[tokio::test]
async fn an_instance_that_cannot_be_reached_stays_nameless_for_whoever_has_proved_nothing() {
    let scene = Scene::new(Vec::new()).await;
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let gate = start_gate(&scene.keys, pool_with(port)).await;
    let scene = Scene { gate, ..scene };
    let mut client = scene.client().await;
    let password = userauth::password_request("alice", &Secret::new(b"any"));
    client.send(&password).await.unwrap();
    let mut told = Vec::new();
    let end = loop {
        match client.next().await {
            Ok(message) => told.extend_from_slice(&message),
            Err(error) => break error.to_string(),
        }
    };
    let told = String::from_utf8_lossy(&told) + end.as_str();
    assert!(told.contains("no instance could be reached"), "{told}");
    assert!(!told.contains("vm1") && !told.contains("refused"), "{told}");
}
