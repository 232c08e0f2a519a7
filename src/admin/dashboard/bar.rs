//! Bars of shares, such as machines by state: widths in percent, for drawings without inline style. Pure.

/// A piece of a bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub name: &'static str,
    /// Of the style sheet.
    pub class: &'static str,
    pub count: u32,
    /// In percent of the bar.
    pub x: String,
    pub width: String,
}

/// Pieces side by side; none for what counts nothing.
pub fn pieces(parts: impl Iterator<Item = (&'static str, &'static str, u32)>) -> Vec<Piece> {
    let parts: Vec<_> = parts.filter(|(_, _, count)| *count > 0).collect();
    let counts = parts.iter().map(|(_, _, count)| f64::from(*count));
    let sum = counts.sum::<f64>().max(1.0);
    let mut begin = 0.0;
    let mut pieces = Vec::new();
    for (name, class, count) in parts {
        let width = f64::from(count) / sum * 100.0;
        pieces.push(Piece {
            name,
            class,
            count,
            x: percent(begin),
            width: percent(width),
        });
        begin += width;
    }
    pieces
}

/// How much of a bar is full.
pub fn share(part: u32, whole: u32) -> String {
    let share = f64::from(part) / f64::from(whole.max(1)) * 100.0;
    percent(share.min(100.0))
}

fn percent(share: f64) -> String {
    format!("{share:.2}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_fill_the_bar() {
        let made = pieces([("a", "a", 3), ("b", "b", 0), ("c", "c", 1)].into_iter());
        let widths: Vec<_> = made.iter().map(|one| (&*one.x, &*one.width)).collect();
        assert_eq!(widths, [("0.00%", "75.00%"), ("75.00%", "25.00%")]);
        assert!(pieces([("a", "a", 0)].into_iter()).is_empty());
        assert_eq!(share(5, 4), "100.00%");
        assert_eq!(share(0, 0), "0.00%");
        assert_eq!(share(1, 3), "33.33%");
    }
}
