//! This machine: files and their modes, the state folder and who holds it, disks, open files, people's homes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::Check;
use crate::app::named_files::{self, InUse};
use crate::cli::args::GateArgs;
use crate::cli::client;
use crate::config::{Config, show_size};
use crate::state::lock_holder;

/// Below this a log or a state file may soon not be written.
const FREE_LOW: u64 = 1 << 30;
const FREE_MIN: u64 = 64 << 20;
/// A shared drive that hangs must not hang whoever looks for that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a connection: its own, the one to an instance, and a recording.
const FILES_A_CONNECTION: u64 = 3;
/// What a gate needs beside its connections.
const FILES_BESIDE: u64 = 200;

pub(super) async fn look(config: &Config, gate: &GateArgs, is_running: bool) -> Vec<Check> {
    let mut checks = files(config);
    checks.push(state_folder(&config.state_dir, is_running));
    checks.extend(disks(config));
    checks.push(open_files(config, gate, is_running).await);
    checks.extend(homes(config).await);
    checks
}

fn files(config: &Config) -> Vec<Check> {
    let account = named_files::account_of(config);
    let named = named_files::files_of(config);
    let count = named.len();
    let faults = named_files::faults(config, account, &InUse::default()).into_iter();
    let faults = faults.map(|fault| {
        let mends = mends(&fault).to_owned();
        Check::fail("files", fault, mends)
    });
    let mut checks: Vec<_> = faults.collect();
    for file in named {
        let is_told = checks
            .iter()
            .any(|check| check.finding.says.starts_with(&file.key));
        if file.is_open_to_others() && !is_told {
            let path = file.path.display();
            let says = format!("{}: others may read {path}", file.key);
            checks.push(Check::warn("files", says, format!("chmod 600 {path}")));
        }
    }
    let closed = named_files::files_of(config);
    let closed = closed.iter().filter_map(|file| file.closed_to(account));
    checks.extend(closed.map(|why| {
        let mends = mends(&why).to_owned();
        Check::warn("files", why, mends)
    }));
    if checks.is_empty() {
        let says = format!("{count} files are of use, and secrets are nobody else's");
        checks.push(Check::ok("files", says));
    }
    checks
}

/// The command that a fault names, or else what tells of all.
pub(super) fn mends(fault: &str) -> &str {
    let commands = ["run: ", "make one: "];
    let named = commands.iter().find_map(|word| fault.split_once(word));
    named.map_or("poolgate check", |(_, command)| command)
}

fn state_folder(folder: &Path, is_running: bool) -> Check {
    let subject = "state_dir";
    let path = folder.display();
    let make = format!("install -d -m 700 -o poolgate -g poolgate {path}");
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return missing_folder(folder, is_running, &make);
        }
        Err(error) => return Check::fail(subject, format!("{path}: {error}"), make),
        Ok(found) if !found.is_dir() => {
            return Check::fail(subject, format!("{path} is no folder"), make);
        }
        Ok(_) => {}
    }
    if access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let says = format!("{path} cannot be written by this account");
        return Check::fail(subject, says, format!("chown -R poolgate: {path}"));
    }
    match (lock_holder(folder), is_running) {
        (Err(error), _) => Check::fail(subject, format!("{path}: its lock: {error}"), make),
        (Ok(Some(owner)), true) => Check::ok(subject, format!("{path} is the gate's ({owner})")),
        (Ok(None), false) => {
            Check::ok(subject, format!("{path} can be written, and nobody has it"))
        }
        (Ok(Some(owner)), false) => Check::warn(
            subject,
            format!(
                "{path} is held by a gate ({owner}) that does not answer at this configuration's socket"
            ),
            "ps -o pid,args -p PID; name its configuration with -c",
        ),
        (Ok(None), true) => Check::warn(
            subject,
            format!("{path} is not that of the gate that answers"),
            "poolgate check --diff",
        ),
    }
}

