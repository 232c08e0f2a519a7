//! Operators who log in by a provider of accounts: a real one (oidc-provider) on loopback, in Chromium. What a provider that
//! lies could do is in the unit tests.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::support::browser::{Browser, axe};
use crate::support::client::client_script;
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World, free_port, tool, wait_until};

const SECRET: &str = "of/the+tests";

/// tests/clients/idp.mjs, which lets a gate at this address ask.
fn provider(world: &World, port: u16, address: &str) -> Running {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/npm/node_modules");
    assert!(
        modules.join("oidc-provider").exists(),
        "oidc-provider is missing: tests/run"
    );
    let log = world.path("provider.log");
    let mut node = tool("node");
    node.arg(client_script("idp.mjs"))
        .arg(modules)
        .arg(port.to_string())
        .arg(SECRET)
        .arg(format!("{address}/login/oidc/callback"));
    let provider = Running::start_logged(&mut node, File::create(&log).unwrap());
    wait_until("the provider", Duration::from_secs(60), || {
        let told = fs::read_to_string(&log).unwrap_or_default();
        told.lines().any(|line| line == "ready").then_some(())
    });
    provider
}

/// The gate again, with `[admin.oidc]` at the end of its config.
fn with_provider(world: &World, mut gate: Gate, port: u16) -> Gate {
    let secret = world.path("oidc.secret");
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(&gate.config).unwrap();
    let section = format!(
        "[admin.oidc]
issuer = \"http://127.0.0.1:{port}\"
client_id = \"poolgate\"
client_secret_file = {secret:?}
display_name = \"the house\"
scopes = [\"openid\", \"profile\"]
roles = {{ viewer = [\"group:staff\"], operator = [\"group:pool-operators\"], admin = [\"ada\"] }}
"
    );
    gate.kill_9();
    fs::write(&gate.config, format!("{text}\n{section}")).unwrap();
    gate.start_again(2);
    gate
}

#[test]
fn people_log_in_by_their_provider_and_may_what_their_role_says() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let port = free_port();
    let gate = GateSetup::over(&sshds).start(&world);
    let gate = with_provider(&world, gate, port);
    let base = format!("http://127.0.0.1:{}", gate.admin_port);
    let provider = provider(&world, port, &base);
    let words = [&*base, &axe()];
    let browser = Browser::start(&world, "chromium_oidc.py", &words, "oidc");
    let facts = browser.finish(&[
        ("ways", "Log in with the house | Token | Log in"),
        ("first", "Log in with the house"),
        ("went-on", "/machines?q=vm1"),
        ("viewer", "victor viewer"),
        ("cookie", "True Strict"),
        ("left-there", "False"),
        ("operator", "olivia operator"),
        ("plain", "/sessions olivia operator"),
        ("admin", "ada admin"),
        ("or", "Log in with the house as somebody else"),
        ("somebody-else", "olivia operator"),
        ("made-up", "400 True"),
        ("serious", "[]"),
        ("looks", "True"),
    ]);
    let tells = |fact: &str, what: &str| {
        assert!(facts[fact].contains(what), "{fact}: {}", facts[fact]);
    };
    tells("viewer-order", "This needs the role operator");
    tells("operator-order", "is cordoned");
    tells("plain-order", "is cordoned");
    tells("left", "still logged in at the house");
    tells("nobody", "You are nina, and nobody with a role here");
    tells("nobody", "\"group:guests\"");
    let logins = gate.audit("admin-login");
    let by_provider = logins.iter().filter(|line| line["way"] == "oidc");
    let who: Vec<_> = by_provider
        .map(|line| {
            format!(
                "{} {}",
                line["by"].as_str().unwrap(),
                line["role"].as_str().unwrap()
            )
        })
        .collect();
    let olivia = "olivia operator";
    assert_eq!(who, ["victor viewer", olivia, olivia, "ada admin", olivia]);
    let refused = gate.audit("admin-refused");
    let cause = refused[0]["cause"].as_str().unwrap();
    assert!(cause.contains("you are nina"), "{refused:?}");
    drop(provider);
    gate.stop();
}

#[test]
fn a_provider_that_is_down_is_said_to_be_so_and_tokens_still_count() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let gate = with_provider(&world, gate, free_port());
    let (status, page) = gate.admin("/login/oidc?next=/machines");
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("The house cannot be asked now"), "{page}");
    assert!(page.contains("name=\"token\""), "{page}");
    assert!(gate.log().contains("cannot be asked: "), "{}", gate.log());
    assert_eq!(gate.admin("/api/v1/pools").0, 200);
    gate.stop();
}
