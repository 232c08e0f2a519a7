//! The small window in which an order is written: its reason, what it would do, and the last word before it is given. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Effect, Mode, Model};
use super::order::{Order, Target, Verb};

/// What the longest of them, a notice, may hold.
const WORD_BYTES_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub verb: Verb,
    pub target: Target,
    /// The answers to the verb's questions.
    pub words: Vec<String>,
    /// Which of them is being written.
    pub at: usize,
    pub step: Step,
    pub fault: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Writing,
    /// The gate is asked what it would do; the question's number.
    Trying(u64),
    /// What it would do.
    Confirming(String),
    Giving(u64),
}

impl Prompt {
    pub fn new(verb: Verb, target: Target) -> Self {
        Self {
            verb,
            target,
            words: vec![String::new(); verb.questions().len()],
            at: 0,
            step: Step::Writing,
            fault: None,
        }
    }

    pub fn title(&self) -> String {
        format!("{} {}", self.verb.title(), self.target.name())
    }

    /// To be written otherwise.
    pub fn go_back(&mut self, fault: String) {
        self.step = Step::Writing;
        self.at = 0;
        self.fault = Some(fault);
    }

    pub fn write(&mut self, text: &str) {
        if self.step != Step::Writing {
            return;
        }
        if let Some(word) = self.words.get_mut(self.at) {
            for one in text
                .chars()
                .map(|one| if one.is_control() { ' ' } else { one })
            {
                if word.len().saturating_add(one.len_utf8()) <= WORD_BYTES_MAX {
                    word.push(one);
                }
            }
        }
    }

    fn edit(&mut self, key: KeyEvent) {
        let last = self.words.len().saturating_sub(1);
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if is_control => {
                if let Some(word) = self.words.get_mut(self.at) {
                    word.clear();
                }
            }
            KeyCode::Char(one) if !is_control => self.write(one.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => {
                if let Some(word) = self.words.get_mut(self.at) {
                    word.pop();
                }
            }
            KeyCode::Down | KeyCode::Tab => self.at = self.at.saturating_add(1).min(last),
            KeyCode::Up | KeyCode::BackTab => self.at = self.at.saturating_sub(1),
            _ => {}
        }
    }
}

impl Model {
    /// Begins to write an order about the chosen row.
    pub fn begin(&mut self, verb: Verb, target: Option<Target>) {
        if !self.me.may_act() {
            let role = self.me.role.name();
            self.complain(format!(
                "your role here is {role}, which only looks: orders take an operator's"
            ));
            return;
        }
        let target = match (verb, target) {
            (Verb::Cordon | Verb::Uncordon | Verb::Drain, Some(target @ Target::Machine(_)))
            | (Verb::Evict, Some(target @ Target::Session { .. }))
            | (Verb::Notify, Some(target)) => target,
            (Verb::Evict, _) => return self.complain("choose a session first: Tab goes there"),
            (Verb::Notify, None) => {
                return self
                    .complain("choose a machine or a session first, or press N for everybody");
            }
            _ => return self.complain("choose a machine first: Tab goes there"),
        };
        self.mode = Mode::Asking(Prompt::new(verb, target));
    }

    pub(super) fn press_in_prompt(&mut self, mut prompt: Prompt, key: KeyEvent) -> Option<Effect> {
        let (mut effect, mut is_over) = (None, key.code == KeyCode::Esc);
        match (&prompt.step, key.code) {
            (Step::Writing, KeyCode::Enter) if prompt.at.saturating_add(1) < prompt.words.len() => {
                prompt.at = prompt.at.saturating_add(1);
            }
            (Step::Writing, KeyCode::Enter) => {
                match Order::new(prompt.verb, &prompt.target, &prompt.words) {
                    Ok(order) => {
                        let number = self.ask();
                        prompt.step = Step::Trying(number);
                        prompt.fault = None;
                        effect = Some(Effect::Try(number, order.dry()));
                    }
                    Err(fault) => prompt.fault = Some(fault.to_owned()),
                }
            }
            (Step::Writing, _) => prompt.edit(key),
            (Step::Confirming(_), KeyCode::Char('y' | 'Y')) => {
                let order = Order::new(prompt.verb, &prompt.target, &prompt.words);
                effect = order.ok().map(|order| {
                    let number = self.ask();
                    prompt.step = Step::Giving(number);
                    Effect::Give(number, order)
                });
            }
            (Step::Confirming(_), KeyCode::Char('n' | 'N')) => is_over = true,
            _ => {}
        }
        match is_over {
            true => self.say("nothing was ordered"),
            false => self.mode = Mode::Asking(prompt),
        }
        effect
    }
}
