//! Certificates made by ssh-keygen, forged ones, and ours under every kind of authority.

use super::*;

const AUTHORITIES: [&str; 5] = ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa2048"];

#[test]
fn certificates_of_ssh_keygen_are_read_and_verified() {
    for ca in AUTHORITIES {
        let certificate = Certificate::parse(&public(&format!("by-{ca}-cert"))).unwrap();
        assert_eq!(certificate.verify_signature(), Ok(()), "{ca}");
        assert_eq!(certificate.public_blob, public("person"));
        assert_eq!(certificate.ca_blob, public(ca));
        assert_eq!(
            (certificate.kind, certificate.serial),
            (CertificateKind::User, 42)
        );
        assert_eq!(certificate.key_id, format!("alice@192.0.2.1 {ca}"));
        assert_eq!(certificate.principals, ["alice", "bob"]);
        let (from, until) = (1_767_225_600, 1_767_225_900);
        assert_eq!(
            (certificate.valid_after, certificate.valid_before),
            (from, until)
        );
        assert!(!certificate.is_valid_at(from - 1) && certificate.is_valid_at(from));
        assert!(certificate.is_valid_at(until - 1) && !certificate.is_valid_at(until));
        let option = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let critical = [
            option("force-command", "/bin/echo hi"),
            option("source-address", "192.0.2.0/24"),
        ];
        assert_eq!(certificate.critical_options, critical);
        let flags = ["permit-port-forwarding", "permit-pty"].map(|name| option(name, ""));
        assert_eq!(
            certificate.extensions[0],
            option("note@example.com", "text")
        );
        assert_eq!(certificate.extensions[1..], flags);
    }
    for subject in ["ecdsa256", "ecdsa521", "rsa2048"] {
        let certificate = Certificate::parse(&public(&format!("of-{subject}-cert"))).unwrap();
        assert_eq!(certificate.verify_signature(), Ok(()));
        assert_eq!(certificate.public_blob, public(subject));
        assert_eq!(
            certificate.valid_before,
            u64::MAX,
            "made without -V: forever"
        );
    }
    let host = Certificate::parse(&public("host-cert")).unwrap();
    assert_eq!(
        (host.verify_signature(), host.kind),
        (Ok(()), CertificateKind::Host)
    );
}

#[test]
fn certificates_signed_with_rsa() {
    let sha256 = Certificate::parse(&public("by-rsa-sha256-cert")).unwrap();
    assert_eq!(sha256.verify_signature(), Ok(()));
    let sha1 = Certificate::parse(&public("by-rsa-sha1-cert")).unwrap();
    assert_eq!(
        sha1.verify_signature(),
        Err(KeyError::Algorithm("ssh-rsa".to_owned()))
    );
}

#[test]
fn every_change_to_a_certificate_is_refused() {
    let good = public("by-ed25519-cert");
    for at in 0..good.len() {
        let mut forged = good.clone();
        forged[at] ^= 1;
        let refused = Certificate::parse(&forged).and_then(|it| it.verify_signature());
        assert!(refused.is_err(), "byte {at}");
        assert!(Certificate::parse(&good[..at]).is_err(), "cut at {at}");
    }
    assert!(Certificate::parse(&[&good[..], b"\0"].concat()).is_err());
    assert!(Certificate::parse(&public("person")).is_err());
    assert!(Certificate::parse(&vec![0; 100_000]).is_err());
}

fn request(public_blob: &[u8]) -> UserCertificate<'_> {
    UserCertificate {
        public_blob,
        key_id: "alice@192.0.2.1 session 7",
        principals: &["alice"],
        valid_after: 1_767_225_600,
        valid_before: 1_767_225_780,
        critical_options: &[
            ("source-address", "192.0.2.7/32"),
            ("force-command", "echo hi"),
        ],
        extensions: &[("permit-pty", ""), ("permit-agent-forwarding", "")],
        serial: 9,
    }
}

#[test]
fn issued_certificates_verify_under_every_authority() {
    let subjects = [
        "person",
        "ecdsa256",
        "ecdsa384",
        "ecdsa521",
        "rsa2048",
        "sk-ed25519",
        "sk-ecdsa",
    ];
    for (ca, subject) in AUTHORITIES
        .iter()
        .flat_map(|ca| subjects.map(|subject| (*ca, subject)))
    {
        let blob = public(subject);
        let issued = sign_user_certificate(&request(&blob), &private(ca), &mut Fixed(1)).unwrap();
        let read = Certificate::parse(&issued).unwrap();
        assert_eq!(read.verify_signature(), Ok(()), "{subject} by {ca}");
        assert_eq!((read.public_blob, read.ca_blob), (blob, public(ca)));
        assert_eq!((read.kind, read.serial), (CertificateKind::User, 9));
        assert_eq!(read.principals, ["alice"]);
        let names = |options: &[(String, Vec<u8>)]| {
            options
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&read.critical_options),
            ["force-command", "source-address"]
        );
        assert_eq!(
            names(&read.extensions),
            ["permit-agent-forwarding", "permit-pty"]
        );
        // ssh-key knows the layout independently, and insists on the order of options.
        let other = ssh_key::Certificate::from_bytes(&issued).unwrap();
        assert_eq!(
            other.critical_options().get("force-command").unwrap(),
            "echo hi"
        );
    }
}

#[test]
fn certificates_that_must_not_be_issued_are_not() {
    let (ca, blob) = (private("ed25519"), public("person"));
    let refused = |request| {
        matches!(
            sign_user_certificate(&request, &ca, &mut Fixed(1)),
            Err(KeyError::Request(_))
        )
    };
    assert!(!refused(request(&blob)));
    assert!(refused(UserCertificate {
        principals: &[],
        ..request(&blob)
    }));
    assert!(refused(UserCertificate {
        principals: &[""],
        ..request(&blob)
    }));
    assert!(refused(UserCertificate {
        valid_before: 1_767_225_600,
        ..request(&blob)
    }));
    assert!(refused(UserCertificate {
        extensions: &[("a", ""), ("b", ""), ("a", "x")],
        ..request(&blob)
    }));
    assert!(refused(UserCertificate {
        key_id: &"x".repeat(70_000),
        ..request(&blob)
    }));
    let certificate = public("by-ed25519-cert");
    assert!(sign_user_certificate(&request(&certificate), &ca, &mut Fixed(1)).is_err());
}
