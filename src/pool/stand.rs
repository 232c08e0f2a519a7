//! Where somebody stands who waits for a seat, and what they may hope for.

use serde::{Deserialize, Serialize};

use super::outlook::Outlook;

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// How many stand in front; `None` for whom there is no room even in the line.
    pub ahead: Option<usize>,
    pub outlook: Outlook,
    /// Seconds until an instance is open, if it goes as the last times.
    pub left_s: Option<u64>,
    /// Those in front who could take a seat now.
    pub in_front: usize,
}

impl Stand {
    /// Of somebody who gets no ticket.
    pub const CROWDED: Self = Self {
        ahead: None,
        outlook: Outlook {
            is_open: true,
            free: 0,
            is_hub_starting: false,
            is_silent: false,
            is_likely: false,
        },
        left_s: None,
        in_front: usize::MAX,
    };

    /// There is a free seat for this one.
    pub fn is_ready(&self) -> bool {
        self.ahead.is_some() && self.in_front < self.outlook.free
    }
}
