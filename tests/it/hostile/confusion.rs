//! Who is it? Offers, signatures and names in every order that could confuse a gate into believing the wrong person.

use std::fmt::Write as _;

use super::client::Hostile;
use super::{Logins, Scene};
use crate::support::people::PASSWORD;
use poolgate::ssh::wire::message::number;
use poolgate::ssh::wire::userauth::{Secret, password_request};

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Names the person's key; says nothing of having it.
    Offer,
    /// Names the victim's key: anybody can, for it is public.
    OfferVictims,
    Sign,
    /// A good signature by a key that the person's file does not list.
    SignVictims,
    /// A good signature of another connection.
    SignElsewhere,
    Password,
    /// Goes on under the victim's name, and signs for it.
    ChangeUser,
}

const ACTS: [Act; 7] = [
    Act::Offer,
    Act::OfferVictims,
    Act::Sign,
    Act::SignVictims,
    Act::SignElsewhere,
    Act::Password,
    Act::ChangeUser,
];

/// What must come of one act: a message number, or the end of the connection.
fn expected(act: Act, is_first: bool) -> Option<u8> {
    match act {
        Act::Offer => Some(number::USERAUTH_60),
        Act::Sign => Some(number::USERAUTH_SUCCESS),
        Act::OfferVictims | Act::SignVictims | Act::SignElsewhere | Act::Password => {
            Some(number::USERAUTH_FAILURE)
        }
        // As the first act there is nothing to change from: the victim's name with the person's key, which is not listed.
        Act::ChangeUser if is_first => Some(number::USERAUTH_FAILURE),
        Act::ChangeUser => None,
    }
}

impl Scene {
    fn play(&self, client: &mut Hostile, act: Act) {
        let (user, key) = (self.user(), &self.key);
        let payload = match act {
            Act::Offer => Hostile::offer(user, key),
            Act::OfferVictims => Hostile::offer(user, &self.victims_key),
            Act::Sign => client.signed(user, key),
            Act::SignVictims => client.signed(user, &self.victims_key),
            Act::SignElsewhere => Hostile::signed_for(&[7; 32], user, key),
            Act::Password => password_request(user, &Secret::new(b"guess")).to_vec(),
            Act::ChangeUser => client.signed(&self.victim.name, key),
        };
        client.send(&payload);
    }
}

/// CVE-2024-45337, CVE-2026-46705: all 343 sequences of three acts, and so all shorter ones.
#[test]
fn cve_2024_45337_no_order_of_offers_and_signatures_makes_somebody_else() {
    let scene = Scene::new();
    let mut admitted = 0;
    for sequence in sequences() {
        let mut client = Hostile::at_login(scene.port());
        let mut named_victim = false;
        for (step, act) in sequence.into_iter().enumerate() {
            scene.play(&mut client, act);
            let is_first = step == 0;
            // Once it began as the victim, every other act is the change.
            let wanted = match (named_victim, act) {
                (true, Act::ChangeUser) => Some(number::USERAUTH_FAILURE),
                (true, _) => None,
                (false, _) => expected(act, is_first),
            };
            assert_eq!(client.verdict(), wanted, "{sequence:?}, step {step}");
            named_victim |= is_first && act == Act::ChangeUser;
            if wanted == Some(number::USERAUTH_SUCCESS) {
                admitted += 1;
            }
            if wanted.is_none() || wanted == Some(number::USERAUTH_SUCCESS) {
                break;
            }
        }
    }
    // The instance's own log: one person, as often as they proved it, and not one dial more.
    let logins = scene.gate.wait_audit("login", admitted);
    assert_eq!(logins.len(), admitted);
    assert_eq!(
        scene.dialled(),
        admitted,
        "an instance was dialled without a proof"
    );
    scene.sshd.wait_accepted(&vec![scene.user(); admitted]);
    let fingerprint = scene.key.fingerprint();
    for login in logins {
        assert_eq!(login["user"], scene.user());
        assert!(
            login["proof"].as_str().unwrap().contains(&fingerprint),
            "{login}"
        );
    }
    scene.ends_well();
}

fn sequences() -> impl Iterator<Item = [Act; 3]> {
    let count = ACTS.len();
    (0..count.pow(3))
        .map(move |n| [n / count / count, n / count % count, n % count].map(|n| ACTS[n]))
}

/// The second half of CVE-2024-45337: a login by password after offers must not be remembered as the key's.
#[test]
fn cve_2024_45337_a_password_after_offers_is_the_passwords_login() {
    let scene = Scene::with(Logins::Passwords, |setup| {
        setup.auth("password = \"instance\"")
    });
    let mut client = Hostile::at_login(scene.port());
    for act in [Act::Offer, Act::OfferVictims, Act::Offer] {
        scene.play(&mut client, act);
        client.verdict();
    }
    let password = Secret::new(PASSWORD.as_bytes());
    client.send(&password_request(scene.user(), &password));
    assert_eq!(client.verdict(), Some(number::USERAUTH_SUCCESS));
    let login = &scene.gate.wait_audit("login", 1)[0];
    let proof = login["proof"].as_str().unwrap();
    assert!(
        proof.contains("password") && !proof.contains("SHA256"),
        "{proof}"
    );
    scene.sshd.wait_accepted(&[scene.user()]);
    drop(client);
    scene.ends_well();
}

