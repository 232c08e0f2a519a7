use super::*;
use crate::identity::{AuthorizedLine, Verified, authorized_keys};
use crate::ssh::entropy::SystemEntropy;
use crate::ssh::test_keys::Keys;
use crate::ssh::wire::keys::SigAlg;
use crate::ssh::wire::userauth::{AuthRequest, publickey_request, signed_key};
use std::net::Ipv4Addr;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A grant for alice by a key whose line has these options.
fn grant(options: &str) -> Grant {
    let key = PrivateKey::generate_ed25519(&mut SystemEntropy::default()).unwrap();
    let text = format!("{options} {}", key.public_line("alice").unwrap());
    let line = authorized_keys::parse_line(1, text.as_bytes())
        .unwrap()
        .unwrap();
    let line: AuthorizedLine =
        authorized_keys::judge(&line, "alice", CLIENT, SystemTime::now()).unwrap();
    let message = publickey_request(b"id", "alice", &key, None, SigAlg::Ed25519).unwrap();
    let signed = signed_key(b"id", &AuthRequest::parse(&message).unwrap()).unwrap();
    Grant::new(&[Verified::by_key(&signed, &line).unwrap()]).unwrap()
}

fn mint(ca: &UserCa, grant: &Grant) -> Minted {
    let session = SessionId(0xABC);
    ca.mint(
        grant,
        session,
        CLIENT,
        SystemTime::now(),
        &mut SystemEntropy::default(),
    )
    .unwrap()
}

/// What ssh-keygen says of the certificate.
fn shown(keys: &Keys, minted: &Minted) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(&minted.certificate);
    keys.write(
        "minted-cert.pub",
        &format!("ssh-ed25519-cert-v01@openssh.com {text}\n"),
    );
    keys.keygen(&["-L", "-f", "minted-cert.pub"])
}

#[test]
fn ssh_keygen_reads_what_was_minted() {
    let keys = Keys::new();
    let ca = UserCa::load(&keys.make("ca", "ed25519")).unwrap();
    let grant = grant("");
    let minted = mint(&ca, &grant);
    let text = shown(&keys, &minted);
    assert!(
        text.contains("ssh-ed25519-cert-v01@openssh.com user certificate"),
        "{text}"
    );
    let fingerprint = grant.proof_text().rsplit(' ').next().unwrap().to_owned();
    let id = format!("Key ID: \"alice@192.0.2.7 session 0000000000000abc {fingerprint}\"");
    assert!(text.contains(&id), "{text}");
    let principals = text.split("Principals:").nth(1).unwrap();
    assert_eq!(principals.split_whitespace().next(), Some("alice"));
    assert!(text.contains("Critical Options: (none)"), "{text}");
    for (name, _) in extensions(&Restrictions::unrestricted()) {
        assert!(text.contains(name), "{name}: {text}");
    }
    let ca_line = keys.keygen(&["-l", "-f", "ca.pub"]);
    let ca_fingerprint = ca_line.split(' ').nth(1).unwrap();
    assert!(text.contains(ca_fingerprint), "{text}");
}

#[test]
fn the_keys_restrictions_are_the_certificates() {
    let keys = Keys::new();
    let ca = UserCa::load(&keys.make("ca", "ecdsa")).unwrap();
    let minted = mint(
        &ca,
        &grant("restrict,pty,from=\"192.0.2.0/24\",command=\"echo hi\""),
    );
    let text = shown(&keys, &minted);
    assert!(text.contains("force-command echo hi"), "{text}");
    assert!(
        text.contains("permit-pty") && !text.contains("forwarding"),
        "{text}"
    );
    assert!(
        !text.contains("192.0.2.0/24"),
        "the instance sees the gate: {text}"
    );
}

#[test]
fn a_certificate_ends_with_the_key_it_stands_for() {
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let until = |not_after: Option<SystemTime>| validity(not_after, now);
    assert_eq!(until(None).unwrap(), (999_940, 1_000_120));
    let soon = now + Duration::from_secs(30);
    assert_eq!(until(Some(soon)).unwrap(), (999_940, 1_000_030));
    assert!(matches!(until(Some(now)), Err(MintError::Expired)));
}

#[test]
fn each_login_has_its_own_key() {
    let keys = Keys::new();
    let ca = UserCa::load(&keys.make("ca", "ed25519")).unwrap();
    let (a, b) = (mint(&ca, &grant("")), mint(&ca, &grant("")));
    assert_ne!(a.key.public_blob(), b.key.public_blob());
    assert_ne!(a.certificate, b.certificate);
}

#[test]
fn an_unusable_authority_is_one_clear_line() {
    use std::os::unix::fs::PermissionsExt;
    let keys = Keys::new();
    let fault = |path: &Path| {
        let text = UserCa::load(path).err().unwrap().to_string();
        assert!(
            text.starts_with("ssh.user_ca: ") && !text.contains('\n'),
            "{text}"
        );
        text
    };
    let path = keys.path("none");
    let remedy = format!("ssh-keygen -t ed25519 -f {} -N ''", path.display());
    assert!(fault(&path).ends_with(&remedy));
    let path = keys.make("ca", "ed25519");
    assert!(fault(&path.with_extension("pub")).contains("is a public key"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(fault(&path).ends_with(&format!("chmod 600 {}", path.display())));
    keys.keygen(&["-q", "-t", "ed25519", "-N", "secret", "-f", "locked"]);
    keys.keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "signer"]);
    let remedy = format!("ssh-keygen -p -N '' -f {}", keys.path("locked").display());
    assert!(fault(&keys.path("locked")).ends_with(&remedy));
    keys.keygen(&["-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", "pem"]);
    let told = fault(&keys.path("pem"));
    assert!(told.contains("another form") && told.contains("ssh-keygen -p -N '' -f"));
    keys.keygen(&["-q", "-s", "signer", "-I", "x", "-n", "x", "pem.pub"]);
    assert!(fault(&keys.path("pem-cert.pub")).contains("is a certificate; name the private key"));
    let path = keys.write("rubbish", "hello\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let told = fault(&path);
    assert!(
        told.contains("every instance must be given its public half"),
        "{told}"
    );
    fault(keys.0.path());
}
