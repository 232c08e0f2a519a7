//! A source file, with its code and its comments told apart by a small scanner.

use std::fs;
use std::path::{Path, PathBuf};

/// One `.rs` file.
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of literals blanked; lines are where they were.
    pub code: String,
    /// The text with all but comments blanked.
    pub comments: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let (code, comments) = part(text);
        Self {
            path: path.into(),
            text: text.into(),
            code,
            comments,
        }
    }

    /// Whether it is all test code.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.ends_with("tests.rs")
            || self.path.contains("/tests/")
            || self.path.ends_with("/test_keys.rs")
    }

    /// The code before the first `#[cfg(test)] mod`: what runs in production.
    pub fn production_code(&self) -> &str {
        if self.is_test() {
            return "";
        }
        let mut from = 0;
        while let Some(at) = self.code[from..].find("#[cfg(test)]") {
            let after = self.code[from + at + 12..].trim_start();
            if after.starts_with("mod ")
                && after
                    .split_once('\n')
                    .is_none_or(|(line, _)| line.contains('{'))
            {
                return &self.code[..from + at];
            }
            from += at + 12;
        }
        &self.code
    }

    pub fn fault(&self, line: usize, text: &str) -> String {
        format!("{}:{line}: {text}", self.path)
    }
}

/// The line, from 1, of a byte offset.
pub fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Every source of the crate and of its tests.
pub fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches"] {
        walk(&root.join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        Source::new(&name, &text)
    };
    paths.iter().map(read).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|end| end == "rs") {
            paths.push(path);
        }
    }
}

/// Code and comments of a text.
fn part(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (len, kind) = token(rest, c, code.chars().next_back());
        let (piece, after) = rest.split_at(len);
        let blank: String = piece
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        match kind {
            Kind::Code => {
                code.push_str(piece);
                comments.push_str(&blank);
            }
            Kind::Comment => {
                code.push_str(&blank);
                comments.push_str(piece);
            }
            Kind::Literal => {
                code.push_str(&blank);
                comments.push_str(&blank);
            }
        }
        rest = after;
    }
    (code, comments)
}

enum Kind {
    Code,
    Comment,
    Literal,
}

/// The length of what begins here, and what it is. `before` keeps an `r` at a name's end from opening a raw string.
fn token(rest: &str, c: char, before: Option<char>) -> (usize, Kind) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Comment);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kind::Comment);
    }
    let is_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if c == 'r' && !is_name || c == '#' {
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        let open = 1 + hashes;
        if c == 'r' && rest[open..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = rest[open + 1..].find(&close);
            return (
                end.map_or(rest.len(), |at| open + 1 + at + close.len()),
                Kind::Literal,
            );
        }
    }
    if c == '"' {
        return (quoted(rest), Kind::Literal);
    }
    if c == '\'' {
        return character(rest);
    }
    (c.len_utf8(), Kind::Code)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == '"' && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}

/// A character literal, or a lifetime, which is code.
fn character(rest: &str) -> (usize, Kind) {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            let end = rest[escaped + 1..].find('\'');
            (end.map_or(rest.len(), |at| escaped + at + 2), Kind::Literal)
        }
        (Some(_), Some((at, '\''))) => (at + 1, Kind::Literal),
        _ => (1, Kind::Code),
    }
}

#[test]
fn code_comments_and_literals_are_told_apart() {
    let text = "let a = \"// no \\\" { }\"; // fn x {\n/* a /* b */ c */ let b = r#\"{\"#; let c = '{'; f::<'a>('\\'', '\"');";
    let source = Source::new("src/a.rs", text);
    assert_eq!(source.code.len(), text.len());
    let words: Vec<&str> = source.code.split_whitespace().collect();
    assert_eq!(
        words.join(" "),
        "let a = ; let b = ; let c = ; f::<'a>( , );"
    );
    assert!(source.comments.contains("fn x {") && source.comments.contains("/* b */"));
    assert_eq!(line_at(text, text.find("let b").unwrap()), 2);
}

#[test]
fn tests_are_not_production() {
    let source = Source::new(
        "src/a.rs",
        "fn a() {}\n#[cfg(test)]\nmod b;\nfn c() {}\n#[cfg(test)]\nmod tests {\n fn d() {} }",
    );
    let code = source.production_code();
    assert!(code.contains("fn c") && !code.contains("fn d"));
    assert_eq!(
        Source::new("src/a/tests.rs", "fn a() {}").production_code(),
        ""
    );
}
