//! Texts of somebody else's, cut at a length as they are written out, so that no client makes a line or a span of any size.
//!
//! Deliberately absent: making them harmless, which is the business of the form they end in.

use std::fmt::{self, Display, Write};

/// `value` in at most `bytes_max` bytes, ended by an ellipsis (3 bytes more) where that cuts it.
pub(super) fn cut(value: impl Display, bytes_max: usize) -> String {
    let mut text = Bounded {
        text: String::new(),
        bytes_max,
    };
    // It fails where the value is cut, which is meant.
    let _ = write!(text, "{value}");
    text.text
}

struct Bounded {
    text: String,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.bytes_max.saturating_sub(self.text.len());
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        let kept = more.get(..more.floor_char_boundary(room));
        self.text.push_str(kept.unwrap_or_default());
        self.text.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_longer_than_it_may_be() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("é".repeat(3), 5), "éé…");
        assert_eq!(cut(format_args!("{}{}", "ab", "cd"), 3), "abc…");
    }
}
