//! The admin side in process, asked byte by byte as a client would.

mod access;
mod dashboard;
mod orders;
mod refusals;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::*;
use crate::pool::{Health, Instance, InstanceId, PlacementPolicy, PoolRules, Protocol};

/// A gate's admin side over one instance that is up, on a free port and a socket in a folder.
struct Scene {
    address: std::net::SocketAddr,
    socket: std::path::PathBuf,
    state: AdminState,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    /// A viewer's, with which `ask` asks.
    token: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut AdminState)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let pool = SharedPool::new(1);
        pool.configure("main", rules());
        let id = InstanceId {
            pool: "main".into(),
            name: "vm1".into(),
        };
        pool.sync_instances("main", vec![instance(&id)]);
        pool.observe(&id, Protocol::Ssh, Health::Up);
        let audit = AuditLog::open(None).unwrap();
        let mut state =
            AdminState::new(pool.clone(), (Metrics::new(), FileFaults::default()), audit);
        state.ask_idle = Arc::new(|id| {
            let none = std::iter::empty();
            let hub = crate::pool::idle::HubFact::NoHub;
            let now = std::time::SystemTime::UNIX_EPOCH;
            let idle = crate::pool::idle::judge(&id, none, hub, Duration::from_secs(900), now);
            Box::pin(std::future::ready(Some(idle)))
        });
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        state.zones = Current::new(Arc::new([("main".to_owned(), tokyo)].into()));
        let (access, token) = access::of_viewer(folder.path());
        state.access = access;
        change(&mut state);
        let shutdown = CancellationToken::new();
        let mut snapshots = pool.subscribe();
        tokio::spawn(pool.publish_changes(shutdown.clone()));
        let up = |snapshot: &Arc<crate::pool::Snapshot>| {
            snapshot
                .instances
                .iter()
                .any(|instance| instance.health == Health::Up)
        };
        snapshots.wait_for(up).await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let bound = bind_socket(&socket).unwrap();
        let serving = serve_both(state.clone(), Some(tcp), Some(bound), shutdown.clone());
        Self {
            address,
            socket,
            state,
            shutdown,
            serving: tokio::spawn(serving),
            token,
            _folder: folder,
        }
    }

    async fn ask(&self, request: &str, host: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(
            stream,
            &format!(
                "{request} HTTP/1.1\r\n{host}Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
                self.token
            ),
        )
        .await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, body) = self
            .ask(&format!("GET {path}"), "Host: localhost\r\n")
            .await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn rules() -> PoolRules {
    PoolRules {
        default: true,
        placement: PlacementPolicy::Spread,
        affinity: Duration::from_secs(60),
        rise: 1,
        fall: 1,
    }
}

fn instance(id: &InstanceId) -> Instance {
    Instance {
        id: id.clone(),
        address: "10.0.0.4".to_owned(),
        ssh_port: 22,
        jupyter_port: None,
        capacity: 8,
        generation: 0,
    }
}

