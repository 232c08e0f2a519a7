//! The recorder's ear in the relay: what happens on a session's terminals, copied to the writer's queue and nowhere else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::cast::{Size, Terminal};
use super::writer::Recording;
use crate::ssh::channels::{Observer, Program, Side};
use crate::ssh::wire::message::channel::{TerminalRequest, TerminalSize};

/// The terminals that are open, by their channels.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    terminals: HashMap<u32, Live>,
}

struct Live {
    recording: Arc<Recording>,
    began: Instant,
}

impl Live {
    fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

impl Watcher {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            terminals: HashMap::new(),
        }
    }
}

impl Observer for Watcher {
    fn terminal(&mut self, channel: u32, terminal: &TerminalRequest<'_>, now: Instant) {
        // A second request on one channel changes nothing of what is already recorded.
        if self.terminals.contains_key(&channel) {
            return;
        }
        let terminal = Terminal {
            kind: String::from_utf8_lossy(terminal.term).into_owned(),
            size: terminal.size.into(),
        };
        if let Some(recording) = self.shared.begin(terminal) {
            let live = Live {
                recording,
                began: now,
            };
            self.terminals.insert(channel, live);
        }
    }

    fn program(&mut self, _channel: u32, _program: Program<'_>, _now: Instant) {}

    fn resized(&mut self, channel: u32, size: TerminalSize, now: Instant) {
        if let Some(live) = self.terminals.get(&channel) {
            let queue = &self.shared.pool.queue;
            queue.resize(&live.recording, live.at(now), size.into());
        }
    }

    fn data(
        &mut self,
        channel: u32,
        from: Side,
        _extended: Option<u32>,
        bytes: &[u8],
        now: Instant,
    ) {
        let pool = &self.shared.pool;
        let Some(live) = self.terminals.get(&channel) else {
            return;
        };
        match from {
            Side::Instance => pool.queue.output(&live.recording, live.at(now), bytes),
            Side::Client if pool.with_input => {
                pool.queue.input(&live.recording, live.at(now), bytes)
            }
            Side::Client => {}
        }
    }

    fn closed(&mut self, channel: u32, now: Instant) {
        if let Some(live) = self.terminals.remove(&channel) {
            self.shared.pool.queue.end(&live.recording, live.at(now));
        }
    }

    fn wants_data(&self) -> bool {
        self.terminals
            .values()
            .any(|live| live.recording.is_wanted())
    }
}

impl Drop for Watcher {
    /// The session is over, whichever way it ended.
    fn drop(&mut self) {
        let now = Instant::now();
        for live in self.terminals.values() {
            self.shared.pool.queue.end(&live.recording, live.at(now));
        }
    }
}

impl From<TerminalSize> for Size {
    fn from(size: TerminalSize) -> Self {
        Self {
            width: size.columns,
            height: size.rows,
        }
    }
}