/// CVE-2026-46705: what was proved or answered for one name is void for another, and the connection with it.
#[test]
fn cve_2026_46705_a_change_of_user_in_the_middle_of_questions_ends_the_connection() {
    let scene = Scene::with(Logins::KeyboardInteractive, |setup| {
        setup.auth("password = \"instance\"")
    });
    let mut client = Hostile::at_login(scene.port());
    let ask = |user: &str| {
        Hostile::request(user, "keyboard-interactive")
            .string("")
            .string("")
            .finish()
    };
    client.send(&ask(scene.user()));
    assert_eq!(client.verdict(), Some(number::USERAUTH_60));
    client.send(&ask(&scene.victim.name));
    assert_eq!(client.verdict(), None);
    assert!(scene.sshd.accepted().is_empty());
    assert!(
        !scene
            .sshd
            .log()
            .contains(&format!("user {}", scene.victim.name))
    );
    let refused = &scene.gate.wait_audit("refused", 1)[0];
    assert_eq!(refused["user"], scene.user());
    scene.ends_well();
}

/// RFC 4253 section 10: a service begins when it is accepted.
#[test]
fn a_login_without_its_service_is_no_login() {
    let scene = Scene::with(Logins::Passwords, |setup| {
        setup.auth("password = \"instance\"")
    });
    let acts = [Act::Offer, Act::Sign, Act::Password];
    for act in acts {
        let mut client = Hostile::keyed(scene.port());
        scene.play(&mut client, act);
        let said = client.end();
        assert!(
            said.as_deref()
                .is_some_and(|said| said.contains("message 50")),
            "{act:?}: {said:?}"
        );
    }
    assert_eq!(scene.dialled(), 0);
    assert!(scene.gate.audit("login").is_empty());
    scene.ends_well();
}

/// Another service than the one that is served would be a way around what was checked for it.
#[test]
fn another_service_or_method_opens_nothing() {
    let scene = Scene::new();
    for service in ["ssh-userauth", "", "ssh-connection\0", "sftp"] {
        let mut client = Hostile::at_login(scene.port());
        let request = poolgate::ssh::wire::message::Writer::new(number::USERAUTH_REQUEST)
            .string(scene.user())
            .string(service)
            .string("none");
        client.send(&request.finish());
        assert_eq!(client.verdict(), None, "{service:?}");
    }
    for method in [
        "hostbased",
        "gssapi-with-mic",
        "",
        "publickey\0",
        "none,publickey",
    ] {
        let mut client = Hostile::at_login(scene.port());
        client.send(
            &Hostile::request(scene.user(), method)
                .boolean(true)
                .finish(),
        );
        assert_eq!(
            client.verdict(),
            Some(number::USERAUTH_FAILURE),
            "{method:?}"
        );
    }
    scene.nothing_happened();
    scene.ends_well();
}

/// CVE-2018-15473: a name that nobody has is answered as one that somebody has, message by message.
#[test]
fn cve_2018_15473_unknown_names_hear_what_known_ones_hear() {
    let scene = Scene::new();
    let script = |user: &str| {
        let mut client = Hostile::at_login(scene.port());
        let mut heard = String::new();
        let stranger = &scene.victims_key;
        let payloads = [
            Hostile::request(user, "none").finish(),
            Hostile::offer(user, stranger),
            client.signed(user, stranger),
            password_request(user, &Secret::new(b"guess")).to_vec(),
            Hostile::request(user, "publickey").boolean(true).finish(),
        ];
        for payload in payloads {
            client.send(&payload);
            writeln!(heard, "{:?}", client.next()).unwrap();
        }
        heard
    };
    assert_eq!(script(scene.user()), script("nobody-has-this-name"));
    scene.nothing_happened();
    scene.ends_well();
}

/// Names that mean something to files, shells, logs or certificates' lists of principals (CVE-2026-35414).
#[test]
fn cve_2026_35414_names_with_a_meaning_elsewhere_are_no_names() {
    let scene = Scene::new();
    let long = "a".repeat(256);
    let names = [
        "person01,root",
        "../person01",
        "person01/..",
        "per\0son01",
        "person01\n",
        "person01 ",
        "-oProxyCommand=x",
        "$(id)",
        "",
        "%u",
        "\u{202e}person01",
        "person01%",
        "person01%vm1%vm1",
        "+main",
        &long,
    ];
    for name in names {
        let mut client = Hostile::at_login(scene.port());
        client.send(&client.signed(name, &scene.key));
        let verdict = client.verdict();
        assert_ne!(verdict, Some(number::USERAUTH_SUCCESS), "{name:?}");
    }
    scene.nothing_happened();
    scene.ends_well();
}
