//! The text of the two sources before anything in it is understood: read within bounds, and what keeps it from being TOML.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml_edit::{Document, TomlError};

use super::faults::{Faults, Place};
use super::source::{PREFIX, SEPARATOR};

/// Thousands of instances fit; a device that never ends does not.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The file as text.
pub(super) fn read_file(path: &Path) -> Result<String, Faults> {
    let name = path.display().to_string();
    let whole = |message| Faults::of_file(&name, None, message);
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let remedy = "write this file, or name another with -c";
        return Err(whole(format!("cannot be read: {error}; {remedy}")));
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = "is larger than 4 MiB, so it is no configuration; name another with -c";
        return Err(whole(what.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        let message = "is not UTF-8 text from here on; save the file in that encoding".to_owned();
        Faults::of_file(&name, Some(line), message)
    })
}

/// Those of the process's variables that stand for keys.
pub(super) fn own_variables() -> Result<HashMap<String, String>, Faults> {
    variables(std::env::vars_os())
}

fn variables(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<HashMap<String, String>, Faults> {
    let prefix = format!("{PREFIX}{SEPARATOR}");
    let mut faults = Faults::new("");
    let mut variables = HashMap::new();
    for (name, value) in all {
        // A name that is no text cannot be a key's.
        let Ok(name) = name.into_string() else {
            continue;
        };
        if !name.to_uppercase().starts_with(&prefix) {
            continue;
        }
        match value.into_string() {
            Ok(value) => drop(variables.insert(name, value)),
            Err(_) => {
                let message = "is not UTF-8 text; write it in that encoding".to_owned();
                faults.push(Place::Environment(name), "", message);
            }
        }
    }
    match faults.is_empty() {
        true => Ok(variables),
        false => Err(faults),
    }
}

/// Why `text` is not TOML, at its line and as far as can be told with its key.
pub(super) fn syntax_fault(file: &str, text: &str, error: &TomlError) -> Faults {
    let Some(span) = error.span() else {
        return Faults::of_file(file, None, error.message().to_owned());
    };
    let line = line_at(text, span.start);
    let key = match error.message().contains("array") {
        // A list is found open only lines after its key.
        true => key_at(text, key_line_before(text, line)),
        false => key_at(text, line),
    };
    let message = match error.message() {
        "duplicate key" => "is written twice; remove one of them".to_owned(),
        what => {
            let what = what.replace('\n', ", ");
            format!("is not TOML: {what}; write key = value lines, with text in double quotes")
        }
    };
    let mut faults = Faults::new(file);
    faults.push(Place::File(Some(line)), &key, message);
    faults
}

/// The key that `line` seems to be about, with its section: `ssh.listen`.
fn key_at(text: &str, line: usize) -> String {
    let mut section = "";
    let mut key = "";
    for written in text.lines().take(line) {
        let written = written.trim();
        key = "";
        if let Some(header) = written.strip_prefix('[') {
            let header = header.trim_start_matches('[');
            section = header.split(']').next().unwrap_or_default().trim();
        } else {
            let end = written.find(|c: char| !c.is_alphanumeric() && !"_-.".contains(c));
            key = written
                .get(..end.unwrap_or(written.len()))
                .unwrap_or_default();
        }
    }
    match (section, key) {
        (section, "") => section.to_owned(),
        ("", key) => key.to_owned(),
        (section, key) => format!("{section}.{key}"),
    }
}

/// The last line up to `line` that gives a key a value; at worst `line` itself.
fn key_line_before(text: &str, line: usize) -> usize {
    let is_key = |written: &str| {
        let name = written.split_once('=').map_or("", |(name, _)| name.trim());
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || "_-.\"".contains(c))
    };
    let lines: Vec<_> = text.lines().take(line).collect();
    let found = lines.iter().rposition(|written| is_key(written));
    found.map_or(line, |index| index + 1)
}

pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// Where a gate with this file answers operators, as far as that can be told from a file with faults.
pub fn socket_of(file: &Path) -> Option<PathBuf> {
    let text = read_file(file).ok()?;
    let document = Document::parse(text).ok()?;
    let written = document
        .get("admin")
        .and_then(|admin| admin.get("socket")?.as_str());
    let folder = file.parent().unwrap_or(Path::new("."));
    Some(folder.join(written.unwrap_or(super::DEFAULT_SOCKET)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_file_that_is_no_text_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, b"[ssh]\n# caf\xe9\n").unwrap();
        let told = read_file(&file).unwrap_err().to_string();
        assert!(told.contains("x.toml:2: is not UTF-8 text"), "{told}");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let told = read_file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(told.contains("larger than 4 MiB"), "{told}");
    }

    #[test]
    fn a_variable_that_is_no_text_is_told_by_its_name() {
        let latin = OsString::from_vec(b"caf\xe9".to_vec());
        let all = [
            ("OTHER".into(), latin.clone()),
            ("POOLGATE__SSH__LISTEN".into(), "x".into()),
        ];
        let taken = variables(all.into_iter()).unwrap();
        assert_eq!(taken.len(), 1, "those of others are let be");
        let ours = [("POOLGATE__STATE_DIR".into(), latin)];
        let told = variables(ours.into_iter()).unwrap_err().to_string();
        assert!(
            told.starts_with("environment POOLGATE__STATE_DIR: is not UTF-8 text; "),
            "{told}"
        );
    }

    #[test]
    fn a_line_that_is_not_toml_still_names_its_key() {
        let text = "a: 1\n[ssh]\nlogin_grace: 3\n  [[pools.main.fleet.instances]]\nname == 3\n";
        let keys = [1, 2, 3, 4, 5].map(|line| key_at(text, line));
        let instances = "pools.main.fleet.instances";
        let name = format!("{instances}.name");
        assert_eq!(keys, ["a", "ssh", "ssh.login_grace", instances, &name]);
    }
}
