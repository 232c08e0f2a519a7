//! One person's public keys (`--user`): where the gate looks for them, what it finds there, and what mends it. This is what is asked
//! when somebody sees "Permission denied (publickey)".
//!
//! The files are read as this moment has them, not as a gate at work remembers them. Which key a client offers only the gate's log
//! knows (`login refused`); here are the fingerprints to compare it with.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Check;
use super::machine::mends;
use crate::app::named_files;
use crate::config::{AuthMethod, Config, PasswordSource, SshAuthConfig};
use crate::identity::key_files::{self, Absence, Inspected, ListedKey};
use crate::pool::LoginName;

/// A shared drive that hangs must not hang whoever looks for that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines of one file that are told; a list for everybody may be long.
const TOLD_MAX: usize = 20;

pub(super) async fn look(config: &Config, user: &str) -> Vec<Check> {
    let Some(ssh) = &config.ssh else {
        return Vec::new();
    };
    let subject = format!("keys of {user}");
    let name = match user.parse::<LoginName>() {
        Ok(name) => name.user,
        Err(error) => {
            let remedy = "name somebody as they log in, such as --user alice";
            return vec![Check::fail(subject, error.to_string(), remedy)];
        }
    };
    if !takes_keys(&ssh.auth) {
        let says = "no key logs anybody in: ssh.auth.methods does not name publickey";
        return vec![Check::ok(subject, says)];
    }
    let account = named_files::account_of(config);
    let (patterns, person) = (ssh.auth.authorized_keys.clone(), name.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let found = key_files::inspect(&patterns, &person, account, SystemTime::now());
        found.map(|found| {
            let found = found.into_iter();
            let found = found.map(|file| (named_files::may_read(&file.path, account), file));
            found.collect::<Vec<_>>()
        })
    });
    let found = match tokio::time::timeout(PATIENCE, looking).await {
        Ok(Ok(Ok(found))) => found,
        Ok(Ok(Err(error))) => {
            return vec![Check::fail(subject, error.to_string(), "poolgate check")];
        }
        Ok(Err(error)) => return vec![Check::fail(subject, error.to_string(), "poolgate check")],
        Err(_) => {
            let says = format!("could not be read within {PATIENCE:?}: the storage hangs");
            return vec![Check::fail(subject, says, "findmnt; dmesg | tail")];
        }
    };
    let about = About {
        subject: &subject,
        user: &name,
        account,
        others: others(&ssh.auth),
        has_password: ssh.auth.password != PasswordSource::Off,
    };
    about.judge(&found)
}

fn takes_keys(auth: &SshAuthConfig) -> bool {
    let mut ways = auth.methods.iter().flatten();
    auth.methods.is_empty() || ways.any(|method| *method == AuthMethod::PublicKey)
}

struct About<'a> {
    subject: &'a str,
    user: &'a str,
    account: u32,
    /// Ways by which keys are known besides files.
    others: Vec<String>,
    has_password: bool,
}

fn others(auth: &SshAuthConfig) -> Vec<String> {
    let mut others = Vec::new();
    if let Some(command) = &auth.authorized_keys_command {
        let program = command.words.first().map_or("", String::as_str);
        others.push(format!(
            "{program} is asked as well (authorized_keys_command), which is not run here"
        ));
    }
    if !auth.trusted_user_ca_keys.is_empty() {
        let says = "certificates by ssh.auth.trusted_user_ca_keys let them in as well";
        others.push(says.to_owned());
    }
    others
}

