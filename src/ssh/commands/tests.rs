//! What people are answered, and what stands with the instance afterwards.

use super::*;
use crate::pool::{Decision, Instance, PlacementPolicy, PoolRules};
use crate::telemetry::audit::AuditLog;

const HOUR: Duration = Duration::from_secs(3600);

fn vm1() -> InstanceId {
    InstanceId {
        pool: "main".into(),
        name: "vm1".into(),
    }
}

struct Scene {
    pool: SharedPool,
    events: Events,
    longest: Option<Duration>,
}

impl Scene {
    fn new() -> Self {
        let pool = SharedPool::new(7);
        let rules = PoolRules {
            default: true,
            placement: PlacementPolicy::Spread,
            affinity: HOUR,
            rise: 1,
            fall: 3,
        };
        pool.configure("main", rules);
        let instance = Instance {
            id: vm1(),
            address: "192.0.2.1".into(),
            ssh_port: 22,
            jupyter_port: None,
            capacity: 8,
            generation: 1,
        };
        pool.sync_instances("main", vec![instance]);
        Self {
            pool,
            events: Events::new(AuditLog::open(None).unwrap()),
            longest: Some(12 * HOUR),
        }
    }

    fn session(&self, user: &str) -> SessionCommands {
        let all = Commands {
            pool: self.pool.clone(),
            events: self.events.clone(),
            metrics: Metrics::new(),
            terms: BTreeMap::new(),
        };
        SessionCommands {
            all: Arc::new(all),
            terms: Terms {
                longest: self.longest,
                zone: TimeZone::UTC,
            },
            instance: vm1(),
            user: user.into(),
            answers: 0,
        }
    }

    fn run(&self, user: &str, command: &str) -> Said {
        let said = self.session(user).run(command.as_bytes());
        said.unwrap_or_else(|| panic!("{command:?} is not the gate's"))
    }

    /// As it is told once the snapshot is out.
    async fn publish(&self) {
        let stop = tokio_util::sync::CancellationToken::new();
        stop.cancel();
        self.pool.clone().publish_changes(stop).await;
    }

    fn kept(&self) -> Option<Keep> {
        let mut kept = None;
        self.pool.change_keep(&vm1(), |keep| {
            kept = keep.cloned();
            keep.cloned()
        });
        kept
    }

    fn told(&self) -> Vec<String> {
        let events = self.events.after(0).into_iter();
        events.map(|event| event.text).collect()
    }
}

#[test]
fn only_the_very_words_are_the_gates() {
    for (command, words) in [
        ("poolgate keep", Some("")),
        ("poolgate keep 18:00", Some("18:00")),
        ("  poolgate   keep  1h 30m ", Some("1h 30m")),
        ("poolgate", None),
        ("poolgate status", None),
        ("poolgate keepalive", None),
        ("poolgatekeep 2h", None),
        ("./poolgate keep 2h", None),
        ("echo poolgate keep", None),
        ("", None),
    ] {
        assert_eq!(
            keep_words(command.as_bytes()).as_deref(),
            words,
            "{command}"
        );
    }
    assert_eq!(keep_words(b"poolgate keep \xff"), None);
}

#[tokio::test]
async fn a_wish_stands_is_shown_and_is_given_up() {
    let scene = Scene::new();
    let said = scene.run("alice", "poolgate keep 2h");
    assert_eq!(said.status, 0);
    assert!(
        said.text.starts_with("instance vm1 stays until "),
        "{said:?}"
    );
    assert!(said.text.ends_with(" UTC\n"), "{said:?}");
    let kept = scene.kept().unwrap();
    assert_eq!(&*kept.by, "alice");
    let left = kept.until.duration_since(SystemTime::now()).unwrap();
    assert!(left <= 2 * HOUR && left > 2 * HOUR - Duration::from_secs(60));
    scene.publish().await;
    assert_eq!(scene.run("alice", "poolgate keep"), said);
    let others = scene.run("bob", "poolgate keep").text;
    assert!(others.ends_with(", as alice has asked\n"), "{others}");
    assert_eq!(scene.run("alice", "poolgate keep 2h").status, 0);
    assert_eq!(scene.told().len(), 1, "the same again is no news");
    let off = scene.run("alice", "poolgate keep off");
    assert_eq!((off.status, scene.kept()), (0, None));
    assert!(scene.told()[0].starts_with("alice keeps instance vm1 until "));
    assert_eq!(scene.told()[1], "alice lets instance vm1 go");
    scene.publish().await;
    let nobody = scene.run("alice", "poolgate keep").text;
    assert!(nobody.starts_with("nobody has asked"), "{nobody}");
}

#[test]
fn nobody_keeps_for_longer_than_is_allowed_or_against_the_operators() {
    let mut scene = Scene::new();
    let cut = scene.run("alice", "poolgate keep 3d");
    assert!(
        cut.text.ends_with("; pool main allows no more than 12h\n"),
        "{cut:?}"
    );
    assert!(scene.kept().unwrap().until <= SystemTime::now() + 12 * HOUR);
    scene.longest = None;
    let refused = scene.run("alice", "poolgate keep 1h");
    assert_eq!(
        refused,
        Said::failed("poolgate: pool main keeps no instance for anybody")
    );
    scene.longest = Some(HOUR);
    let fault = scene.run("alice", "poolgate keep 2h && ls");
    assert_eq!(fault.status, 1);
    assert!(
        fault.text.contains("write such as 18:00 or 2h"),
        "{fault:?}"
    );
}

#[tokio::test]
async fn an_operators_drain_is_not_put_off() {
    let scene = Scene::new();
    let drain = Decision::by_admin(AdminState::Draining, "its disk fails");
    scene.pool.decide(&vm1(), drain);
    scene.publish().await;
    let refused = scene.run("alice", "poolgate keep 1h");
    assert_eq!(refused.status, 1);
    assert!(refused.text.contains("its disk fails"), "{refused:?}");
    assert_eq!(scene.kept(), None);
}

#[test]
fn nobody_shortens_what_others_asked_for() {
    let scene = Scene::new();
    scene.run("bob", "poolgate keep 4h");
    let said = scene.run("alice", "poolgate keep 1h");
    assert!(
        said.status == 0 && said.text.ends_with(", as bob has asked\n"),
        "{said:?}"
    );
    let off = scene.run("alice", "poolgate keep off");
    assert!(off.text.ends_with(", as bob has asked\n"), "{off:?}");
    assert_eq!(&*scene.kept().unwrap().by, "bob");
    assert_eq!(scene.told().len(), 1);
}

#[test]
fn one_connection_asks_so_often_and_no_more() {
    let scene = Scene::new();
    let mut session = scene.session("alice");
    for _ in 0..ANSWERS_MAX {
        assert_eq!(session.run(b"poolgate keep").unwrap().status, 0);
    }
    let refused = session.run(b"poolgate keep").unwrap();
    assert!(refused.text.contains("connect anew"), "{refused:?}");
    let text = session.all.metrics.encode(&scene.pool.snapshot());
    let line = r#"poolgate_limit_hits_total{limit="ssh.gate_commands"} 1"#;
    assert!(text.contains(line), "{text}");
}
