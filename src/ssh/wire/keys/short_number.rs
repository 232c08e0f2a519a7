//! ECDSA private keys whose number begins with zeros: OpenSSH leaves those out, ssh-key 0.6 cannot read such a file.
//!
//! One P-521 key in four is like this, and one in 512 of the other curves. Here the number is written at full length;
//! whether the file is sound remains the library's to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::blob::{Cursor, put_string};

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The private part is padded to a multiple of this.
const BLOCK: usize = 8;

/// The same file in binary form with the number at full length; `None` if it is not a file of this kind.
pub(super) fn at_full_length(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let file = decoded(pem)?;
    let mut outer = Cursor::new(file.strip_prefix(MAGIC)?, "private key file");
    let [cipher, kdf, options] = [outer.string(), outer.string(), outer.string()];
    let is_plain = cipher.ok()? == b"none" && kdf.ok()? == b"none" && options.ok()?.is_empty();
    if !is_plain || outer.u32().ok()? != 1 {
        return None;
    }
    let public = outer.string().ok()?;
    let private = with_full_number(outer.string().ok()?)?;
    outer.finish().ok()?;
    let mut whole = Zeroizing::new(Vec::with_capacity(file.len() + private.len()));
    whole.extend_from_slice(MAGIC);
    for field in [&b"none"[..], b"none", b""] {
        put_string(&mut whole, field);
    }
    whole.extend_from_slice(&1u32.to_be_bytes());
    put_string(&mut whole, public);
    put_string(&mut whole, &private);
    Some(whole)
}

fn with_full_number(private: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut cursor = Cursor::new(private, "private key");
    let checks = cursor.u64().ok()?;
    let [kind, curve, point, number, comment] = [(); 5].map(|()| cursor.string());
    let (curve, number) = (curve.ok()?, number.ok()?);
    let full = match curve {
        b"nistp256" => 32,
        b"nistp384" => 48,
        b"nistp521" => 66,
        _ => return None,
    };
    let zeros = usize::checked_sub(full, number.len()).filter(|zeros| *zeros > 0)?;
    let mut padded = Zeroizing::new(Vec::with_capacity(full));
    padded.resize(zeros, 0);
    padded.extend_from_slice(number);
    // Never moved as it grows: what is left behind would not be wiped.
    let mut whole = Zeroizing::new(Vec::with_capacity(private.len() + zeros + BLOCK));
    whole.extend_from_slice(&checks.to_be_bytes());
    for field in [kind.ok()?, curve, point.ok()?, &padded, comment.ok()?] {
        put_string(&mut whole, field);
    }
    for byte in 1..=7u8 {
        if whole.len().is_multiple_of(BLOCK) {
            break;
        }
        whole.push(byte);
    }
    Some(whole)
}

fn decoded(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lines = pem.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut text = Zeroizing::new(String::with_capacity(pem.len()));
    for line in lines.filter(|line| !line.starts_with("-----")) {
        text.push_str(line);
    }
    STANDARD.decode(text.as_bytes()).ok().map(Zeroizing::new)
}
