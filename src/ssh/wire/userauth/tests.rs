use proptest::prelude::*;

use super::*;
use crate::ssh::wire::Entropy;
use crate::ssh::wire::keys::{
    KeyError, PrivateKey, SigAlg, UserCertificate, sign_user_certificate,
};
use crate::ssh::wire::message::{Malformed, Writer, number};

const SESSION: &[u8] = &[7; 32];
const PEMS: [&str; 3] = [
    include_str!("../../../../tests/fixtures/ssh/transport/host_ed25519"),
    include_str!("../../../../tests/fixtures/ssh/transport/host_ecdsa"),
    include_str!("../../../../tests/fixtures/ssh/transport/host_rsa"),
];

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

fn keys() -> Vec<PrivateKey> {
    PEMS.iter()
        .map(|pem| PrivateKey::from_openssh(pem).unwrap())
        .collect()
}

fn certificate(key: &PrivateKey, ca: &PrivateKey) -> Vec<u8> {
    let request = UserCertificate {
        public_blob: key.public_blob(),
        key_id: "test",
        principals: &["alice"],
        valid_after: 0,
        valid_before: u64::MAX,
        critical_options: &[],
        extensions: &[],
        serial: 1,
    };
    sign_user_certificate(&request, ca, &mut Counting(0)).unwrap()
}

#[test]
fn a_signed_request_proves_its_key_and_nothing_else() {
    for key in keys() {
        for &algorithm in key.algorithms() {
            let payload = publickey_request(SESSION, "alice", &key, None, algorithm).unwrap();
            let request = AuthRequest::parse(&payload).unwrap();
            let proven = signed_key(SESSION, &request).unwrap();
            assert_eq!(
                (proven.user(), proven.service()),
                ("alice", "ssh-connection")
            );
            assert_eq!(
                (proven.key_blob(), proven.algorithm()),
                (key.public_blob(), algorithm)
            );
            assert!(proven.certificate().is_none() && proven.presence().is_none());
            assert!(signed_key(&[8; 32], &request).is_err(), "another session");
            let other = AuthRequest {
                user: "bob".into(),
                ..request.clone()
            };
            assert!(signed_key(SESSION, &other).is_err(), "another user");
            let other = AuthRequest {
                service: "ssh-x".into(),
                ..request
            };
            assert!(signed_key(SESSION, &other).is_err(), "another service");
        }
    }
}

#[test]
fn a_certificate_proves_the_key_within() {
    let ca = PrivateKey::generate_ed25519(&mut Counting(9)).unwrap();
    for key in keys() {
        let blob = certificate(&key, &ca);
        for &algorithm in key.algorithms() {
            let payload =
                publickey_request(SESSION, "alice", &key, Some(&blob), algorithm).unwrap();
            let request = AuthRequest::parse(&payload).unwrap();
            let proven = signed_key(SESSION, &request).unwrap();
            assert_eq!(proven.key_blob(), key.public_blob());
            let certificate = proven.certificate().unwrap();
            assert_eq!(certificate.principals, ["alice"]);
            assert_eq!(certificate.ca_blob, ca.public_blob());
        }
    }
}

#[test]
fn a_certificate_of_somebody_else_or_with_a_changed_name_proves_nothing() {
    let ca = PrivateKey::generate_ed25519(&mut Counting(9)).unwrap();
    let (key, thief) = (
        &keys()[0],
        PrivateKey::generate_ed25519(&mut Counting(50)).unwrap(),
    );
    let blob = certificate(key, &ca);
    let sign = |key: &PrivateKey, blob: &[u8]| {
        let payload = publickey_request(SESSION, "alice", key, Some(blob), SigAlg::Ed25519);
        signed_key(SESSION, &AuthRequest::parse(&payload.unwrap()).unwrap())
    };
    assert!(sign(key, &blob).is_ok());
    assert_eq!(
        sign(&thief, &blob).unwrap_err(),
        SignatureError::Key(KeyError::BadSignature)
    );
    let at = blob
        .windows(5)
        .position(|window| window == b"alice")
        .unwrap();
    let mut forged = blob;
    forged[at] = b'b';
    assert!(sign(key, &forged).is_err());
}

