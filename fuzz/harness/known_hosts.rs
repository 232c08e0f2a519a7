//! How an instance's host key is judged: known_hosts files, lists of authorities, and the key shown.

use std::path::Path;
use std::time::{Duration, SystemTime};

use poolgate::pool::{Instance, InstanceId};
use poolgate::ssh::host_keys::authority::Authorities;
use poolgate::ssh::host_keys::known_hosts::KnownHosts;

use super::parts;

/// The first part is the key shown, the second the file.
pub fn run(data: &[u8]) {
    let mut parts = parts(data);
    let blob = parts.next().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else {
        return;
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for port in [22, 2022] {
        let instance = instance(port);
        if let Ok(known) = KnownHosts::parse(text) {
            let _ = known.algorithms_of(&instance);
            let verdict = known.check(&instance, blob, now, Path::new("known_hosts"));
            assert!(
                verdict.is_err() || !text.trim().is_empty(),
                "an empty file trusts somebody"
            );
        }
        if let Ok(authorities) = Authorities::parse(text) {
            let _ = authorities.check(&instance, blob, now);
        }
    }
}

fn instance(ssh_port: u16) -> Instance {
    Instance {
        id: InstanceId {
            pool: "main".into(),
            name: "vm1".into(),
        },
        address: "10.0.0.1".to_owned(),
        ssh_port,
        jupyter_port: None,
        capacity: 1,
        generation: 1,
    }
}
