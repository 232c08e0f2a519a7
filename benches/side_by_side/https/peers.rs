//! The proxies that are compared, the backend behind all of them, and what each is configured with.

use std::fs;

use super::client;
use super::websocket;
use crate::side_by_side::process::{Service, free_port, own_cpu_seconds, wait_until};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Nginx,
    NginxTuned,
    Haproxy,
    Chp,
    Gate,
}

impl Peer {
    pub const ALL: [Self; 5] = [
        Self::Nginx,
        Self::NginxTuned,
        Self::Haproxy,
        Self::Chp,
        Self::Gate,
    ];

    /// Those that are named among the words; all if none is.
    pub fn named(words: &[String]) -> Vec<Self> {
        let is_named = |peer: &Self| words.iter().any(|word| word == peer.word());
        let named: Vec<Self> = Self::ALL.into_iter().filter(is_named).collect();
        if named.is_empty() {
            return Self::ALL.to_vec();
        }
        named
    }

    fn word(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxTuned => "nginx-tuned",
            Self::Haproxy => "haproxy",
            Self::Chp => "chp",
            Self::Gate => "gate",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxTuned => "nginx, large buffers",
            Self::Haproxy => "HAProxy",
            Self::Chp => "configurable-http-proxy",
            Self::Gate => "poolgate",
        }
    }
}

/// The processes, in a folder that goes with them.
pub struct Peers {
    services: Vec<(Peer, Service)>,
    /// A person's browser, as the gate knows it; everybody is sent the same.
    pub cookie: String,
    _backend: Service,
    _folder: tempfile::TempDir,
}

impl Peers {
    pub fn start(words: &[String]) -> Self {
        // In memory, so that no disk is measured.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, private) = (key.cert.pem(), key.signing_key.serialize_pem());
        fs::write(at("cert.pem"), &certificate).unwrap();
        fs::write(at("key.pem"), &private).unwrap();
        fs::write(at("both.pem"), format!("{certificate}{private}")).unwrap();
        let served = folder.path().join("served/user/alice/files");
        fs::create_dir_all(&served).unwrap();
        fs::File::create(served.join("big"))
            .and_then(|big| big.set_len(super::loads::BODY_LEN))
            .unwrap();
        let backend = start_instance(&folder, websocket::start_echo());
        let behind = backend.port;
        let services = vec![
            (Peer::Nginx, start_nginx(&folder, behind, "nginx", "")),
            (
                Peer::NginxTuned,
                start_nginx(&folder, behind, "nginx-tuned", TUNED),
            ),
            (Peer::Haproxy, start_haproxy(&folder, behind)),
            (Peer::Chp, start_chp(&folder, behind)),
            (Peer::Gate, start_gate(&folder, behind, words)),
        ];
        let mut peers = Self {
            services,
            cookie: String::new(),
            _backend: backend,
            _folder: folder,
        };
        peers.cookie = log_in(peers.port(Peer::Gate));
        peers
    }

    pub fn port(&self, peer: Peer) -> u16 {
        self.service(peer).port
    }

    pub fn pid(&self, peer: Peer) -> u32 {
        self.service(peer).pid()
    }

    /// CPU seconds it has used so far.
    pub fn cpu_seconds(&self, peer: Peer) -> f64 {
        own_cpu_seconds(self.pid(peer))
    }

    fn service(&self, peer: Peer) -> &Service {
        let found = self.services.iter().find(|(other, _)| *other == peer);
        &found.unwrap().1
    }
}

