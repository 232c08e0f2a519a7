use super::*;
use crate::ssh::test_keys::{Keys, instance};
use proptest::prelude::*;

fn setup() -> Keys {
    let keys = Keys::new();
    keys.make("a", "ed25519");
    keys.make("b", "ed25519");
    keys
}

/// Whether vm1 at this port may show key `a`, by these lines; `<A>`, `<B>` stand for the keys.
fn verdict(keys: &Keys, lines: &str, port: u16) -> Result<(), HostKeyError> {
    let text = lines.replace("<A>", keys.line("a").trim());
    let text = text.replace("<B>", keys.line("b").trim());
    let known = KnownHosts::parse(&text).unwrap();
    let path = Path::new("/etc/known");
    known.check(
        &instance("vm1", port),
        &keys.blob("a"),
        SystemTime::now(),
        path,
    )
}

#[test]
fn names_addresses_ports_and_patterns() {
    let keys = setup();
    let trusted = |lines: &str, port| verdict(&keys, lines, port).is_ok();
    assert!(trusted("127.0.0.1 <A>", 22));
    assert!(trusted("vm1 <A>", 22) && trusted("vm1 <A>", 2222));
    assert!(trusted("[127.0.0.1]:2222 <A>", 2222));
    assert!(!trusted("[127.0.0.1]:2222 <A>", 2223));
    assert!(
        !trusted("127.0.0.1 <A>", 2222),
        "machines may share an address"
    );
    assert!(trusted("vm2,VM1 <A>", 22));
    assert!(trusted("127.0.* <A>", 22));
    assert!(!trusted("127.0.*,!127.0.0.1 <A>", 22));
    assert!(trusted("vm1 <B>\nvm1 <A>", 22), "several keys for one name");
    assert!(!trusted("# vm1 <A>\n\nvm2 <A>", 22));
}

#[test]
fn hashed_names_of_ssh_keygen_are_found() {
    let keys = setup();
    let lines = format!("vm1 {}[127.0.0.1]:2222 {}", keys.line("a"), keys.line("a"));
    let path = keys.write("known", &lines);
    keys.keygen(&["-q", "-H", "-f", path.to_str().unwrap()]);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("|1|") && !text.contains("vm1"));
    let first = text.lines().next().unwrap();
    let second = text.lines().nth(1).unwrap();
    assert!(verdict(&keys, first, 22).is_ok());
    assert!(verdict(&keys, second, 2222).is_ok());
    assert!(verdict(&keys, second, 22).is_err());
}

#[test]
fn refusals_tell_what_to_do() {
    let keys = setup();
    let other = verdict(&keys, "vm1 <B>", 2222).unwrap_err();
    assert!(matches!(other, HostKeyError::OtherThanListed { .. }));
    assert!(
        other.to_string().ends_with("ssh-keyscan -p 2222 127.0.0.1"),
        "{other}"
    );
    let absent = verdict(&keys, "vm2 <A>", 22).unwrap_err();
    assert!(matches!(absent, HostKeyError::NotListed { .. }));
    for lines in ["@revoked * <A>\nvm1 <A>", "vm1 <A>\n@revoked vm1 <A>"] {
        let revoked = verdict(&keys, lines, 22).unwrap_err();
        assert!(matches!(revoked, HostKeyError::Revoked { .. }));
    }
    assert!(verdict(&keys, "@revoked * <B>\nvm1 <A>", 22).is_ok());
    assert!(
        verdict(&keys, "@cert-authority * <A>", 22).is_err(),
        "an authority's key is no host's"
    );
}

#[test]
fn authorities_are_trusted_for_their_names_until_revoked() {
    let keys = setup();
    keys.make("ca", "ed25519");
    keys.keygen(&["-q", "-s", "ca", "-I", "id", "-h", "-n", "vm1", "a.pub"]);
    let ca = keys.line("ca");
    let verdict = |lines: &str| {
        let known = KnownHosts::parse(&lines.replace("CA\n", &ca)).unwrap();
        let blob = keys.blob("a-cert");
        known.check(
            &instance("vm1", 22),
            &blob,
            SystemTime::now(),
            Path::new("known"),
        )
    };
    verdict("@cert-authority vm* CA\n").unwrap();
    let elsewhere = verdict("@cert-authority gpu* CA\n");
    assert!(matches!(
        elsewhere,
        Err(HostKeyError::Certificate {
            reason: CertificateFault::Authority(_),
            ..
        })
    ));
    let revoked = verdict("@cert-authority vm* CA\n@revoked * CA\n");
    assert!(matches!(
        revoked,
        Err(HostKeyError::Certificate {
            reason: CertificateFault::Revoked,
            ..
        })
    ));
    assert!(verdict("vm1 CA\n").is_err(), "a plain line is no authority");
}

#[test]
fn damaged_lines_are_named() {
    let keys = setup();
    let key = keys.line("a");
    for line in [
        "vm1",
        "vm1 ssh-ed25519",
        "vm1 ssh-rsa AAAA",
        "@other vm1 ssh-ed25519 AAAA",
    ] {
        assert_eq!(
            KnownHosts::parse(&format!("\n{line}")).unwrap_err().0,
            2,
            "{line}"
        );
    }
    for hosts in ["|2|a|b", "|1|!|!", "|1|AAAA"] {
        assert!(
            KnownHosts::parse(&format!("{hosts} {key}")).is_err(),
            "{hosts}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[@|!*,\\[\\]:a-z0-9 =\n-]{0,200}") {
        let _ = KnownHosts::parse(&text);
    }
}
