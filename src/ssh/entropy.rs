//! The engine's random bytes, from the crypto library's own generator, a block at a time.
//!
//! Paddings ask for a few bytes with every packet; a system call or a generator call for each would be felt.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroize;

use super::wire::Entropy;

const BLOCK: usize = 256;

/// A small store of random bytes that refills itself; each byte is given out once.
pub struct SystemEntropy {
    block: [u8; BLOCK],
    used: usize,
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self {
            block: [0; BLOCK],
            used: BLOCK,
        }
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == BLOCK {
                self.refill();
            }
            if let Some(random) = self.block.get_mut(self.used) {
                *byte = std::mem::take(random);
            }
            self.used += 1;
        }
    }
}

impl SystemEntropy {
    fn refill(&mut self) {
        // The generator has no way to fail after its first use; if it ever did, going on would mean guessable keys.
        if SystemRandom::new().fill(&mut self.block).is_err() {
            std::process::abort();
        }
        self.used = 0;
    }
}

impl Drop for SystemEntropy {
    fn drop(&mut self) {
        self.block.zeroize();
    }
}
