//! Public keys, certificates and signatures as they come over the wire.

use poolgate::ssh::wire::keys::{
    Certificate, SigAlg, fingerprint, key_type, verify, verify_with_presence,
};

use super::parts;

/// The first part is a key or a certificate, the second a signature over the third.
pub fn run(data: &[u8]) {
    let mut parts = parts(data);
    let blob = parts.next().unwrap_or_default();
    let signature = parts.next().unwrap_or_default();
    let signed = parts.next().unwrap_or_default();
    assert!(fingerprint(blob).starts_with("SHA256:"));
    let kind = key_type(blob).unwrap_or_default();
    let algorithms = SigAlg::for_key_type(kind);
    for algorithm in algorithms {
        let plain = verify(blob, *algorithm, signed, signature);
        let presence = verify_with_presence(blob, *algorithm, signed, signature);
        assert!(
            plain.is_err() || presence.is_ok(),
            "the stricter check is the laxer one"
        );
    }
    for algorithm in SigAlg::ALL {
        if !algorithms.contains(&algorithm) {
            let verdict = verify(blob, algorithm, signed, signature);
            assert!(verdict.is_err(), "{algorithm:?} took a key of type {kind}");
        }
    }
    if let Ok(certificate) = Certificate::parse(blob) {
        check_certificate(&certificate);
    }
}

fn check_certificate(certificate: &Certificate) {
    // Nobody's certificate may be signed by a certificate, nor be for one.
    for key in [&certificate.public_blob, &certificate.ca_blob] {
        let kind = key_type(key).unwrap_or_default();
        assert!(!SigAlg::for_key_type(kind).is_empty(), "{kind}");
    }
    assert!(certificate.principals.len() <= 256);
    let names = certificate.critical_options.iter().map(|(name, _)| name);
    let names: std::collections::BTreeSet<_> = names.collect();
    assert_eq!(names.len(), certificate.critical_options.len());
    let _ = certificate.verify_signature();
    if certificate.valid_after >= certificate.valid_before {
        assert!(!certificate.is_valid_at(certificate.valid_after));
    }
}
