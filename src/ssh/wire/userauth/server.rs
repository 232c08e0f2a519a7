//! What a server says: the replies to USERAUTH_REQUEST (RFC 4252 sections 5.1, 5.4, 7, 8; RFC 4256 section 3.2).

use super::Prompt;
use crate::ssh::wire::message::{Writer, number};

/// USERAUTH_FAILURE: the methods that can go on, and whether this attempt counted as one of several steps.
pub fn failure(methods: &[&str], partial_success: bool) -> Vec<u8> {
    Writer::new(number::USERAUTH_FAILURE)
        .name_list(methods)
        .boolean(partial_success)
        .finish()
}

/// USERAUTH_SUCCESS.
pub fn success() -> Vec<u8> {
    Writer::new(number::USERAUTH_SUCCESS).finish()
}

/// USERAUTH_BANNER: text the person sees before the login ends. Lines end in CR LF or LF.
pub fn banner(text: &str) -> Vec<u8> {
    Writer::new(number::USERAUTH_BANNER)
        .string(text)
        .string("")
        .finish()
}

/// USERAUTH_PK_OK: this key would do, now sign with it.
pub fn pk_ok(algorithm: &str, key_blob: &[u8]) -> Vec<u8> {
    Writer::new(number::USERAUTH_60)
        .string(algorithm)
        .string(key_blob)
        .finish()
}

/// USERAUTH_PASSWD_CHANGEREQ: the password has expired.
pub fn password_change_prompt(prompt: &str) -> Vec<u8> {
    Writer::new(number::USERAUTH_60)
        .string(prompt)
        .string("")
        .finish()
}

/// USERAUTH_INFO_REQUEST: one keyboard-interactive round; `prompts` may be empty.
pub fn info_request(name: &str, instruction: &str, prompts: &[Prompt]) -> Vec<u8> {
    let count = u32::try_from(prompts.len()).unwrap_or(u32::MAX);
    let header = Writer::new(number::USERAUTH_60)
        .string(name)
        .string(instruction)
        .string("")
        .u32(count);
    prompts
        .iter()
        .fold(header, |message, prompt| {
            message.string(&prompt.text).boolean(prompt.echo)
        })
        .finish()
}
