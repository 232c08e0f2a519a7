//! Room in the client's window that the gate keeps for itself, so that it can say something on a channel at any moment.
//!
//! The instance is told of a window a little smaller than the client's. What the gate then sends of its own comes out of
//! the difference, and later grants of the client fill it up again before the instance hears of them. So neither side ever
//! sends more than it was allowed, and no data need be counted. Deliberately absent: waiting and messages.

/// The longest text the gate may have on its way to one channel: a notice of a thousand bytes with its frame.
pub const RESERVE: u32 = 2048;
/// Of a small window, the gate takes one part in so many: 16 KiB, the smallest in use (dropbear), still gives all of it.
const SHARE: u32 = 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    full: u32,
    left: u32,
}

impl Reserve {
    /// What the gate keeps of a client's first window, and what the instance is told of.
    pub fn of_window(window: u32) -> (Self, u32) {
        let full = RESERVE.min(window / SHARE);
        let reserve = Self { full, left: full };
        (reserve, window - full)
    }

    /// Takes room for so many bytes of the gate's own; `false`, and nothing taken, where there is not enough.
    pub fn spend(&mut self, bytes: usize) -> bool {
        let Some(left) = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| self.left.checked_sub(bytes))
        else {
            return false;
        };
        self.left = left;
        true
    }

    pub fn is_full(&self) -> bool {
        self.left == self.full
    }

    /// The client grants so many bytes more; how many of them the instance is to hear of.
    pub fn absorb(&mut self, granted: u32) -> u32 {
        let kept = granted.min(self.full - self.left);
        self.left += kept;
        granted - kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_spent_comes_back_from_the_next_grants() {
        let (mut reserve, told) = Reserve::of_window(2 << 20);
        assert_eq!(told, (2 << 20) - RESERVE);
        assert!(reserve.spend(2000));
        assert!(!reserve.spend(49), "only 48 are left");
        assert_eq!(reserve.absorb(1500), 0);
        assert_eq!(reserve.absorb(1500), 1000);
        assert!(reserve.is_full());
        assert_eq!(reserve.absorb(1500), 1500);
    }

    #[test]
    fn a_client_without_a_window_loses_nothing() {
        let (mut reserve, told) = Reserve::of_window(7);
        assert_eq!((told, reserve.left), (7, 0));
        assert!(!reserve.spend(1));
        assert_eq!(reserve.absorb(u32::MAX), u32::MAX);
    }

    proptest! {
        /// A client that grants what it has consumed, an instance that sends all it may, a gate that says something now
        /// and then: nobody oversteps, and the instance can always go on.
        #[test]
        fn windows_stay_true(window in 0u32..100_000, acts in prop::collection::vec((0u8..3, 0u32..5000), 0..200)) {
            let (mut reserve, told) = Reserve::of_window(window);
            let (mut instance_may, mut client_allows) = (u64::from(told), u64::from(window));
            let mut consumed = 0;
            for (act, bytes) in acts {
                match act {
                    0 => {
                        let sent = instance_may.min(bytes.into());
                        instance_may -= sent;
                        client_allows = client_allows.checked_sub(sent).expect("the instance kept within the window");
                        consumed += sent;
                    }
                    1 if reserve.spend(bytes as usize) => {
                        client_allows = client_allows.checked_sub(bytes.into()).expect("the gate kept within the window");
                        consumed += u64::from(bytes);
                    }
                    1 => {}
                    _ => {
                        let granted = consumed.min(bytes.into());
                        consumed -= granted;
                        client_allows += granted;
                        instance_may += u64::from(reserve.absorb(granted as u32));
                    }
                }
                prop_assert_eq!(client_allows, instance_may + u64::from(reserve.left));
            }
            // Once the client has granted everything back, all is as it was.
            instance_may += u64::from(reserve.absorb(consumed as u32));
            prop_assert_eq!(instance_may, u64::from(told));
            prop_assert!(reserve.is_full());
        }
    }
}
