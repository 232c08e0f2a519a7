//! Files and functions that fit a reader's head.

use super::source::{Source, line_at};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

pub fn files(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let fix = format!(
        "{lines} lines, at most {FILE_LINES_MAX}; move a part with a name of its own (or the tests) to a file"
    );
    vec![source.fault(1, &fix)]
}

pub fn functions(source: &Source) -> Vec<String> {
    let code = &source.code;
    let mut faults = Vec::new();
    for (offset, _) in code.match_indices("fn ") {
        let is_word = !code[..offset].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let Some(end) = is_word.then(|| body_end(&code[offset..])).flatten() else {
            continue;
        };
        let name: String = code[offset + 3..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let first = line_at(code, offset);
        let lines = line_at(code, offset + end) - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let fix = format!(
                "fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}; give a step of it a name"
            );
            faults.push(source.fault(first, &fix));
        }
    }
    faults
}

/// Where the body that begins in this text ends; `None` for a declaration or a function type.
fn body_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    // Braces and semicolons within the signature's brackets (`[u8; 4]`) are not the body's.
    let mut brackets = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' if depth == 0 => brackets += 1,
            ')' | ']' if depth == 0 => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            _ if depth == 0 && brackets < 0 => return None,
            '{' if brackets == 0 || depth > 0 => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod samples {
    use super::*;

    fn long(lines: usize) -> Source {
        let body = "    x();\n".repeat(lines - 2);
        Source::new(
            "src/a.rs",
            &format!("pub fn long(a: [u8; 4]) -> bool\n{{{body}}}\nfn short() {{}}\n"),
        )
    }

    #[test]
    fn long_functions_are_found_and_named() {
        assert_eq!(functions(&long(FUNCTION_LINES_MAX)), [] as [String; 0]);
        let faults = functions(&long(FUNCTION_LINES_MAX + 1));
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].starts_with("src/a.rs:1: fn long has 71 lines"),
            "{faults:?}"
        );
    }

    #[test]
    fn braces_in_texts_do_not_count() {
        let source = Source::new(
            "src/a.rs",
            "fn a() { \"}\"; '{'; }\nfn b();\ntype C = fn (u8) -> u8;\n",
        );
        assert_eq!(body_end(&source.code), Some(19));
        assert_eq!(functions(&source), [] as [String; 0]);
    }

    #[test]
    fn long_files_are_found() {
        let file = |lines| Source::new("src/a.rs", &"\n".repeat(lines));
        assert_eq!(files(&file(FILE_LINES_MAX)).len(), 0);
        assert_eq!(files(&file(FILE_LINES_MAX + 1)).len(), 1);
    }
}
