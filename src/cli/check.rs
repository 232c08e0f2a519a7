//! `poolgate check`: every fault of the configuration, then whether the files it names can be read, then the limits.
//!
//! It changes nothing and connects to nothing, so it can run beside a gate at work.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use super::args::ConfigArgs;
use super::{Failure, print};
use crate::config::{self, Config, InstanceHostKeys};

pub(super) fn run(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    let file = config::file_to_read(args.config.as_deref());
    let config = config::load(Some(&file))?;
    let named = files_of(&config);
    let faults: Vec<_> = named.iter().filter_map(NamedFile::fault).collect();
    if !faults.is_empty() {
        for fault in &faults {
            print::complain(&format!("{}: {fault}", file.display()));
        }
        return Ok(ExitCode::FAILURE);
    }
    let warnings: String = named.iter().filter_map(NamedFile::warning).collect();
    let text = format!(
        "{}: no faults\n{warnings}\nLimits in force:\n{}",
        file.display(),
        config.limits_table()
    );
    print::show(text.as_bytes())
}

/// A file that the configuration names.
struct NamedFile<'a> {
    key: String,
    path: &'a Path,
    is_secret: bool,
}

impl NamedFile<'_> {
    /// Why it cannot be used.
    fn fault(&self) -> Option<String> {
        let mut first = [0];
        let read = File::open(self.path).and_then(|mut file| file.read(&mut first));
        let what = match read {
            Ok(0) => "is empty".to_owned(),
            Ok(_) => return None,
            Err(error) => format!("cannot be read: {error}"),
        };
        let (key, path) = (&self.key, self.path.display());
        Some(format!(
            "{key}: {path} {what}; put the file there, or name another"
        ))
    }

    fn warning(&self) -> Option<String> {
        let mode = std::fs::metadata(self.path).ok()?.permissions().mode();
        let is_open = self.is_secret && mode & 0o077 != 0;
        let (key, path) = (&self.key, self.path.display());
        is_open.then(|| format!("warning: {key}: others may read {path}; chmod 600 {path}\n"))
    }
}

fn files_of(config: &Config) -> Vec<NamedFile<'_>> {
    let mut files = Vec::new();
    let mut add = |key: String, path, is_secret| {
        files.push(NamedFile {
            key,
            path,
            is_secret,
        });
    };
    if let Some(ssh) = &config.ssh {
        for path in &ssh.host_keys {
            add("ssh.host_keys".to_owned(), path, true);
        }
        for path in &ssh.standby_host_keys {
            add("ssh.standby_host_keys".to_owned(), path, true);
        }
        for path in &ssh.host_certificates {
            add("ssh.host_certificates".to_owned(), path, false);
        }
        add("ssh.user_ca".to_owned(), &ssh.user_ca, true);
        for path in &ssh.auth.trusted_user_ca_keys {
            add("ssh.auth.trusted_user_ca_keys".to_owned(), path, false);
        }
        if let Some(path) = &ssh.auth.revoked_keys {
            add("ssh.auth.revoked_keys".to_owned(), path, false);
        }
    }
    if let Some(https) = &config.https {
        add("https.certificate".to_owned(), &https.certificate, false);
        add("https.private_key".to_owned(), &https.private_key, true);
    }
    for (name, pool) in &config.pools {
        if let Some(path) = &pool.api_token_file {
            add(format!("pools.{name}.jupyter.api_token_file"), path, true);
        }
        match &pool.instance_host_keys {
            InstanceHostKeys::KnownHosts(path) | InstanceHostKeys::Ca(path) => {
                add(format!("pools.{name}.ssh.instance_host_keys"), path, false);
            }
            InstanceHostKeys::FirstUse => {}
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn missing_and_empty_files_are_told_by_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca"), "").unwrap();
        std::fs::write(folder.path().join("key"), "a key").unwrap();
        let text = r#"
            [ssh]
            listen = ["127.0.0.1:2222"]
            host_keys = ["key", "missing"]
            user_ca = "ca"
            [pools.main.fleet]
            provider = "static"
            instances = [{ name = "vm1", address = "10.0.0.4" }]
        "#;
        let file = folder.path().join("x.toml");
        let config = config::parse(&file, text, HashMap::new()).unwrap();
        let files = files_of(&config);
        let faults: Vec<_> = files.iter().filter_map(NamedFile::fault).collect();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("ssh.host_keys: ") && faults[0].contains("missing"));
        assert!(faults[1].starts_with("ssh.user_ca: ") && faults[1].contains("is empty"));
        assert!(files[0].warning().is_some(), "a key that others may read");
    }
}
