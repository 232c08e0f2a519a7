//! What is wrong with a configuration: every fault with its place, its key, and what to write.
//!
//! One line a fault, in the order of the file, so that a person corrects the file from top to bottom in one go.

use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line 1 is the first; `None` where the fault belongs to the file as a whole.
    File(Option<usize>),
    /// The variable's name.
    Environment(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub place: Place,
    /// Such as `ssh.auth.password`; empty where no key is at fault.
    pub key: String,
    /// What is wrong; what to write.
    pub message: String,
}

/// All faults of one configuration; never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    file: String,
    faults: Vec<Fault>,
}

impl Faults {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            faults: Vec::new(),
        }
    }

    /// One fault of the file as a whole.
    pub(super) fn of_file(file: &str, line: Option<usize>, message: String) -> Self {
        let mut faults = Self::new(file);
        faults.push(Place::File(line), "", message);
        faults
    }

    pub(super) fn push(&mut self, place: Place, key: &str, message: String) {
        // A key in quotes may hold anything; a fault is one line.
        let key = key.replace(char::is_control, "?");
        let fault = Fault {
            place,
            key,
            message,
        };
        if let Err(at) = self.faults.binary_search(&fault) {
            self.faults.insert(at, fault);
        }
    }

    /// Takes back what was said of `key` and of what is in it.
    pub(super) fn forget(&mut self, key: &str) {
        let is_in = |fault: &Fault| {
            let rest = fault.key.strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.faults.retain(|fault| !is_in(fault));
    }

    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// In the order of the file; those of the environment last.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter()
    }
}

impl fmt::Display for Faults {
    /// One line a fault, without a line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match &fault.place {
                Place::File(Some(line)) => write!(f, "{}:{line}: ", self.file)?,
                Place::File(None) => write!(f, "{}: ", self.file)?,
                Place::Environment(variable) => write!(f, "environment {}: ", clean(variable))?,
            }
            if !fault.key.is_empty() {
                write!(f, "{}: ", clean(&fault.key))?;
            }
            f.write_str(&fault.message)?;
        }
        Ok(())
    }
}

/// A name that may hold anything, fit for a terminal.
fn clean(name: &str) -> String {
    name.replace(char::is_control, "\u{fffd}")
}

impl std::error::Error for Faults {}
