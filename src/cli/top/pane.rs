//! The four lists on the screen, and what somebody chose in each: the row, the order, the filter. Pure.
//!
//! A chosen row is remembered by its key: rows come, go and change places while somebody looks.

use std::cmp::Ordering;

use super::looks::Tone;
use super::order::Target;
use crate::admin::counting_key;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Machines,
    Sessions,
    Queue,
    Events,
}

impl Pane {
    pub const ALL: [Self; 4] = [Self::Machines, Self::Sessions, Self::Queue, Self::Events];

    pub fn next(self) -> Self {
        match self {
            Self::Machines => Self::Sessions,
            Self::Sessions => Self::Queue,
            Self::Queue => Self::Events,
            Self::Events => Self::Machines,
        }
    }

    pub fn before(self) -> Self {
        self.next().next().next()
    }

    pub fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Machines => &[
                "MACHINE", "STATE", "SINCE", "SSH", "HUB", "SEATS", "LOAD", "BUSY", "WHY",
            ],
            Self::Sessions => &["USER", "BY", "MACHINE", "SINCE", "STAGE", "FROM", "SESSION"],
            Self::Queue => &["USER", "BY", "POOL", "PLACE", "WAITS", "THERE", "FROM"],
            Self::Events => &["TIME", "WHERE", "EVENT", "WHAT AND WHY"],
        }
    }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub key: String,
    pub cells: Vec<Cell>,
    /// Whom an order about it is for, where there can be one.
    pub target: Option<Target>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
    pub weight: Weight,
}

/// What a column is ordered by.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Weight {
    /// By the text, where digits count as a number.
    #[default]
    Text,
    /// Shown to the right.
    Number(u64),
    /// Nothing is known: after all others.
    Unknown,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(text, Tone::Plain)
    }

    pub fn of(text: impl Into<String>, tone: Tone) -> Self {
        let (text, weight) = (text.into(), Weight::Text);
        Self { text, tone, weight }
    }

    pub fn number(text: impl Into<String>, number: u64) -> Self {
        let (text, tone) = (text.into(), Tone::Plain);
        let weight = Weight::Number(number);
        Self { text, tone, weight }
    }

    pub fn unknown() -> Self {
        Self {
            text: "-".to_owned(),
            tone: Tone::Faint,
            weight: Weight::Unknown,
        }
    }
}

/// What somebody chose in one list.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `None`: the first, of events the newest.
    pub key: Option<String>,
    /// Where it was last: what is nearest takes its place when it goes.
    pub at: usize,
    /// The column rows are ordered by; `None` as they come.
    pub sort: Option<usize>,
    pub is_reversed: bool,
    /// In small letters; empty for all rows.
    pub filter: String,
}

impl Choice {
    /// The rows that fit, in the order that is asked for.
    pub fn select(&self, mut rows: Vec<Row>) -> Vec<Row> {
        if !self.filter.is_empty() {
            rows.retain(|row| self.fits(row));
        }
        if let Some(column) = self.sort {
            rows.sort_by(|a, b| {
                let ordering = compare(a.cells.get(column), b.cells.get(column));
                match self.is_reversed {
                    true => ordering.reverse(),
                    false => ordering,
                }
            });
        }
        rows
    }

    fn fits(&self, row: &Row) -> bool {
        let holds = |cell: &Cell| cell.text.to_lowercase().contains(&self.filter);
        row.cells.iter().any(holds)
    }

    /// The place of the chosen row among these; `None` where there are none.
    pub fn place(&self, rows: &[Row], pane: Pane) -> Option<usize> {
        let last = rows.len().checked_sub(1)?;
        let Some(key) = &self.key else {
            return Some(if pane == Pane::Events { last } else { 0 });
        };
        let found = rows.iter().position(|row| row.key == *key);
        Some(found.unwrap_or(self.at.min(last)))
    }

