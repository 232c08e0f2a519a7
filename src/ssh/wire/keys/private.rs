//! Private keys: host keys, certificate authorities, keys minted for one login.
//!
//! The file format is ssh-key's, the mathematics is aws-lc's, and both hold the key: one to write it back, the other to
//! sign. Both are checked against the public half when the key is read.

use super::super::Entropy;
use super::blob::{put_string, put_unsigned, shown};
use super::short_number::at_full_length;
use super::{KeyError, RSA_BITS, SigAlg, fingerprint};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaPublicKeyComponents};
use num_bigint::BigUint;
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, Ed25519PrivateKey, KeypairData, RsaKeypair};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{LineEnding, PublicKey};
use zeroize::Zeroizing;

/// A private key that can sign. Wiped on drop as far as the libraries do; never printed: no `Debug`.
pub struct PrivateKey {
    signer: Signer,
    file: KeypairData,
    public: Vec<u8>,
    algorithms: &'static [SigAlg],
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl PrivateKey {
    /// Reads an unencrypted OpenSSH private key (`-----BEGIN OPENSSH PRIVATE KEY-----`): ed25519, ecdsa, or rsa of 2048
    /// to 8192 bits.
    ///
    /// # Errors
    /// [`KeyError::Encrypted`], [`KeyError::Unsupported`], [`KeyError::RsaSize`], or [`KeyError::Malformed`] for
    /// everything else, an inconsistent key included.
    pub fn from_openssh(pem: &str) -> Result<Self, KeyError> {
        if !pem.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            return Err(KeyError::Malformed(
                "private key: it is not in OpenSSH's format (ssh-keygen -p converts it)",
            ));
        }
        let parsed = ssh_key::PrivateKey::from_openssh(pem).or_else(|error| {
            let whole = at_full_length(pem).ok_or(error)?;
            ssh_key::PrivateKey::from_bytes(&whole)
        });
        let parsed = parsed.map_err(|error| match error {
            ssh_key::Error::AlgorithmUnknown => KeyError::Unsupported("of this file".to_owned()),
            _ => KeyError::Malformed("private key file"),
        })?;
        Self::from_file(parsed.key_data().clone())
    }

