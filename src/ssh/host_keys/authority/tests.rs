use super::*;
use crate::ssh::test_keys::{Keys, instance};
use std::time::Duration;

/// A CA, another one, and a host key.
fn setup() -> (Keys, Authorities) {
    let keys = Keys::new();
    keys.make("ca", "ed25519");
    keys.make("other", "ed25519");
    keys.make("host", "ed25519");
    let authorities = Authorities::parse(&format!("# ours\n{}", keys.line("ca"))).unwrap();
    (keys, authorities)
}

/// Signs the host key anew and checks the certificate at this time.
fn verdict(
    (keys, authorities): &(Keys, Authorities),
    ca: &str,
    args: &[&str],
    now: SystemTime,
) -> Result<(), HostKeyError> {
    let mut all = vec!["-q", "-s", ca, "-I", "id"];
    all.extend(args);
    all.push("host.pub");
    keys.keygen(&all);
    authorities.check(&instance("vm1", 22), &keys.blob("host-cert"), now)
}

fn fault(verdict: Result<(), HostKeyError>) -> CertificateFault {
    match verdict {
        Err(HostKeyError::Certificate { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_for_the_name_or_the_address_is_trusted() {
    let setup = setup();
    let now = SystemTime::now();
    for name in ["vm1", "VM1", "127.0.0.1", "other,vm1", "vm*"] {
        verdict(&setup, "ca", &["-h", "-n", name, "-V", "-1h:+1h"], now).unwrap();
    }
}

#[test]
fn every_fault_of_a_certificate_is_named() {
    let setup = setup();
    let now = SystemTime::now();
    let of = |ca: &str, args: &[&str]| fault(verdict(&setup, ca, args, now));
    assert!(matches!(
        of("other", &["-h", "-n", "vm1"]),
        CertificateFault::Authority(_)
    ));
    assert!(matches!(
        of("ca", &["-n", "vm1"]),
        CertificateFault::UserKind
    ));
    assert!(matches!(
        of("ca", &["-h", "-n", "vm2"]),
        CertificateFault::Principal { .. }
    ));
    assert!(matches!(
        of("ca", &["-h"]),
        CertificateFault::Principal { .. }
    ));
    let day = Duration::from_secs(24 * 3600);
    for then in [now - day, now + day] {
        let late = verdict(&setup, "ca", &["-h", "-n", "vm1", "-V", "-1h:+1h"], then);
        assert!(matches!(fault(late), CertificateFault::Time));
    }
}

#[test]
fn a_forged_certificate_is_refused() {
    let setup = setup();
    let now = SystemTime::now();
    verdict(&setup, "ca", &["-h", "-n", "vm1"], now).unwrap();
    let (keys, authorities) = &setup;
    let mut blob = keys.blob("host-cert");
    let at = blob.windows(3).position(|bytes| bytes == b"vm1").unwrap();
    blob[at + 2] = b'2';
    let forged = authorities.check(&instance("vm2", 22), &blob, now);
    assert!(matches!(fault(forged), CertificateFault::Key(_)));
    let plain = authorities.check(&instance("vm1", 22), &keys.blob("host"), now);
    assert!(matches!(plain, Err(HostKeyError::NotCertified { .. })));
}

#[test]
fn a_file_without_a_key_trusts_nobody() {
    for text in ["", "# nothing\n", "ssh-ed25519\n", "ssh-ed25519 AAAA\n"] {
        assert!(Authorities::parse(text).is_err(), "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(main/vm1 |[0-9]{1,20} |ssh-[a-z0-9]{1,8} |[A-Za-z0-9+/=]{0,12}|[# \n]){0,20}") {
        let _ = Authorities::parse(&text);
    }
}