impl About<'_> {
    /// Files, each with whether the gate's account may read it.
    fn judge(&self, found: &[(bool, Inspected)]) -> Vec<Check> {
        let files = found.iter();
        let mut checks: Vec<_> = files
            .flat_map(|(is_readable, file)| self.of_file(*is_readable, file))
            .collect();
        let lets_in = |(_, file): &(bool, Inspected)| {
            let keys = file.keys.as_deref().unwrap_or_default();
            keys.iter().any(|key| key.refusal.is_none())
        };
        if !found.iter().any(lets_in) {
            checks.push(self.without_key(found));
        }
        let others = self.others.iter();
        checks.extend(others.map(|says| Check::ok(self.subject, says)));
        checks
    }

    fn of_file(&self, is_readable: bool, file: &Inspected) -> Vec<Check> {
        let path = file.path.display();
        let keys = match &file.keys {
            Ok(keys) => keys,
            Err(Absence::Ignored(refusal)) => {
                let why = refusal.to_string();
                let remedy = match mends(&why) {
                    "poolgate check" => format!("namei -l {path}"),
                    command => command.to_owned(),
                };
                return vec![Check::fail(
                    self.subject,
                    format!("{path} is ignored: {why}"),
                    remedy,
                )];
            }
            // Others may have the key.
            Err(absence) => return vec![Check::ok(self.subject, format!("{path} {absence}"))],
        };
        let mut checks = Vec::new();
        if !is_readable {
            let account = self.account;
            checks.push(Check::warn(
                self.subject,
                format!("{path} cannot be read by the gate's account (uid {account}), unless its unit lets it read all homes"),
                "cp /usr/share/doc/poolgate/drop-ins/keys-of-homes.conf /etc/systemd/system/poolgate.service.d/; systemctl daemon-reload; systemctl restart poolgate",
            ));
        }
        let sound: Vec<_> = keys.iter().filter(|key| key.refusal.is_none()).collect();
        if !sound.is_empty() {
            let told: Vec<_> = sound.iter().take(TOLD_MAX).map(|key| words(key)).collect();
            let more = match sound.len().saturating_sub(TOLD_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let says = format!("{path} lists {}{more}", told.join(", "));
            checks.push(Check::ok(self.subject, says));
        }
        let refused = keys
            .iter()
            .filter_map(|key| Some((key.line, key.refusal.clone()?)));
        let refused = refused.chain(file.skipped.iter().cloned());
        checks.extend(refused.take(TOLD_MAX).map(|(line, why)| {
            let says = format!("line {line} of {path} lets nobody in: {why}");
            Check::warn(self.subject, says, format!("edit {path}, line {line}"))
        }));
        checks
    }

    /// Whom a program may know, or who has a password, needs no file.
    fn without_key(&self, found: &[(bool, Inspected)]) -> Check {
        let user = self.user;
        let is_a_path = |file: &&Inspected| !matches!(file.keys, Err(Absence::NoAccount));
        let path = found.iter().map(|(_, file)| file).find(is_a_path);
        let remedy = match path {
            Some(file) => {
                let path = file.path.display();
                let folder = file.path.parent().unwrap_or(Path::new("/")).display();
                format!(
                    "mkdir -p {folder}; cat KEY.pub >> {path}; chown -R {user}: {folder}; chmod go-w {folder} {path}, where {folder} is theirs alone"
                )
            }
            None => format!(
                "getent passwd {user}; or write a path with %u in ssh.auth.authorized_keys, such as \"/etc/poolgate/keys/%u\""
            ),
        };
        let says = format!("no file lists a key that logs {user} in");
        match self.others.is_empty() && !self.has_password {
            true => Check::fail(self.subject, says, remedy),
            false => Check::warn(self.subject, says, remedy),
        }
    }
}

fn words(key: &ListedKey) -> String {
    let (line, fingerprint) = (key.line, &key.fingerprint);
    match key.is_authority {
        true => format!("{fingerprint} (line {line}, an authority)"),
        false => format!("{fingerprint} (line {line})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::examine::Verdict;

    fn key(line: usize, refusal: Option<&str>) -> ListedKey {
        ListedKey {
            line,
            fingerprint: format!("SHA256:{line}"),
            is_authority: false,
            refusal: refusal.map(str::to_owned),
        }
    }

    fn file(path: &str, keys: Result<Vec<ListedKey>, Absence>) -> (bool, Inspected) {
        let inspected = Inspected {
            path: path.into(),
            keys,
            skipped: Vec::new(),
        };
        (true, inspected)
    }

    fn judge(has_password: bool, found: &[(bool, Inspected)]) -> Vec<(Verdict, String)> {
        let about = About {
            subject: "keys of alice",
            user: "alice",
            account: 1,
            others: Vec::new(),
            has_password,
        };
        let checks = about.judge(found).into_iter();
        let told = checks.map(|check| {
            let remedy = check.finding.remedy.unwrap_or_default();
            (
                check.finding.verdict,
                format!("{} | {remedy}", check.finding.says),
            )
        });
        told.collect()
    }

    #[test]
    fn whoever_has_no_key_is_told_where_to_put_one() {
        let nowhere = [
            file("%h/.ssh/authorized_keys", Err(Absence::NoAccount)),
            file("/keys/alice", Err(Absence::Missing)),
        ];
        let told = judge(false, &nowhere);
        let (verdict, says) = told.last().unwrap();
        assert_eq!(*verdict, Verdict::Fail);
        assert!(says.contains("cat KEY.pub >> /keys/alice"), "{says}");
        let told = judge(true, &nowhere);
        assert_eq!(
            told.last().unwrap().0,
            Verdict::Warn,
            "they have a password"
        );
        let told = judge(false, &nowhere[..1]);
        assert!(told.last().unwrap().1.contains("getent passwd alice"));
    }

    #[test]
    fn keys_are_told_by_fingerprint_and_lines_of_no_use_with_their_reason() {
        let keys = vec![key(1, None), key(2, Some("its expiry-time has passed"))];
        let told = judge(false, &[file("/keys/alice", Ok(keys))]);
        let [(sound, lists), (expired, why)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!((*sound, *expired), (Verdict::Ok, Verdict::Warn));
        assert!(lists.starts_with("/keys/alice lists SHA256:1 (line 1)"));
        assert!(why.starts_with("line 2 of /keys/alice lets nobody in: its expiry"));
    }

    #[test]
    fn a_file_that_the_gate_cannot_read_is_told_with_the_drop_in() {
        let (_, sound) = file("/home/alice/.ssh/authorized_keys", Ok(vec![key(1, None)]));
        let told = judge(false, &[(false, sound)]);
        assert_eq!(told[0].0, Verdict::Warn);
        assert!(told[0].1.contains("keys-of-homes.conf"), "{told:?}");
    }
}