/// Logs alice in across the gate, whose pin then names her; beside it what a browser of hers carries.
fn log_in(port: u16) -> String {
    let hub = "jupyterhub-session-id=0123456789abcdef0123456789abcdef; jupyterhub-user-alice=\"2|1:0|10:1763900000|23:jupyterhub-user-alice|40:WXpBeU1qQTVPRFJtTmpKak5EQXhObUZtTVdVNU1q|0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"; _xsrf=MnwxOjB8MTA6MTc2MzkwMDAwMA";
    let mut pin = String::new();
    for path in [
        "/hub/login",
        "/user/alice/oauth_callback?code=x",
        "/user/alice/lab",
    ] {
        wait_until("the gate to place alice", || {
            client::get(port, path, &pin).is_some_and(|head| !head.contains(" 503 "))
        });
        let head = client::get(port, path, &pin).unwrap();
        let set = head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: __Host-poolgate="));
        if let Some(value) = set.and_then(|line| line.split(';').next()) {
            pin = format!("__Host-poolgate={value}");
        }
    }
    assert!(!pin.is_empty(), "the gate has set no pin");
    format!("{pin}; {hub}")
}

/// Plain HTTP: small answers of 200 bytes, a large file, an echo, and what a hub says at a login.
fn start_instance(folder: &tempfile::TempDir, echo: u16) -> Service {
    let port = free_port();
    let root = folder.path().join("served").display().to_string();
    let small = "x".repeat(200);
    let config = format!(
        "    listen 127.0.0.1:{port} backlog=4096;\n    root {root};\n\
         \x20   location /hub/ {{ return 200 ok; }}\n\
         \x20   location = /user/alice/oauth_callback {{ add_header Set-Cookie 'jupyterhub-user-alice=v; Path=/user/alice/'; return 302 /user/alice/lab; }}\n\
         \x20   location = /user/alice/lab {{ return 200 lab; }}\n\
         \x20   location = /user/alice/api/small {{ default_type application/json; return 200 '{small}'; }}\n\
         \x20   location = /user/alice/ws {{ proxy_pass http://127.0.0.1:{echo}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 1h; }}\n"
    );
    nginx(folder, "backend", "access_log off;", &config, port)
}

/// 64 KiB and 128 KiB: what nginx needs so that bodies cost it the least; never a file on disk.
const TUNED: &str = "proxy_buffer_size 64k; proxy_buffers 16 128k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0; http2_chunk_size 16k;";

fn start_nginx(folder: &tempfile::TempDir, behind: u16, name: &str, tuning: &str) -> Service {
    let port = free_port();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let log = format!("access_log {};", at(&format!("{name}.access")));
    let outside = format!(
        "{log} upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 100000000; }}\n\
         \x20 map $http_upgrade $upgrade {{ default upgrade; '' ''; }}"
    );
    let config = format!(
        "    listen 127.0.0.1:{port} ssl http2 backlog=4096;\n    ssl_certificate {};\n    ssl_certificate_key {};\n\
         \x20   ssl_protocols TLSv1.2 TLSv1.3;\n    client_max_body_size 0;\n    proxy_http_version 1.1;\n\
         \x20   proxy_set_header Host $http_host;\n    proxy_set_header X-Real-IP $remote_addr;\n\
         \x20   proxy_set_header X-Forwarded-For $remote_addr;\n    proxy_set_header X-Forwarded-Proto https;\n\
         \x20   proxy_set_header X-Scheme https;\n    proxy_set_header Upgrade $http_upgrade;\n\
         \x20   proxy_set_header Connection $upgrade;\n    proxy_read_timeout 1h;\n    {tuning}\n\
         \x20   location / {{ proxy_pass http://behind; }}\n",
        at("cert.pem"),
        at("key.pem"),
    );
    nginx(folder, name, &outside, &config, port)
}