/// A gate makes it as it begins, and begins without pins, places and decisions of before: well on a new machine, and a loss on one
/// whose disk is not mounted. Under a gate at work it must not go.
fn missing_folder(folder: &Path, is_running: bool, make: &str) -> Check {
    let (subject, path) = ("state_dir", folder.display());
    if is_running {
        let says = format!(
            "{path} is not there under a gate at work: what it learns is lost when it ends"
        );
        return Check::fail(
            subject,
            says,
            format!("findmnt -T {path}; {make}; systemctl restart poolgate"),
        );
    }
    let nearest = folder.ancestors().find(|above| above.is_dir());
    let may_make =
        nearest.is_some_and(|above| access(above, AccessFlags::W_OK | AccessFlags::X_OK).is_ok());
    match may_make {
        true => Check::warn(
            subject,
            format!(
                "{path} is not there: the gate makes it, and begins as a new one, which pins instances' host keys anew"
            ),
            format!("findmnt -T {path}; if it is new, nothing; else mount it"),
        ),
        false => Check::fail(
            subject,
            format!("{path} is not there, and this account cannot make it"),
            make,
        ),
    }
}

/// Where something is written all the time.
fn disks(config: &Config) -> Vec<Check> {
    let mut folders = vec![("state_dir", config.state_dir.as_path())];
    let audit = config.audit.file.path.as_deref().and_then(Path::parent);
    folders.extend(audit.map(|folder| ("audit.file", folder)));
    for pool in config.pools.values() {
        let recording = pool.recording.as_ref();
        folders.extend(recording.map(|one| ("recording.folder", one.folder.as_path())));
    }
    folders
        .into_iter()
        .filter_map(|(key, at)| disk(key, at))
        .collect()
}

fn disk(key: &str, folder: &Path) -> Option<Check> {
    // One that is not there is told of elsewhere.
    let found = statvfs(folder).ok()?;
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size());
    let path = folder.display();
    let rounded = free & !((1 << 20) - 1);
    let says = format!("{path} has {} free", show_size(rounded));
    let mends = format!("df -h {path}; du -xh {path} | sort -h | tail");
    let subject = format!("disk of {key}");
    Some(match free {
        ..FREE_MIN => Check::fail(subject, says, mends),
        FREE_MIN..FREE_LOW => Check::warn(subject, says, mends),
        FREE_LOW.. => Check::ok(subject, says),
    })
}

/// Of the gate at work, else of whoever runs this.
async fn open_files(config: &Config, gate: &GateArgs, is_running: bool) -> Check {
    let subject = "open files";
    let own = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let limit = match is_running {
        true => limit_of_gate(gate).await,
        false => own.ok().map(|(_, hard)| hard),
    };
    let whose = if is_running {
        "the gate"
    } else {
        "this account"
    };
    let Some(limit) = limit else {
        return Check::warn(subject, "how many may be open is not known", "ulimit -Hn");
    };
    let ssh = config.ssh.as_ref().map_or(0, |ssh| ssh.max_connections);
    let https = config
        .https
        .as_ref()
        .map_or(0, |https| https.max_connections);
    let connections = u64::try_from(ssh.saturating_add(https)).unwrap_or(u64::MAX);
    let needed = connections
        .saturating_mul(FILES_A_CONNECTION)
        .saturating_add(FILES_BESIDE);
    match limit < needed {
        false => Check::ok(
            subject,
            format!("{whose} may have {limit} open; {needed} are enough"),
        ),
        true => Check::warn(
            subject,
            format!(
                "{whose} may have {limit} open, and {connections} connections at once can take {needed}"
            ),
            "systemctl edit poolgate: [Service] LimitNOFILE=infinity; or lower max_connections",
        ),
    }
}