#[test]
fn algorithm_key_and_signature_must_agree() {
    let keys = keys();
    let parse = |key: &PrivateKey, algorithm| {
        let payload = publickey_request(SESSION, "alice", key, None, algorithm).unwrap();
        AuthRequest::parse(&payload).unwrap()
    };
    let renamed = |mut request: AuthRequest, to: &str| {
        if let Method::PublicKey { algorithm, .. } = &mut request.method {
            *algorithm = to.to_owned();
        }
        signed_key(SESSION, &request).unwrap_err()
    };
    let ed25519 = parse(&keys[0], SigAlg::Ed25519);
    assert!(matches!(
        renamed(ed25519.clone(), "rsa-sha2-512"),
        SignatureError::KeyType { .. }
    ));
    let cert = "ssh-ed25519-cert-v01@openssh.com";
    assert!(matches!(
        renamed(ed25519.clone(), cert),
        SignatureError::KeyType { .. }
    ));
    assert!(matches!(
        renamed(ed25519, "ssh-rsa"),
        SignatureError::Algorithm(_)
    ));
    let rsa = parse(&keys[2], SigAlg::RsaSha512);
    assert!(matches!(
        renamed(rsa, "rsa-sha2-256"),
        SignatureError::Key(_)
    ));
}

#[test]
fn an_offer_is_no_proof() {
    let offer = Writer::new(number::USERAUTH_REQUEST)
        .string("alice")
        .string("ssh-connection")
        .string("publickey")
        .boolean(false)
        .string("ssh-ed25519")
        .string(keys()[0].public_blob());
    let request = AuthRequest::parse(&offer.finish()).unwrap();
    assert!(matches!(
        request.method,
        Method::PublicKey {
            signature: None,
            ..
        }
    ));
    assert_eq!(
        signed_key(SESSION, &request).unwrap_err(),
        SignatureError::NotSigned
    );
    let offered = offered_key(&request).unwrap().unwrap();
    assert_eq!(offered.key_blob, keys()[0].public_blob());
    assert!(offered_key(&AuthRequest::parse(&none_request("a")).unwrap()).is_none());
}

#[test]
fn every_request_is_read_as_written() {
    let read = |payload: &[u8]| AuthRequest::parse(payload).unwrap();
    let none = read(&none_request("ülrike"));
    assert_eq!(
        (&none.user[..], &none.service[..]),
        ("ülrike", "ssh-connection")
    );
    assert_eq!(none.method, Method::None);
    let (old, new) = (Secret::new(b"ol\xff"), Secret::new(b"new"));
    let method = Method::Password {
        password: old.clone(),
        new_password: None,
    };
    assert_eq!(read(&password_request("a", &old)).method, method);
    let method = Method::Password {
        password: old.clone(),
        new_password: Some(new.clone()),
    };
    assert_eq!(
        read(&password_change_request("a", &old, &new)).method,
        method
    );
    let method = Method::KeyboardInteractive {
        submethods: "pam".into(),
    };
    assert_eq!(
        read(&keyboard_interactive_request("a", "pam")).method,
        method
    );
    let answers = [old, new];
    assert_eq!(
        parse_info_response(&info_response(&answers)).unwrap(),
        answers
    );
    assert_eq!(format!("{answers:?}"), "[Secret(..), Secret(..)]");
    let gssapi = Writer::new(number::USERAUTH_REQUEST)
        .string("a")
        .string("b")
        .string("gssapi");
    assert_eq!(
        read(&gssapi.u32(1).finish()).method,
        Method::Other("gssapi".into())
    );
}

