//! The daemons of a machine that lines are handed to: journald and syslog, each with a queue of its own.
//!
//! Deliberately absent: what an entry looks like, which whoever writes the lines says.

use std::io;

use super::lines::{Kind, LineLog};
use super::syslog::Syslog;
use crate::config::LogPlace;

#[derive(Default)]
pub(super) struct Daemons {
    pub journald: Vec<LineLog>,
    pub syslog: Vec<Syslog>,
}

impl Daemons {
    /// # Errors
    /// A daemon's socket cannot be used.
    pub fn open(
        places: &[LogPlace],
        to_journald: &'static Kind,
        to_syslog: &'static Kind,
    ) -> io::Result<Self> {
        let mut daemons = Self::default();
        for place in places {
            match place {
                LogPlace::Stderr => {}
                LogPlace::Journald(path) => {
                    daemons.journald.push(LineLog::to_unix(path, to_journald)?);
                }
                LogPlace::Syslog(place) => daemons.syslog.push(Syslog::open(place, to_syslog)?),
            }
        }
        Ok(daemons)
    }

    pub fn queues(&self) -> impl Iterator<Item = &LineLog> {
        let syslog = self.syslog.iter().map(Syslog::lines);
        self.journald.iter().chain(syslog)
    }
}
