//! Text from outside, put into a page: the one place that makes it harmless.
//!
//! Braces are escaped too, because pages are filled in by replacing `{{name}}`: what was put in is never filled in again.

/// Text as it may stand anywhere in a page.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '{' => escaped.push_str("&#123;"),
            '}' => escaped.push_str("&#125;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_markup_an_attributes_end_or_a_gap_to_fill() {
        let escaped = escape("<a b=\"c\" d='e'>&{{title}}é");
        assert_eq!(
            escaped,
            "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;&#123;&#123;title&#125;&#125;é"
        );
    }
}
