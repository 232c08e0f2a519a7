//! Whose order it is: the account of whoever speaks on the socket, as the kernel tells it.
//!
//! For the story and the audit log only. Who may give orders is said by the socket's owner and mode.

use std::time::Duration;

use nix::unistd::{Uid, User};

/// A directory service that hangs keeps no order waiting.
const LOOKUP: Duration = Duration::from_secs(1);

/// Known where the connection came over the socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caller {
    pub uid: Option<u32>,
}

impl Caller {
    /// The account's name, its number where it has none.
    pub async fn name(self) -> String {
        let Some(uid) = self.uid else {
            return "an operator".to_owned();
        };
        let look = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)));
        match tokio::time::timeout(LOOKUP, look).await {
            Ok(Ok(Ok(Some(user)))) => user.name,
            _ => format!("uid {uid}"),
        }
    }
}
