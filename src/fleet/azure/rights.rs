//! What the gate's identity may do with a scale set, as Azure itself counts its roles: nothing has to be ordered to find out. Pure.
//!
//! Denials that are no part of a role (locks, policies, deny assignments) show only when an order is given.

use serde::Deserialize;

use super::calls::Call;

/// One of a caller's roles at a scope: what it allows, less what it takes out again.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Permission {
    pub actions: Vec<String>,
    pub not_actions: Vec<String>,
}

/// Calls that a set of the other kind needs.
const OF_UNIFORM: [Call; 4] = [
    Call::ListUniform,
    Call::ListSetInterfaces,
    Call::StopMany,
    Call::StartMany,
];
const OF_FLEXIBLE: [Call; 4] = [
    Call::ListFlexible,
    Call::ListInterfaces,
    Call::StopOne,
    Call::StartOne,
];
/// Calls that can be done without: where operations stand shows in the next look, and few subscriptions have standby pools.
const SPARED: [Call; 3] = [Call::ReadOperation, Call::ListStandby, Call::ListRights];
/// Azure asks for these at what the set's model refers to, which may lie in another group.
const LINKED: [&str; 1] = ["Microsoft.Network/virtualNetworks/subnets/join/action"];

/// What is not allowed, and what it is needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    pub action: &'static str,
    pub needed_for: &'static str,
    /// Another scope may allow it.
    pub is_doubtful: bool,
}

/// `permissions`: all of the caller's, at the set and at its group.
pub(super) fn lacking(is_flexible: bool, permissions: &[Permission]) -> Vec<Lacking> {
    let others = if is_flexible { OF_UNIFORM } else { OF_FLEXIBLE };
    let needed = Call::ALL
        .into_iter()
        .filter(|call| !others.contains(call) && !SPARED.contains(call));
    let of_calls = needed.map(|call| (call.action(), call.words(), false));
    // A Flexible set's machines are machines of the group.
    let machines = "Microsoft.Compute/virtualMachines/delete";
    let of_machines = is_flexible.then_some((machines, Call::Delete.words(), false));
    let linked = LINKED
        .into_iter()
        .map(|action| (action, "new machines in their subnet", true));
    let all = of_calls.chain(of_machines).chain(linked);
    let lacking = all.filter(|(action, ..)| !permissions.iter().any(|one| one.allows(action)));
    lacking
        .map(|(action, needed_for, is_doubtful)| Lacking {
            action,
            needed_for,
            is_doubtful,
        })
        .collect()
}

impl Permission {
    fn allows(&self, action: &str) -> bool {
        let listed = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, action));
        listed(&self.actions) && !listed(&self.not_actions)
    }
}

/// A star stands for any characters, slashes among them; case does not matter.
fn fits(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            let Some((_, after)) = rest.split_once(middle) else {
                return false;
            };
            rest = after;
        }
    }
    match last {
        Some(last) => rest.ends_with(last),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn permission(actions: &[&str], not_actions: &[&str]) -> Permission {
        let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        Permission {
            actions: owned(actions),
            not_actions: owned(not_actions),
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        let set = "Microsoft.Compute/virtualMachineScaleSets/write";
        for (pattern, expected) in [
            ("*", true),
            ("microsoft.compute/*", true),
            ("Microsoft.Compute/*/write", true),
            ("*/write", true),
            ("Microsoft.Compute/*/read", false),
            ("Microsoft.Compute/virtualMachineScaleSets/write", true),
            ("Microsoft.Compute/virtualMachineScaleSets", false),
            ("Microsoft.*/virtual*Sets/*", true),
            ("Microsoft.*/virtual*Sets/*/x", false),
            ("", false),
        ] {
            assert_eq!(fits(pattern, set), expected, "{pattern}");
        }
    }

    #[test]
    fn the_projects_role_suffices_for_both_kinds_and_a_readers_does_not() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/azure/role.json");
        let role = std::fs::read_to_string(file).unwrap();
        let role: serde_json::Value = serde_json::from_str(&role).unwrap();
        let actions = role["Actions"].as_array().unwrap().iter();
        let actions: Vec<_> = actions.map(|action| action.as_str().unwrap()).collect();
        for is_flexible in [true, false] {
            let own = [permission(&actions, &[])];
            assert_eq!(lacking(is_flexible, &own), []);
            let contributor = [permission(&["*"], &["Microsoft.Authorization/*/write"])];
            assert_eq!(lacking(is_flexible, &contributor), []);
            let reader = lacking(is_flexible, &[permission(&["*/read"], &[])]);
            let lacks = |action: &str| reader.iter().any(|one| one.action == action);
            assert!(lacks("Microsoft.Compute/virtualMachineScaleSets/write"));
            assert!(!lacks("Microsoft.Compute/virtualMachineScaleSets/read"));
        }
        let without = permission(&["*"], &["Microsoft.Compute/virtualMachines/delete"]);
        let found = lacking(true, &[without]);
        assert_eq!(
            (found.len(), found[0].needed_for),
            (1, "deleting chosen machines")
        );
    }
}
