//! Lines of `authorized_principals` files: a principal of certificates that a person answers to, with options in front as
//! `sshd_config(5)` has them under AuthorizedPrincipalsFile.
//!
//! Parses only. A line that is not understood grants nothing.

use super::authorized_keys::{LINE_BYTES_MAX, LINES_MAX};
use super::options::{OptionError, Options};
use super::person_files::Line;

/// One principal, and what a certificate for it may do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalLine {
    pub principal: String,
    pub options: Options,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("not UTF-8 text")]
    NotText,
    #[error(transparent)]
    Options(#[from] OptionError),
}

/// Parses one line; `None` for an empty one and a comment.
fn parse_line(line: &[u8]) -> Result<Option<PrincipalLine>, PrincipalError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(PrincipalError::TooLong);
    }
    let text = std::str::from_utf8(line).map_err(|_| PrincipalError::NotText)?;
    // As in OpenSSH, a comment may follow the principal.
    let text = text.split('#').next().unwrap_or_default();
    let text = text.trim_matches([' ', '\t', '\r']);
    if text.is_empty() {
        return Ok(None);
    }
    let (options, principal) = match text.rsplit_once([' ', '\t']) {
        Some((options, principal)) => (options.trim_matches([' ', '\t']), principal),
        None => ("", text),
    };
    Ok(Some(PrincipalLine {
        principal: principal.to_owned(),
        options: Options::parse(options)?,
    }))
}

impl Line for PrincipalLine {
    fn parse_file(text: &[u8]) -> (Vec<Self>, Vec<(usize, String)>) {
        let (mut lines, mut skipped) = (Vec::new(), Vec::new());
        let numbered = text.split(|byte| *byte == b'\n').enumerate();
        for (index, line) in numbered.take(LINES_MAX) {
            match parse_line(line) {
                Ok(line) => lines.extend(line),
                Err(error) => skipped.push((index + 1, error.to_string())),
            }
        }
        (lines, skipped)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.principal.len() + self.options.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_with_options_and_comments() {
        let text = b"# staff\nalice\n\n no-pty,from=\"10.0.0.0/8\"  admins # since May\r\n";
        let (lines, skipped) = PrincipalLine::parse_file(text);
        assert_eq!(skipped, []);
        assert_eq!(lines[0].principal, "alice");
        assert_eq!(lines[0].options, Options::default());
        assert_eq!(lines[1].principal, "admins");
        assert!(!lines[1].options.restrictions.permit_pty);
        assert_eq!(lines[1].options.from.as_deref(), Some("10.0.0.0/8"));
    }

    #[test]
    fn what_is_not_understood_grants_nothing() {
        let (lines, skipped) = PrincipalLine::parse_file(b"alice bob\nno-ptty alice\n\xff\ncarol");
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].principal, "carol");
        let numbers: Vec<usize> = skipped.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
