//! What there is to read about the chosen row: its facts at once, and why it is so as soon as the gate has answered. Pure.

use super::looks::Looks;
use super::model::{Effect, Mode, Model, Question};
use super::pane::{Pane, Row};

#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub title: String,
    pub lines: Vec<String>,
    /// Lines that are above the window.
    pub above: usize,
    /// The question whose answer is still to come.
    awaits: Option<u64>,
}

impl Reading {
    /// What the gate answered, below what was there.
    pub fn learn(&mut self, number: u64, told: Result<Vec<String>, String>, looks: Looks) {
        if self.awaits != Some(number) {
            return;
        }
        self.awaits = None;
        let lines = told.unwrap_or_else(|fault| vec![fault]);
        self.lines.extend(lines.iter().map(|line| looks.text(line)));
    }

    pub fn is_waiting(&self) -> bool {
        self.awaits.is_some()
    }
}

impl Model {
    /// Opens what there is about the chosen row.
    pub(super) fn read_on(&mut self) -> Option<Effect> {
        let pane = self.focus;
        let row = self.chosen(pane)?;
        let question = self.question(pane, &row);
        let number = question.as_ref().map(|_| self.ask());
        let mut lines: Vec<_> = facts(pane, &row).collect();
        lines.push(String::new());
        self.mode = Mode::Reading(Reading {
            title: title(pane, &row),
            lines,
            above: 0,
            awaits: number,
        });
        Some(Effect::Explain(number?, question?))
    }

    fn question(&self, pane: Pane, row: &Row) -> Option<Question> {
        let person = |user: &Option<std::sync::Arc<str>>, pool: &str| {
            let (user, pool) = (user.as_deref()?.to_owned(), pool.to_owned());
            Some(Question::Person { user, pool })
        };
        match pane {
            Pane::Machines => Some(Question::Machine(row.key.clone())),
            Pane::Sessions => {
                let mut sessions = self.picture.sessions.iter();
                let view = sessions.find(|view| view.id.to_string() == row.key)?;
                person(&view.user, &view.pool)
            }
            Pane::Queue => {
                let mut waiters = self.picture.waiters.iter();
                let waiter = waiters.find(|waiter| super::rows::waiter_key(waiter) == row.key)?;
                person(&waiter.user, &waiter.pool)
            }
            Pane::Events => None,
        }
    }
}

fn title(pane: Pane, row: &Row) -> String {
    let first = row.cells.first().map_or("", |cell| &*cell.text);
    match pane {
        Pane::Machines => format!("Machine {first}"),
        Pane::Sessions => format!("Session of {first}"),
        Pane::Queue => format!("{first}, who waits"),
        Pane::Events => format!("Event at {first}"),
    }
}

/// Whole, while the list cuts what is long.
fn facts(pane: Pane, row: &Row) -> impl Iterator<Item = String> {
    let facts = pane.headings().iter().zip(&row.cells);
    let facts = facts.filter(|(_, cell)| !cell.text.is_empty());
    facts.map(|(heading, cell)| format!("{:<13} {}", heading.to_lowercase(), cell.text))
}
