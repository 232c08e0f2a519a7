//! The operators' address with TLS: opened to others by a reload, plain HTTP sent away in words, certificates that are
//! renewed under people who stay logged in.

use std::fs;
use std::time::Duration;

use crate::support::certificate::certificate_files;
use crate::support::client::PATIENCE;
use crate::support::{
    Finished, Gate, GateSetup, Logins, Sshd, World, finish, free_port, operators, tool, wait_until,
};

const SOON: Duration = Duration::from_secs(30);

struct Scene {
    world: World,
    gate: Gate,
    /// Where the address is open to others.
    port: u16,
    token: String,
    _sshds: Vec<Sshd>,
}

impl Scene {
    /// A gate whose operators' address was on loopback alone, until its config changed.
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds).start(&world);
        let token = operators::token(&gate, "olivia", "operator");
        let scene = Self {
            port: free_port(),
            world,
            gate,
            token,
            _sshds: sshds,
        };
        let (certificate, key) = certificate_files(&scene.world);
        scene.change(|text| {
            let plain = format!("\"127.0.0.1:{}\"", scene.gate.admin_port);
            let open = text.replace(&plain, &format!("\"0.0.0.0:{}\"", scene.port));
            let pair = format!("certificate = {certificate:?}\nprivate_key = {key:?}");
            format!("{open}\n[admin.tls]\n{pair}\n")
        });
        scene.wait_log("the configuration was read again");
        scene
    }

    fn change(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(&self.gate.config).unwrap();
        let next = self.world.path("next.toml");
        fs::write(&next, change(text)).unwrap();
        fs::rename(next, &self.gate.config).unwrap();
        self.gate.hang_up();
    }

    fn wait_log(&self, what: &str) {
        wait_until(what, SOON, || self.gate.log().contains(what).then_some(()));
    }

    /// Asks as a browser that trusts the certificate in this file alone, and keeps its cookies.
    fn curl(&self, trusted: &str, path: &str, words: &[&str]) -> Finished {
        let jar = self.world.path("cookies");
        let mut curl = tool("curl");
        curl.args(["-q", "-sS", "--noproxy", "*", "-i"]);
        curl.arg("-b").arg(&jar).arg("-c").arg(&jar);
        curl.arg("--cacert").arg(self.world.path(trusted));
        curl.args(words);
        curl.arg(format!("https://localhost:{}{path}", self.port));
        finish(&mut curl, PATIENCE)
    }

    fn is_logged_in(&self, trusted: &str) -> bool {
        let answer = self.curl(trusted, "/machines", &[]);
        answer.status.success() && answer.stdout.starts_with("HTTP/1.1 200")
    }
}

#[test]
fn a_session_outlives_the_certificate_and_plain_http_is_sent_away() {
    let scene = Scene::new();
    let form = format!("token={}&next=/machines", scene.token);
    let answer = scene.curl("tls.pem", "/login", &["--data", &form]);
    let head = answer.ok().stdout;
    assert!(head.starts_with("HTTP/1.1 303"), "{head}");
    let cookie = head.lines().find(|line| line.starts_with("set-cookie: "));
    let cookie = cookie.unwrap_or_else(|| panic!("no cookie in {head}"));
    assert!(cookie.contains("__Host-poolgate_admin="), "{cookie}");
    assert!(cookie.contains("; Secure"), "{cookie}");
    assert!(scene.is_logged_in("tls.pem"));

    let mut plain = tool("curl");
    plain.args(["-q", "-sS", "--noproxy", "*", "-i"]);
    plain.arg(format!("http://localhost:{}/login", scene.port));
    let told = finish(&mut plain, PATIENCE).ok().stdout;
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    assert!(told.contains("write https:// at the beginning"), "{told}");

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::copy(scene.world.path("tls.pem"), scene.world.path("first.pem")).unwrap();
    fs::write(scene.world.path("tls.pem"), made.cert.pem()).unwrap();
    fs::write(
        scene.world.path("tls.key"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    wait_until("the new certificate, and who was in", SOON, || {
        scene.is_logged_in("tls.pem").then_some(())
    });
    assert!(!scene.is_logged_in("first.pem"), "the old one is shown");
    let metrics = scene.curl("tls.pem", "/metrics", &[]).ok().stdout;
    let line = "poolgate_tls_certificate_not_after_seconds{certificate=\"localhost\"}";
    assert!(metrics.contains(line), "{metrics}");

    fs::write(scene.world.path("tls.key"), "torn").unwrap();
    scene.wait_log("admin.tls.private_key: ");
    assert!(scene.is_logged_in("tls.pem"));
    scene.gate.stop();
}

#[test]
fn the_address_is_never_open_to_others_without_tls() {
    let scene = Scene::new();
    let whole = fs::read_to_string(&scene.gate.config).unwrap();
    scene.change(|text| text.split("[admin.tls]").next().unwrap().to_owned());
    scene.wait_log("which others can reach, and it speaks no TLS; write [admin.tls]");
    let answer = scene.curl("tls.pem", "/livez", &[]);
    assert!(answer.ok().stdout.starts_with("HTTP/1.1 200"));
    scene.change(|_| whole);

    let mut openssl = tool("openssl");
    openssl.args(["s_client", "-alpn", "h2,http/1.1", "-connect"]);
    openssl.arg(format!("127.0.0.1:{}", scene.port));
    let shown = finish(&mut openssl, PATIENCE).stdout;
    assert!(shown.contains("ALPN protocol: http/1.1"), "{shown}");
    assert!(shown.contains("New, TLSv1.3"), "{shown}");
    scene.gate.stop();
}
