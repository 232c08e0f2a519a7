//! Host keys of both legs: the gate's own, and how an instance's is trusted - pinned at first use, listed in a
//! known_hosts file, or certified by an authority. Never accepted blindly.
//!
//! Judges keys only: that the peer holds the private half is the engine's to verify, before it asks here.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::key_file;
pub use super::key_file::KeyFileError;
use super::wire::keys::{PrivateKey, key_type};
use super::wire::negotiate::HostKeyAlgorithm;
use crate::config::InstanceHostKeys;
use crate::files::{FileFaults, Followed, Look};
use crate::pool::Instance;

pub mod authority;
mod error;
pub mod known_hosts;
mod lists;
mod pins;

pub use error::HostKeyError;

use authority::Authorities;
use known_hosts::KnownHosts;
pub(super) use lists::{parse_key, read_text};
use pins::Pins;

/// Loads the gate's own host keys, in the order they are named. The error is one line with its remedy.
pub fn load_host_keys(paths: &[PathBuf]) -> Result<Vec<PrivateKey>, KeyFileError> {
    let purpose = "ssh.host_keys";
    if paths.is_empty() {
        return Err(KeyFileError::NoneNamed { purpose });
    }
    let mut keys: Vec<PrivateKey> = Vec::new();
    for path in paths {
        let key = key_file::load(purpose, path)?;
        let twin = keys
            .iter()
            .position(|other| other.algorithms() == key.algorithms());
        if let Some(other) = twin.and_then(|index| paths.get(index)) {
            // Clients name a kind of key and never a key, so nobody would ever see the second.
            return Err(KeyFileError::SameKind {
                purpose,
                path: path.clone(),
                other: other.clone(),
            });
        }
        keys.push(key);
    }
    Ok(keys)
}

/// # Errors
/// Why this private key of the gate's, named by that key of the configuration, is of no use.
pub fn judge_key(key: &'static str, path: &Path) -> Result<(), KeyFileError> {
    key_file::load(key, path).map(drop)
}

/// # Errors
/// Why no instance could be trusted by it.
pub fn judge_source(source: &InstanceHostKeys) -> Result<(), HostKeyError> {
    match source {
        InstanceHostKeys::FirstUse => Ok(()),
        InstanceHostKeys::KnownHosts(path) => lists::load(path, KnownHosts::parse).map(drop),
        InstanceHostKeys::Ca(path) => lists::load(path, Authorities::parse).map(drop),
    }
}

/// Which host keys instances may show, by pool.
pub struct InstanceKeys {
    pools: BTreeMap<String, Trust>,
    /// Shared by all pools: names of instances are unique with their pool's.
    pins: Arc<Mutex<Pins>>,
}

enum Trust {
    FirstUse,
    KnownHosts(Arc<Followed<KnownHosts>>),
    Authority(Arc<Followed<Authorities>>),
}

