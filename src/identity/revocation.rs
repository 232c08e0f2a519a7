//! Which keys and certificates are revoked: OpenSSH's key revocation list (`ssh-keygen -k`), or a plain list of public keys.
//!
//! Whatever is not understood makes the whole file useless and with it every key: a list that is half read lets in whom it
//! should keep out. Deliberately absent: reading the file, and what follows from a revocation.

mod krl;

use crate::ssh::wire::keys::Certificate;
use krl::Krl;

/// A parsed list.
#[derive(Debug)]
pub struct Revoked(Form);

#[derive(Debug)]
enum Form {
    Krl(Krl),
    Plain(Vec<Vec<u8>>),
}

impl Revoked {
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if Krl::is_one(bytes) {
            return Krl::parse(bytes)
                .map(|krl| Self(Form::Krl(krl)))
                .map_err(|why| format!("the revocation list is of no use: {why}"));
        }
        let mut keys = super::authorized_keys::parse_revoked_list(bytes)?;
        keys.sort_unstable();
        Ok(Self(Form::Plain(keys)))
    }

    /// Why this key must not log in: the key itself, its certificate, or the authority that signed it.
    pub fn reason(
        &self,
        key_blob: &[u8],
        certificate: Option<&Certificate>,
    ) -> Option<&'static str> {
        if self.lists(key_blob) {
            return Some("the key is revoked");
        }
        let certificate = certificate?;
        if self.lists(&certificate.ca_blob) {
            return Some("the authority of its certificate is revoked");
        }
        let is_revoked = match &self.0 {
            Form::Krl(krl) => krl.lists_certificate(certificate),
            Form::Plain(_) => false,
        };
        is_revoked.then_some("its certificate is revoked")
    }

    fn lists(&self, key_blob: &[u8]) -> bool {
        match &self.0 {
            Form::Krl(krl) => krl.lists_key(key_blob),
            Form::Plain(keys) => keys
                .binary_search_by(|key| key.as_slice().cmp(key_blob))
                .is_ok(),
        }
    }
}

#[cfg(test)]
mod tests;
