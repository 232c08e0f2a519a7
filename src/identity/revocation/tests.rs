use super::krl::KrlError;
use super::*;
use crate::identity::test_certificates::Authority;
use std::fs;

/// What ssh-keygen makes of this specification.
fn krl(ca: &Authority, options: &[&str], specification: &str) -> Revoked {
    fs::write(ca.path("spec"), specification).unwrap();
    ca.keygen(&[&["-q", "-k", "-f", "krl"], options, &["spec"]].concat());
    Revoked::parse(&fs::read(ca.path("krl")).unwrap()).unwrap()
}

fn key_reason(revoked: &Revoked, ca: &Authority, name: &str) -> Option<&'static str> {
    revoked.reason(&ca.blob(name), None)
}

#[test]
fn keys_are_found_by_themselves_and_by_their_hashes() {
    let ca = Authority::new();
    let key = fs::read_to_string(ca.path("key.pub")).unwrap();
    for form in ["key", "sha1", "sha256"] {
        let revoked = krl(&ca, &[], &format!("{form}: {key}"));
        assert!(key_reason(&revoked, &ca, "key.pub").is_some(), "{form}");
        assert_eq!(key_reason(&revoked, &ca, "ca.pub"), None, "{form}");
        let certificate = ca.certify(&["-n", "alice"]);
        let reason = revoked.reason(&certificate.public_blob, Some(&certificate));
        assert!(reason.is_some(), "{form}: a certificate does not help");
    }
}

/// CVE-2026-42508: the signer's revocation must reach what it signed.
#[test]
fn cve_2026_42508_a_revoked_authority_takes_its_certificates_along() {
    let ca = Authority::new();
    let certificate = ca.certify(&["-n", "alice"]);
    let own = certificate.public_blob.clone();
    let line = fs::read_to_string(ca.path("ca.pub")).unwrap();
    for revoked in [
        krl(&ca, &[], &format!("key: {line}")),
        krl(&ca, &[], &format!("sha256: {line}")),
        Revoked::parse(line.as_bytes()).unwrap(),
    ] {
        let reason = revoked.reason(&own, Some(&certificate));
        assert_eq!(reason, Some("the authority of its certificate is revoked"));
        assert_eq!(revoked.reason(&own, None), None);
    }
}

#[test]
fn certificates_are_found_by_serial_and_id_of_their_authority() {
    let ca = Authority::new();
    let many: String = (1000..1400)
        .step_by(3)
        .map(|n| format!("serial: {n}\n"))
        .collect();
    let specification = format!("serial: 7\nserial: 100-199\nid: stolen\n{many}");
    let of_ca = krl(&ca, &["-s", "ca.pub"], &specification);
    let reason = |revoked: &Revoked, by: &str, options: &[&str]| {
        let certificate = ca.certify_by(by, &[&["-n", "alice"], options].concat());
        revoked
            .reason(&certificate.public_blob, Some(&certificate))
            .is_some()
    };
    for (serial, expected) in [
        ("0", false),
        ("6", false),
        ("7", true),
        ("8", false),
        ("99", false),
        ("100", true),
        ("199", true),
        ("200", false),
        ("1000", true),
        ("1001", false),
        ("1003", true),
        ("1399", true),
        ("1402", false),
    ] {
        assert_eq!(reason(&of_ca, "ca", &["-z", serial]), expected, "{serial}");
        assert!(!reason(&of_ca, "other_ca", &["-z", serial]), "{serial}");
    }
    let id = |revoked: &Revoked, id: &str| {
        ca.keygen(&["-q", "-s", "ca", "-I", id, "-n", "alice", "key.pub"]);
        let certificate = Certificate::parse(&ca.blob("key-cert.pub")).unwrap();
        revoked
            .reason(&certificate.public_blob, Some(&certificate))
            .is_some()
    };
    assert!(id(&of_ca, "stolen") && !id(&of_ca, "stolen2"));
}

#[test]
fn every_form_of_serials_that_ssh_keygen_writes_is_read() {
    let ca = Authority::new();
    // Dense ones become a bitmap, sparse ones a list, long runs a range.
    let serials: Vec<u64> = (1..600)
        .filter(|n| n % 3 == 0 || n % 7 == 0)
        .chain([u64::MAX])
        .collect();
    let text: String = serials.iter().map(|n| format!("serial: {n}\n")).collect();
    let revoked = krl(&ca, &["-s", "ca.pub"], &text);
    let mut certificate = (*ca.certify(&["-n", "alice"])).clone();
    for serial in (1..700).chain([u64::MAX - 1, u64::MAX]) {
        certificate.serial = serial;
        let reason = revoked.reason(&certificate.public_blob, Some(&certificate));
        assert_eq!(reason.is_some(), serials.contains(&serial), "{serial}");
    }
}

#[test]
fn a_plain_list_names_keys_and_certificates_for_their_keys() {
    let ca = Authority::new();
    ca.certify(&["-n", "alice"]);
    for name in ["key.pub", "key-cert.pub"] {
        let line = fs::read_to_string(ca.path(name)).unwrap();
        let revoked = Revoked::parse(format!("# gone\n\n{line}").as_bytes()).unwrap();
        assert!(key_reason(&revoked, &ca, "key.pub").is_some());
        assert_eq!(key_reason(&revoked, &ca, "other_ca.pub"), None);
    }
    let empty = Revoked::parse(b"").unwrap();
    assert_eq!(key_reason(&empty, &ca, "key.pub"), None);
}

#[test]
fn half_a_list_is_none() {
    let ca = Authority::new();
    let line = fs::read_to_string(ca.path("key.pub")).unwrap();
    krl(
        &ca,
        &["-s", "ca.pub"],
        &format!("serial: 1-9\nid: x\nsha256: {line}"),
    );
    let whole = fs::read(ca.path("krl")).unwrap();
    let header = 8 + 4 + 3 * 8 + 4 + 4;
    let mut ends = 0;
    for end in 1..whole.len() {
        // An end between two sections leaves a list that is shorter and whole.
        ends += usize::from(Revoked::parse(&whole[..end]).is_ok());
        assert!(
            end >= header || Revoked::parse(&whole[..end]).is_err(),
            "{end}"
        );
    }
    assert!(ends <= 3, "{ends}");
    for text in ["not a key", "ssh-ed25519 AAAA", "\u{fffd}", &line[..40]] {
        assert!(Revoked::parse(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(Revoked::parse(b"\xff\xfe").is_err());
}

#[test]
fn what_a_list_holds_beyond_this_gates_knowledge_refuses_it() {
    let empty = [b"SSHKRL\n\0".as_slice(), &1u32.to_be_bytes(), &[0; 32]].concat();
    assert!(Revoked::parse(&empty).is_ok());
    let section = |kind: u8, data: &[u8]| {
        let len = (data.len() as u32).to_be_bytes();
        [&empty[..], &[kind], &len, data].concat()
    };
    let extension = |is_critical: u8| section(255, &[0, 0, 0, 1, b'x', is_critical, 0, 0, 0, 0]);
    assert!(Krl::parse(&extension(0)).is_ok());
    assert_eq!(
        Krl::parse(&extension(1)).unwrap_err(),
        KrlError::Critical("x".into())
    );
    assert_eq!(Krl::parse(&section(4, &[])).unwrap_err(), KrlError::Signed);
    assert_eq!(
        Krl::parse(&section(9, &[])).unwrap_err(),
        KrlError::Section(9)
    );
    let mut newer = empty.clone();
    newer[11] = 2;
    assert_eq!(Krl::parse(&newer).unwrap_err(), KrlError::Format(2));
}
