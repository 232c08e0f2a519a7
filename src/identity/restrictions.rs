//! What a proven person may do, as the key they proved it with allows. Made once, never changed.
//!
//! Holds what OpenSSH's `authorized_keys` options can say after login; what must be true *at* login (addresses, expiry,
//! touch) is checked before a `Restrictions` exists and is kept here only where it bounds the certificate.

use std::time::SystemTime;

/// The limits that travel in a grant and into the minted certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restrictions {
    /// Runs in place of whatever the client asks for.
    pub force_command: Option<String>,
    pub permit_pty: bool,
    pub permit_agent_forwarding: bool,
    pub permit_x11_forwarding: bool,
    pub permit_port_forwarding: bool,
    pub permit_user_rc: bool,
    /// `HOST:PORT` targets of `-L`; empty means any.
    pub permit_open: Vec<String>,
    /// `[HOST:]PORT` listeners of `-R`; empty means any.
    pub permit_listen: Vec<String>,
    /// Name and value; sshd ignores these unless `PermitUserEnvironment` is on, and so does the gate.
    pub environment: Vec<(String, String)>,
    /// The proof holds no longer than this.
    pub not_after: Option<SystemTime>,
}

impl Restrictions {
    /// What a key without options, or a password, allows: everything.
    pub fn unrestricted() -> Self {
        Self {
            force_command: None,
            permit_pty: true,
            permit_agent_forwarding: true,
            permit_x11_forwarding: true,
            permit_port_forwarding: true,
            permit_user_rc: true,
            permit_open: Vec::new(),
            permit_listen: Vec::new(),
            environment: Vec::new(),
            not_after: None,
        }
    }

    /// Whether there is something in it that only the instance's sshd can hold a session to.
    pub fn binds_the_instance(&self) -> bool {
        let Self {
            force_command,
            permit_pty,
            permit_agent_forwarding,
            permit_x11_forwarding,
            permit_port_forwarding,
            permit_user_rc,
            permit_open,
            permit_listen,
            environment: _,
            not_after: _,
        } = self;
        let is_open = *permit_pty
            && *permit_agent_forwarding
            && *permit_x11_forwarding
            && *permit_port_forwarding
            && *permit_user_rc;
        !is_open || force_command.is_some() || !permit_open.is_empty() || !permit_listen.is_empty()
    }

    /// What both allow. `None` if both force a command and not the same one: there is no session that obeys both.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let force_command = match (&self.force_command, &other.force_command) {
            (Some(a), Some(b)) if a != b => return None,
            (Some(a), _) => Some(a.clone()),
            (None, b) => b.clone(),
        };
        let mut both = Self {
            force_command,
            permit_pty: self.permit_pty && other.permit_pty,
            permit_agent_forwarding: self.permit_agent_forwarding && other.permit_agent_forwarding,
            permit_x11_forwarding: self.permit_x11_forwarding && other.permit_x11_forwarding,
            permit_port_forwarding: self.permit_port_forwarding && other.permit_port_forwarding,
            permit_user_rc: self.permit_user_rc && other.permit_user_rc,
            permit_open: Vec::new(),
            permit_listen: Vec::new(),
            environment: self.environment.clone(),
            not_after: earlier(self.not_after, other.not_after),
        };
        for (name, value) in &other.environment {
            if !both.environment.iter().any(|(known, _)| known == name) {
                both.environment.push((name.clone(), value.clone()));
            }
        }
        let open = common(&self.permit_open, &other.permit_open);
        let listen = common(&self.permit_listen, &other.permit_listen);
        // An empty list means "any", so lists without a common entry leave only "none".
        both.permit_port_forwarding &= open.is_some() && listen.is_some();
        both.permit_open = open.unwrap_or_default();
        both.permit_listen = listen.unwrap_or_default();
        Some(both)
    }
}

fn earlier(a: Option<SystemTime>, b: Option<SystemTime>) -> Option<SystemTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The entries in both lists, where an empty list allows all; `None` if nothing is left.
fn common(a: &[String], b: &[String]) -> Option<Vec<String>> {
    if a.is_empty() {
        return Some(b.to_vec());
    }
    if b.is_empty() {
        return Some(a.to_vec());
    }
    let both: Vec<String> = a
        .iter()
        .filter(|entry| b.contains(entry))
        .cloned()
        .collect();
    (!both.is_empty()).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_intersection_never_allows_more_than_either() {
        let open = Restrictions::unrestricted();
        let narrow = Restrictions {
            force_command: Some("id".into()),
            permit_pty: false,
            permit_open: vec!["db:5432".into()],
            not_after: Some(SystemTime::UNIX_EPOCH),
            ..Restrictions::unrestricted()
        };
        assert_eq!(open.intersect(&narrow), Some(narrow.clone()));
        assert_eq!(narrow.intersect(&open), Some(narrow.clone()));
        let later = Restrictions {
            not_after: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(9)),
            ..open
        };
        let both = later.intersect(&narrow).unwrap();
        assert_eq!(both.not_after, Some(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn two_forced_commands_contradict() {
        let forced = |command: &str| Restrictions {
            force_command: Some(command.into()),
            ..Restrictions::unrestricted()
        };
        assert_eq!(forced("a").intersect(&forced("b")), None);
        assert!(forced("a").intersect(&forced("a")).is_some());
    }

    #[test]
    fn lists_without_a_common_target_forbid_forwarding() {
        let only = |target: &str| Restrictions {
            permit_open: vec![target.into()],
            ..Restrictions::unrestricted()
        };
        assert!(
            !only("a:1")
                .intersect(&only("b:1"))
                .unwrap()
                .permit_port_forwarding
        );
    }
}
