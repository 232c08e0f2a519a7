//! The API as its description says it is, judged by schemathesis: whatever it sends, whoever sends it, the answer is one of
//! those described, and a gate that was given every order there is still lets people in.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::{client_script, host};
use crate::support::gate::{poolgate, rows};
use crate::support::http::Asked;
use crate::support::{
    Finished, Gate, GateSetup, Logins, Running, Sshd, World, finish, tool, wait_until,
};

const LONG: Duration = Duration::from_secs(300);
/// What is answered to everybody.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// A gate over two instances, and what it says of its API.
struct Scene {
    world: World,
    gate: Gate,
    api: Value,
    _sshds: Vec<Sshd>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
        let gate = GateSetup::over(&sshds)
            .ssh("connect_timeout = \"20s\"")
            .start(&world);
        let (status, text) = gate.admin("/api/v1/openapi.json");
        assert_eq!(status, 200, "{text}");
        Self {
            api: serde_json::from_str(&text).unwrap(),
            world,
            gate,
            _sshds: sshds,
        }
    }

    /// A token that lets somebody with this role in.
    fn token(&self, role: &str) -> String {
        let made = finish(poolgate().args(["token", role, "--role", role]), LONG).ok();
        let word = |label: &str| {
            let mut lines = made.stdout.lines();
            let found = lines.find_map(|line| line.strip_prefix(label)).unwrap();
            found.trim().to_owned()
        };
        let file = self.gate.config.with_file_name("admin.tokens");
        let mut file = fs::File::options().append(true).open(file).unwrap();
        writeln!(file, "{}", word("line of admin.tokens_file:")).unwrap();
        let token = word("token:");
        wait_until("the token to count", Duration::from_secs(10), || {
            let (status, _) = self.ask("GET", "/api/v1/pools", Some(&token), "");
            (status == 200).then_some(())
        });
        token
    }

    fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let asked = Asked {
            method,
            path,
            token,
            body,
        };
        let answer = asked.send(self.gate.admin_port);
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// Method, path, and a body that is an example of what it takes.
    fn operations(&self) -> Vec<(String, String, String)> {
        let mut operations = Vec::new();
        for (path, item) in self.api["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                let body = body["$ref"].as_str().map(|reference| {
                    let schema = self.api.pointer(reference.trim_start_matches('#')).unwrap();
                    schema["examples"][0].to_string()
                });
                let method = method.to_uppercase();
                operations.push((method, path.clone(), body.unwrap_or_default()));
            }
        }
        assert!(operations.len() > 20, "{operations:?}");
        operations
    }

    /// Has schemathesis judge the gate, as described by `api`, with a token.
    fn judge(&self, api: &Value, token: &str, options: &[&str]) -> Finished {
        let folder = self.world.folder("schemathesis");
        let description = folder.join("openapi.json");
        fs::write(&description, api.to_string()).unwrap();
        let mut judge = schemathesis();
        judge.current_dir(&folder);
        judge.env("TOKEN", token).env("COLUMNS", "200");
        let port = self.gate.admin_port;
        judge.args(["run", "--url", &format!("http://127.0.0.1:{port}")]);
        judge.args(options).arg(&description);
        finish(&mut judge, LONG)
    }

    /// All that orders change, as the socket tells it: addresses may have to wait.
    fn state(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let told = |what| rows(&self.gate.cli(&[what, "-o", "json"]).ok().stdout);
        let instances = told("instances").into_iter().map(|mut one| {
            // What probes find changes by itself.
            let fields = one.as_object_mut().unwrap();
            fields.retain(|field, _| !field.starts_with("health") && field != "services");
            one
        });
        let events = self.gate.cli(&["events", "-o", "json"]).ok();
        BTreeMap::from([
            ("instances", instances.collect()),
            ("sessions", told("sessions")),
            ("events", vec![events.stdout.into()]),
            ("orders", self.gate.audit("order")),
        ])
    }

    fn people_get_in(&self) {
        for number in 1..=2 {
            let person = self.world.person(number);
            let told = self.gate.door(&self.world).run(&person, "echo in").ok();
            assert_eq!(told.text(), "in");
        }
    }
}

fn schemathesis() -> std::process::Command {
    let staged = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/venv-schemathesis/bin");
    let program: PathBuf = staged.join("schemathesis");
    let mut command = tool(program.to_str().unwrap());
    command.arg("--config-file");
    command.arg(client_script("schemathesis.toml"));
    command.env("SCHEMATHESIS_HOOKS", client_script("schemathesis_hooks.py"));
    command
}

/// That it judged every operation and found nothing.
#[track_caller]
fn is_content(judged: Finished, operations: usize) {
    let judged = judged.ok();
    let tested = format!("{operations} selected / {operations} total");
    let text = &judged.stdout;
    assert!(text.contains(&tested), "{judged}");
    let words: Vec<&str> = text.split_whitespace().collect();
    let counts = words.windows(4).find(|four| four[1] == "generated,");
    let [generated, _, passed, _] = counts.expect("a count of cases") else {
        panic!("{judged}");
    };
    assert_eq!(generated, passed, "{judged}");
    assert!(generated.parse::<usize>().unwrap() > operations, "{judged}");
}

