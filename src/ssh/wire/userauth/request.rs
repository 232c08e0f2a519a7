//! What a client asks: USERAUTH_REQUEST (RFC 4252 section 5) and USERAUTH_INFO_RESPONSE (RFC 4256 section 3.4).

use super::{LONGEST_BLOB, LONGEST_NAME, LONGEST_SECRET, LONGEST_USER, MOST_PROMPTS, Secret};
use crate::ssh::wire::message::{Malformed, Reader, number};

/// One attempt of a client to log in. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRequest {
    pub user: String,
    /// The service wanted after success: `ssh-connection`.
    pub service: String,
    pub method: Method,
}

/// The method of an attempt, with its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    None,
    PublicKey {
        /// The signature algorithm, or the certificate algorithm that implies one.
        algorithm: String,
        /// A public key or a certificate (RFC 4253 section 6.6, OpenSSH PROTOCOL.certkeys).
        key_blob: Vec<u8>,
        /// `None`: the client only asks whether this key would do.
        signature: Option<Vec<u8>>,
    },
    Password {
        password: Secret,
        /// Present when the client changes an expired password (RFC 4252 section 8).
        new_password: Option<Secret>,
    },
    KeyboardInteractive {
        submethods: String,
    },
    /// A method we do not speak; its name.
    Other(String),
}

impl AuthRequest {
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::of(payload, number::USERAUTH_REQUEST)?;
        let user = reader.text(LONGEST_USER)?.to_owned();
        let service = reader.text(LONGEST_NAME)?.to_owned();
        let method = match reader.text(LONGEST_NAME)? {
            // RFC 4252 section 5.2 gives "none" no fields; what a client appends all the same is not read.
            "none" => Method::None,
            "publickey" => public_key(reader)?,
            "password" => password(reader)?,
            "keyboard-interactive" => {
                let _language = reader.string(LONGEST_NAME)?;
                let submethods = reader.text(LONGEST_SECRET)?.to_owned();
                reader.finish()?;
                Method::KeyboardInteractive { submethods }
            }
            other => Method::Other(other.to_owned()),
        };
        Ok(Self {
            user,
            service,
            method,
        })
    }
}

fn public_key(mut reader: Reader<'_>) -> Result<Method, Malformed> {
    let signed = reader.boolean()?;
    let algorithm = reader.text(LONGEST_NAME)?.to_owned();
    let key_blob = reader.string(LONGEST_BLOB)?.to_vec();
    let signature = if signed {
        Some(reader.string(LONGEST_BLOB)?.to_vec())
    } else {
        None
    };
    reader.finish()?;
    Ok(Method::PublicKey {
        algorithm,
        key_blob,
        signature,
    })
}

fn password(mut reader: Reader<'_>) -> Result<Method, Malformed> {
    let change = reader.boolean()?;
    let password = Secret::new(reader.string(LONGEST_SECRET)?);
    let new_password = if change {
        Some(Secret::new(reader.string(LONGEST_SECRET)?))
    } else {
        None
    };
    reader.finish()?;
    Ok(Method::Password {
        password,
        new_password,
    })
}

/// The answers of one keyboard-interactive round, in the order of the prompts. The caller checks that there are as many
/// as it asked for.
pub fn parse_info_response(payload: &[u8]) -> Result<Vec<Secret>, Malformed> {
    let mut reader = Reader::of(payload, number::USERAUTH_INFO_RESPONSE)?;
    let count = usize::try_from(reader.u32()?).map_err(|_| Malformed::TooMany)?;
    if count > MOST_PROMPTS {
        return Err(Malformed::TooMany);
    }
    let answers = (0..count)
        .map(|_| reader.string(LONGEST_SECRET).map(Secret::new))
        .collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(answers)
}
