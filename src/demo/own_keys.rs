//! The SSH keys a person has already, so that logging in to the demo needs no new one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_key::EcdsaCurve;
use russh::keys::{Algorithm, PublicKey};

/// An agent that does not answer by then is not waited for.
const AGENT_PATIENCE: Duration = Duration::from_secs(1);
const MAX_KEYS: usize = 32;

/// A key a person can prove.
#[derive(Clone, Debug)]
pub struct OwnKey {
    /// Its line for `authorized_keys`.
    pub line: String,
    /// Its private half; `None` where an agent holds it.
    pub private: Option<PathBuf>,
}

/// Keys that have both halves in `folder` (`~/.ssh/id_*`), and those the agent at `agent` offers.
pub async fn find(folder: &Path, agent: Option<&Path>) -> Vec<OwnKey> {
    let mut keys = in_folder(folder);
    if let Some(agent) = agent {
        let asked = tokio::time::timeout(AGENT_PATIENCE, in_agent(agent)).await;
        for key in asked.unwrap_or_default() {
            match keys.iter_mut().find(|known| known.line == key.line) {
                Some(known) => known.private = None,
                None => keys.push(key),
            }
        }
    }
    keys.truncate(MAX_KEYS);
    keys
}

/// The private key to name to `ssh`: none where an agent is asked anyway.
pub fn to_name(keys: &[OwnKey]) -> Option<PathBuf> {
    match keys.iter().any(|key| key.private.is_none()) {
        true => None,
        false => keys.first().and_then(|key| key.private.clone()),
    }
}

fn in_folder(folder: &Path) -> Vec<OwnKey> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .into_iter()
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("id_") && name.ends_with(".pub"))
        })
        .filter_map(|path| {
            let private = path.with_extension("");
            let key = PublicKey::read_openssh_file(&path).ok()?;
            let private = private.exists().then_some(private)?;
            own(&key, Some(private))
        })
        .collect()
}

async fn in_agent(socket: &Path) -> Vec<OwnKey> {
    let Ok(mut agent) = AgentClient::connect_uds(socket).await else {
        return Vec::new();
    };
    let identities = agent.request_identities().await.unwrap_or_default();
    let keys = identities.iter().map(|identity| identity.public_key());
    keys.filter_map(|key| own(&key, None)).collect()
}

/// Only what the gate can verify; with another kind alone a person would stand before a closed door.
fn own(key: &PublicKey, private: Option<PathBuf>) -> Option<OwnKey> {
    let is_usable = match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Rsa { .. } => true,
        Algorithm::Ecdsa { curve } => curve == EcdsaCurve::NistP256,
        _ => false,
    };
    // Without its comment: the same key in a file and in an agent is one key.
    let bare = PublicKey::new(key.key_data().clone(), "");
    let line = bare.to_openssh().ok().filter(|_| is_usable)?;
    Some(OwnKey {
        line: format!("{}\n", line.trim_end()),
        private,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::folder::new_key_file;

    #[tokio::test]
    async fn a_key_counts_with_both_halves_only() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["id_ed25519", "id_orphan", "other"] {
            let key = new_key_file(&at(name), "x").unwrap();
            std::fs::write(at(&format!("{name}.pub")), key.to_openssh().unwrap()).unwrap();
        }
        std::fs::remove_file(at("id_orphan")).unwrap();
        std::fs::write(at("id_garbage.pub"), "nonsense").unwrap();
        let keys = find(folder.path(), Some(&at("no-agent"))).await;
        assert_eq!(keys.len(), 1);
        assert_eq!(to_name(&keys), Some(at("id_ed25519")));
        assert!(keys[0].line.starts_with("ssh-ed25519 ") && keys[0].line.ends_with('\n'));
        assert!(find(&at("nowhere"), None).await.is_empty());
    }
}
