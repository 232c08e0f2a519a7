//! Where somebody's keys were looked for and what was there, in words: for the log of a login that was refused, and for
//! `poolgate doctor`.
//!
//! It decides nothing: whether a key lets somebody in is `authorize`'s to say. Keys are told by their fingerprints alone.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::SystemTime;

use super::{AUTHORITIES, KeyFinder};
use crate::identity::authorized_keys::{self, KeyLine, Refusal};
use crate::identity::person_files::{
    self, Absence, Line, Listing, Pattern, PatternError, TIMEOUT, is_plain_name,
};
use crate::ssh::wire::keys::fingerprint;

impl KeyFinder {
    /// Every place where keys of this name are looked for, and what it holds beside these fingerprints that were offered.
    pub async fn looked(&self, user: &str, offered: &[String]) -> String {
        let mut places = Vec::new();
        if is_plain_name(user) {
            match self.files.in_time(user).await {
                Ok(Some(files)) => places.extend(files.iter().map(|file| told(file, offered))),
                Ok(None) => places.push("too many people's files are being read".to_owned()),
                Err(_) => places.push(format!(
                    "no file could be read within {TIMEOUT:?}: is the storage reachable?"
                )),
            }
        }
        if !self.authorities.is_empty() {
            places.push(format!("certificates by {AUTHORITIES}"));
        }
        if let Some(command) = &self.command {
            let program = command.program().display();
            places.push(format!("{program} was asked (authorized_keys_command)"));
        }
        match places.is_empty() {
            true => "nowhere: ssh.auth.authorized_keys names no file".to_owned(),
            false => places.join("; "),
        }
    }
}

fn told(file: &Listing<KeyLine>, offered: &[String]) -> String {
    let path = file.path.display();
    if let Some(absence) = &file.absence {
        return format!("{path} {absence}");
    }
    let (authorities, keys): (Vec<_>, Vec<_>) = file
        .lines
        .iter()
        .partition(|line| line.options.is_cert_authority);
    let is_offered = |line: &&&KeyLine| offered.contains(&fingerprint(&line.key_blob));
    let holds = match (keys.len(), keys.iter().filter(is_offered).count()) {
        (0, _) => "holds no key".to_owned(),
        (1, 0) => "holds 1 key, which was not offered".to_owned(),
        (1, _) => "holds 1 key, which was offered".to_owned(),
        (count, 0) => format!("holds {count} keys, none of which was offered"),
        (count, found) => format!("holds {count} keys, {found} of them offered"),
    };
    let more = [
        (authorities.len(), "authority", "authorities"),
        (file.skipped, "line without sense", "lines without sense"),
    ];
    let more = more.iter().map(|(count, one, many)| match count {
        0 => String::new(),
        1 => format!(", 1 {one}"),
        count => format!(", {count} {many}"),
    });
    format!("{path} {holds}{}", more.collect::<String>())
}

/// What a place holds for somebody, as a gate would read it.
#[derive(Debug)]
pub struct Inspected {
    /// Of a pattern that leads to no file, the pattern.
    pub path: PathBuf,
    /// Or why there is nothing.
    pub keys: Result<Vec<ListedKey>, Absence>,
    /// Lines that grant nothing, by number, with the reason.
    pub skipped: Vec<(usize, String)>,
}

/// A line that lists a key, or an authority of certificates.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedKey {
    pub line: usize,
    pub fingerprint: String,
    pub is_authority: bool,
    /// Why it lets nobody in, wherever they come from.
    pub refusal: Option<String>,
}

/// Each place in turn, for a gate that runs as this account. Blocking, and on storage that may hang.
///
/// # Errors
/// A pattern has no meaning.
pub fn inspect(
    patterns: &[String],
    user: &str,
    account: u32,
    now: SystemTime,
) -> Result<Vec<Inspected>, PatternError> {
    let patterns: Result<Vec<_>, _> = patterns.iter().map(|text| Pattern::parse(text)).collect();
    let inspected = patterns?.into_iter().map(|pattern| {
        let (path, text) = person_files::find(&pattern, user, Some(account));
        let (keys, skipped) = match text {
            Ok(text) => {
                let (lines, skipped) = KeyLine::parse_file(&text);
                let keys = lines.iter().map(|line| listed(line, user, now));
                (Ok(keys.collect()), skipped)
            }
            Err(absence) => (Err(absence), Vec::new()),
        };
        Inspected {
            path,
            keys,
            skipped,
        }
    });
    Ok(inspected.collect())
}

fn listed(line: &KeyLine, user: &str, now: SystemTime) -> ListedKey {
    let is_authority = line.options.is_cert_authority;
    // From where somebody will come nobody knows: what depends on that is left to the log.
    let anywhere = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let refusal = match authorized_keys::judge(line, user, anywhere, now) {
        Ok(_) | Err(Refusal::From(_)) => None,
        Err(_) if is_authority => None,
        Err(refusal) => Some(refusal.to_string()),
    };
    ListedKey {
        line: line.number,
        fingerprint: fingerprint(&line.key_blob),
        is_authority,
        refusal,
    }
}