async fn limit_of_gate(gate: &GateArgs) -> Option<u64> {
    let answer = client::get(gate, "/metrics").await.ok()?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let value = |line: &str| {
        line.strip_prefix("poolgate_process_max_fds ")?
            .trim()
            .parse::<f64>()
            .ok()
    };
    // A whole number, however it is written.
    text.lines().find_map(value).map(|limit| limit as u64)
}

/// The folders that people's key files are in, as far as they are the same for all.
async fn homes(config: &Config) -> Vec<Check> {
    let patterns = config.ssh.iter().flat_map(|ssh| &ssh.auth.authorized_keys);
    let mut folders: Vec<PathBuf> = patterns.filter_map(|text| shared_folder(text)).collect();
    folders.sort();
    folders.dedup();
    let mut checks = Vec::new();
    for folder in folders {
        checks.push(home(folder).await);
    }
    checks
}

/// `/shared/home` of `/shared/home/%u/.ssh/authorized_keys`.
fn shared_folder(pattern: &str) -> Option<PathBuf> {
    let (before, _) = pattern.split_once('%')?;
    let (folder, _) = before.rsplit_once('/')?;
    (!folder.is_empty()).then(|| folder.into())
}

async fn home(folder: PathBuf) -> Check {
    let subject = "homes";
    let path = folder.display().to_string();
    let mends = format!("findmnt -T {path}; ls -ld {path}");
    let listing = tokio::task::spawn_blocking(move || {
        std::fs::read_dir(&folder).map(|entries| entries.take(1000).count())
    });
    match tokio::time::timeout(PATIENCE, listing).await {
        Ok(Ok(Ok(0))) => Check::warn(subject, format!("{path} is empty: is it mounted?"), mends),
        Ok(Ok(Ok(_))) => Check::ok(subject, format!("{path} can be read")),
        Ok(Ok(Err(error))) => {
            Check::fail(subject, format!("{path} cannot be read: {error}"), mends)
        }
        _ => Check::fail(
            subject,
            format!("{path} does not answer: its drive hangs"),
            mends,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::examine::Verdict;

    #[test]
    fn the_folder_of_all_homes_is_found() {
        let of = |pattern: &str| shared_folder(pattern).map(|path| path.display().to_string());
        assert_eq!(
            of("/shared/home/%u/.ssh/keys").as_deref(),
            Some("/shared/home")
        );
        assert_eq!(of("/etc/keys/k-%u").as_deref(), Some("/etc/keys"));
        assert_eq!(of("%h/.ssh/authorized_keys"), None);
        assert_eq!(of("/etc/keys/all"), None);
    }

    #[test]
    fn a_state_folder_is_judged_by_what_it_is_and_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let verdict = |is_running| state_folder(folder.path(), is_running).finding.verdict;
        assert_eq!(verdict(false), Verdict::Ok);
        assert_eq!(verdict(true), Verdict::Warn, "it is another's");
        let held = crate::state::Lock::take(folder.path()).unwrap();
        assert_eq!(verdict(true), Verdict::Ok);
        assert_eq!(verdict(false), Verdict::Warn, "by whom?");
        drop(held);
        let gone = |path: &str, is_running| state_folder(&folder.path().join(path), is_running);
        let new = gone("x/y", false);
        assert_eq!(new.finding.verdict, Verdict::Warn, "the gate makes it");
        let lost = gone("x", true);
        assert_eq!(lost.finding.verdict, Verdict::Fail);
        assert!(lost.finding.remedy.unwrap().contains("install -d -m 700"));
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(gone("file/x", false).finding.verdict, Verdict::Fail);
    }

    #[tokio::test]
    async fn homes_that_are_empty_or_gone_are_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let verdict = async |path: PathBuf| home(path).await.finding.verdict;
        assert_eq!(verdict(folder.path().into()).await, Verdict::Warn);
        std::fs::create_dir(folder.path().join("alice")).unwrap();
        assert_eq!(verdict(folder.path().into()).await, Verdict::Ok);
        assert_eq!(verdict(folder.path().join("x")).await, Verdict::Fail);
    }
}
