//! What a scrape reads, and that each name is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::*;
use crate::pool::snapshot::{HubView, PoolView, ServicesView, SessionView};
use crate::pool::{
    AdminState, Decider, Health, InstanceView, Measured, PlacementPolicy, SessionId, Stage,
};

fn snapshot() -> Snapshot {
    Snapshot {
        pools: vec![PoolView {
            name: "main".into(),
            default: true,
            placement: PlacementPolicy::Auto,
            instances: 1,
            instances_routable: 1,
            capacity: 8,
            load: 1,
            headroom: 7,
            sessions: 1,
            prospect: None,
            intent: None,
        }],
        instances: vec![InstanceView {
            name: "vm1".into(),
            address: "10.0.0.4".to_owned(),
            pool: "main".into(),
            admin_state: AdminState::Draining,
            decided_by: Decider::Nobody,
            reason: None,
            deadline: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)),
            keep: None,
            is_sealed: false,
            health: Health::Up,
            health_since: SystemTime::UNIX_EPOCH,
            services: ServicesView {
                ssh: Health::Up,
                jupyter: None,
            },
            measured: Some(Measured {
                taken: SystemTime::UNIX_EPOCH,
                load_percent: 40,
                cpu_percent: Some(40),
                memory_percent: None,
                gpu_percent: None,
                people: 2,
                kept: 1,
                is_reboot_pending: false,
                closed: None,
            }),
            hub: Some(HubView {
                people: 3,
                direct: 2,
                pending: 0,
                is_stale: false,
            }),
            sessions: 1,
            capacity: 8,
            load: 1,
            ssh_port: 22,
            jupyter_port: None,
            generation: 0,
        }],
        sessions: vec![SessionView {
            id: SessionId(7),
            user: Some("alice".into()),
            protocol: Protocol::Ssh,
            pool: "main".into(),
            instance: "vm1".into(),
            peer: [192, 0, 2, 7].into(),
            since: SystemTime::UNIX_EPOCH,
            stage: Stage::Live,
            is_elsewhere: false,
        }],
        older: Vec::new(),
    }
}

fn counted() -> Metrics {
    let metrics = Metrics::new();
    metrics.count_login(Protocol::Ssh, "admitted");
    metrics.count_placement(Protocol::Ssh, PlacementReason::LeastLoaded);
    metrics.count_limit("ssh.max_startups");
    metrics.count_refusal("terminal");
    metrics.count_keys_command("timeout");
    metrics.count_recording("complete");
    metrics.count_page("waiting");
    metrics.count_config_reload("taken");
    metrics.count_file_read("taken");
    metrics.set_file_faults(1);
    metrics.count_admin_login("admitted");
    metrics.count_admin_order("drain", "done");
    metrics.set_queue("main", 3);
    metrics.count_request(404, Some(Duration::from_millis(30)));
    metrics.time_ssh_login(Duration::from_millis(80));
    metrics.time_connect(Protocol::Ssh, Duration::from_millis(4));
    metrics.time_probe(Protocol::Jupyter, Duration::from_millis(2));
    metrics.time_wait("main", Protocol::Ssh, Duration::from_secs(40));
    metrics.time_wake("main", Duration::from_secs(200));
    metrics.count_bytes(Protocol::Jupyter, 10, 20);
    metrics.count_hub_poll(true);
    metrics.count_load_probe(true);
    metrics.count_fleet_look("main", "ok");
    metrics.count_fleet_command("main", "grow", "throttled");
    metrics.count_machine_seconds("main", "idle", 1.5);
    metrics.count_machine_seconds("main", "idle", 60.0);
    metrics.set_scaling("main", 3, true);
    metrics.set_scaling_machines("main", "booting", 2);
    metrics.count_scaling_step("main", "drain");
    metrics.count_fleet_fault("main", "quota");
    metrics.count_moved_login("moved");
    metrics.count_probe(Protocol::Ssh, false);
    metrics.count_webhook("team", "failed");
    metrics.count_spans("queue-full", 7);
    metrics.set_audit_lost(3);
    metrics.count_state_write_failure();
    metrics.set_log_lost(2);
    metrics.count_certificate("refused");
    let end = std::time::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    metrics.set_certificate_ends("https", [("old.example", end)].into_iter());
    metrics.set_certificate_ends("admin", [("admin.example", end)].into_iter());
    metrics.set_certificate_ends("https", [("pool.example", end)].into_iter());
    metrics.count_acme_order("failed");
    metrics.count_handshake("1.3", "resumed");
    metrics
}