#[test]
fn schemathesis_finds_every_answer_described_and_the_gate_survives_its_orders() {
    let scene = Scene::new();
    let admin = scene.token("admin");
    // Somebody to be ended by the example of an eviction.
    let person = scene.world.person(3);
    let mut ssh = scene.gate.door(&scene.world).ssh(&person);
    ssh.arg(host(&person)).arg("read -r line");
    let held = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    scene.gate.wait_sessions(1);
    let session = scene.gate.sessions()[0]["id"].clone();
    let mut api = scene.api.clone();
    let examples = "/components/schemas/EvictOrder/examples/0/session";
    *api.pointer_mut(examples).unwrap() = session.clone();
    // Else those who ask for events after a small number wait for one.
    for _ in 0..30 {
        let order = r#"{"instance":"vm1","until":"off"}"#;
        let (status, told) = scene.ask("POST", "/api/v1/keep", Some(&admin), order);
        assert_eq!(status, 200, "{told}");
    }

    let judged = scene.judge(&api, &admin, &["--phases", "examples,coverage,fuzzing"]);
    is_content(judged, scene.operations().len());

    let ended = held.finish(Duration::from_secs(30));
    assert_ne!(ended.code(), Some(0), "the session was evicted: {ended}");
    let orders = scene.gate.audit("order");
    for action in [
        "cordon", "uncordon", "drain", "evict", "keep", "move", "notify", "reload",
    ] {
        let done = |line: &&Value| line["action"] == action && line["refusal"].is_null();
        assert!(
            orders.iter().any(|line| done(&line)),
            "no {action} was obeyed"
        );
    }
    for name in ["vm1", "vm2"] {
        scene
            .gate
            .cli(&["uncordon", name, "--reason", "tried"])
            .ok();
    }
    scene.people_get_in();
    scene.gate.stop();
}

#[test]
fn a_viewer_changes_nothing() {
    let scene = Scene::new();
    let viewer = scene.token("viewer");
    let before = scene.state();
    let mut orders = 0;
    for (method, path, body) in scene.operations() {
        if method == "POST" {
            orders += 1;
            let (status, told) = scene.ask(&method, &path, Some(&viewer), &body);
            assert_eq!(status, 403, "{path}: {told}");
        }
    }
    let judged = scene.judge(
        &scene.api,
        &viewer,
        &[
            "--include-method=POST",
            "--exclude-checks=positive_data_acceptance",
            "--phases=examples,coverage",
        ],
    );
    let judged = judged.ok();
    let total = scene.operations().len();
    let tested = format!("{orders} selected / {total} total");
    assert!(judged.stdout.contains(&tested), "{judged}");
    assert_eq!(scene.state(), before);
    let refused = scene.gate.wait_audit("admin-forbidden", orders);
    for line in &refused {
        let who = (
            line["by"].as_str(),
            line["role"].as_str(),
            line["via"].as_str(),
        );
        assert_eq!(
            who,
            (Some("viewer"), Some("viewer"), Some("bearer")),
            "{line}"
        );
    }
    let is_reload = |line: &&Value| line["asked"] == "POST /api/v1/reload";
    let reload = refused.iter().find(is_reload).unwrap();
    assert_eq!(reload["needed"], "admin");
    scene.gate.stop();
}

#[test]
fn the_command_line_asks_at_the_address_with_a_token() {
    let scene = Scene::new();
    let url = format!("http://127.0.0.1:{}", scene.gate.admin_port);
    let run = |role: &str, words: &[&str]| {
        let file = scene.world.path(&format!("{role}.token"));
        if !file.exists() {
            fs::write(&file, scene.token(role)).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        }
        let mut command = poolgate();
        command.env("POOLGATE_URL", &url);
        finish(command.env("POOLGATE_TOKEN_FILE", file).args(words), LONG)
    };
    let told = run("viewer", &["instances"]).ok();
    assert!(told.stdout.contains("vm1"), "{told}");
    let order = ["cordon", "vm1", "--reason", "from elsewhere"];
    let refused = run("viewer", &order);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(
        refused.stderr.contains("needs the role operator"),
        "{refused}"
    );
    let done = run("operator", &order).ok();
    assert!(done.stdout.contains("main/vm1 is cordoned"), "{done}");
    let by = scene.gate.wait_audit("order", 1).remove(0);
    assert_eq!(
        (&by["by"], &by["via"]),
        (&"operator".into(), &"bearer".into())
    );
    let without = finish(poolgate().args(["sessions", "--url", &url]), LONG);
    assert_eq!(without.code(), Some(1), "{without}");
    assert!(without.stderr.contains("--token-file"), "{without}");
    scene.gate.stop();
}

#[test]
fn whoever_is_not_in_reaches_nothing() {
    let scene = Scene::new();
    let before = scene.state();
    for token in [None, Some("pgt_not_one_of_these")] {
        for (method, path, body) in scene.operations() {
            let (status, told) = scene.ask(&method, &path, token, &body);
            let wanted: &[u16] = match OPEN.contains(&&*path) {
                true => &[200],
                // After some wrong tokens an address waits.
                false if token.is_some() => &[401, 429],
                false => &[401],
            };
            assert!(wanted.contains(&status), "{method} {path}: {status} {told}");
            assert!(
                path == "/metrics" || !told.contains("vm1"),
                "{method} {path}: {told}"
            );
        }
    }
    for path in [
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/pools",
        "//api/v1/pools",
        "/api/v1/pools/",
        "/api/v1/../v1/pools",
        "/livez/../api/v1/pools",
        "/livez/api/v1/pools",
        "/%2fapi/v1/pools",
        "/api/v1/pools%00",
        "/API/V1/POOLS",
        "/.env",
        "/act",
        "/?/livez",
        "/api/v1/pools;/livez",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let (status, told) = scene.ask(method, path, None, "{}");
            assert_eq!(status, 401, "{method} {path}: {told}");
        }
    }
    assert_eq!(scene.state(), before);
    scene.people_get_in();
    scene.gate.stop();
}
