//! Where the time goes, as a real collector hears it of a real gate: logins, requests, wakes, and collectors that are of no use.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use poolgate::telemetry::traces::works;

use crate::support::client::{PATIENCE, host};
use crate::support::collector::{Collector, Span, told_by};
use crate::support::raw_hub::{RawHub, RawScene};
use crate::support::{
    Gate, GateSetup, Logins, Running, Sshd, World, finish, free_port, tool, wait_until,
};

/// Whoever takes connections and never says a word.
fn silent() -> (u16, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

/// Each tells nothing but what the table of docs/telemetry.md says of it.
fn are_as_documented(spans: &[Span]) {
    for span in spans {
        let name = match span.name.split_once(' ') {
            Some((method, route)) if route.starts_with('/') && method != "health" => {
                works::REQUEST.name
            }
            None if span.tells.contains_key(works::METHOD) => works::INSTANCE_REQUEST.name,
            _ => &span.name,
        };
        let work = works::ALL.iter().find(|work| work.name == name);
        let work = work.unwrap_or_else(|| panic!("a span {}", span.name));
        assert_eq!(format!("{:?}", work.role).to_lowercase(), span.kind);
        for attribute in span.tells.keys() {
            let is_told = work.tells.contains(&&**attribute);
            assert!(is_told, "{attribute} in {}", span.name);
        }
    }
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(named.len(), 1, "{name} in {spans:#?}");
    named[0]
}

fn count(gate: &Gate, outcome: &str) -> u64 {
    let (_, metrics) = gate.admin("/metrics");
    let sample = format!("poolgate_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&sample));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Lines end with the span at work, where there is one.
fn is_in_the_log(log: &str, login: &Span, session: &Span) {
    let line = |text: &str| {
        let line = log.lines().find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no {text} in {log}"))
    };
    let ids = |span: &Span| format!("trace_id={} span_id={}", span.trace, span.id);
    assert!(line("a session began").ends_with(&ids(login)), "{log}");
    assert!(line("a session ended").ends_with(&ids(session)), "{log}");
    assert!(!line("the gate is open").contains("trace_id"));
}

#[test]
fn a_login_is_told_with_its_parts_and_its_session_follows() {
    let world = World::new();
    let collector = Collector::start(&world);
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let setup = GateSetup::over(&sshds)
        .variable("POOLGATE__TRACES__SERVICE_NAME", "gate-7")
        .variable(
            "POOLGATE__TRACES__RESOURCE_ATTRIBUTES",
            "service.namespace=pools",
        );
    let gate = collector.told_by(setup).start(&world);
    let alice = world.person(1);
    gate.door(&world).run(&alice, "echo hello").ok();
    let parts = [
        "key exchange",
        "authentication",
        "placement",
        "connect",
        "instance login",
    ];
    let (login, spans) = collector.wait_trace("ssh login", &parts);
    assert_eq!((login.kind, &*login.parent), ("server", ""));
    for (attribute, value) in [
        (works::USER, &*alice.name),
        (works::POOL, "main"),
        (works::INSTANCE, "vm1"),
        (works::OUTCOME, "admitted"),
        (works::REASON, "least-loaded"),
        (works::CLIENT_ADDRESS, "127.0.0.1"),
        (works::PROTOCOL_NAME, "ssh"),
    ] {
        assert_eq!(login.tells(attribute), value);
    }
    for part in parts {
        let part = one(&spans, part);
        assert_eq!(part.parent, login.id, "{part:#?}");
        assert!(part.is_within(&login), "{part:#?} in {login:#?}");
        assert!(part.end_ns > part.begin_ns && !part.is_error, "{part:#?}");
    }
    let (exchange, proof) = (one(&spans, "key exchange"), one(&spans, "authentication"));
    assert_eq!(exchange.begin_ns / 1_000_000, login.begin_ns / 1_000_000);
    assert!(exchange.end_ns <= proof.begin_ns, "one after the other");
    assert_eq!(proof.tells(works::AUTH_METHOD), "publickey");
    let asked = one(&spans, "instance login");
    assert_eq!(asked.tells(works::OUTCOME), "admitted");
    assert!(one(&spans, "connect").end_ns <= asked.begin_ns);
    let port = sshds[0].port.to_string();
    assert_eq!(one(&spans, "connect").tells(works::SERVER_PORT), port);

    let session = collector.wait("ssh session", 1).remove(0);
    assert_eq!(session.links, [&*login.id]);
    assert_ne!(session.trace, login.trace, "it may last for days");
    assert_eq!(session.tells(works::SESSION), login.tells(works::SESSION));
    assert!(session.tells(works::BYTES_OUT).parse::<u64>().unwrap() > 100);
    let resource = &session.resource;
    assert_eq!(resource["service.name"], "gate-7");
    assert_eq!(resource["service.namespace"], "pools");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));

    is_in_the_log(&gate.log(), &login, &session);
    are_as_documented(&collector.spans());
    gate.stop();
}

#[test]
fn who_is_refused_leaves_a_trace_and_who_says_nothing_none() {
    let world = World::new();
    let collector = Collector::start(&world);
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = collector.told_by(GateSetup::over(&sshds)).start(&world);
    // A scanner: it takes the gate's name and goes.
    let mut scanner = std::net::TcpStream::connect(("127.0.0.1", gate.ssh_port)).unwrap();
    scanner.write_all(b"SSH-2.0-scan\r\n").unwrap();
    scanner.read_exact(&mut [0; 4]).unwrap();
    drop(scanner);
    let mut ssh = tool("ssh");
    ssh.args(gate.door(&world).options(&world.person(1)));
    ssh.args(["-l", "nobody-here", "127.0.0.1", "true"]);
    assert!(!finish(&mut ssh, PATIENCE).status.success());
    let (login, spans) = collector.wait_trace("ssh login", &["authentication"]);
    assert_eq!(login.tells(works::USER), "nobody-here");
    assert!(
        !login.is_error,
        "a wrong key is no failure of the gate's: {login:#?}"
    );
    assert!(one(&spans, "authentication").is_error);
    assert_eq!(collector.wait("ssh login", 1).len(), 1, "one of the two");
    are_as_documented(&collector.spans());
    gate.stop();
}

/// Status and body of a request with these lines in its head.
fn ask(scene: &RawScene, path: &str, lines: &str) -> String {
    let mut stream = scene.connect("http/1.1");
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: pool.example\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // Some close without a word of TLS.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_request_is_told_and_the_instance_hears_whose_part_it_is() {
    let world = World::new();
    let collector = Collector::start(&world);
    let hub = RawHub::start();
    let port = hub.port;
    let scene = RawScene::with(world, hub, port, |setup| collector.told_by(setup));
    let forged = format!("traceparent: {PARENT}\r\ntracestate: a=b\r\nCookie: s3cret=1\r\n");
    let answer = ask(&scene, "/hub/login?token=s3cret", &forged);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (request, spans) = collector.wait_trace("GET /hub/login", &["GET", "connect"]);
    assert_eq!((request.kind, &*request.parent), ("server", ""));
    assert_ne!(request.trace, PARENT[3..35], "nobody has theirs kept");
    for (attribute, value) in [
        (works::METHOD, "GET"),
        (works::URL_SCHEME, "https"),
        (works::URL_PATH, "/hub/login"),
        (works::SERVER_ADDRESS, "pool.example"),
        (works::PROTOCOL_VERSION, "1.1"),
        (works::STATUS_CODE, "200"),
        (works::BODY_SIZE, "3"),
        (works::INSTANCE, "vm1"),
    ] {
        assert_eq!(request.tells(attribute), value);
    }
    let (asked, connect) = (one(&spans, "GET"), one(&spans, "connect"));
    assert_eq!((asked.kind, &asked.parent), ("client", &request.id));
    assert_eq!(
        (&connect.parent, asked.tells(works::STATUS_CODE)),
        (&asked.id, "200")
    );
    assert!(asked.is_within(&request) && connect.is_within(asked));
    let seen = scene.hub.seen();
    let told = format!("00-{}-{}-01", request.trace, asked.id);
    assert_eq!(seen[0].values("traceparent"), [&*told]);
    assert_eq!(seen[0].values("tracestate"), [""; 0]);
    let all = format!("{:?}", collector.spans());
    assert!(!all.contains("s3cret"), "{all}");
    are_as_documented(&collector.spans());
    scene.gate.stop();
}

#[test]
fn a_trusted_peers_trace_goes_on_and_a_share_of_nothing_keeps_the_rest_out() {
    let world = World::new();
    let collector = Collector::start(&world);
    let hub = RawHub::start();
    let port = hub.port;
    let scene = RawScene::with(world, hub, port, |setup| {
        collector
            .told_by(setup)
            .variable("POOLGATE__TRACES__REQUEST_SAMPLE_RATIO", "0")
            .variable("POOLGATE__TRACES__TRUST_FROM", "127.0.0.0/8")
    });
    ask(&scene, "/hub/home", "");
    let own = scene.hub.seen()[0].values("traceparent")[0].to_owned();
    assert!(
        own.ends_with("-00"),
        "the hub keeps none of it either: {own}"
    );
    ask(
        &scene,
        "/user/alice/lab",
        &format!("traceparent: {PARENT}\r\ntracestate: a=b\r\n"),
    );
    let request = collector.wait("GET /user/{user}/*", 1).remove(0);
    assert_eq!(
        (&*request.trace, &*request.parent),
        (&PARENT[3..35], &PARENT[36..52])
    );
    let seen = scene.hub.seen().pop().unwrap();
    assert!(seen.values("traceparent")[0].starts_with(&PARENT[..36]));
    assert_eq!(seen.values("tracestate"), ["a=b"]);
    let names: Vec<_> = collector
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    assert!(!names.contains(&"GET /hub/home".to_owned()), "{names:?}");
    scene.gate.stop();
}

#[test]
fn a_pool_that_sleeps_is_told_as_a_wake_with_its_commands() {
    let world = World::new();
    let collector = Collector::start(&world);
    let script = world.path("fleet");
    let text = "#!/bin/sh\nread -r request\ncase $request in *'\"list\"'*) echo '{\"machines\":[]}' ;; \
                *) echo '{\"error\":{\"kind\":\"quota\",\"message\":\"16 of 16 cores used\"}}' ;; esac\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let setup = GateSetup::default()
        .scaling("max = 3")
        .fleet(&format!("provider = \"command\"\ncommand = [{script:?}]"));
    let gate = collector.told_by(setup).start(&world);
    let person = world.person(1);
    let mut ssh = gate.door(&world).ssh(&person);
    ssh.arg(host(&person)).arg("true");
    let waits = Running::start(&mut ssh);
    let (command, _) = collector.wait_trace("fleet command", &["scaling steps"]);
    assert_eq!(
        (
            command.tells(works::COMMAND),
            command.tells(works::ERROR_TYPE)
        ),
        ("grow", "quota")
    );
    collector.wait("fleet look", 1);
    drop(waits);
    collector.wait("ssh login", 1);
    // Whose place is kept for a minute is waited for that long; the end of the gate ends the wake, and sends what is left.
    gate.stop();
    let (wake, spans) = collector.wait_trace("wake", &["fleet command"]);
    let steps = spans
        .iter()
        .find(|span| span.name == "scaling steps")
        .unwrap();
    assert_eq!(
        (&steps.parent, &*steps.events),
        (&wake.id, &["grow".to_owned()][..])
    );
    assert!(
        spans
            .iter()
            .any(|span| span.name == "fleet command" && span.parent == steps.id)
    );
    let (login, spans) = collector.wait_trace("ssh login", &["wait in line"]);
    assert_eq!(login.tells(works::OUTCOME), "gone");
    let (placing, waiting) = (one(&spans, "placement"), one(&spans, "wait in line"));
    assert_eq!((&placing.parent, &waiting.parent), (&login.id, &placing.id));
    assert!(placing.is_error && waiting.is_within(placing));
    are_as_documented(&collector.spans());
}

#[test]
fn a_collector_that_is_away_or_hangs_keeps_nobody_waiting() {
    for is_there in [false, true] {
        let world = World::new();
        let (port, held) = silent();
        let held = is_there.then_some(held);
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let setup =
            told_by(port, GateSetup::over(&sshds)).variable("POOLGATE__TRACES__QUEUE_MAX", "64");
        let gate = setup.start(&world);
        // Six spans each: more than find room.
        let mut longest = Duration::ZERO;
        for _ in 0..15 {
            let began = Instant::now();
            gate.door(&world).run(&world.person(1), "true").ok();
            longest = longest.max(began.elapsed());
        }
        assert!(longest < Duration::from_secs(5), "{longest:?}");
        wait_until("lost spans", PATIENCE, || {
            (count(&gate, "queue-full") > 0).then_some(())
        });
        assert_eq!(count(&gate, "sent"), 0);
        let told = |log: &str| log.matches("traces do not reach their collector").count();
        wait_until("a line about it", PATIENCE, || {
            (told(&gate.log()) > 0).then_some(())
        });
        assert_eq!(told(&gate.log()), 1, "{}", gate.log());
        let began = Instant::now();
        gate.stop();
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "its end waits for no collector"
        );
        drop(held);
    }
}

