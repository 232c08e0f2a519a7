//! Other people's tools against the browsers' door: sslyze on its TLS, slowhttptest on its patience.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::support::raw_hub::RawHub;
use crate::support::{Gate, GateSetup, Logins, Sshd, World, finish, tool};

const LONG: Duration = Duration::from_secs(180);

struct Scene {
    gate: Gate,
    world: World,
    _sshds: Vec<Sshd>,
}

impl Scene {
    fn new(lines: &str, prepare: impl FnOnce(&World)) -> Self {
        let world = World::new();
        prepare(&world);
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let hub = RawHub::start();
        let gate = GateSetup::default()
            .https(lines)
            // Whoever comes without a cookie takes a seat.
            .pool("capacity = 100000")
            .instance(&sshds[0].name, sshds[0].port, Some(hub.port))
            .start(&world);
        Self {
            world,
            gate,
            _sshds: sshds,
        }
    }
}

/// A certificate as an authority gives them: for ninety days, by an authority that is not it.
fn issue(world: &World) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.distinguished_name.push(DnType::CommonName, "Authority");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let start = std::time::SystemTime::now() - Duration::from_secs(3600);
    own.not_before = start.into();
    own.not_after = (start + Duration::from_secs(90 * 24 * 3600)).into();
    own.distinguished_name.push(DnType::CommonName, "localhost");
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    own.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let made = own.signed_by(&key, &ca).unwrap();
    fs::write(world.path("tls.pem"), made.pem()).unwrap();
    fs::write(world.path("tls.key"), key.serialize_pem()).unwrap();
    fs::write(world.path("tls_ca.pem"), ca.pem()).unwrap();
}

#[test]
fn sslyze_finds_mozillas_intermediate_configuration() {
    let scene = Scene::new("", issue);
    let staged = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/venv-sslyze/bin/sslyze");
    let mut sslyze = tool(staged.to_str().unwrap());
    sslyze.args(["--mozilla_config=intermediate", "--certinfo_ca_file"]);
    sslyze.arg(scene.world.path("tls_ca.pem"));
    sslyze.arg(format!("localhost:{}", scene.gate.https_port));
    let scan = finish(&mut sslyze, LONG).ok();
    assert!(scan.stdout.contains("OK - Compliant"), "{scan}");
    scene.gate.stop();
}

#[test]
fn two_thousand_slow_clients_keep_nobody_out() {
    // All of them come from one address.
    let scene = Scene::new("max_connections_per_source = 4000", |_| {});
    let address = format!("https://127.0.0.1:{}/hub/login", scene.gate.https_port);
    for (what, words) in [
        ("slow headers", &["-H", "-x", "24"][..]),
        ("slow bodies", &["-B", "-s", "8192", "-x", "10"]),
        (
            "slow readers",
            &["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"],
        ),
    ] {
        let mut slow = tool("slowhttptest");
        slow.args(words)
            .args(["-c", "2000", "-r", "400", "-l", "12"]);
        slow.args(["-i", "5", "-p", "5", "-u", &address]);
        slow.current_dir(scene.world.folder("slow"));
        let found = std::thread::scope(|threads| {
            let slow = threads.spawn(|| finish(&mut slow, LONG));
            while !slow.is_finished() {
                let mut curl = tool("curl");
                curl.args(["-q", "-sSk", "--noproxy", "*", "--max-time", "10"]);
                curl.args(["-w", "%{http_code}", "-o", "/dev/null", &address]);
                let other = finish(&mut curl, LONG);
                assert_eq!(other.text(), "200", "{what}: {other}");
            }
            slow.join().unwrap()
        });
        assert!(!found.stdout.contains("NO"), "{what}: {found}");
        assert!(found.stdout.contains("YES"), "{what}: {found}");
    }
    scene.gate.stop();
}
