//! The operators' address with TLS: opened to others by a reload, plain HTTP sent away in words, certificates that are
//! renewed under people who stay logged in.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::certificate::certificate_files;
use crate::support::client::PATIENCE;
use crate::support::raw_hub::connect;
use crate::support::streams::{Over, read_head};
use crate::support::{
    Finished, Gate, GateSetup, Logins, Running, Sshd, World, finish, free_port, operators, tool,
    wait_until,
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

    /// The answer's head.
    fn log_in(&self) -> String {
        let form = format!("token={}&next=/machines", self.token);
        let answer = self.curl("tls.pem", "/login", &["--data", &form]);
        answer.ok().stdout
    }

    fn is_logged_in(&self, trusted: &str) -> bool {
        let answer = self.curl(trusted, "/machines", &[]);
        answer.status.success() && answer.stdout.starts_with("HTTP/1.1 200")
    }
}

#[test]
fn a_session_outlives_the_certificate_and_plain_http_is_sent_away() {
    let scene = Scene::new();
    let head = scene.log_in();
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

/// Everybody who connects is answered by one gate or the other; who watches a page is sent to the new one, which knows no logins
/// of before.
#[test]
fn operators_are_answered_throughout_a_hand_over_and_log_in_at_the_new_gate() {
    let mut scene = Scene::new();
    let head = scene.log_in();
    assert!(head.starts_with("HTTP/1.1 303"), "{head}");
    let jar = scene.world.path("cookies");
    let watched = scene.world.path("watched");
    let mut watching = tool("curl");
    watching
        .args(["-q", "-sS", "-N", "--noproxy", "*", "-b"])
        .arg(&jar);
    watching.arg("--cacert").arg(scene.world.path("tls.pem"));
    let page = format!("https://localhost:{}/dash/live?page=/machines", scene.port);
    let shown = fs::File::create(&watched).unwrap();
    let watching = Running::start_logged(watching.arg(page), shown);
    wait_until("the watched page", SOON, || {
        let text = fs::read_to_string(&watched).unwrap();
        text.contains("vm1").then_some(())
    });
    let (port, answered, is_over) = (scene.port, AtomicUsize::new(0), AtomicBool::new(false));
    let wait_more = || {
        let before = answered.load(Ordering::Relaxed);
        wait_until("answers", PATIENCE, || {
            (answered.load(Ordering::Relaxed) >= before + 100).then_some(())
        });
    };
    let Scene { world, gate, .. } = &mut scene;
    let world = &*world;
    let old = thread::scope(|scope| {
        let _over = Over(&is_over);
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let mut stream = connect(world, port, "http/1.1").unwrap();
                    write!(stream, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
                    let head = read_head(&mut stream).unwrap();
                    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_more();
        let old = gate.upgrade();
        wait_more();
        old
    });
    // Its end is a word to the browser to ask again, which the new gate answers.
    watching.finish_within(PATIENCE).ok();
    assert!(!scene.is_logged_in("tls.pem"));
    let head = scene.log_in();
    assert!(head.starts_with("HTTP/1.1 303"), "{head}");
    assert!(scene.is_logged_in("tls.pem"));
    old.finish_within(PATIENCE).ok();
    assert!(scene.is_logged_in("tls.pem"));
    scene.gate.stop();
}