#[test]
fn a_scrape_reads_what_was_counted_and_what_is_seen() {
    let metrics = counted();
    let open = metrics.connection(Protocol::Ssh);
    let text = metrics.encode(&snapshot());
    for line in [
        r#"poolgate_logins_total{protocol="ssh",outcome="admitted"} 1"#,
        r#"poolgate_placements_total{protocol="ssh",reason="least-loaded"} 1"#,
        r#"poolgate_limit_hits_total{limit="ssh.max_startups"} 1"#,
        r#"poolgate_requests_total{code="4xx"} 1"#,
        r#"poolgate_request_duration_seconds_bucket{le="0.05",code="4xx"} 1"#,
        r#"poolgate_request_duration_seconds_bucket{le="0.025",code="4xx"} 0"#,
        r#"poolgate_wake_seconds_sum{pool="main"} 200.0"#,
        r#"poolgate_queue_wait_seconds_count{pool="main",protocol="ssh"} 1"#,
        r#"poolgate_people{pool="main"} 1"#,
        r#"poolgate_instance_measured_ratio{pool="main",instance="vm1"} 0.4"#,
        r#"poolgate_drain_sessions{pool="main",instance="vm1"} 1"#,
        r#"poolgate_drain_deadline_seconds{pool="main",instance="vm1"} 1900000000"#,
        r#"poolgate_bytes_total{protocol="jupyter",direction="out"} 20"#,
        r#"poolgate_probes_total{service="ssh",outcome="failed"} 1"#,
        r#"poolgate_open_connections{protocol="ssh"} 1"#,
        r#"poolgate_trace_spans_total{outcome="queue-full"} 7"#,
        "poolgate_audit_lines_lost_total 3",
        "poolgate_state_write_failures_total 1",
        r#"poolgate_tls_certificate_not_after_seconds{certificate="pool.example"} 1900000000"#,
        r#"poolgate_tls_certificate_not_after_seconds{certificate="admin.example"} 1900000000"#,
        r#"poolgate_tls_handshakes_total{version="1.3",outcome="resumed"} 1"#,
        r#"poolgate_machine_seconds_total{pool="main",use="idle"} 61.5"#,
        r#"poolgate_scaling_desired{pool="main"} 3"#,
        r#"poolgate_scaling_frozen{pool="main"} 1"#,
        r#"poolgate_scaling_machines{pool="main",phase="booting"} 2"#,
        r#"poolgate_scaling_steps_total{pool="main",action="drain"} 1"#,
        r#"poolgate_scaling_faults_total{pool="main",kind="quota"} 1"#,
        r#"poolgate_headroom{pool="main"} 7"#,
        r#"poolgate_instance_health{pool="main",instance="vm1",health="up"} 1"#,
        r#"poolgate_instance_health{pool="main",instance="vm1",health="down"} 0"#,
        r#"poolgate_instance_admin_state{pool="main",instance="vm1",admin_state="draining"} 1"#,
        r#"poolgate_instance_load{pool="main",instance="vm1"} 1"#,
        r#"poolgate_sessions{pool="main",instance="vm1",protocol="ssh"} 1"#,
        r#"poolgate_sessions{pool="main",instance="vm1",protocol="jupyter"} 0"#,
        concat!(
            r#"poolgate_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#""} 1"#
        ),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "no {line} in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("alice"), "people are no labels");
    assert!(
        !text.contains("old.example"),
        "a certificate that is gone leaves no trace"
    );
    drop(open);
    let text = metrics.encode(&Snapshot::default());
    assert!(text.contains(r#"poolgate_open_connections{protocol="ssh"} 0"#));
    assert!(
        !text.contains("vm1"),
        "an instance that is gone leaves no trace"
    );
}

/// Type and labels by name, as a scrape in Prometheus's text has them.
fn scraped(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap();
            found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            continue;
        }
        let Some((sample, _)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|part| name.strip_suffix(part))
            .find(|family| found.contains_key(*family));
        let (_, known) = found.get_mut(family.unwrap_or(name)).unwrap();
        // Values of these tests hold neither quotes nor commas.
        let names = labels.trim_end_matches('}').split(',');
        let names = names.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        known.extend(names.filter(|label| label != "le"));
    }
    found
}

/// The same of the table in docs/metrics.md.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3]
            .split(',')
            .map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        let name = cells[1].trim_matches('`').to_owned();
        (name, (cells[2].to_owned(), labels.collect()))
    })
    .collect()
}

#[test]
fn the_table_says_what_a_scrape_has_types_and_labels_included() {
    let text = counted().scrape(&snapshot(), Format::Prometheus);
    let (found, told) = (scraped(&text), documented());
    for (name, what) in &found {
        assert_eq!(told.get(name), Some(what), "docs/metrics.md on {name}");
    }
    let gone: Vec<_> = told
        .keys()
        .filter(|name| !found.contains_key(*name))
        .collect();
    assert!(
        gone.is_empty(),
        "in docs/metrics.md, and neither counted nor seen by these tests: {gone:?}"
    );
}

#[test]
fn names_keep_to_the_conventions() {
    for (name, (kind, labels)) in documented() {
        assert!(name.starts_with("poolgate_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        let personal = ["user", "peer", "source", "session", "path", "client"];
        assert!(
            !personal.iter().any(|label| labels.contains(*label)),
            "{name}"
        );
        let wrong = ["_percent", "_ms", "_minutes", "_kib", "_mib"];
        assert!(!wrong.iter().any(|unit| name.contains(unit)), "{name}");
    }
}
