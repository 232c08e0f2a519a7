//! Certificates from an authority: Pebble, Let's Encrypt's own server for tests, with a name server beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::proc::Running;
use crate::support::{
    Finished, Gate, GateSetup, Logins, Sshd, World, finish, free_port, tool, wait_until,
};

const LONG: Duration = Duration::from_secs(60);

struct Authority {
    folder: PathBuf,
    port: u16,
    management: u16,
    /// Where it looks for answers to http-01.
    http_port: u16,
    name_server: u16,
    _names: Running,
    pebble: Option<Running>,
}

impl Authority {
    /// With a name server that has 127.0.0.1 for every name.
    fn prepare(world: &World) -> Self {
        let folder = world.folder("pebble");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(folder.join("own.pem"), made.cert.pem()).unwrap();
        fs::write(folder.join("own.key"), made.signing_key.serialize_pem()).unwrap();
        let name_server = free_port();
        let mut names = tool("pebble-challtestsrv");
        names.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.arg("-dns01").arg(format!("127.0.0.1:{name_server}"));
        names
            .arg("-management")
            .arg(format!("127.0.0.1:{}", free_port()));
        let log = fs::File::create(folder.join("names.log")).unwrap();
        Self {
            port: free_port(),
            management: free_port(),
            http_port: free_port(),
            name_server,
            _names: Running::start_logged(&mut names, log),
            pebble: None,
            folder,
        }
    }

    /// `https_port`: where it looks for answers to tls-alpn-01; `validity`: of its certificates, in seconds.
    fn start(&mut self, https_port: u16, validity: u32) {
        let folder = self.folder.display();
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{}", "managementListenAddress": "127.0.0.1:{}",
            "certificate": "{folder}/own.pem", "privateKey": "{folder}/own.key",
            "httpPort": {}, "tlsPort": {https_port}, "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "domainBlocklist": ["blocked.example"], "certificateValidityPeriod": {validity}}}}}"#,
            self.port, self.management, self.http_port
        );
        let path = self.folder.join("config.json");
        fs::write(&path, config).unwrap();
        let mut pebble = tool("pebble");
        pebble.arg("-config").arg(path);
        let server = format!("127.0.0.1:{}", self.name_server);
        pebble.args(["-strict", "-dnsserver", &server]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        let log = fs::File::create(self.folder.join("log")).unwrap();
        self.pebble = Some(Running::start_logged(&mut pebble, log));
        wait_until("the authority's directory", LONG, || {
            let page = self.curl(&format!("https://localhost:{}/dir", self.port));
            page.status.success().then_some(())
        });
    }

    fn curl(&self, address: &str) -> Finished {
        let mut curl = tool("curl");
        curl.args(["-q", "-sS", "--noproxy", "*", "--cacert"]);
        curl.arg(self.folder.join("own.pem")).arg(address);
        finish(&mut curl, LONG)
    }

    /// Its root certificate, as a file; another one at each start.
    fn root(&self) -> PathBuf {
        let path = self.folder.join("root.pem");
        if self.pebble.is_some() {
            let page = self.curl(&format!("https://localhost:{}/roots/0", self.management));
            fs::write(&path, page.ok().stdout).unwrap();
        }
        path
    }

    fn lines(&self, domains: &str, challenge: &str) -> String {
        let ca_file = self.folder.join("own.pem");
        format!(
            "redirect_listen = [\"127.0.0.1:{}\"]\n[https.acme]\ndirectory = \"https://localhost:{}/dir\"\n\
             agree_to_terms = true\nca_file = {ca_file:?}\ndomains = {domains}\nchallenge = {challenge:?}\n\
             contact = [\"admin@pool.example\"]",
            self.http_port, self.port
        )
    }
}

struct Scene {
    gate: Gate,
    world: World,
    authority: Authority,
    _sshds: Vec<Sshd>,
}