#[test]
fn every_reply_is_read_as_written() {
    let read = |payload: &[u8], method| AuthReply::parse(payload, method).unwrap();
    assert_eq!(read(&success(), InProgress::None), AuthReply::Success);
    let methods = ["publickey".to_owned(), "password".to_owned()].to_vec();
    assert_eq!(
        read(
            &failure(&["publickey", "password"], true),
            InProgress::Password
        ),
        AuthReply::Failure {
            methods,
            partial: true
        }
    );
    assert_eq!(
        read(&failure(&[], false), InProgress::None),
        AuthReply::Failure {
            methods: vec![],
            partial: false
        }
    );
    assert_eq!(
        read(&banner("hi\r\n"), InProgress::None),
        AuthReply::Banner("hi\r\n".into())
    );
    assert_eq!(
        read(&pk_ok("ssh-ed25519", b"blob"), InProgress::PublicKey),
        AuthReply::PkOk {
            algorithm: "ssh-ed25519".into(),
            key_blob: b"blob".to_vec()
        }
    );
    assert_eq!(
        read(&password_change_prompt("expired"), InProgress::Password),
        AuthReply::PasswordChange {
            prompt: "expired".into()
        }
    );
    let round = InfoRequest {
        name: "n".into(),
        instruction: "i".into(),
        prompts: vec![
            Prompt {
                text: "Code: ".into(),
                echo: true,
            },
            Prompt {
                text: "Password: ".into(),
                echo: false,
            },
        ],
    };
    let payload = info_request(&round.name, &round.instruction, &round.prompts);
    assert_eq!(
        read(&payload, InProgress::KeyboardInteractive),
        AuthReply::InfoRequest(round)
    );
    assert_eq!(
        AuthReply::parse(&payload, InProgress::None),
        Err(Malformed::Number(60))
    );
}

#[test]
fn every_field_is_bounded() {
    let head = |user: &str, method| {
        Writer::new(number::USERAUTH_REQUEST)
            .string(user)
            .string("ssh-connection")
            .string(method)
    };
    let refused = |message: Writer| AuthRequest::parse(&message.finish()).is_err();
    assert!(refused(head(&"u".repeat(LONGEST_USER + 1), "none")));
    assert!(!refused(head(&"u".repeat(LONGEST_USER), "none")));
    assert!(refused(
        head("u", "password")
            .boolean(false)
            .string(vec![b'p'; LONGEST_SECRET + 1])
    ));
    assert!(!refused(
        head("u", "password")
            .boolean(false)
            .string(vec![b'p'; LONGEST_SECRET])
    ));
    let blob = vec![0; LONGEST_BLOB + 1];
    assert!(refused(
        head("u", "publickey")
            .boolean(false)
            .string("x")
            .string(blob)
    ));
    let rounds = |count| {
        Writer::new(number::USERAUTH_INFO_RESPONSE)
            .u32(count)
            .finish()
    };
    assert_eq!(parse_info_response(&rounds(65)), Err(Malformed::TooMany));
    assert_eq!(parse_info_response(&rounds(64)), Err(Malformed::Short));
    let many = Writer::new(60)
        .string("")
        .string("")
        .string("")
        .u32(u32::MAX)
        .finish();
    assert_eq!(
        AuthReply::parse(&many, InProgress::KeyboardInteractive),
        Err(Malformed::TooMany)
    );
}

proptest! {
    #[test]
    fn any_bytes_never_panic(
        number in prop_oneof![50..=53u8, 60..=61u8],
        method in prop_oneof![Just(""), Just("none"), Just("publickey"), Just("password"),
                              Just("keyboard-interactive")],
        tail: Vec<u8>,
    ) {
        let bare = [&[number][..], &tail].concat();
        let framed = Writer::new(number).string("u").string("s").string(method).raw(&tail).finish();
        for bytes in [bare, framed] {
            if let Ok(request) = AuthRequest::parse(&bytes) {
                prop_assert!(signed_key(SESSION, &request).is_err());
            }
            let _ = parse_info_response(&bytes);
            for progress in [InProgress::None, InProgress::PublicKey, InProgress::Password,
                             InProgress::KeyboardInteractive] {
                let _ = AuthReply::parse(&bytes, progress);
            }
        }
    }
}