    /// A fresh ed25519 key.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn generate_ed25519(entropy: &mut dyn Entropy) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut_slice());
        let signer =
            Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| KeyError::Library)?;
        let public = Ed25519PublicKey::try_from(signer.public_key().as_ref())
            .map_err(|_| KeyError::Library)?;
        let private = Ed25519PrivateKey::from_bytes(&seed);
        Self::new(
            Signer::Ed25519(signer),
            KeypairData::Ed25519(Ed25519Keypair { public, private }),
        )
    }

    /// The key as an unencrypted OpenSSH private key file.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn to_openssh(&self, comment: &str) -> Result<Zeroizing<String>, KeyError> {
        let file = ssh_key::PrivateKey::new(self.file.clone(), comment);
        file.and_then(|file| file.to_openssh(LineEnding::LF))
            .map_err(|_| KeyError::Library)
    }

    /// The public key as one line of an `authorized_keys` or `.pub` file, without line end.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn public_line(&self, comment: &str) -> Result<String, KeyError> {
        let mut public = PublicKey::from_bytes(&self.public).map_err(|_| KeyError::Library)?;
        public.set_comment(comment);
        public.to_openssh().map_err(|_| KeyError::Library)
    }

    /// The public key as SSH encodes it.
    #[must_use]
    pub fn public_blob(&self) -> &[u8] {
        &self.public
    }

    /// See [`fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.public)
    }

    /// The algorithms this key can sign with, best first; never empty.
    #[must_use]
    pub const fn algorithms(&self) -> &'static [SigAlg] {
        self.algorithms
    }

    /// Signs. Returns the signature blob: string algorithm, string signature.
    ///
    /// ECDSA draws its nonce from the library's own generator, which takes no other; the rest is deterministic.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`] if `alg` is none of [`Self::algorithms`]; [`KeyError::Library`].
    pub fn sign(&self, alg: SigAlg, data: &[u8]) -> Result<Vec<u8>, KeyError> {
        if !self.algorithms.contains(&alg) {
            return Err(KeyError::Algorithm(alg.name().to_owned()));
        }
        let inner = match &self.signer {
            Signer::Ed25519(key) => key
                .try_sign(data)
                .map_err(|_| KeyError::Library)?
                .as_ref()
                .to_vec(),
            Signer::Ecdsa(key) => {
                let fixed = key
                    .sign(&SystemRandom::new(), data)
                    .map_err(|_| KeyError::Library)?;
                let (r, s) = fixed.as_ref().split_at(fixed.as_ref().len() / 2);
                let mut numbers = Vec::with_capacity(fixed.as_ref().len() + 10);
                put_unsigned(&mut numbers, r);
                put_unsigned(&mut numbers, s);
                numbers
            }
            Signer::Rsa(key) => {
                let scheme = match alg {
                    SigAlg::RsaSha256 => &signature::RSA_PKCS1_SHA256,
                    _ => &signature::RSA_PKCS1_SHA512,
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(scheme, &SystemRandom::new(), data, &mut signed)
                    .map_err(|_| KeyError::Library)?;
                signed
            }
        };
        let mut blob = Vec::with_capacity(inner.len() + 40);
        put_string(&mut blob, alg.name().as_bytes());
        put_string(&mut blob, &inner);
        Ok(blob)
    }

    fn from_file(file: KeypairData) -> Result<Self, KeyError> {
        let signer = match &file {
            KeypairData::Encrypted(_) => return Err(KeyError::Encrypted),
            KeypairData::Ed25519(key) => {
                let seed = Zeroizing::new(key.private.to_bytes());
                let pair = Ed25519KeyPair::from_seed_and_public_key(seed.as_slice(), &key.public.0);
                Signer::Ed25519(pair.map_err(|_| INCONSISTENT)?)
            }
            KeypairData::Ecdsa(key) => {
                let algorithm = match key {
                    EcdsaKeypair::NistP256 { .. } => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                    EcdsaKeypair::NistP384 { .. } => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                    EcdsaKeypair::NistP521 { .. } => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
                };
                let (private, public) = (key.private_key_bytes(), key.public_key_bytes());
                let pair =
                    EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public);
                Signer::Ecdsa(pair.map_err(|_| INCONSISTENT)?)
            }
            KeypairData::Rsa(key) => Signer::Rsa(Box::new(rsa(key)?)),
            other => {
                let name = other
                    .algorithm()
                    .map_or_else(|_| String::new(), |alg| shown(alg.as_str().as_bytes()));
                return Err(KeyError::Unsupported(name));
            }
        };
        Self::new(signer, file)
    }

    fn new(signer: Signer, file: KeypairData) -> Result<Self, KeyError> {
        let key = KeyData::try_from(&file).map_err(|_| KeyError::Library)?;
        let algorithms = SigAlg::for_key_type(key.algorithm().as_str());
        let public = PublicKey::from(key)
            .to_bytes()
            .map_err(|_| KeyError::Library)?;
        Ok(Self {
            signer,
            file,
            public,
            algorithms,
        })
    }
}

const INCONSISTENT: KeyError =
    KeyError::Malformed("private key: its halves do not belong together");

/// OpenSSH's file leaves out d mod p-1 and d mod q-1, which the library wants and checks.
fn rsa(key: &RsaKeypair) -> Result<RsaKeyPair, KeyError> {
    let parts = (
        key.public.n.as_positive_bytes(),
        key.public.e.as_positive_bytes(),
        key.private.d.as_positive_bytes(),
        key.private.p.as_positive_bytes(),
        key.private.q.as_positive_bytes(),
        key.private.iqmp.as_positive_bytes(),
    );
    let (Some(n), Some(e), Some(d), Some(p), Some(q), Some(inverse)) = parts else {
        return Err(INCONSISTENT);
    };
    let bits = n
        .first()
        .map_or(0, |top| n.len() * 8 - top.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    let (d_p, d_q) = (reduced(d, p)?, reduced(d, q)?);
    let components = KeyPairComponents {
        public_key: RsaPublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: d_p.as_slice(),
        dQ: d_q.as_slice(),
        qInv: inverse,
    };
    RsaKeyPair::from_components(&components).map_err(|_| INCONSISTENT)
}

/// `d mod (prime - 1)`. The big integers in between are not wiped: num-bigint cannot, and a key is read once.
fn reduced(d: &[u8], prime: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let prime = BigUint::from_bytes_be(prime);
    if prime < BigUint::from(3u8) {
        return Err(INCONSISTENT);
    }
    Ok(Zeroizing::new(
        (BigUint::from_bytes_be(d) % (prime - 1u8)).to_bytes_be(),
    ))
}
