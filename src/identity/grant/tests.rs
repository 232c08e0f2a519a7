use super::*;
use crate::identity::AuthorizedLine;
use crate::ssh::wire::Entropy;
use crate::ssh::wire::keys::{PrivateKey, SigAlg};
use crate::ssh::wire::userauth::{AuthRequest, publickey_request, signed_key};

/// Counts up: keys differ, and are the same in each run.
struct Counter(u8);

impl Entropy for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::generate_ed25519(&mut Counter(seed)).unwrap()
}

fn signed(name: &str, key: &PrivateKey) -> SignedKey {
    let message = publickey_request(b"session", name, key, None, SigAlg::Ed25519).unwrap();
    let request = AuthRequest::parse(&message).unwrap();
    signed_key(b"session", &request).unwrap()
}

fn by_key(user: &str, seed: u8) -> Verified {
    let key = key(seed);
    let line = AuthorizedLine::unrestricted(user, key.public_blob());
    Verified::by_key(&signed(user, &key), &line).unwrap()
}

fn instance() -> InstanceId {
    InstanceId {
        pool: "main".into(),
        name: "vm1".into(),
    }
}

#[test]
fn a_signature_and_its_line_prove_the_person() {
    let key = key(1);
    let line = AuthorizedLine::unrestricted("alice", key.public_blob());
    for name in ["alice", "alice+gpu", "alice+gpu%vm1"] {
        let verified = Verified::by_key(&signed(name, &key), &line).unwrap();
        assert_eq!(verified.user().as_ref(), "alice");
        let text = verified.proof().to_string();
        assert!(text.starts_with("publickey ssh-ed25519 SHA256:"), "{text}");
    }
}

#[test]
fn a_signature_by_another_key_or_for_another_name_proves_nothing() {
    let (offered, signing) = (key(1), key(2));
    let line = AuthorizedLine::unrestricted("alice", offered.public_blob());
    let error = Verified::by_key(&signed("alice", &signing), &line).unwrap_err();
    assert_eq!(error, ProofError::OtherKey);
    for name in ["bob", "alic", "alice2", "bob+alice", ""] {
        let error = Verified::by_key(&signed(name, &offered), &line).unwrap_err();
        assert_eq!(error, ProofError::OtherUser, "{name:?}");
    }
}

#[test]
fn only_the_instances_success_proves_a_password() {
    let failure = |partial| AuthReply::Failure {
        methods: vec!["password".into()],
        partial,
    };
    let replies = [failure(false), AuthReply::Banner("welcome".into())];
    for reply in replies {
        let error = Verified::by_instance("alice", "password", &instance(), &reply).unwrap_err();
        assert_eq!(error, ProofError::NotAccepted);
    }
    let verified =
        Verified::by_instance("alice", "password", &instance(), &AuthReply::Success).unwrap();
    assert_eq!(verified.proof().to_string(), "password (instance vm1)");
    assert!(Grant::new(std::slice::from_ref(&verified)).is_ok());
    let part = Verified::by_instance("alice", "password", &instance(), &failure(true)).unwrap();
    let alone = Grant::new(&[part.clone(), part.clone()]).unwrap_err();
    assert_eq!(alone, GrantError::OnlyInPart);
    let grant = Grant::new(&[part, by_key("alice", 1)]).unwrap();
    assert!(
        grant
            .proof_text()
            .starts_with("password (instance vm1), publickey ")
    );
}

#[test]
fn a_grant_is_all_factors_of_one_person() {
    assert_eq!(Grant::new(&[]).unwrap_err(), GrantError::NoFactor);
    let factors = [by_key("alice", 1), by_key("bob", 2)];
    assert_eq!(
        Grant::new(&factors).unwrap_err(),
        GrantError::DifferentUsers
    );
    let password = Verified::by_instance("alice", "password", &instance(), &AuthReply::Success);
    let factors = [by_key("alice", 1), password.unwrap()];
    let grant = Grant::new(&factors).unwrap();
    assert_eq!(grant.user().as_ref(), "alice");
    assert!(grant.proof_text().ends_with(", password (instance vm1)"));
    assert_eq!(*grant.restrictions(), Restrictions::unrestricted());
}

#[test]
fn a_grant_allows_only_what_each_factor_allows() {
    let mut narrow = by_key("alice", 1);
    narrow.restrictions.force_command = Some("a".into());
    let mut other = by_key("alice", 2);
    other.restrictions.permit_pty = false;
    let grant = Grant::new(&[narrow.clone(), other.clone()]).unwrap();
    assert_eq!(grant.restrictions().force_command.as_deref(), Some("a"));
    assert!(!grant.restrictions().permit_pty);
    other.restrictions.force_command = Some("b".into());
    let error = Grant::new(&[narrow, other]).unwrap_err();
    assert_eq!(error, GrantError::ContradictingCommands);
}