#[test]
fn a_reload_turns_traces_on_and_off_and_doctor_asks_the_collector() {
    let world = World::new();
    let collector = Collector::start(&world);
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let text = std::fs::read_to_string(&gate.config).unwrap();
    let write = |port: u16| {
        let more =
            format!("[traces]\nendpoint = \"http://127.0.0.1:{port}\"\ninterval = \"100ms\"\n");
        std::fs::write(&gate.config, format!("{text}{more}")).unwrap();
    };
    let door = gate.door(&world);
    door.run(&world.person(1), "true").ok();
    write(collector.port());
    gate.cli(&["reload"]).ok();
    let doctor = gate.cli(&["doctor"]).stdout;
    let row = |doctor: &str| {
        let line = doctor.lines().find(|line| line.contains("traces.endpoint"));
        line.unwrap_or_else(|| panic!("{doctor}")).to_owned()
    };
    assert!(
        row(&doctor).starts_with("ok ") && row(&doctor).ends_with("takes traces"),
        "{doctor}"
    );
    door.run(&world.person(2), "true").ok();
    let logins = collector.wait("ssh login", 1);
    assert_eq!(logins[0].tells(works::USER), world.person(2).name);
    std::fs::write(&gate.config, &text).unwrap();
    gate.cli(&["reload"]).ok();
    // What was begun before is told still.
    collector.wait("ssh session", 1);
    let told = collector.spans().len();
    door.run(&world.person(1), "true").ok();
    gate.wait_audit("end", 3);
    write(free_port());
    let doctor = gate.cli(&["doctor"]).stdout;
    assert!(row(&doctor).starts_with("warn "), "{doctor}");
    gate.stop();
    assert_eq!(collector.spans().len(), told, "nothing of the last login");
}