impl Scene {
    fn new(domains: &str, challenge: &str, validity: u32) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let mut authority = Authority::prepare(&world);
        let https_port = free_port();
        authority.start(https_port, validity);
        let gate = GateSetup::over(&sshds)
            .https_port(https_port)
            .https(&authority.lines(domains, challenge))
            .start(&world);
        Self {
            world,
            authority,
            gate,
            _sshds: sshds,
        }
    }

    /// Asks by a client that trusts the authority alone.
    fn ask(&self, name: &str) -> Finished {
        let port = self.gate.https_port;
        let mut curl = tool("curl");
        curl.args(["-q", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.args(["--noproxy", "*", "--max-time", "20"]);
        curl.arg("--resolve")
            .arg(format!("{name}:{port}:127.0.0.1"));
        curl.arg("--cacert").arg(self.authority.root());
        curl.arg(format!("https://{name}:{port}/"));
        finish(&mut curl, LONG)
    }

    fn wait_issued(&self, count: usize) {
        let line = format!("poolgate_acme_orders_total{{outcome=\"issued\"}} {count}");
        wait_until(&line, LONG, || {
            let (_, metrics) = self.gate.admin("/metrics");
            metrics.contains(&line).then_some(())
        });
    }
}

#[test]
fn a_certificate_is_issued_by_tls_alpn_and_outlives_both_sides_restarts() {
    let mut scene = Scene::new("[\"pool.example\"]", "tls-alpn-01", 7_776_000);
    scene.wait_issued(1);
    assert_eq!(scene.ask("pool.example").ok().text(), "503", "no hub is up");
    let log = scene.gate.log();
    assert!(log.contains("a self-signed certificate is shown until"));

    let folder = scene.world.path("gate/state/acme");
    for name in ["account.json", "certificate.pem"] {
        let mode = fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let kept = fs::read(folder.join("certificate.pem")).unwrap();
    let lines = scene.authority.lines("[\"pool.example\"]", "tls-alpn-01");
    drop(scene.authority.pebble.take());
    let setup = GateSetup::over(&scene._sshds)
        .https_port(scene.gate.https_port)
        .https(&lines);
    scene.gate = scene.gate.replaced(&scene.world, setup);
    let (_, metrics) = scene.gate.admin("/metrics");
    assert!(
        metrics
            .contains("poolgate_tls_certificate_not_after_seconds{certificate=\"pool.example\"}"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("poolgate_acme_orders_total{"),
        "none is due"
    );
    assert_eq!(kept, fs::read(folder.join("certificate.pem")).unwrap());
    assert_eq!(scene.ask("pool.example").ok().text(), "503");
    scene.gate.stop();
}

#[test]
fn a_certificate_for_several_names_is_issued_by_http_and_renewed_in_time() {
    let names = "[\"pool.example\", \"gpu.pool.example\"]";
    let scene = Scene::new(names, "http-01", 24);
    scene.wait_issued(1);
    for name in ["pool.example", "gpu.pool.example"] {
        assert_eq!(scene.ask(name).ok().text(), "503", "{name}");
    }
    let plain = format!(
        "http://127.0.0.1:{}/hub/login?a=b",
        scene.authority.http_port
    );
    let mut curl = tool("curl");
    curl.args(["-q", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w"]);
    curl.args(["%{http_code} %{redirect_url}", &plain]);
    let https = format!("https://127.0.0.1:{}/hub/login?a=b", scene.gate.https_port);
    assert_eq!(finish(&mut curl, LONG).ok().text(), format!("308 {https}"));
    scene.wait_issued(2);
    assert_eq!(scene.ask("pool.example").ok().text(), "503");
    scene.gate.stop();
}

#[test]
fn an_authority_that_refuses_leaves_the_door_open_and_is_told_of() {
    let scene = Scene::new("[\"blocked.example\"]", "tls-alpn-01", 7_776_000);
    wait_until("the refusal in the log", LONG, || {
        let log = scene.gate.log();
        log.contains("no certificate was issued; the old one stays")
            .then_some(())
    });
    let (_, metrics) = scene.gate.admin("/metrics");
    assert!(
        metrics.contains("poolgate_acme_orders_total{outcome=\"failed\"} 1"),
        "{metrics}"
    );
    let refused = scene.ask("blocked.example");
    assert_eq!(refused.code(), Some(60), "not by the authority: {refused}");
    let mut curl = tool("curl");
    curl.args([
        "-q",
        "-sSk",
        "--noproxy",
        "*",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
    ]);
    curl.arg(format!("https://127.0.0.1:{}/", scene.gate.https_port));
    assert_eq!(finish(&mut curl, LONG).ok().text(), "503");
    scene.gate.stop();
}