    /// Chooses the row so many further on, or back.
    pub fn go(&mut self, by: isize, rows: &[Row], pane: Pane) {
        let Some(place) = self.place(rows, pane) else {
            return;
        };
        let last = rows.len().saturating_sub(1);
        let place = place.saturating_add_signed(by).min(last);
        // Who goes to the end of the events follows them on.
        let follows = pane == Pane::Events && place == last && by >= 0;
        self.at = place;
        self.key = match follows {
            true => None,
            false => rows.get(place).map(|row| row.key.clone()),
        };
    }

    /// The next column; after the last one as they come.
    pub fn sort_next(&mut self, pane: Pane) {
        let next = self.sort.map_or(0, |column| column.saturating_add(1));
        self.sort = (next < pane.headings().len()).then_some(next);
        self.is_reversed = false;
    }
}

fn compare(a: Option<&Cell>, b: Option<&Cell>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else {
        return Ordering::Equal;
    };
    match (&a.weight, &b.weight) {
        (Weight::Number(a), Weight::Number(b)) => a.cmp(b),
        (Weight::Unknown, Weight::Unknown) => Ordering::Equal,
        (Weight::Unknown, _) => Ordering::Greater,
        (_, Weight::Unknown) => Ordering::Less,
        _ => counting_key(&a.text).cmp(&counting_key(&b.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str]) -> Vec<Row> {
        let row = |name: &&str| Row {
            key: (*name).to_owned(),
            cells: vec![Cell::text(*name)],
            target: None,
        };
        names.iter().map(row).collect()
    }

    fn keys(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| &*row.key).collect()
    }

    #[test]
    fn a_chosen_row_stays_chosen_while_others_come_and_go() {
        let mut choice = Choice::default();
        let before = rows(&["a", "b", "c"]);
        choice.go(1, &before, Pane::Machines);
        assert_eq!(
            choice.place(&rows(&["0", "a", "b"]), Pane::Machines),
            Some(2)
        );
        assert_eq!(
            choice.place(&rows(&["a", "c"]), Pane::Machines),
            Some(1),
            "the next"
        );
        assert_eq!(choice.place(&rows(&["a"]), Pane::Machines), Some(0));
        assert_eq!(choice.place(&[], Pane::Machines), None);
        choice.go(-9, &before, Pane::Machines);
        assert_eq!(choice.key.as_deref(), Some("a"));
    }

    #[test]
    fn events_are_followed_until_somebody_goes_back() {
        let mut choice = Choice::default();
        assert_eq!(choice.place(&rows(&["1", "2"]), Pane::Events), Some(1));
        choice.go(-1, &rows(&["1", "2"]), Pane::Events);
        assert_eq!(choice.place(&rows(&["1", "2", "3"]), Pane::Events), Some(0));
        choice.go(9, &rows(&["1", "2", "3"]), Pane::Events);
        assert_eq!(
            choice.place(&rows(&["1", "2", "3", "4"]), Pane::Events),
            Some(3)
        );
    }

    #[test]
    fn rows_are_filtered_and_ordered_as_people_count() {
        let mut choice = Choice {
            filter: "vm".to_owned(),
            sort: Some(0),
            ..Choice::default()
        };
        let mixed = rows(&["vm10", "gpu", "VM2", "vm1"]);
        assert_eq!(keys(&choice.select(mixed.clone())), ["VM2", "vm1", "vm10"]);
        choice.is_reversed = true;
        assert_eq!(keys(&choice.select(mixed)), ["vm10", "vm1", "VM2"]);
        let number =
            |number: Option<u64>| number.map_or(Cell::unknown(), |one| Cell::number("n", one));
        let less = compare(Some(&number(Some(9))), Some(&number(None)));
        assert_eq!(less, Ordering::Less, "what is not known comes last");
        let mut sorts = Vec::new();
        for _ in 0..5 {
            choice.sort_next(Pane::Events);
            sorts.push(choice.sort);
        }
        assert_eq!(sorts, [Some(1), Some(2), Some(3), None, Some(0)]);
    }
}
