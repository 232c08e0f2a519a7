//! Keys on security keys (FIDO), whose signatures say whether somebody touched them. No hardware: the tests sign as the
//! hardware would (OpenSSH PROTOCOL.u2f).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const APPLICATION: &str = "ssh:";
const TOUCHED: u8 = 1;
const VERIFIED: u8 = 4;
const COUNTER: u32 = 7;

enum SecurityKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl SecurityKey {
    fn both() -> [Self; 2] {
        let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        [
            Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Self::Ecdsa(ecdsa),
        ]
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Self::Ecdsa(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn blob(&self) -> Vec<u8> {
        let blob = Writer::bare().string(self.algorithm());
        let blob = match self {
            Self::Ed25519(key) => blob.string(key.public_key()),
            Self::Ecdsa(key) => blob.string("nistp256").string(key.public_key()),
        };
        blob.string(APPLICATION).finish()
    }

    fn line(&self, options: &str) -> String {
        format!(
            "{options} {} {}\n",
            self.algorithm(),
            STANDARD.encode(self.blob())
        )
    }

    fn sign(&self, data: &[u8], flags: u8) -> Vec<u8> {
        let signed = Writer::bare()
            .raw(digest(&SHA256, APPLICATION.as_bytes()).as_ref())
            .byte(flags)
            .u32(COUNTER)
            .raw(digest(&SHA256, data).as_ref())
            .finish();
        let inner = match self {
            Self::Ed25519(key) => key.sign(&signed).as_ref().to_vec(),
            Self::Ecdsa(key) => {
                let halves = key.sign(&SystemRandom::new(), &signed).unwrap();
                let (r, s) = halves.as_ref().split_at(32);
                Writer::bare().string(mpint(r)).string(mpint(s)).finish()
            }
        };
        let signature = Writer::bare().string(self.algorithm()).string(inner);
        signature.byte(flags).u32(COUNTER).finish()
    }

    /// A login of alice on this connection.
    fn request(&self, client: &Leg, flags: u8) -> Vec<u8> {
        let unsigned = Writer::new(number::USERAUTH_REQUEST)
            .string("alice")
            .string(message::SERVICE_CONNECTION)
            .string("publickey")
            .boolean(true)
            .string(self.algorithm())
            .string(self.blob())
            .finish();
        let session = client.transport.session_id().unwrap();
        let data = Writer::bare().string(session).raw(&unsigned).finish();
        let signature = self.sign(&data, flags);
        Writer::bare().raw(&unsigned).string(signature).finish()
    }
}

fn mpint(digits: &[u8]) -> Vec<u8> {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = &digits[zeros..];
    match digits.first() {
        Some(first) if *first >= 0x80 => [&[0], digits].concat(),
        _ => digits.to_vec(),
    }
}

/// CVE-2026-39831 of another library: a signature that nobody touched the key for.
#[tokio::test]
async fn cve_2026_39831_a_security_key_must_have_been_touched() {
    for key in SecurityKey::both() {
        for (options, flags, is_proof) in [
            ("", TOUCHED, true),
            ("", 0, false),
            ("", VERIFIED, false),
            ("no-touch-required", 0, true),
            ("verify-required", TOUCHED, false),
            ("verify-required", TOUCHED | VERIFIED, true),
            ("no-touch-required,verify-required", VERIFIED, true),
        ] {
            let scene = Scene::new(vec![userauth::success()]).await;
            fs::write(scene.keys.path("homes/alice/keys"), key.line(options)).unwrap();
            let mut client = scene.client().await;
            client.send(&key.request(&client, flags)).await.unwrap();
            let answer = client.next().await.unwrap();
            let case = format!("{} {options:?} {flags}", key.algorithm());
            let expected = match is_proof {
                true => number::USERAUTH_SUCCESS,
                false => number::USERAUTH_FAILURE,
            };
            assert_eq!(answer[0], expected, "{case}");
            assert_eq!(scene.requests(), usize::from(is_proof), "{case}");
        }
    }
}
