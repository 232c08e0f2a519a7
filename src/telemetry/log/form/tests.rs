//! Each form says the same, and what somebody put into a value stays in that value.

use super::*;

const NASTY: &str = "x\" user=root\nINFO poolgate::auth: forged\r\x1b[2K\u{202e}\\";

fn told(user: &str) -> Told {
    let text = |text: &str| Value::Text(text.to_owned());
    Told {
        time: "2026-11-29T08:24:18.123456Z".parse().unwrap(),
        level: Level::INFO,
        target: "poolgate::ssh::front",
        message: "a session began".to_owned(),
        fields: vec![
            ("session", text("4f1d2c3b4a596877")),
            ("user", text(user)),
            ("peer", text("192.0.2.7:4000")),
            ("instance", text("main/vm1")),
            ("reason", text("least loaded")),
            ("sessions", Value::Bare("3".to_owned())),
        ],
    }
}

#[test]
fn the_page_shows_lines_as_they_are() {
    let page = include_str!("../../../../docs/logs.md");
    for format in [LogFormat::Text, LogFormat::Logfmt, LogFormat::Json] {
        let line = render(&told("alice"), format, Look::Plain);
        assert!(page.contains(&line), "docs/logs.md lacks:\n{line}");
    }
    let line = render(&told("alice"), LogFormat::Text, Look::Untimed);
    assert!(line.starts_with(" INFO poolgate::ssh::front: a session"));
}

#[test]
fn a_line_stays_one_line_whatever_is_in_it() {
    for format in [LogFormat::Text, LogFormat::Logfmt, LogFormat::Json] {
        for look in [Look::Plain, Look::Untimed] {
            let mut told = told(NASTY);
            told.message = NASTY.to_owned();
            let line = render(&told, format, look);
            assert!(!line.contains(is_harmful), "{line:?}");
            assert!(line.contains(r#"\" user=root\nINFO"#), "{line}");
        }
    }
}

#[test]
fn json_reads_back_as_what_it_was() {
    let line = render(&told(NASTY), LogFormat::Json, Look::Plain);
    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["user"], NASTY);
    assert_eq!(
        (&read["sessions"], &read["level"]),
        (&3.into(), &"INFO".into())
    );
}

#[test]
fn logfmt_reads_back_as_what_it_was() {
    let line = render(&told(NASTY), LogFormat::Logfmt, Look::Plain);
    let read = pairs(&line);
    let names: Vec<_> = read.iter().map(|(name, _)| &**name).collect();
    let wanted = ["timestamp", "level", "target", "message", "session", "user"];
    assert_eq!(&names[..6], &wanted);
    assert_eq!(read[5].1, NASTY);
    assert_eq!(read[3].1, "a session began");
}

/// As a reader of logfmt takes a line apart.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut rest = line;
    let mut pairs = Vec::new();
    while let Some((name, after)) = rest.trim_start().split_once('=') {
        let end = match after.strip_prefix('"') {
            None => after.find(' ').unwrap_or(after.len()),
            Some(inside) => {
                let mut is_escaped = false;
                let close = |c: char| {
                    let closes = c == '"' && !is_escaped;
                    is_escaped = c == '\\' && !is_escaped;
                    closes
                };
                inside.find(close).unwrap() + 2
            }
        };
        let (value, more) = after.split_at(end);
        let value = match value.starts_with('"') {
            true => serde_json::from_str(value).unwrap(),
            false => value.to_owned(),
        };
        pairs.push((name.to_owned(), value));
        rest = more;
    }
    pairs
}

#[test]
fn colours_are_for_terminals_alone() {
    let line = render(&told("alice"), LogFormat::Text, Look::Terminal);
    assert!(line.contains("\x1b[32m INFO\x1b[0m"), "{line:?}");
    for format in [LogFormat::Logfmt, LogFormat::Json] {
        assert!(!render(&told("alice"), format, Look::Terminal).contains('\x1b'));
    }
}
