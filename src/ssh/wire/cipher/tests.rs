//! Packets against an independent implementation, every way to lie, and round trips.

use super::*;
use crate::ssh::wire::Entropy;
use proptest::prelude::*;

/// 0, 1, 2 ...: padding that a fixture can foresee.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
    }
}

fn keys(cipher: Cipher, mac: Option<Mac>) -> KeyBlock {
    let run = |from: u8, len: usize| {
        Zeroizing::new(
            (0..len)
                .map(|i| from.wrapping_add(i as u8))
                .collect::<Vec<_>>(),
        )
    };
    let mac_len = mac.map_or(0, Mac::key_len);
    KeyBlock {
        iv: run(0xa0, cipher.iv_len()),
        key: run(0, cipher.key_len()),
        mac_key: run(0x40, mac_len),
    }
}

fn combinations() -> Vec<(Cipher, Option<Mac>)> {
    let aead = Cipher::ALL
        .into_iter()
        .filter(|c| c.is_aead())
        .map(|c| (c, None));
    let ctr = [Cipher::Aes128Ctr, Cipher::Aes256Ctr];
    aead.chain(ctr.into_iter().flat_map(|c| Mac::ALL.map(|m| (c, Some(m)))))
        .collect()
}

fn pair(cipher: Cipher, mac: Option<Mac>) -> (Sealer, Opener) {
    let keys = keys(cipher, mac);
    (
        Sealer::new(cipher, mac, &keys).unwrap(),
        Opener::new(cipher, mac, &keys).unwrap(),
    )
}

