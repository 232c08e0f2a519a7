//! Private key files: the gate's host keys and its authority's, which an operator may have damaged.

use poolgate::ssh::wire::keys::{PrivateKey, verify};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(key) = PrivateKey::from_openssh(text) else {
        return;
    };
    for algorithm in key.algorithms() {
        // A file whose halves do not belong together must be refused, not signed with.
        if let Ok(signature) = key.sign(*algorithm, b"data") {
            let verdict = verify(key.public_blob(), *algorithm, b"data", &signature);
            assert_eq!(verdict, Ok(()), "the public half is another key's");
        }
    }
}
