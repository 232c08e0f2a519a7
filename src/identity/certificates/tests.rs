use super::*;
use crate::identity::person_files::Line as _;
use crate::identity::test_certificates::Authority;
use CertificateRefusal as Refused;

const ALICE: &[&str] = &["-n", "alice"];

fn judged_from(
    certificate: &Arc<Certificate>,
    client: &str,
) -> Result<AuthorizedLine, CertificateRefusal> {
    let now = SystemTime::now();
    judge(
        certificate,
        &Principals::Name,
        "alice",
        client.parse().unwrap(),
        now,
    )
}

fn judged(certificate: &Arc<Certificate>) -> Result<AuthorizedLine, CertificateRefusal> {
    judged_from(certificate, "127.0.0.1")
}

fn by_line(
    certificate: &Arc<Certificate>,
    ca: &Authority,
    options: &str,
) -> Result<AuthorizedLine, CertificateRefusal> {
    let text = std::fs::read_to_string(ca.path("ca.pub")).unwrap();
    let line = format!("{options} {text}");
    let line = authorized_keys::parse_line(1, line.trim().as_bytes())
        .unwrap()
        .unwrap();
    let client = "127.0.0.1".parse().unwrap();
    judge_by_line(
        certificate,
        &line,
        false,
        "alice",
        client,
        SystemTime::now(),
    )
}

fn by_file(
    certificate: &Arc<Certificate>,
    text: &str,
) -> Result<AuthorizedLine, CertificateRefusal> {
    let (lines, skipped) = PrincipalLine::parse_file(text.as_bytes());
    assert_eq!(skipped, []);
    let principals = Principals::Listed(lines.iter().collect());
    let client = "127.0.0.1".parse().unwrap();
    judge(certificate, &principals, "alice", client, SystemTime::now())
}

#[test]
fn a_certificate_allows_what_it_says_until_it_ends() {
    let ca = Authority::new();
    let certificate = ca.certify(&["-n", "bob,alice", "-V", "-1h:+1h"]);
    let found = judged(&certificate).unwrap();
    assert_eq!(found.user().as_ref(), "alice");
    assert_eq!(found.key_blob(), ca.blob("key.pub"));
    let end = UNIX_EPOCH + Duration::from_secs(certificate.valid_before);
    let expected = Restrictions {
        not_after: Some(end),
        ..Restrictions::unrestricted()
    };
    assert_eq!(*found.restrictions(), expected);
    let narrow = ca.certify(&[
        "-n",
        "alice",
        "-O",
        "clear",
        "-O",
        "permit-pty",
        "-O",
        "force-command=id",
    ]);
    let found = judged(&narrow).unwrap();
    let limits = found.restrictions();
    assert!(limits.permit_pty && !limits.permit_port_forwarding && !limits.permit_user_rc);
    assert_eq!(limits.force_command.as_deref(), Some("id"));
    assert!(found.is_touch_required());
}

#[test]
fn validity_begins_and_ends() {
    let ca = Authority::new();
    let past = ca.certify(&["-n", "alice", "-V", "-2h:-1h"]);
    assert_eq!(judged(&past).unwrap_err(), Refused::Expired);
    let future = ca.certify(&["-n", "alice", "-V", "+1h:+2h"]);
    assert_eq!(judged(&future).unwrap_err(), Refused::NotYetValid);
    let forever = ca.certify(&["-n", "alice", "-V", "always:forever"]);
    assert!(judged(&forever).is_ok());
}

/// CVE-2026-35414: a comma in a principal must not make two of it.
#[test]
fn cve_2026_35414_a_principal_is_compared_as_a_whole() {
    let ca = Authority::new();
    for names in [
        "alic", "alice2", "Alice", "*", "a*", "bob", " alice", "alice ",
    ] {
        let certificate = ca.certify(&["-n", names]);
        let refused = judged(&certificate).unwrap_err();
        assert!(
            matches!(refused, Refused::Principal(_)),
            "{names}: {refused}"
        );
        let refused = by_line(&certificate, &ca, "cert-authority").unwrap_err();
        assert!(
            matches!(refused, Refused::Principal(_)),
            "{names}: {refused}"
        );
    }
    // ssh-keygen splits at commas, so the name is written into the certificate's structure.
    let mut certificate = (*ca.certify(ALICE)).clone();
    certificate.principals = vec!["bob,alice".into()];
    let certificate = Arc::new(certificate);
    assert!(matches!(
        judged(&certificate).unwrap_err(),
        Refused::Principal(_)
    ));
    for options in [
        "cert-authority",
        "cert-authority,principals=\"alice,bob\"",
        "cert-authority,principals=\"bob,alice\"",
    ] {
        let refused = by_line(&certificate, &ca, options).unwrap_err();
        assert!(
            matches!(refused, Refused::Principal(_)),
            "{options}: {refused}"
        );
    }
}

