//! Programs that the gate has itself, and answers in the instance's place: what a session's channels ask, and what they say.
//!
//! Deliberately absent: which programs there are (`commands`), and when an answer's turn has come (`requests`).

/// What the gate makes of commands that people have run. Called from the relay: it must neither wait nor fail.
pub trait OwnPrograms: Send {
    /// What it says; `None` where the command is the instance's to run.
    fn run(&mut self, command: &[u8]) -> Option<Said>;
}

/// All that a program of the gate's own shows, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whole lines, without control characters but their ends.
    pub text: String,
    pub status: u32,
}

impl Said {
    pub fn well(line: &str) -> Self {
        Self::of(line, 0)
    }

    pub fn failed(line: &str) -> Self {
        Self::of(line, 1)
    }

    fn of(line: &str, status: u32) -> Self {
        let clean: String = line.chars().filter(|c| !c.is_control()).collect();
        Self {
            text: format!("{clean}\n"),
            status,
        }
    }

    /// As a terminal wants it, which is to the left again after each line.
    pub fn for_terminal(&self) -> String {
        self.text.replace('\n', "\r\n")
    }
}
