//! OpenSSH's patterns: `*` for any text, `?` for one character, and nothing else (ssh_config(5), PATTERNS).
//!
//! Iterative with one point of return, so a hostile pattern costs length times length and no stack.

/// Whether the pattern matches all of the text. Case counts: fold both first where it must not.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // After the last `*`: where to go on in the pattern, and how much text it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || text.get(t) == Some(byte) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, swallowed)) = star else {
                    return false;
                };
                star = Some((after, swallowed + 1));
                p = after;
                t = swallowed + 1;
            }
        }
    }
    pattern
        .get(p..)
        .is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::matches;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks() {
        assert!(matches("*", ""));
        assert!(matches("a*c?", "abbbcd"));
        assert!(matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("", "a"));
        assert!(!matches("a?", "a"));
        assert!(matches("**a**", "a"));
    }

    /// The same question answered by plain recursion.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                slowly(rest, text)
                    || text
                        .split_first()
                        .is_some_and(|(_, text)| slowly(pattern, text))
            }
            (Some((p, rest)), Some((t, text))) if *p == b'?' || p == t => slowly(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_plain_recursion(pattern in "[ab?*]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &text), slowly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