/// What snapshots say of instances of these names.
pub(super) fn views(pool: &str, names: &[&str]) -> Vec<crate::pool::InstanceView> {
    let mut state = crate::pool::Pool::new(1);
    state.configure(pool, rules());
    let id = |name: &&str| InstanceId {
        pool: pool.into(),
        name: (*name).into(),
    };
    let instances = names.iter().map(|name| instance(&id(name))).collect();
    let now = crate::pool::Now {
        instant: std::time::Instant::now(),
        wall: std::time::SystemTime::UNIX_EPOCH,
    };
    state.sync_instances(pool, instances, now);
    state.snapshot().instances
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn the_api_gives_the_objects_of_the_snapshot() {
    let scene = Scene::start().await;
    let (status, instances) = scene.get("/api/v1/instances").await;
    assert_eq!(status, 200);
    let snapshot = serde_json::to_value(&scene.state.pool.snapshot().instances).unwrap();
    assert_eq!(instances, snapshot);
    for field in [
        "name",
        "address",
        "pool",
        "admin_state",
        "health",
        "sessions",
        "capacity",
        "load",
    ] {
        assert!(!instances[0][field].is_null(), "{field}");
    }
    assert_eq!(
        scene.get("/api/v1/sessions").await,
        (200, serde_json::json!([]))
    );
    assert_eq!(scene.get("/api/v1/pools").await.1[0]["name"], "main");
    let (_, told) = scene.get("/api/v1/status").await;
    assert_eq!(
        (&told["ready"], &told["pools"][0]["headroom"]),
        (&true.into(), &8.into())
    );
}

#[tokio::test]
async fn an_instance_is_asked_after_by_its_name_or_with_its_pool() {
    let scene = Scene::start().await;
    for name in ["vm1", "main/vm1", "main%2Fvm1"] {
        let (status, told) = scene.get(&format!("/api/v1/idle?instance={name}")).await;
        assert_eq!((status, &told["is_idle"]), (200, &true.into()), "{told}");
        assert_eq!(
            (&told["pool"], &told["instance"]),
            (&"main".into(), &"vm1".into())
        );
    }
    for name in ["vm2", "gpu/vm1", ""] {
        let (status, told) = scene.get(&format!("/api/v1/idle?instance={name}")).await;
        assert_eq!(status, 404, "{told}");
        assert!(
            told["detail"]
                .as_str()
                .unwrap()
                .contains("no instance named")
        );
    }
    scene.state.pool.configure("gpu", rules());
    let id = InstanceId {
        pool: "gpu".into(),
        name: "vm1".into(),
    };
    scene.state.pool.sync_instances("gpu", vec![instance(&id)]);
    let mut snapshots = scene.state.pool.subscribe();
    snapshots
        .wait_for(|snapshot| snapshot.instances.len() == 2)
        .await
        .unwrap();
    let (status, told) = scene.get("/api/v1/idle?instance=vm1").await;
    assert_eq!(status, 409, "{told}");
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .ends_with("ask for main/vm1")
    );
}

#[tokio::test]
async fn it_lives_and_is_ready_until_the_doors_close() {
    let scene = Scene::start().await;
    assert_eq!(scene.get("/livez").await.0, 200);
    assert_eq!(scene.get("/readyz").await.0, 200);
    scene.state.readiness.set_open(false);
    let (status, told) = scene.get("/readyz").await;
    assert_eq!((status, &told["ready"]), (503, &false.into()));
    assert!(told["reason"].as_str().unwrap().contains("doors"));
    assert_eq!(scene.get("/livez").await.0, 200);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_in_json() {
    let scene = Scene::start().await;
    let (status, problem) = scene.get("/api/v1/nothing").await;
    assert_eq!((status, &problem["status"]), (404, &404.into()));
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("/api/v1/nothing")
    );
    let (status, body) = scene.ask("POST /api/v1/pools", "Host: localhost\r\n").await;
    assert_eq!(status, 405);
    assert!(body.contains("use GET"), "{body}");
}

#[tokio::test]
async fn metrics_are_in_the_text_that_is_asked_for() {
    let scene = Scene::start().await;
    let open = "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n";
    for (accept, is_open) in [("", false), (open, true)] {
        let headers = format!("Host: 127.0.0.1:1\r\n{accept}");
        let (status, text) = scene.ask("GET /metrics", &headers).await;
        assert_eq!(status, 200);
        assert!(
            text.contains("poolgate_headroom{pool=\"main\"} 8"),
            "{text}"
        );
        assert_eq!(text.trim_end().ends_with("# EOF"), is_open, "{text}");
    }
}

#[tokio::test]
async fn another_hosts_name_is_refused_over_tcp() {
    let scene = Scene::start().await;
    for host in [
        "Host: evil.example\r\n",
        "",
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        let (status, body) = scene.ask("GET /api/v1/sessions", host).await;
        assert_eq!(status, 421, "{host}: {body}");
    }
    let absolute = "GET http://evil.example/api/v1/sessions";
    assert_eq!(scene.ask(absolute, "Host: localhost\r\n").await.0, 421);
}

#[tokio::test]
async fn the_socket_answers_the_same_and_goes_at_the_end() {
    let scene = Scene::start().await;
    let stream = UnixStream::connect(&scene.socket).await.unwrap();
    let request = "GET /api/v1/instances HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n";
    let (status, body) = exchange(stream, request).await;
    assert_eq!(status, 200);
    assert!(body.contains("vm1"), "{body}");
    // An idle connection must not keep the gate from ending.
    let idle = TcpStream::connect(scene.address).await.unwrap();
    scene.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), scene.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(!Path::new(&scene.socket).exists());
    drop(idle);
}
