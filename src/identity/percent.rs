//! Texts of the operator's in which `%` and a letter stand for something of the login, and `%%` for a percent sign.
//!
//! Which letters mean something, and what, is the caller's.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<T> {
    Text(String),
    Token(T),
}

/// The parts of `text`, none of them empty; `None` if a `%` stands before something else than `%` or a token.
pub fn parts<T>(text: &str, token: impl Fn(char) -> Option<T>) -> Option<Vec<Part<T>>> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let after = match c {
            '%' => chars.next()?,
            _ => {
                plain.push(c);
                continue;
            }
        };
        if after == '%' {
            plain.push('%');
            continue;
        }
        let found = token(after)?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Token(found));
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::Part::{Text, Token};
    use super::*;

    #[test]
    fn letters_are_tokens_two_percent_signs_are_one_and_all_else_is_refused() {
        let parts = |text| parts(text, |c| c.is_ascii_lowercase().then_some(c));
        let text = |text: &str| Text(text.to_owned());
        let expected = vec![text("a%"), Token('u'), Token('h'), text("z")];
        assert_eq!(parts("a%%%u%hz"), Some(expected));
        assert_eq!(parts(""), Some(Vec::new()));
        assert_eq!(parts("%"), None);
        assert_eq!(parts("%U"), None);
    }
}