/// One process and no other, which is then what is measured.
fn nginx(
    folder: &tempfile::TempDir,
    name: &str,
    outside: &str,
    server: &str,
    port: u16,
) -> Service {
    let at = |name: &str| folder.path().join(name).display().to_string();
    let own = at(name);
    fs::create_dir_all(&own).unwrap();
    let config = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {own}/pid;\nerror_log {own}/error.log;\n\
         worker_rlimit_nofile 65536;\nevents {{ worker_connections 16384; }}\n\
         http {{\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000000;\n\
         \x20 client_body_temp_path {own}/body;\n  proxy_temp_path {own}/proxy;\n  fastcgi_temp_path {own}/fastcgi;\n\
         \x20 uwsgi_temp_path {own}/uwsgi;\n  scgi_temp_path {own}/scgi;\n  {outside}\n\
         \x20 server {{\n{server}  }}\n}}\n"
    );
    let file = at(&format!("{name}.conf"));
    fs::write(&file, config).unwrap();
    Service::start(
        "nginx",
        &["-c", &file, "-e", &format!("{own}/error.log")],
        port,
    )
}

fn start_haproxy(folder: &tempfile::TempDir, behind: u16) -> Service {
    let port = free_port();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        "global\n  nbthread 1\n  maxconn 5000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         \x20 http-reuse always\n  option forwardfor\n\
         frontend door\n  bind 127.0.0.1:{port} ssl crt {} alpn h2,http/1.1 backlog 4096\n\
         \x20 http-request set-header X-Forwarded-Proto https\n  default_backend behind\n\
         backend behind\n  server one 127.0.0.1:{behind}\n",
        at("both.pem"),
    );
    let file = at("haproxy.cfg");
    fs::write(&file, config).unwrap();
    Service::start("haproxy", &["-db", "-f", &file], port)
}

fn start_chp(folder: &tempfile::TempDir, behind: u16) -> Service {
    let port = free_port();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let program = format!(
        "{}/.test/npm/node_modules/.bin/configurable-http-proxy",
        env!("CARGO_MANIFEST_DIR")
    );
    let words = [
        "--ip=127.0.0.1",
        &format!("--port={port}"),
        &format!("--api-port={}", free_port()),
        &format!("--ssl-key={}", at("key.pem")),
        &format!("--ssl-cert={}", at("cert.pem")),
        &format!("--default-target=http://127.0.0.1:{behind}"),
        "--log-level=error",
    ];
    let token = [("CONFIGPROXY_AUTH_TOKEN", "only-for-this-run")];
    Service::start_with(&program, &words, &token, port)
}

fn start_gate(folder: &tempfile::TempDir, behind: u16, words: &[String]) -> Service {
    let port = free_port();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("state")).unwrap();
    for key in ["host", "ca"] {
        super::super::ssh::keygen(&[
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            &at(key).display().to_string(),
        ]);
    }
    // As many as the others have, unless named.
    let threads = words.iter().find_map(|word| word.strip_prefix("threads="));
    let threads = threads.unwrap_or("1");
    let config = format!(
        "state_dir = {state:?}\n[ssh]\nlisten = [\"127.0.0.1:{ssh}\"]\nhost_keys = [{host:?}]\nuser_ca = {ca:?}\n\
         [https]\nlisten = [\"127.0.0.1:{port}\"]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n\
         max_connections_per_source = 10000\nthreads = {threads}\n\
         [https.access_log]\nfile = {log:?}\n\
         [admin]\nsocket = \"off\"\nlisten = \"off\"\n\
         [pools.main]\ndefault = true\ncapacity = 10000\n[pools.main.fleet]\nprovider = \"static\"\n\
         instances = [{{ name = \"one\", address = \"127.0.0.1\", ssh_port = {ssh}, jupyter_port = {behind} }}]\n",
        ssh = free_port(),
        state = at("state"),
        host = at("host"),
        ca = at("ca"),
        certificate = at("cert.pem"),
        key = at("key.pem"),
        log = at("gate.access"),
    );
    let file = at("poolgate.toml");
    fs::write(&file, config).unwrap();
    let file = file.display().to_string();
    // Another build of it, to be compared with this one.
    let named = words.iter().find_map(|word| word.strip_prefix("program="));
    let program = named.unwrap_or(env!("CARGO_BIN_EXE_poolgate"));
    Service::start(program, &["serve", "-c", &file], port)
}