impl InstanceKeys {
    /// `state_dir` keeps the pins of first use. Files that cannot be read or understood are an error at once; of one that is
    /// spoilt later what was read before stays in force, but for the pins, which then let nobody in until they are set right.
    pub fn load<'a>(
        state_dir: &Path,
        pools: impl IntoIterator<Item = (&'a str, &'a InstanceHostKeys)>,
        faults: &FileFaults,
    ) -> Result<Self, HostKeyError> {
        let pins = Arc::new(Mutex::new(Pins::open(state_dir)?));
        Self::with_pins(pins, pools, None, faults)
    }

    /// The same for other pools or sources, beside the ones of before: with their pins, and with what they hold of the same files.
    pub fn renew<'a>(
        &self,
        pools: impl IntoIterator<Item = (&'a str, &'a InstanceHostKeys)>,
        faults: &FileFaults,
    ) -> Result<Self, HostKeyError> {
        Self::with_pins(self.pins.clone(), pools, Some(self), faults)
    }

    fn with_pins<'a>(
        pins: Arc<Mutex<Pins>>,
        pools: impl IntoIterator<Item = (&'a str, &'a InstanceHostKeys)>,
        before: Option<&Self>,
        faults: &FileFaults,
    ) -> Result<Self, HostKeyError> {
        let mut trusts = BTreeMap::new();
        for (pool, source) in pools {
            let before = before.and_then(|before| before.pools.get(pool));
            let trust = match before.and_then(|before| before.of(source)) {
                Some(trust) => trust,
                None => {
                    Trust::load(pool, source, faults).map_err(|source| HostKeyError::Setting {
                        pool: pool.to_owned(),
                        source: Box::new(source),
                    })?
                }
            };
            trusts.insert(pool.to_owned(), trust);
        }
        Ok(Self {
            pools: trusts,
            pins,
        })
    }

    /// What is to be looked at from time to time.
    pub fn followed(&self) -> Vec<Arc<dyn Look>> {
        let followed = self.pools.values().filter_map(|trust| match trust {
            Trust::FirstUse => None,
            Trust::KnownHosts(file) => Some(file.clone() as Arc<dyn Look>),
            Trust::Authority(file) => Some(file.clone() as Arc<dyn Look>),
        });
        followed.collect()
    }

    /// Whether this instance may show this host key or certificate: `host_key_blob` is the `K_S` of the key exchange
    /// (RFC 4253 section 8) whose signature was verified with it. The first key of an instance that is pinned is written to
    /// disk before the answer.
    pub fn check(
        &self,
        instance: &Instance,
        host_key_blob: &[u8],
        now: SystemTime,
    ) -> Result<(), HostKeyError> {
        match self.trust(instance)? {
            Trust::FirstUse => self.pins().check(instance, host_key_blob),
            Trust::KnownHosts(file) => {
                let known = file.current();
                known.check(instance, host_key_blob, now, file.path())
            }
            Trust::Authority(file) => file.current().check(instance, host_key_blob, now),
        }
    }

    /// As `check`, but a first key is not pinned: `false` says that none is known yet.
    pub fn is_known(
        &self,
        instance: &Instance,
        host_key_blob: &[u8],
        now: SystemTime,
    ) -> Result<bool, HostKeyError> {
        let is_first = matches!(self.trust(instance)?, Trust::FirstUse)
            && self.pins().key_of(instance).is_none();
        if !is_first {
            self.check(instance, host_key_blob, now)?;
        }
        Ok(!is_first)
    }

    /// Host key algorithms for the exchange with this instance, best first. Those that `check` can accept come first;
    /// the rest follow, so that an instance with another kind of key is named as such and not as "no common algorithm".
    pub fn wanted_algorithms(&self, instance: &Instance) -> Vec<HostKeyAlgorithm> {
        let mut wanted = match self.trust(instance) {
            Ok(Trust::FirstUse) => {
                let pins = self.pins();
                pins.key_of(instance)
                    .map(plain_algorithms)
                    .unwrap_or_default()
            }
            Ok(Trust::KnownHosts(file)) => file.current().algorithms_of(instance),
            Ok(Trust::Authority(_)) => HostKeyAlgorithm::CERTIFIED.to_vec(),
            Err(_) => Vec::new(),
        };
        wanted.extend(HostKeyAlgorithm::PLAIN);
        let mut seen = HashSet::new();
        wanted.retain(|algorithm| seen.insert(algorithm.name()));
        wanted
    }

    fn pins(&self) -> MutexGuard<'_, Pins> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trust(&self, instance: &Instance) -> Result<&Trust, HostKeyError> {
        let pool = instance.id.pool.as_ref();
        self.pools
            .get(pool)
            .ok_or_else(|| HostKeyError::NoPool(pool.to_owned()))
    }
}

impl Trust {
    fn load(
        pool: &str,
        source: &InstanceHostKeys,
        faults: &FileFaults,
    ) -> Result<Self, HostKeyError> {
        let key = format!("pools.{pool}.ssh.instance_host_keys");
        Ok(match source {
            InstanceHostKeys::FirstUse => Self::FirstUse,
            InstanceHostKeys::KnownHosts(path) => {
                let load = |path: &Path| lists::load(path, KnownHosts::parse);
                Self::KnownHosts(Arc::new(Followed::open(&key, path, load, faults.clone())?))
            }
            InstanceHostKeys::Ca(path) => {
                let load = |path: &Path| lists::load(path, Authorities::parse);
                Self::Authority(Arc::new(Followed::open(&key, path, load, faults.clone())?))
            }
        })
    }

    /// The same, if it is of this source.
    fn of(&self, source: &InstanceHostKeys) -> Option<Self> {
        match (self, source) {
            (Self::KnownHosts(file), InstanceHostKeys::KnownHosts(path)) if file.path() == path => {
                Some(Self::KnownHosts(file.clone()))
            }
            (Self::Authority(file), InstanceHostKeys::Ca(path)) if file.path() == path => {
                Some(Self::Authority(file.clone()))
            }
            _ => None,
        }
    }
}

/// What a plain key can sign with.
fn plain_algorithms(key_blob: &[u8]) -> Vec<HostKeyAlgorithm> {
    let kind = key_type(key_blob).unwrap_or_default();
    let fits = |algorithm: &HostKeyAlgorithm| algorithm.signature.key_type() == kind;
    HostKeyAlgorithm::PLAIN.into_iter().filter(fits).collect()
}

#[cfg(test)]
mod tests;
