//! Secrets, hashes and keys against RFCs and independent implementations; hostile public values.

use super::*;
use proptest::prelude::*;

/// Hands out what it was given, then zeros.
struct Script(Vec<u8>);

impl Entropy for Script {
    fn fill(&mut self, bytes: &mut [u8]) {
        let rest = self.0.split_off(self.0.len().min(bytes.len()));
        bytes.fill(0);
        bytes[..self.0.len()].copy_from_slice(&self.0);
        self.0 = rest;
    }
}

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(1);
            *byte = self.0;
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn fixture(name: &str) -> Vec<u8> {
    let text = include_str!("../../../../tests/fixtures/ssh/kex.txt");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    unhex(line.unwrap_or_else(|| panic!("no {name} in the fixture")))
}

fn start(kex: Kex, private: &[u8]) -> (ClientKex, Vec<u8>) {
    ClientKex::start(kex, &mut Script(private.to_vec())).unwrap()
}

#[test]
fn x25519_matches_rfc_7748() {
    // Section 6.1.
    let alice = unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let (client, public) = start(Kex::Curve25519, &alice);
    assert_eq!(
        public,
        unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    );
    let (reply, secret) = server_reply(Kex::Curve25519Libssh, &public, &mut Script(bob)).unwrap();
    assert_eq!(
        reply,
        unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
    let k = unhex("00000020 4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(*secret.encoded, k);
    assert_eq!(*client.finish(&reply).unwrap().encoded, k);
}

#[test]
fn p256_matches_rfc_5903() {
    // Section 8.1.
    let initiator = unhex("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433");
    let responder = unhex("C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53");
    let (client, public) = start(Kex::EcdhP256, &initiator);
    let point = "04 DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180
        5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3";
    assert_eq!(public, unhex(point));
    let (reply, secret) = server_reply(Kex::EcdhP256, &public, &mut Script(responder)).unwrap();
    let point = "04 D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63
        56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB";
    assert_eq!(reply, unhex(point));
    let k = "00000021 00 D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE";
    assert_eq!(*secret.encoded, unhex(k));
    assert_eq!(*client.finish(&reply).unwrap().encoded, unhex(k));
}

#[test]
fn the_hybrid_secret_matches_other_implementations() {
    let (mut client, _) = start(Kex::MlKem768X25519, &fixture("client_x25519"));
    client.decapsulation =
        Some(DecapsulationKey::new(&ML_KEM_768, &fixture("mlkem_private")).unwrap());
    let secret = client.finish(&fixture("hybrid_reply")).unwrap();
    assert_eq!(*secret.encoded, fixture("hybrid_secret"));
}

#[test]
fn hashes_and_keys_match_an_independent_computation() {
    let inputs = ExchangeInputs {
        client_ident: b"SSH-2.0-client",
        server_ident: b"SSH-2.0-server",
        client_kexinit: b"\x14client kexinit",
        server_kexinit: b"\x14server kexinit",
        host_key: b"host key",
        client_public: b"client public",
        server_public: b"server public",
    };
    for (name, kex) in [("hybrid", Kex::MlKem768X25519), ("x25519", Kex::Curve25519)] {
        let secret = SharedSecret {
            encoded: Zeroizing::new(fixture(&format!("{name}_secret"))),
        };
        let hash = exchange_hash(kex, &inputs, &secret);
        assert_eq!(hash[..], fixture(&format!("{name}_hash")));
        let session_id = b"session id of the first exchange";
        for (letter, len) in [
            (b'A', 80),
            (b'F', 80),
            (b'A', 16),
            (b'F', 32),
            (b'F', 64),
            (b'A', 0),
        ] {
            let key = derive(kex, &secret, &hash, session_id, letter, len);
            let wanted = fixture(&format!("{name}_{}", char::from(letter)));
            assert_eq!(key[..], wanted[..len]);
        }
    }
}

#[test]
fn mpints_are_shortest_and_positive() {
    for (number, encoded) in [
        (&b"\0\0"[..], &b"\0\0\0\0"[..]),
        (b"\0\x7f", b"\0\0\0\x01\x7f"),
        (b"\x80\0", b"\0\0\0\x03\0\x80\0"),
        (b"\0\0\xff", b"\0\0\0\x02\0\xff"),
    ] {
        assert_eq!(*SharedSecret::mpint(number).encoded, encoded);
    }
}

#[test]
fn both_sides_agree_by_every_method() {
    for kex in Kex::ALL {
        assert_eq!(Kex::from_name(kex.name()), Some(kex));
        let (client, init) = ClientKex::start(kex, &mut Counting(1)).unwrap();
        let (reply, secret) = server_reply(kex, &init, &mut Counting(2)).unwrap();
        assert!(
            client.finish(&reply).unwrap().encoded == secret.encoded,
            "{kex:?}"
        );
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for kex in Kex::ALL {
        let (_, init) = ClientKex::start(kex, &mut Counting(1)).unwrap();
        let (reply, _) = server_reply(kex, &init, &mut Counting(2)).unwrap();
        for (good, is_init) in [(init, true), (reply, false)] {
            for bad in [&good[1..], &[&good[..], b"x"].concat(), b""] {
                let refused = if is_init {
                    server_reply(kex, bad, &mut Counting(3)).err()
                } else {
                    ClientKex::start(kex, &mut Counting(1))
                        .unwrap()
                        .0
                        .finish(bad)
                        .err()
                };
                let error = KexError::Length {
                    method: kex.name(),
                    got: bad.len(),
                    wanted: good.len(),
                };
                assert_eq!(refused, Some(error));
            }
        }
    }
}

#[test]
fn points_that_give_no_secret_are_refused() {
    // Points of small order on Curve25519: every product with them is zero.
    let one = [&[1][..], &[0; 31]].concat();
    let eighth = unhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    let prime = [&[0xed][..], &[0xff; 30], &[0x7f]].concat();
    for point in [vec![0; 32], one, eighth, prime] {
        let refused = Some(KexError::PublicValue("curve25519-sha256"));
        assert_eq!(
            server_reply(Kex::Curve25519, &point, &mut Counting(1)).err(),
            refused
        );
        assert_eq!(
            start(Kex::Curve25519, &[7; 32]).0.finish(&point).err(),
            refused
        );
        let (_, mut init) = ClientKex::start(Kex::MlKem768X25519, &mut Counting(1)).unwrap();
        init[ML_KEM_PUBLIC..].copy_from_slice(&point);
        assert!(server_reply(Kex::MlKem768X25519, &init, &mut Counting(1)).is_err());
    }
    // P-256: off the curve, at infinity, compressed, hybrid.
    let (_, good) = start(Kex::EcdhP256, &[7; 32]);
    let mut off = good.clone();
    off[64] ^= 1;
    let mut compressed = good.clone();
    compressed[0] = 2;
    let mut both = good.clone();
    both[0] = 6 + (good[64] & 1);
    for point in [off, vec![0; 65], vec![4; 65], compressed, both] {
        assert!(server_reply(Kex::EcdhP256, &point, &mut Counting(1)).is_err());
        assert!(start(Kex::EcdhP256, &[7; 32]).0.finish(&point).is_err());
    }
}

#[test]
fn an_encapsulation_key_above_the_modulus_is_refused() {
    // FIPS 203 section 7.2: coefficients are below q = 3329; these are all 4095.
    let (_, mut init) = ClientKex::start(Kex::MlKem768X25519, &mut Counting(1)).unwrap();
    init[..1152].fill(0xff);
    let refused = server_reply(Kex::MlKem768X25519, &init, &mut Counting(1)).err();
    assert_eq!(
        refused,
        Some(KexError::PublicValue("mlkem768x25519-sha256"))
    );
}

#[test]
fn a_source_of_nothing_but_zeros_makes_no_p256_key() {
    let failed = ClientKex::start(Kex::EcdhP256, &mut Script(Vec::new())).err();
    assert_eq!(failed, Some(KexError::Library("ecdh-sha2-nistp256")));
}

proptest! {
    #[test]
    fn noise_of_the_right_length_never_panics(noise in proptest::collection::vec(any::<u8>(), 1216)) {
        for kex in Kex::ALL {
            let _ = server_reply(kex, &noise[..kex.public_len()], &mut Counting(1));
            let _ = start(kex, &[7; 32]).0.finish(&noise[..kex.public_len()]);
        }
        let _ = server_reply(Kex::MlKem768X25519, &noise, &mut Counting(1));
        let _ = start(Kex::MlKem768X25519, &[7; 32]).0.finish(&noise[..ML_KEM_CIPHERTEXT + 32]);
    }
}