fn sealed(sealer: &mut Sealer, seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer
        .seal(seq, payload, &mut Counting(0), &mut out)
        .unwrap();
    out
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn seals_and_opens_as_another_implementation_does() {
    let fixture = include_str!("../../../../tests/fixtures/ssh/packets.txt");
    let mut seen = 0;
    let mut ends: Option<(_, (Sealer, Opener), Counting)> = None;
    for line in fixture.lines().filter(|line| !line.starts_with('#')) {
        let [cipher, mac, seq, payload, frame] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (cipher, mac) = (Cipher::from_name(cipher).unwrap(), Mac::from_name(mac));
        if ends
            .as_ref()
            .is_none_or(|(named, ..)| *named != (cipher, mac))
        {
            ends = Some(((cipher, mac), pair(cipher, mac), Counting(0)));
        }
        let (_, (sealer, opener), entropy) = ends.as_mut().unwrap();
        let (seq, payload, mut wire) = (seq.parse().unwrap(), unhex(payload), unhex(frame));
        let mut out = b"before".to_vec();
        sealer.seal(seq, &payload, entropy, &mut out).unwrap();
        assert_eq!(out[6..], wire, "{line}");
        assert_eq!(opener.frame_len(seq, &mut wire).unwrap(), Some(wire.len()));
        let place = opener.open(seq, &mut wire).unwrap();
        assert_eq!(wire[place], payload, "{line}");
        seen += 1;
    }
    assert_eq!(seen, 3 * combinations().len());
}

#[test]
fn counter_stream_matches_nist() {
    // NIST SP 800-38A, F.5.1 (CTR-AES128.Encrypt).
    let keys = KeyBlock {
        iv: Zeroizing::new(unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")),
        key: Zeroizing::new(unhex("2b7e151628aed2a6abf7158809cf4f3c")),
        mac_key: Zeroizing::default(),
    };
    let mut stream = primitive::CtrStream::new(Cipher::Aes128Ctr, &keys).unwrap();
    let mut data = unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
    let (first, second) = data.split_at_mut(16);
    stream.apply(first).unwrap();
    stream.apply(second).unwrap();
    assert_eq!(
        data,
        unhex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff")
    );
}

#[test]
fn gcm_matches_nist() {
    // McGrew and Viega, test case 4: the nonce goes in as the first of its row.
    let keys = KeyBlock {
        iv: Zeroizing::new(unhex("cafebabefacedbaddecaf888")),
        key: Zeroizing::new(unhex("feffe9928665731c6d6a8f9467308308")),
        mac_key: Zeroizing::default(),
    };
    let (key, mut nonce) = primitive::gcm(Cipher::Aes128Gcm, &keys).unwrap();
    let mut data = unhex(concat!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    ));
    let aad = aws_lc_rs::aead::Aad::from(unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
    let tag = key
        .seal_in_place_separate_tag(nonce.next(), aad, &mut data)
        .unwrap();
    assert_eq!(data[..16], unhex("42831ec2217774244b7221b784d0d49c"));
    assert_eq!(tag.as_ref(), unhex("5bc94fbc3221a5db94fae95ae7121a47"));
    assert_eq!(
        nonce.next().as_ref()[..],
        unhex("cafebabefacedbaddecaf889"),
        "counts"
    );
}

#[test]
fn every_length_comes_back_under_every_cipher() {
    for (cipher, mac) in combinations() {
        let (mut sealer, mut opener) = pair(cipher, mac);
        for (seq, len) in (0u32..).zip((1..100).chain([4095, 4096, 32_768, MAX_PACKET - 64])) {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut wire = sealed(&mut sealer, seq, &payload);
            let frame = opener.frame_len(seq, &mut wire).unwrap();
            assert_eq!(frame, Some(wire.len()), "{cipher:?} {mac:?} {len}");
            let place = opener.open(seq, &mut wire).unwrap();
            assert!(wire[place] == payload, "{cipher:?} {mac:?} {len}");
        }
    }
}

#[test]
fn clear_packets_come_back() {
    let mut wire = sealed(&mut Sealer::clear(), 0, b"\x15");
    assert_eq!(wire.len(), 16);
    assert_eq!(Opener::clear().open(0, &mut wire).unwrap(), 5..6);
}

#[test]
fn frame_len_may_be_asked_byte_by_byte() {
    for (cipher, mac) in combinations() {
        let (mut sealer, mut opener) = pair(cipher, mac);
        for seq in 0..3 {
            let wire = sealed(
                &mut sealer,
                seq,
                b"some payload of a few blocks, more than two",
            );
            let mut buffered = Vec::new();
            for (have, byte) in wire.iter().enumerate() {
                let told = opener.frame_len(seq, &mut buffered).unwrap();
                let needed = if mac.is_some_and(|mac| !mac.is_etm()) {
                    16
                } else {
                    4
                };
                assert_eq!(
                    told,
                    (have >= needed).then_some(wire.len()),
                    "{cipher:?} {mac:?}"
                );
                buffered.push(*byte);
            }
            let place = opener.open(seq, &mut buffered).unwrap();
            assert_eq!(
                buffered[place],
                *b"some payload of a few blocks, more than two"
            );
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for (cipher, mac) in combinations() {
        let whole = sealed(&mut pair(cipher, mac).0, 7, b"\x5e\0\0\0\0 data");
        for bit in 0..whole.len() * 8 {
            let mut wire = whole.clone();
            wire[bit / 8] ^= 1 << (bit % 8);
            let mut opener = pair(cipher, mac).1;
            let told = opener.frame_len(7, &mut wire);
            let refused = told.is_err() || told == Ok(None) || told.unwrap().unwrap() > wire.len();
            assert!(
                refused || opener.open(7, &mut wire).is_err(),
                "{cipher:?} {mac:?} bit {bit}"
            );
        }
    }
}

#[test]
fn a_replayed_skipped_or_cut_packet_is_refused() {
    for (cipher, mac) in combinations() {
        let mut sealer = pair(cipher, mac).0;
        let first = sealed(&mut sealer, 0, b"\x5e first");
        let second = sealed(&mut sealer, 1, b"\x5e second");
        let mut opener = pair(cipher, mac).1;
        opener.open(0, &mut first.clone()).unwrap();
        assert!(
            opener.open(1, &mut first.clone()).is_err(),
            "{cipher:?} {mac:?}: replay"
        );
        let mut opener = pair(cipher, mac).1;
        assert!(
            opener.open(0, &mut second.clone()).is_err(),
            "{cipher:?} {mac:?}: skip"
        );
        let mut opener = pair(cipher, mac).1;
        let cut = first.len() - 1;
        assert!(
            opener.open(0, &mut first.clone()[..cut]).is_err(),
            "{cipher:?} {mac:?}: cut"
        );
        assert!(
            opener.open(0, &mut first.clone()).is_err(),
            "an error is for good"
        );
    }
}

/// A clear frame that says `length` and `padding`.
fn liar(length: u32, padding: u8) -> Vec<u8> {
    let mut wire = length.to_be_bytes().to_vec();
    wire.push(padding);
    wire.resize(64, 0);
    wire
}

#[test]
fn lies_about_lengths_are_refused_before_anything_waits() {
    let too_long = MAX_PACKET as u32 + 4;
    for length in [
        0,
        1,
        3,
        4,
        5,
        11,
        13,
        27,
        29,
        too_long,
        1 << 31,
        u32::MAX - 3,
        u32::MAX,
    ] {
        let told = Opener::clear().frame_len(0, &mut liar(length, 4));
        assert_eq!(told, Err(CipherError::Length(length)));
    }
    for length in [12, 16, 28, MAX_PACKET as u32] {
        let told = pair(Cipher::Aes128Gcm, None)
            .1
            .frame_len(0, &mut liar(length, 4));
        assert_eq!(told.is_ok(), length % 16 == 0, "{length}");
    }
    let mut opener = Opener::clear();
    opener.limit_packet(1000);
    assert_eq!(
        opener.frame_len(0, &mut liar(1004, 4)),
        Err(CipherError::Length(1004))
    );
}

#[test]
fn lies_about_padding_are_refused() {
    for (padding, place) in [(4, Some(5..12)), (10, Some(5..6))] {
        assert_eq!(
            Opener::clear().open(0, &mut liar(12, padding)[..16]).ok(),
            place
        );
    }
    for padding in [0, 3, 11, 12, 13, 255] {
        let refused = Opener::clear().open(0, &mut liar(12, padding)[..16]);
        assert_eq!(refused, Err(CipherError::Padding(padding)));
    }
}

#[test]
fn wrong_keys_are_an_error() {
    for (cipher, mac) in combinations() {
        let good = keys(cipher, mac);
        let short = KeyBlock {
            iv: good.iv.clone(),
            key: Zeroizing::new(vec![0; 5]),
            mac_key: good.mac_key.clone(),
        };
        assert!(
            Sealer::new(cipher, mac, &short).is_err() && Opener::new(cipher, mac, &short).is_err()
        );
        if cipher.iv_len() > 0 {
            let short = KeyBlock {
                iv: Zeroizing::default(),
                key: good.key.clone(),
                mac_key: good.mac_key.clone(),
            };
            assert!(
                Sealer::new(cipher, mac, &short).is_err()
                    && Opener::new(cipher, mac, &short).is_err()
            );
        }
        if !cipher.is_aead() {
            let bare = KeyBlock {
                iv: good.iv.clone(),
                key: good.key.clone(),
                mac_key: Zeroizing::default(),
            };
            assert!(
                Sealer::new(cipher, mac, &bare).is_err()
                    && Opener::new(cipher, None, &good).is_err()
            );
        }
    }
}

#[test]
fn payloads_that_fit_no_packet_leave_the_output_alone() {
    let (mut sealer, _) = pair(Cipher::Aes128Gcm, None);
    let mut out = b"kept".to_vec();
    for payload in [vec![], vec![0; MAX_PACKET]] {
        let refused = sealer.seal(0, &payload, &mut Counting(0), &mut out);
        assert_eq!(
            (refused, &out[..]),
            (Err(CipherError::Payload(payload.len())), &b"kept"[..])
        );
    }
}

#[test]
fn a_packet_is_sealed_where_it_was_opened() {
    for (cipher, mac) in combinations() {
        let (mut from, mut opener) = pair(cipher, mac);
        let (mut sealer, mut to) = pair(cipher, mac);
        for seq in 0..3 {
            let mut wire = b"..".to_vec();
            from.seal(seq, b"\x5e relayed", &mut Counting(0), &mut wire)
                .unwrap();
            let end = wire.len();
            let place = opener.open(seq, &mut wire[2..]).unwrap();
            let payload = place.start + 2..place.end + 2;
            let again = sealer
                .seal_within(seq, &mut wire, payload, &mut Counting(9))
                .unwrap();
            assert_eq!(again, Some(2..end), "{cipher:?} {mac:?}");
            let place = to.open(seq, &mut wire[2..]).unwrap();
            assert_eq!(wire[2..][place], *b"\x5e relayed");
        }
        let mut tight = *b"no room";
        assert_eq!(
            sealer.seal_within(3, &mut tight, 0..7, &mut Counting(0)),
            Ok(None)
        );
        assert_eq!(
            sealer.seal_within(3, &mut tight, 5..7, &mut Counting(0)),
            Ok(None)
        );
        assert_eq!(&tight, b"no room");
    }
}

proptest! {
    #[test]
    fn opening_noise_neither_panics_nor_succeeds(seq: u32, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (cipher, mac) in combinations() {
            let mut opener = pair(cipher, mac).1;
            let mut wire = noise.clone();
            if let Ok(Some(len)) = opener.frame_len(seq, &mut wire) {
                prop_assert!(len <= MAX_PACKET + 100);
            }
            prop_assert!(opener.open(seq, &mut wire).is_err());
        }
        let mut wire = noise.clone();
        if let Ok(place) = Opener::clear().open(seq, &mut wire) {
            prop_assert!(place.end <= wire.len());
        }
    }
}
