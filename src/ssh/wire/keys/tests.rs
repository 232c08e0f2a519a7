//! Keys and signatures made by ssh-keygen, RFC vectors, forgeries and noise.

mod certificates;

use super::*;
use crate::ssh::wire::Entropy;
use aws_lc_rs::digest::SHA512;
use base64::engine::general_purpose::STANDARD;
use blob::put_string;
use proptest::prelude::*;

struct Fixed(u8);

impl Entropy for Fixed {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

struct Seed(Vec<u8>);

impl Entropy for Seed {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0);
    }
}

fn fixture(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ssh/keys/");
    std::fs::read_to_string(format!("{path}{name}")).unwrap()
}

/// The blob of a `.pub` file.
fn public(name: &str) -> Vec<u8> {
    STANDARD
        .decode(fixture(&format!("{name}.pub")).split(' ').nth(1).unwrap())
        .unwrap()
}

fn private(name: &str) -> PrivateKey {
    PrivateKey::from_openssh(&fixture(name)).unwrap()
}

/// The signature blob of a `.sig` file, and what it signs (OpenSSH PROTOCOL.sshsig).
fn signature(name: &str) -> (Vec<u8>, Vec<u8>) {
    let text = fixture(&format!("{name}.sig"));
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(base64).unwrap();
    let mut cursor = Cursor::new(&bytes[6 + 4..], "signature file");
    for _ in 0..4 {
        cursor.string().unwrap();
    }
    let signature = cursor.string().unwrap().to_vec();
    let mut signed = b"SSHSIG".to_vec();
    put_string(&mut signed, b"poolgate");
    put_string(&mut signed, b"");
    put_string(&mut signed, b"sha512");
    put_string(&mut signed, digest(&SHA512, b"signed data").as_ref());
    (signature, signed)
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

const SIGNERS: [(&str, SigAlg); 7] = [
    ("ed25519", SigAlg::Ed25519),
    ("ecdsa256", SigAlg::EcdsaP256),
    ("ecdsa384", SigAlg::EcdsaP384),
    ("ecdsa521", SigAlg::EcdsaP521),
    ("rsa2048", SigAlg::RsaSha512),
    ("sk-ed25519", SigAlg::SkEd25519),
    ("sk-ecdsa", SigAlg::SkEcdsaP256),
];

#[test]
fn names_lead_back_to_their_algorithms() {
    for alg in SigAlg::ALL {
        assert_eq!(SigAlg::from_name(alg.name()), Some(alg));
        assert_eq!(
            SigAlg::from_certificate_name(alg.certificate_name()),
            Some(alg)
        );
        assert!(SigAlg::for_key_type(alg.key_type()).contains(&alg));
    }
    assert_eq!(SigAlg::from_name("ssh-rsa"), None);
}

#[test]
fn signatures_of_ssh_keygen_verify() {
    for (name, alg) in SIGNERS {
        let (signature, signed) = signature(name);
        assert_eq!(
            verify(&public(name), alg, &signed, &signature),
            Ok(()),
            "{name}"
        );
        let presence = verify_with_presence(&public(name), alg, &signed, &signature).unwrap();
        assert_eq!(presence.is_some(), alg.is_security_key());
        if let Some(presence) = presence {
            assert!(
                presence.is_user_present() && presence.is_user_verified() && presence.counter == 77
            );
        }
    }
}

#[test]
fn an_untouched_security_key_is_refused_unless_asked_for() {
    for (name, alg) in [
        ("sk-ed25519", SigAlg::SkEd25519),
        ("sk-ecdsa", SigAlg::SkEcdsaP256),
    ] {
        let (signature, signed) = signature(&format!("{name}-no-touch"));
        assert_eq!(
            verify(&public(name), alg, &signed, &signature),
            Err(KeyError::NotPresent)
        );
        let presence = verify_with_presence(&public(name), alg, &signed, &signature).unwrap();
        assert_eq!(
            presence,
            Some(Presence {
                flags: 0,
                counter: 77
            })
        );
    }
}

#[test]
fn forged_signatures_are_refused() {
    for (name, alg) in SIGNERS {
        let (key, (signature, signed)) = (public(name), signature(name));
        for at in 0..signature.len() {
            let mut forged = signature.clone();
            forged[at] ^= 0x40;
            assert!(
                verify(&key, alg, &signed, &forged).is_err(),
                "{name} byte {at}"
            );
        }
        let mut other = signed.clone();
        other[20] ^= 1;
        assert_eq!(
            verify(&key, alg, &other, &signature),
            Err(KeyError::BadSignature),
            "{name}"
        );
        assert!(
            verify(&key, alg, &signed, &[&signature[..], b"\0"].concat()).is_err(),
            "trailing"
        );
        assert!(
            verify(&[&key[..], b"\0"].concat(), alg, &signed, &signature).is_err(),
            "trailing"
        );
        assert!(
            verify(&key, alg, &signed, &signature[..signature.len() - 1]).is_err(),
            "cut"
        );
        for (foreign, other) in SIGNERS.into_iter().filter(|(foreign, _)| *foreign != name) {
            assert!(
                verify(&public(foreign), alg, &signed, &signature).is_err(),
                "{foreign}"
            );
            let refused = verify(&key, other, &signed, &signature);
            assert_eq!(refused, Err(KeyError::Algorithm(alg.name().to_owned())));
        }
    }
}

#[test]
fn a_signature_may_not_name_another_algorithm_than_was_asked_for() {
    let key = private("rsa2048");
    let signature = key.sign(SigAlg::RsaSha256, b"data").unwrap();
    assert_eq!(
        verify(key.public_blob(), SigAlg::RsaSha256, b"data", &signature),
        Ok(())
    );
    assert!(verify(key.public_blob(), SigAlg::RsaSha512, b"data", &signature).is_err());
    assert!(key.sign(SigAlg::Ed25519, b"data").is_err());
}

#[test]
fn an_rsa_signature_may_lack_its_leading_zeros() {
    let key = private("rsa2048");
    let (found, data) = (0u32..)
        .map(|i| {
            (
                key.sign(SigAlg::RsaSha512, &i.to_be_bytes()).unwrap(),
                i.to_be_bytes(),
            )
        })
        .find(|(blob, _)| blob[20] == 0)
        .unwrap();
    let mut cursor = Cursor::new(&found, "signature");
    let (name, inner) = (cursor.string().unwrap(), cursor.string().unwrap());
    let mut stripped = Vec::new();
    put_string(&mut stripped, name);
    put_string(&mut stripped, &inner[1..]);
    assert_eq!(
        verify(key.public_blob(), SigAlg::RsaSha512, &data, &stripped),
        Ok(())
    );
    let mut padded = Vec::new();
    put_string(&mut padded, name);
    put_string(&mut padded, &[&[0], inner].concat());
    assert!(verify(key.public_blob(), SigAlg::RsaSha512, &data, &padded).is_err());
}

#[test]
fn small_rsa_keys_are_refused() {
    assert_eq!(
        PrivateKey::from_openssh(&fixture("rsa1024")).err(),
        Some(KeyError::RsaSize(1024))
    );
    let signature = private("rsa2048").sign(SigAlg::RsaSha512, b"data").unwrap();
    let refused = verify(&public("rsa1024"), SigAlg::RsaSha512, b"data", &signature);
    assert_eq!(refused, Err(KeyError::RsaSize(1024)));
}

#[test]
fn ed25519_matches_rfc_8032() {
    // Section 7.1, test 2.
    let seed = unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = PrivateKey::generate_ed25519(&mut Seed(seed)).unwrap();
    let public = unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert!(key.public_blob().ends_with(&public));
    let signature = key.sign(SigAlg::Ed25519, &[0x72]).unwrap();
    let wanted = concat!(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    );
    assert!(signature.ends_with(&unhex(wanted)));
}

#[test]
fn private_keys_of_ssh_keygen_are_read_written_and_sign() {
    for (name, _) in SIGNERS
        .into_iter()
        .filter(|(_, alg)| !alg.is_security_key())
    {
        let key = private(name);
        assert_eq!(key.public_blob(), public(name), "{name}");
        let line = fixture(&format!("{name}.pub"));
        assert_eq!(key.public_line("a test key").unwrap(), line.trim_end());
        let again = PrivateKey::from_openssh(&key.to_openssh("another comment").unwrap()).unwrap();
        for alg in key.algorithms() {
            let signature = again.sign(*alg, b"data").unwrap();
            assert_eq!(
                verify(key.public_blob(), *alg, b"data", &signature),
                Ok(()),
                "{name}"
            );
        }
    }
    let minted = PrivateKey::generate_ed25519(&mut Fixed(7)).unwrap();
    let again = PrivateKey::from_openssh(&minted.to_openssh("").unwrap()).unwrap();
    assert_eq!(again.public_blob(), minted.public_blob());
}

/// Those of OpenSSH's own suite are drawn by chance, and so are people's.
#[test]
fn private_keys_whose_number_begins_with_zeros_are_read() {
    for (name, alg) in [
        ("ecdsa256-short", SigAlg::EcdsaP256),
        ("ecdsa384-short", SigAlg::EcdsaP384),
        ("ecdsa521-short", SigAlg::EcdsaP521),
    ] {
        let pem = fixture(name);
        let key = PrivateKey::from_openssh(&pem).unwrap();
        assert_eq!(key.public_blob(), public(name), "{name}");
        let signature = key.sign(alg, b"data").unwrap();
        verify(&public(name), alg, b"data", &signature).unwrap();
        let again = PrivateKey::from_openssh(&key.to_openssh("").unwrap()).unwrap();
        assert_eq!(again.public_blob(), key.public_blob());
        // What is no whole file is none at full length either.
        for end in 0..pem.len() - 40 {
            assert!(PrivateKey::from_openssh(&pem[..end]).is_err());
        }
    }
}

#[test]
fn unusable_private_keys_say_why() {
    let error = |name| PrivateKey::from_openssh(&fixture(name)).err().unwrap();
    assert_eq!(error("encrypted"), KeyError::Encrypted);
    assert_eq!(error("dsa"), KeyError::Unsupported("ssh-dss".to_owned()));
    assert!(
        error("pem").to_string().contains("ssh-keygen -p"),
        "{}",
        error("pem")
    );
    assert!(error("ed25519.pub").to_string().contains("OpenSSH"));
    let broken = fixture("ed25519").replace("QyNTUxOQ", "QyNTUxOR");
    assert!(PrivateKey::from_openssh(&broken).is_err());
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    let person = "SHA256:AXTwI/KjVV4WZxKGJpf1WdBJd5ZK78I+RkkmR1b8oTs";
    assert_eq!(fingerprint(&public("person")), person);
}

#[test]
fn compressed_points_are_refused() {
    let mut blob = Vec::new();
    put_string(&mut blob, b"ecdsa-sha2-nistp256");
    put_string(&mut blob, b"nistp256");
    put_string(&mut blob, &[&[2][..], &[1; 32]].concat());
    assert_eq!(
        parse_public(&blob).err(),
        Some(KeyError::Malformed("public key"))
    );
}

proptest! {
    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..600) {
        for alg in SigAlg::ALL {
            let mut blob = Vec::new();
            put_string(&mut blob, alg.key_type().as_bytes());
            blob.extend_from_slice(&noise);
            prop_assert!(verify(&blob, alg, b"data", &noise).is_err());
            let mut blob = Vec::new();
            put_string(&mut blob, alg.certificate_key_type().as_bytes());
            blob.extend_from_slice(&noise);
            prop_assert!(Certificate::parse(&blob).and_then(|it| it.verify_signature()).is_err());
        }
        for (name, alg) in SIGNERS {
            let mut blob = Vec::new();
            put_string(&mut blob, alg.name().as_bytes());
            blob.extend_from_slice(&noise);
            prop_assert!(verify(&public(name), alg, b"data", &blob).is_err());
        }
        let mut certificate = public("by-ecdsa256-cert");
        let start = at.min(certificate.len());
        let end = certificate.len().min(start + noise.len());
        certificate[start..end].copy_from_slice(&noise[..end - start]);
        let _ = Certificate::parse(&certificate).map(|it| it.verify_signature());
        let _ = PrivateKey::from_openssh(&String::from_utf8_lossy(&noise));
    }

    #[test]
    fn noise_in_a_private_key_file_never_panics(noise in "[A-Za-z0-9+/=]{1,70}", at in 40usize..300) {
        let mut text = fixture("ed25519");
        let end = text.len().min(at + noise.len());
        text.replace_range(at..end, &noise);
        let _ = PrivateKey::from_openssh(&text);
    }
}
