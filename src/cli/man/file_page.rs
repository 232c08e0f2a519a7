//! poolgate.toml(5), made of the file that documents every key, so that there is one text of each.

use crate::config::reference::{Entry, Section, sections};

const SOURCE: &str = include_str!("../../../config/poolgate.toml");

pub(super) fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH POOLGATE.TOML 5 \"\" \"poolgate {version}\" \"File formats\"\n\
         .SH NAME\npoolgate.toml \\- the configuration of poolgate(1)\n"
    );
    for section in sections(SOURCE) {
        page.push_str(&of_section(&section));
    }
    page.push_str(
        ".SH FILES\n.TP\n/etc/poolgate/poolgate.toml\nwhat is read where neither \\fB\\-c\\fR nor $POOLGATE_CONFIG names another\n\
         .SH \"SEE ALSO\"\n.BR poolgate (1),\n.BR poolgate\\-check (1),\n.BR poolgate\\-reload (1)\n",
    );
    page
}

fn of_section(section: &Section) -> String {
    let mut page = match section.name.as_str() {
        "" => ".SH DESCRIPTION\n".to_owned(),
        name => format!(".SH \"[{}]\"\n", escaped(&name.to_uppercase())),
    };
    // The heading shouts, as headings of manual pages do; what is to be typed stands as it is typed.
    if section.name.chars().any(char::is_lowercase) {
        page.push_str(&format!("\\fB[{}]\\fR\n.PP\n", escaped(&section.name)));
    }
    for text in &section.text {
        page.push_str(&format!("{}\n.PP\n", line(text)));
    }
    page.extend(section.entries.iter().map(of_entry));
    page
}

fn of_entry(entry: &Entry) -> String {
    let keys = entry.keys.iter().enumerate().map(|(at, (key, value))| {
        let begin = if at == 0 { ".TP\n" } else { ".TQ\n" };
        format!("{begin}\\fB{}\\fR = {}\n", escaped(key), escaped(value))
    });
    let keys: String = keys.collect();
    match entry.text.is_empty() {
        true => format!("{keys}\\&\n"),
        false => format!("{keys}{}\n", line(&entry.text)),
    }
}

/// Text that must not begin with what would be taken for a request.
fn line(text: &str) -> String {
    let text = escaped(text);
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_taken_for_a_request() {
        let entry = Entry {
            keys: vec![("a".into(), "\"x-\\y\"".into()), ("b".into(), "2".into())],
            text: ".hidden files".into(),
        };
        let expected = ".TP\n\\fBa\\fR = \"x\\-\\ey\"\n.TQ\n\\fBb\\fR = 2\n\\&.hidden files\n";
        assert_eq!(of_entry(&entry), expected);
    }
}
