use std::path::Path;

use super::*;
use crate::ssh::test_keys::Keys;
use crate::ssh::wire::keys::verify;
use crate::ssh::wire::message::Reader;

fn load(
    keys: &Keys,
    offered: &[&str],
    standby: &[&str],
    certificates: &[&str],
) -> Result<HostIdentity, HostIdentityError> {
    let paths = |names: &[&str]| names.iter().map(|name| keys.path(name)).collect::<Vec<_>>();
    let folder = keys.0.path().display();
    let text = format!(
        "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = {:?}\nstandby_host_keys = {:?}\nhost_certificates = {:?}\n\
         user_ca = \"{folder}/ca\"\n[pools.main.fleet]\nprovider = \"static\"\n\
         instances = [{{ name = \"vm1\", address = \"10.0.0.4\" }}]\n",
        paths(offered),
        paths(standby),
        paths(certificates),
    );
    let config = crate::config::parse(Path::new("x.toml"), &text, Default::default()).unwrap();
    HostIdentity::load(&config.ssh.unwrap(), SystemTime::now(), &[])
}

fn prove_request(blobs: &[Vec<u8>]) -> Vec<u8> {
    let name = "hostkeys-prove-00@openssh.com";
    let message = Writer::new(number::GLOBAL_REQUEST).string(name);
    let message = blobs
        .iter()
        .fold(message.boolean(true), |message, blob| message.string(blob));
    message.finish()
}

fn proof(
    identity: &HostIdentity,
    blobs: &[Vec<u8>],
    negotiated: Option<SigAlg>,
) -> Option<Vec<u8>> {
    let request = prove_request(blobs);
    let request = GlobalRequest::parse(&request).unwrap();
    identity.proof(&request, b"session", negotiated)
}

#[test]
fn every_key_is_announced_and_proved_over_the_clients_session() {
    let keys = Keys::new();
    for (name, kind) in [("a", "ed25519"), ("r", "rsa"), ("next", "ed25519")] {
        keys.make(name, kind);
    }
    let identity = load(&keys, &["a", "r"], &["next"], &[]).unwrap();
    let announced = GlobalRequest::parse(&identity.announcement).unwrap();
    let blobs = [keys.blob("a"), keys.blob("r"), keys.blob("next")];
    assert_eq!(announced.keys().unwrap(), blobs);
    assert!(!announced.want_reply);

    // In the order of the request, not of the announcement; RSA signs as the key exchange did.
    let asked = [keys.blob("next"), keys.blob("r")];
    for (negotiated, rsa) in [
        (None, SigAlg::RsaSha512),
        (Some(SigAlg::Ed25519), SigAlg::RsaSha512),
        (Some(SigAlg::RsaSha256), SigAlg::RsaSha256),
    ] {
        let answer = proof(&identity, &asked, negotiated).unwrap();
        let mut reader = Reader::of(&answer, number::REQUEST_SUCCESS).unwrap();
        for (blob, alg) in asked.iter().zip([SigAlg::Ed25519, rsa]) {
            let signature = reader.string(4096).unwrap();
            let data = host_key_proof_data(b"session", blob);
            verify(blob, alg, &data, signature).unwrap();
            let other = host_key_proof_data(b"another", blob);
            assert!(verify(blob, alg, &other, signature).is_err());
        }
        reader.finish().unwrap();
    }
}

#[test]
fn nothing_but_its_own_keys_is_proved_and_not_often() {
    let keys = Keys::new();
    keys.make("a", "ed25519");
    keys.make("foreign", "ed25519");
    let identity = load(&keys, &["a"], &[], &[]).unwrap();
    let (own, foreign) = (keys.blob("a"), keys.blob("foreign"));
    assert!(proof(&identity, std::slice::from_ref(&own), None).is_some());
    for blobs in [&[][..], &[foreign], &[own.clone(), own], &[vec![1, 2, 3]]] {
        assert_eq!(proof(&identity, blobs, None), None, "{blobs:?}");
    }
    // A length that lies.
    let request = Writer::new(number::GLOBAL_REQUEST)
        .string("hostkeys-prove-00@openssh.com")
        .boolean(true)
        .u32(u32::MAX)
        .finish();
    let request = GlobalRequest::parse(&request).unwrap();
    assert_eq!(identity.proof(&request, b"session", None), None);
}

#[test]
fn a_standby_key_is_not_in_use() {
    let keys = Keys::new();
    keys.make("a", "ed25519");
    let fault = load(&keys, &["a"], &["a"], &[]).err().unwrap().to_string();
    assert!(fault.starts_with("ssh.standby_host_keys: "), "{fault}");
    let fault = load(&keys, &["a"], &["b"], &[]).err().unwrap().to_string();
    assert!(fault.contains("does not exist"), "{fault}");
}

#[test]
fn certificates_are_for_the_gates_keys_and_for_hosts_and_valid() {
    let keys = Keys::new();
    for name in ["ca", "a", "other", "p", "n", "x"] {
        keys.make(name, "ed25519");
    }
    let sign = |name: &str, words: &[&str]| {
        let public = format!("{name}.pub");
        let args = [&["-q", "-s", "ca", "-I", "gate"], words, &[public.as_str()]].concat();
        keys.keygen(&args);
    };
    sign("a", &["-h", "-n", "gate.example"]);
    let identity = load(&keys, &["a"], &[], &["a-cert.pub"]).unwrap();
    let certificates = identity.certificates();
    assert_eq!(certificates[0].blob, keys.blob("a-cert"));
    assert_eq!(certificates[0].public_blob, keys.blob("a"));

    sign("other", &["-h", "-n", "gate.example"]);
    sign("p", &["-n", "somebody"]);
    sign("n", &["-h"]);
    sign(
        "x",
        &["-h", "-n", "gate.example", "-V", "20200101:20200201"],
    );
    for (offered, certificate, told) in [
        ("a", "other-cert.pub", "certifies none of ssh.host_keys"),
        ("p", "p-cert.pub", "a certificate for people"),
        ("n", "n-cert.pub", "names no host"),
        ("x", "x-cert.pub", "outside its time"),
        ("a", "a.pub", "is no certificate"),
        ("a", "absent", "cannot use"),
    ] {
        let fault = load(&keys, &[offered], &[], &[certificate]).err().unwrap();
        let fault = fault.to_string();
        assert!(fault.starts_with("ssh.host_certificates: "), "{fault}");
        assert!(fault.contains(told), "{fault}");
        assert!(!fault.contains('\n'), "{fault}");
    }
    std::fs::copy(keys.path("a-cert.pub"), keys.path("b-cert.pub")).unwrap();
    let fault = load(&keys, &["a"], &[], &["a-cert.pub", "b-cert.pub"]);
    let fault = fault.err().unwrap().to_string();
    assert!(fault.contains("the same key"), "{fault}");
}
