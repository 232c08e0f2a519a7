//! All that `poolgate top` knows, and what follows from what it is told: a message in, effects out.
//!
//! Pure: it neither asks the gate nor draws. Time comes in with the messages, so tests drive the very code that runs.

use std::collections::VecDeque;
use std::time::SystemTime;

use jiff::tz::TimeZone;
use ratatui::crossterm::event::KeyEvent;

use super::details::Reading;
use super::looks::Looks;
use super::order::Order;
use super::pane::{Choice, Pane, Row};
use super::picture::Picture;
use super::prompt::{Prompt, Step};
use crate::admin::Me;
use crate::telemetry::events::Event;

/// As many as a gate keeps.
const EVENTS_MAX: usize = 4096;

pub struct Model {
    pub looks: Looks,
    pub zone: TimeZone,
    pub now: SystemTime,
    pub me: Me,
    /// The last that was seen.
    pub picture: Picture,
    /// The oldest first.
    pub events: VecDeque<Event>,
    /// Whether the gate does not answer.
    pub is_away: bool,
    pub choices: Choices,
    pub focus: Pane,
    /// Only sessions of the chosen machine are shown.
    pub is_of_machine: bool,
    pub mode: Mode,
    /// What came of the last key; gone with the next one.
    pub said: Option<Said>,
    /// Tells answers to a question that was given up from those that are waited for.
    pub asked: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Choices {
    machines: Choice,
    sessions: Choice,
    queue: Choice,
    events: Choice,
}

/// What keys mean.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    Looking,
    /// What is typed is the filter of the list in front.
    Filtering,
    Asking(Prompt),
    Reading(Reading),
    Helping,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    pub is_fault: bool,
}

/// Something happened.
#[derive(Debug)]
pub enum Message {
    Key(KeyEvent),
    /// Text from a clipboard, which is never a command.
    Paste(String),
    /// The window has another size.
    Resized,
    Picture(Box<Picture>),
    Events(Vec<Event>),
    /// The gate did not answer.
    Away(SystemTime),
    /// What an order would do, or why there can be none.
    Tried(u64, Result<String, String>),
    /// What an order did.
    Given(u64, Result<String, String>),
    /// Why something is as it is.
    Explained(u64, Result<Vec<String>, String>),
    /// The terminal is gone, or the system wants an end.
    Stop,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Stop,
    /// Ask what an order would do.
    Try(u64, Order),
    Give(u64, Order),
    Explain(u64, Question),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// As `POOL/NAME`.
    Machine(String),
    Person {
        user: String,
        pool: String,
    },
}

impl Choices {
    pub fn of(&self, pane: Pane) -> &Choice {
        match pane {
            Pane::Machines => &self.machines,
            Pane::Sessions => &self.sessions,
            Pane::Queue => &self.queue,
            Pane::Events => &self.events,
        }
    }

    pub fn of_mut(&mut self, pane: Pane) -> &mut Choice {
        match pane {
            Pane::Machines => &mut self.machines,
            Pane::Sessions => &mut self.sessions,
            Pane::Queue => &mut self.queue,
            Pane::Events => &mut self.events,
        }
    }
}

impl Model {
    pub fn new(looks: Looks, zone: TimeZone, me: Me, picture: Picture) -> Self {
        Self {
            looks,
            zone,
            now: picture.at,
            me,
            picture,
            events: VecDeque::new(),
            is_away: false,
            choices: Choices::default(),
            focus: Pane::Machines,
            is_of_machine: false,
            mode: Mode::Looking,
            said: None,
            asked: 0,
        }
    }

    /// What follows from a message.
    pub fn update(&mut self, message: Message) -> Option<Effect> {
        match message {
            Message::Key(key) => return self.press(key),
            Message::Paste(text) => self.paste(&text),
            Message::Resized => {}
            Message::Picture(picture) => {
                self.now = picture.at;
                self.is_away = false;
                self.picture = *picture;
            }
            Message::Events(events) => {
                self.events.extend(events);
                let surplus = self.events.len().saturating_sub(EVENTS_MAX);
                self.events.drain(..surplus);
            }
            Message::Away(at) => {
                self.now = at;
                self.is_away = true;
            }
            Message::Tried(number, told) => self.tried(number, told),
            Message::Given(number, told) => self.given(number, told),
            Message::Explained(number, told) => {
                if let Mode::Reading(reading) = &mut self.mode {
                    reading.learn(number, told, self.looks);
                }
            }
            Message::Stop => return Some(Effect::Stop),
        }
        None
    }

    /// The chosen row of a list.
    pub fn chosen(&self, pane: Pane) -> Option<Row> {
        let mut rows = self.rows(pane);
        let place = self.choices.of(pane).place(&rows, pane)?;
        (place < rows.len()).then(|| rows.swap_remove(place))
    }

    pub fn say(&mut self, text: impl Into<String>) {
        let (text, is_fault) = (text.into(), false);
        self.said = Some(Said { text, is_fault });
    }

    pub fn complain(&mut self, text: impl Into<String>) {
        let (text, is_fault) = (text.into(), true);
        self.said = Some(Said { text, is_fault });
    }

    /// The number of a new question.
    pub fn ask(&mut self) -> u64 {
        self.asked = self.asked.wrapping_add(1);
        self.asked
    }

    fn tried(&mut self, number: u64, told: Result<String, String>) {
        let looks = self.looks;
        if let Mode::Asking(prompt) = &mut self.mode
            && prompt.step == Step::Trying(number)
        {
            match told {
                Ok(text) => prompt.step = Step::Confirming(looks.text(&text)),
                Err(fault) => prompt.go_back(looks.text(&fault)),
            }
        }
    }

    fn given(&mut self, number: u64, told: Result<String, String>) {
        let looks = self.looks;
        match (&mut self.mode, told) {
            (Mode::Asking(prompt), Err(fault)) if prompt.step == Step::Giving(number) => {
                prompt.go_back(looks.text(&fault));
            }
            (Mode::Asking(prompt), Ok(text)) if prompt.step == Step::Giving(number) => {
                self.mode = Mode::Looking;
                self.say(looks.text(&text));
            }
            // Whoever looked away meanwhile is told all the same.
            (_, Ok(text)) => self.say(looks.text(&text)),
            (_, Err(fault)) => self.complain(looks.text(&fault)),
        }
    }
}
