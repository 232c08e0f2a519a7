//! Operators who log in with a browser, at the address as it is: with a token, by keyboard, with JavaScript and without; what
//! becomes of forms that are not of their session, and of sessions that end.

use crate::support::browser::{Browser, axe};
use crate::support::{GateSetup, Logins, Sshd, World, operators};

#[test]
fn a_token_is_typed_once_and_a_form_counts_only_in_its_session() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let token = operators::token(&gate, "olivia", "operator");
    let other = operators::token(&gate, "victor", "viewer");
    let base = format!("http://127.0.0.1:{}", gate.admin_port);
    let words = [&*base, &token, &other, &axe()];
    let mut browser = Browser::start(&world, "chromium_login.py", &words, "login");
    browser.wait_asks("revocation");
    operators::revoke(&gate, "olivia");
    let facts = browser.finish(&[
        ("title", "Log in · Poolgate"),
        ("focus", "token"),
        ("then", "Log in"),
        ("went-on", "/machines?q=vm1"),
        ("who", "olivia operator"),
        ("plain-who", "victor viewer"),
        ("plain-left", "/login"),
        ("plain-after", "Log in"),
        ("serious", "[]"),
        ("console", "[]"),
        ("looks", "True"),
    ]);
    assert!(
        facts["wrong"].contains("no token of this gate"),
        "{facts:?}"
    );
    assert!(facts["ordered"].contains("is cordoned"), "{facts:?}");
    assert!(facts["forged"].contains("load it anew"), "{facts:?}");
    assert!(
        facts["over"].ends_with("What you sent was not carried out."),
        "{facts:?}"
    );
    let orders: Vec<_> = gate.audit("order").into_iter().collect();
    let order = &orders[0];
    assert_eq!(
        (orders.len(), &order["by"]),
        (1, &"olivia".into()),
        "{orders:?}"
    );
    let vm2 = gate
        .instances()
        .into_iter()
        .find(|row| row["name"] == "vm2");
    assert_eq!(vm2.unwrap()["admin_state"], "ready");
    let logins = gate.audit("admin-login");
    let who: Vec<_> = logins.iter().map(|line| line["by"].clone()).collect();
    assert_eq!(who, ["olivia", "victor"]);
    assert_eq!(gate.audit("admin-refused").len(), 1);
    gate.stop();
}