#[test]
fn a_certificate_without_principals_is_nobodys() {
    let ca = Authority::new();
    let certificate = ca.certify(&[]);
    assert_eq!(judged(&certificate).unwrap_err(), Refused::NoPrincipals);
    let refused = by_line(&certificate, &ca, "cert-authority").unwrap_err();
    assert_eq!(
        refused,
        Refused::NoPrincipals,
        "OpenSSH would take it for everybody's"
    );
    assert_eq!(
        by_file(&certificate, "alice").unwrap_err(),
        Refused::NoPrincipals
    );
}

#[test]
fn a_certificate_without_principals_is_anybodys_on_a_persons_own_line_where_the_config_says_so() {
    let ca = Authority::new();
    let certificate = ca.certify(&[]);
    let text = std::fs::read_to_string(ca.path("ca.pub")).unwrap();
    let judged = |options: &str| {
        let line = format!("{options} {text}");
        let line = authorized_keys::parse_line(1, line.trim().as_bytes());
        let line = line.unwrap().unwrap();
        let client = "127.0.0.1".parse().unwrap();
        judge_by_line(
            &certificate,
            &line,
            true,
            "alice",
            client,
            SystemTime::now(),
        )
    };
    judged("cert-authority").unwrap();
    assert_eq!(
        judged("cert-authority,principals=\"alice\"").unwrap_err(),
        Refused::NoPrincipals
    );
}

#[test]
fn a_hosts_certificate_logs_nobody_in() {
    let ca = Authority::new();
    let host = ca.certify(&["-h", "-n", "alice"]);
    assert_eq!(judged(&host).unwrap_err(), Refused::Host);
}

#[test]
fn critical_options_are_obeyed_or_refuse() {
    let ca = Authority::new();
    let unknown = ca.certify(&["-n", "alice", "-O", "critical:new@example.com=x"]);
    let refused = judged(&unknown).unwrap_err();
    assert_eq!(refused, Refused::CriticalOption("new@example.com".into()));
    let extended = ca.certify(&["-n", "alice", "-O", "extension:new@example.com=x"]);
    assert!(judged(&extended).is_ok());
    let verified = ca.certify(&["-n", "alice", "-O", "verify-required"]);
    assert!(judged(&verified).unwrap().is_verification_required());
    let untouched = ca.certify(&["-n", "alice", "-O", "no-touch-required"]);
    assert!(!judged(&untouched).unwrap().is_touch_required());
    let found = by_line(&untouched, &ca, "cert-authority").unwrap();
    assert!(found.is_touch_required(), "both must say so");
    let found = by_line(&untouched, &ca, "cert-authority,no-touch-required").unwrap();
    assert!(!found.is_touch_required());
}

/// CVE-2026-46595: a source address that is checked on one path only.
#[test]
fn cve_2026_46595_the_source_address_holds_on_every_path() {
    let ca = Authority::new();
    let certificate = ca.certify(&["-n", "alice", "-O", "source-address=10.0.0.0/8,::1"]);
    assert!(judged_from(&certificate, "10.1.2.3").is_ok());
    assert!(judged_from(&certificate, "::ffff:10.1.2.3").is_ok());
    assert_eq!(judged(&certificate).unwrap_err(), Refused::SourceAddress);
    let refused = by_line(&certificate, &ca, "cert-authority").unwrap_err();
    assert_eq!(refused, Refused::SourceAddress);
    assert_eq!(
        by_file(&certificate, "alice").unwrap_err(),
        Refused::SourceAddress
    );
    for unclear in ["10.0.0.1/8", "10.*", "!10.0.0.1", ""] {
        let mut certificate = (*certificate).clone();
        certificate.critical_options = vec![("source-address".into(), unclear.into())];
        let refused = judged_from(&Arc::new(certificate), "10.0.0.1").unwrap_err();
        assert_eq!(refused, Refused::Value("source-address"), "{unclear}");
    }
}

