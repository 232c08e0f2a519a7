//! What a scrape reads, and that each name is documented.

use std::time::SystemTime;

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
            admin_state: AdminState::Ready,
            decided_by: Decider::Nobody,
            reason: None,
            deadline: None,
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
        }],
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
    metrics.set_queue("main", 3);
    metrics.count_request(404);
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
    metrics.set_audit_lost(3);
    metrics.count_certificate("refused");
    let end = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_900_000_000);
    metrics.set_certificate_ends([("old.example", end)].into_iter());
    metrics.set_certificate_ends([("pool.example", end)].into_iter());
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
        r#"poolgate_bytes_total{protocol="jupyter",direction="out"} 20"#,
        r#"poolgate_probes_total{service="ssh",outcome="failed"} 1"#,
        r#"poolgate_open_connections{protocol="ssh"} 1"#,
        "poolgate_audit_lines_lost_total 3",
        r#"poolgate_tls_certificate_not_after_seconds{certificate="pool.example"} 1900000000"#,
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
        r#"poolgate_instance_admin_state{pool="main",instance="vm1",admin_state="ready"} 1"#,
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

#[test]
fn every_metric_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let text = counted().encode(&snapshot());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut names: Vec<_> = types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("`{name}_total`"),
            "info" => format!("`{name}_info`"),
            _ => format!("`{name}`"),
        })
        .collect();
    names.sort();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let mut documented: Vec<_> = rows
        .filter_map(|line| line.split('|').nth(1))
        .map(|name| name.trim().to_owned())
        .collect();
    documented.sort();
    assert_eq!(documented, names);
}
