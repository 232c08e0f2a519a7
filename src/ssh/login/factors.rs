//! Which methods a login must still come through, as `ssh.auth.methods` wants it (sshd's AuthenticationMethods).
//!
//! Counts only what it is told has been proved. Deliberately absent: the proofs themselves, and what an instance wants
//! beyond this: once the gate's own list is done, the instance decides.

use crate::config::AuthMethod;

/// The ways left, each the methods still to come in order.
#[derive(Clone, Debug)]
pub(in crate::ssh) struct Plan {
    ways: Vec<Vec<AuthMethod>>,
    is_complete: bool,
}

impl Plan {
    /// `ways`: as configured, each with at least one method.
    pub fn new(ways: Vec<Vec<AuthMethod>>) -> Self {
        Self {
            ways,
            is_complete: false,
        }
    }

    /// Any one of these methods.
    pub fn any_of(methods: &[AuthMethod]) -> Self {
        Self::new(methods.iter().map(|method| vec![*method]).collect())
    }

    /// Whether this method may come now.
    pub fn allows(&self, method: AuthMethod) -> bool {
        self.is_complete || self.ways.iter().any(|way| way.first() == Some(&method))
    }

    /// What may come now, as the protocol names it.
    pub fn next(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for method in AuthMethod::ALL {
            if self.ways.iter().any(|way| way.first() == Some(&method)) {
                names.push(method.name());
            }
        }
        names
    }

    /// Of what an instance would go on with, what may come now.
    pub fn next_of<'a>(&self, wanted: &'a [String]) -> Vec<&'a str> {
        let method = |name: &str| AuthMethod::ALL.into_iter().find(|one| one.name() == name);
        let names = wanted.iter().map(String::as_str);
        names
            .filter(|name| method(name).is_some_and(|method| self.allows(method)))
            .collect()
    }

    /// This method has succeeded: every way that began with it is one step shorter.
    pub fn prove(&mut self, method: AuthMethod) {
        if self.is_complete {
            return;
        }
        for way in &mut self.ways {
            if way.first() == Some(&method) {
                way.remove(0);
                self.is_complete |= way.is_empty();
            }
        }
    }

    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthMethod::{KeyboardInteractive, Password, PublicKey};

    #[test]
    fn one_method_is_enough_where_nothing_is_configured() {
        let mut plan = Plan::any_of(&AuthMethod::ALL);
        assert_eq!(
            plan.next(),
            ["publickey", "password", "keyboard-interactive"]
        );
        plan.prove(Password);
        assert!(plan.is_complete());
    }

    #[test]
    fn methods_come_in_order_and_each_counts_once() {
        let mut plan = Plan::new(vec![vec![PublicKey, KeyboardInteractive]]);
        assert!(!plan.allows(KeyboardInteractive));
        plan.prove(KeyboardInteractive);
        assert_eq!(
            plan.next(),
            ["publickey"],
            "out of turn it counts for nothing"
        );
        plan.prove(PublicKey);
        assert!(!plan.is_complete());
        plan.prove(PublicKey);
        assert_eq!(plan.next(), ["keyboard-interactive"]);
        plan.prove(KeyboardInteractive);
        assert!(plan.is_complete());
    }

    #[test]
    fn one_of_several_ways_is_enough_and_two_halves_of_two_are_not() {
        let ways = vec![
            vec![PublicKey, PublicKey],
            vec![PublicKey, Password],
            vec![KeyboardInteractive, Password],
        ];
        let mut plan = Plan::new(ways);
        assert_eq!(plan.next(), ["publickey", "keyboard-interactive"]);
        plan.prove(PublicKey);
        assert!(!plan.is_complete());
        assert_eq!(
            plan.next(),
            ["publickey", "password", "keyboard-interactive"]
        );
        plan.prove(KeyboardInteractive);
        assert!(!plan.is_complete());
        plan.prove(Password);
        assert!(plan.is_complete());
    }

    #[test]
    fn an_instance_goes_on_with_what_may_come() {
        let plan = Plan::new(vec![vec![Password]]);
        let wanted = ["publickey", "password", "hostbased"].map(str::to_owned);
        assert_eq!(plan.next_of(&wanted), ["password"]);
        let done = Plan {
            is_complete: true,
            ..plan
        };
        assert_eq!(done.next_of(&wanted), ["publickey", "password"]);
    }
}
