//! What a server answered, as a client reads it.

use super::{LONGEST_BANNER, LONGEST_BLOB, LONGEST_NAME, LONGEST_TEXT, MOST_PROMPTS};
use crate::ssh::wire::message::{Malformed, Reader, number};

/// The method the client has in progress: it decides what message 60 means (RFC 4252 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InProgress {
    None,
    PublicKey,
    Password,
    KeyboardInteractive,
}

/// One reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthReply {
    Success,
    Failure {
        /// The methods that can go on.
        methods: Vec<String>,
        /// The attempt counted, but another method must follow.
        partial: bool,
    },
    /// Text for the person; any number of them may come before the verdict.
    Banner(String),
    /// The offered key would do.
    PkOk {
        algorithm: String,
        key_blob: Vec<u8>,
    },
    /// The password has expired; what to tell the person.
    PasswordChange {
        prompt: String,
    },
    InfoRequest(InfoRequest),
}

/// One keyboard-interactive round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoRequest {
    pub name: String,
    pub instruction: String,
    /// May be empty; the round is answered all the same.
    pub prompts: Vec<Prompt>,
}

/// One question of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

impl AuthReply {
    pub fn parse(payload: &[u8], in_progress: InProgress) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let reply = match (reader.byte()?, in_progress) {
            (number::USERAUTH_SUCCESS, _) => Self::Success,
            (number::USERAUTH_FAILURE, _) => {
                let names = reader.name_list(LONGEST_TEXT)?.split(',');
                let methods = names
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect();
                Self::Failure {
                    methods,
                    partial: reader.boolean()?,
                }
            }
            (number::USERAUTH_BANNER, _) => {
                let text = text(&mut reader, LONGEST_BANNER)?;
                // Some servers leave the language out.
                return Ok(Self::Banner(text));
            }
            (number::USERAUTH_60, InProgress::PublicKey) => {
                let algorithm = reader.text(LONGEST_NAME)?.to_owned();
                Self::PkOk {
                    algorithm,
                    key_blob: reader.string(LONGEST_BLOB)?.to_vec(),
                }
            }
            (number::USERAUTH_60, InProgress::Password) => {
                let prompt = text(&mut reader, LONGEST_TEXT)?;
                let _language = reader.string(LONGEST_NAME)?;
                Self::PasswordChange { prompt }
            }
            (number::USERAUTH_60, InProgress::KeyboardInteractive) => info_request(&mut reader)?,
            (other, _) => return Err(Malformed::Number(other)),
        };
        reader.finish()?;
        Ok(reply)
    }
}

fn info_request(reader: &mut Reader<'_>) -> Result<AuthReply, Malformed> {
    let name = text(reader, LONGEST_TEXT)?;
    let instruction = text(reader, LONGEST_TEXT)?;
    let _language = reader.string(LONGEST_NAME)?;
    let count = usize::try_from(reader.u32()?).map_err(|_| Malformed::TooMany)?;
    if count > MOST_PROMPTS {
        return Err(Malformed::TooMany);
    }
    let prompts = (0..count)
        .map(|_| {
            Ok(Prompt {
                text: text(reader, LONGEST_TEXT)?,
                echo: reader.boolean()?,
            })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(AuthReply::InfoRequest(InfoRequest {
        name,
        instruction,
        prompts,
    }))
}

/// Text for people: what is not UTF-8 is replaced rather than refused. Still to be cleaned before it reaches a log.
fn text(reader: &mut Reader<'_>, longest: usize) -> Result<String, Malformed> {
    Ok(String::from_utf8_lossy(reader.string(longest)?).into_owned())
}