#[test]
fn what_is_changed_after_signing_is_refused() {
    let ca = Authority::new();
    let certificate = ca.certify(&["-n", "alice", "-O", "critical:z@example.com=x"]);
    let mut blob = certificate.blob();
    assert_eq!(Certificate::parse(&blob).unwrap(), *certificate);
    let at = blob.windows(5).position(|part| part == b"alice").unwrap();
    blob[at..at + 5].copy_from_slice(b"carol");
    let mut forged = Certificate::parse(&blob).unwrap();
    forged.critical_options.clear();
    forged.principals = vec!["alice".into()];
    let refused = judged(&Arc::new(forged)).unwrap_err();
    assert_eq!(refused, Refused::Signature(KeyError::BadSignature));
}

/// CVE-2025-49825: an authority that is itself only certified.
#[test]
fn cve_2025_49825_a_certificate_signs_no_certificate() {
    let ca = Authority::new();
    let inner = ca.certify(ALICE);
    let outer = ca.certify_by("other_ca", ALICE);
    let plain = ca.blob("other_ca.pub");
    let nested = inner.blob();
    let mut blob = outer.blob();
    let at = blob
        .windows(plain.len())
        .rposition(|part| part == plain)
        .unwrap();
    blob.splice(at - 4..at, (nested.len() as u32).to_be_bytes());
    blob.splice(at..at + plain.len(), nested);
    assert!(matches!(
        Certificate::parse(&blob),
        Err(KeyError::Unsupported(_))
    ));
}

/// CVE-2026-39828: rights of one part that get lost in another.
#[test]
fn cve_2026_39828_certificate_and_line_narrow_each_other() {
    let ca = Authority::new();
    let certificate = ca.certify(&["-n", "alice", "-O", "no-x11-forwarding"]);
    let found = by_line(&certificate, &ca, "cert-authority,no-pty,command=\"id\"").unwrap();
    let limits = found.restrictions();
    assert!(!limits.permit_pty && !limits.permit_x11_forwarding && limits.permit_user_rc);
    assert_eq!(limits.force_command.as_deref(), Some("id"));
    let forced = ca.certify(&["-n", "alice", "-O", "force-command=id"]);
    let refused = by_line(&forced, &ca, "cert-authority,command=\"other\"").unwrap_err();
    assert_eq!(refused, Refused::ContradictingCommands);
    let refused = by_line(&forced, &ca, "cert-authority,expiry-time=\"20200101\"").unwrap_err();
    assert!(matches!(refused, Refused::Line(_)), "{refused}");
    let refused = by_line(&forced, &ca, "cert-authority,from=\"192.0.2.0/24\"").unwrap_err();
    assert!(matches!(refused, Refused::Line(_)), "{refused}");
    let found = by_file(&certificate, "bob\nno-pty alice\n").unwrap();
    assert!(!found.restrictions().permit_pty && !found.restrictions().permit_x11_forwarding);
}

#[test]
fn a_file_of_principals_takes_the_place_of_the_name() {
    let ca = Authority::new();
    let admins = ca.certify(&["-n", "admins"]);
    assert!(by_file(&admins, "staff\nadmins").is_ok());
    assert!(by_file(&admins, "from=\"192.0.2.1\" admins\nadmins").is_ok());
    let refused = by_file(&admins, "from=\"192.0.2.1\" admins").unwrap_err();
    assert!(matches!(refused, Refused::Line(_)), "{refused}");
    let alice = ca.certify(ALICE);
    assert!(matches!(
        by_file(&alice, "admins").unwrap_err(),
        Refused::Principal(_)
    ));
    assert!(matches!(
        by_file(&alice, "").unwrap_err(),
        Refused::Principal(_)
    ));
    let found = by_line(&admins, &ca, "cert-authority,principals=\"staff,admins\"");
    assert!(found.is_ok());
    let found = by_line(&alice, &ca, "cert-authority,principals=\"staff\"").unwrap_err();
    assert!(matches!(found, Refused::Principal(_)));
}
