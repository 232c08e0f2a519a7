//! What a client sends (RFC 4252 sections 5.2, 7, 8; RFC 4256 section 3.1). The service asked for is always
//! `ssh-connection`. Messages that hold secrets come back in a wrapper that wipes them.

use zeroize::Zeroizing;

use super::{LONGEST_SECRET, Secret};
use crate::ssh::wire::keys::{KeyError, PrivateKey, SigAlg};
use crate::ssh::wire::message::{SERVICE_CONNECTION, Writer, number};

/// Room for everything in a message that is not a secret.
const ENVELOPE: usize = 512;

fn request(user: &str, method: &str, secrets: usize) -> Writer {
    let capacity = ENVELOPE + user.len() + secrets;
    Writer::with_capacity(number::USERAUTH_REQUEST, capacity)
        .string(user)
        .string(SERVICE_CONNECTION)
        .string(method)
}

/// Asks which methods there are.
pub fn none_request(user: &str) -> Vec<u8> {
    request(user, "none", 0).finish()
}

/// Logs in with `key` by `algorithm`. `certificate`: the blob to present instead of the plain key; it must certify
/// `key`. `session_id` binds the signature to this connection.
pub fn publickey_request(
    session_id: &[u8],
    user: &str,
    key: &PrivateKey,
    certificate: Option<&[u8]>,
    algorithm: SigAlg,
) -> Result<Vec<u8>, KeyError> {
    let (name, blob) = match certificate {
        Some(blob) => (algorithm.certificate_name(), blob),
        None => (algorithm.name(), key.public_blob()),
    };
    let unsigned = request(user, "publickey", 0)
        .boolean(true)
        .string(name)
        .string(blob)
        .finish();
    let signed = Writer::bare().string(session_id).raw(&unsigned).finish();
    let signature = key.sign(algorithm, &signed)?;
    let length = u32::try_from(signature.len()).unwrap_or(u32::MAX);
    Ok([&unsigned[..], &length.to_be_bytes(), &signature].concat())
}

/// Logs in with a password.
pub fn password_request(user: &str, password: &Secret) -> Zeroizing<Vec<u8>> {
    let message = request(
        user,
        "password",
        LONGEST_SECRET.max(password.expose().len()),
    );
    Zeroizing::new(message.boolean(false).string(password.expose()).finish())
}

/// Replaces an expired password by a new one.
pub fn password_change_request(user: &str, old: &Secret, new: &Secret) -> Zeroizing<Vec<u8>> {
    let secrets = old.expose().len() + new.expose().len();
    let message = request(user, "password", secrets).boolean(true);
    Zeroizing::new(message.string(old.expose()).string(new.expose()).finish())
}

/// Begins a keyboard-interactive login; `submethods` may be empty.
pub fn keyboard_interactive_request(user: &str, submethods: &str) -> Vec<u8> {
    request(user, "keyboard-interactive", 0)
        .string("")
        .string(submethods)
        .finish()
}

/// Answers one keyboard-interactive round, one answer a prompt, in order.
pub fn info_response(answers: &[Secret]) -> Zeroizing<Vec<u8>> {
    let secrets: usize = answers.iter().map(|answer| answer.expose().len() + 4).sum();
    let count = u32::try_from(answers.len()).unwrap_or(u32::MAX);
    let header =
        Writer::with_capacity(number::USERAUTH_INFO_RESPONSE, ENVELOPE + secrets).u32(count);
    let message = answers
        .iter()
        .fold(header, |message, answer| message.string(answer.expose()));
    Zeroizing::new(message.finish())
}
