//! Every call that is made to Azure's resource manager, each with the action that a role must allow for it.
//!
//! `deploy/azure/role.json` is held against this list by a test. Nothing else builds a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::wire::{AUTHORIZATION, AUTOSCALE, COMPUTE, NETWORK, SET_INTERFACES, STANDBY};
use crate::config::AzureFleet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    ReadSet,
    ReadSetView,
    Grow,
    Delete,
    StopMany,
    StartMany,
    ListUniform,
    ListFlexible,
    StopOne,
    StartOne,
    ListSetInterfaces,
    ListInterfaces,
    ListAutoscale,
    ListStandby,
    ReadOperation,
    ListRights,
}

impl Call {
    pub const ALL: [Self; 16] = [
        Self::ReadSet,
        Self::ReadSetView,
        Self::Grow,
        Self::Delete,
        Self::StopMany,
        Self::StartMany,
        Self::ListUniform,
        Self::ListFlexible,
        Self::StopOne,
        Self::StartOne,
        Self::ListSetInterfaces,
        Self::ListInterfaces,
        Self::ListAutoscale,
        Self::ListStandby,
        Self::ReadOperation,
        Self::ListRights,
    ];

    /// What a role must allow.
    pub fn action(self) -> &'static str {
        match self {
            Self::ReadSet => "Microsoft.Compute/virtualMachineScaleSets/read",
            Self::ReadSetView => "Microsoft.Compute/virtualMachineScaleSets/instanceView/read",
            Self::Grow => "Microsoft.Compute/virtualMachineScaleSets/write",
            Self::Delete => "Microsoft.Compute/virtualMachineScaleSets/delete/action",
            Self::StopMany => "Microsoft.Compute/virtualMachineScaleSets/deallocate/action",
            Self::StartMany => "Microsoft.Compute/virtualMachineScaleSets/start/action",
            Self::ListUniform => "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/read",
            Self::ListFlexible => "Microsoft.Compute/virtualMachines/read",
            Self::StopOne => "Microsoft.Compute/virtualMachines/deallocate/action",
            Self::StartOne => "Microsoft.Compute/virtualMachines/start/action",
            Self::ListSetInterfaces => {
                "Microsoft.Compute/virtualMachineScaleSets/networkInterfaces/read"
            }
            Self::ListInterfaces => "Microsoft.Network/networkInterfaces/read",
            Self::ListAutoscale => "Microsoft.Insights/autoscalesettings/read",
            Self::ListStandby => "Microsoft.StandbyPool/standbyVirtualMachinePools/read",
            Self::ReadOperation => "Microsoft.Compute/locations/operations/read",
            Self::ListRights => "Microsoft.Authorization/permissions/read",
        }
    }

    /// In words, for messages.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::ReadSet => "reading the scale set",
            Self::ReadSetView => "reading the scale set's services",
            Self::Grow => "raising the scale set's capacity",
            Self::Delete => "deleting chosen machines",
            Self::StopMany | Self::StopOne => "deallocating chosen machines",
            Self::StartMany | Self::StartOne => "starting chosen machines",
            Self::ListUniform | Self::ListFlexible => "listing the machines",
            Self::ListSetInterfaces | Self::ListInterfaces => "listing network interfaces",
            Self::ListAutoscale => "looking for autoscale settings",
            Self::ListStandby => "looking for standby pools",
            Self::ReadOperation => "asking after an operation",
            Self::ListRights => "reading what the gate may do",
        }
    }
}

/// What may stand in a machine's name as it is.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The paths of one scale set.
pub(super) struct Paths {
    set: String,
    compute: String,
    group: String,
}

impl Paths {
    pub fn new(fleet: &AzureFleet) -> Self {
        // The names are checked where the config is read, but for brackets, which a path may hold as they are.
        let group = format!(
            "/subscriptions/{}/resourceGroups/{}",
            fleet.subscription, fleet.resource_group
        );
        let compute = format!("{group}/providers/Microsoft.Compute");
        Self {
            set: format!("{compute}/virtualMachineScaleSets/{}", fleet.scale_set),
            compute,
            group,
        }
    }

    /// `item`: the set's id for a listing of its Flexible machines, or the machine's name; mostly empty elsewhere.
    ///
    /// The case of each path is that of Azure's published description, as validators compare it.
    pub fn of(&self, call: Call, item: &str) -> String {
        let Self {
            set,
            compute,
            group,
        } = self;
        let named = || utf8_percent_encode(item, NAME);
        match call {
            Call::ReadSet | Call::Grow => format!("{set}?api-version={COMPUTE}"),
            Call::ReadSetView => format!("{set}/instanceView?api-version={COMPUTE}"),
            Call::Delete => format!("{set}/delete?api-version={COMPUTE}"),
            Call::StopMany => format!("{set}/deallocate?api-version={COMPUTE}"),
            Call::StartMany => format!("{set}/start?api-version={COMPUTE}"),
            Call::ListUniform => {
                format!("{set}/virtualMachines?api-version={COMPUTE}&$expand=instanceView")
            }
            Call::ListFlexible => {
                let filter = format!("'virtualMachineScaleSet/id' eq '{item}'");
                let filter = utf8_percent_encode(&filter, NON_ALPHANUMERIC);
                format!(
                    "{compute}/virtualMachines?api-version={COMPUTE}&$filter={filter}&$expand=instanceView"
                )
            }
            Call::StopOne => {
                format!(
                    "{compute}/virtualMachines/{}/deallocate?api-version={COMPUTE}",
                    named()
                )
            }
            Call::StartOne => {
                format!(
                    "{compute}/virtualMachines/{}/start?api-version={COMPUTE}",
                    named()
                )
            }
            Call::ListSetInterfaces => {
                let set = set.replace("/Microsoft.Compute/", "/microsoft.Compute/");
                format!("{set}/networkInterfaces?api-version={SET_INTERFACES}")
            }
            Call::ListInterfaces => {
                format!(
                    "{group}/providers/Microsoft.Network/networkInterfaces?api-version={NETWORK}"
                )
            }
            Call::ListAutoscale => {
                let group = group.replace("/resourceGroups/", "/resourcegroups/");
                format!(
                    "{group}/providers/Microsoft.Insights/autoscalesettings?api-version={AUTOSCALE}"
                )
            }
            Call::ListStandby => format!(
                "{group}/providers/Microsoft.StandbyPool/standbyVirtualMachinePools?api-version={STANDBY}"
            ),
            Call::ReadOperation => item.to_owned(),
            // `item` is empty for the set, and anything else for its group.
            Call::ListRights => {
                let scope = if item.is_empty() { set } else { group };
                format!(
                    "{scope}/providers/Microsoft.Authorization/permissions?api-version={AUTHORIZATION}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_role_allows_each_call_and_little_more() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/azure/role.json");
        let role: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let listed = role["Actions"].as_array().unwrap();
        let allowed: BTreeSet<_> = listed
            .iter()
            .map(|action| action.as_str().unwrap())
            .collect();
        let needed: BTreeSet<_> = Call::ALL.map(Call::action).into_iter().collect();
        let missing: Vec<_> = needed.difference(&allowed).collect();
        assert!(missing.is_empty(), "the role lacks {missing:?}");
        // Writing a set is checked against what its model refers to as well, a listing with `$expand=instanceView` against
        // the views, and a Flexible set's delete against its machines.
        let linked = |action: &str| {
            action.ends_with("/join/action")
                || action.ends_with("/assign/action")
                || action.ends_with("/instanceView/read")
                || action == "Microsoft.Compute/virtualMachines/delete"
        };
        let more: Vec<_> = allowed
            .difference(&needed)
            .filter(|action| !linked(action))
            .collect();
        assert!(more.is_empty(), "no call needs {more:?}");
        assert!(allowed.iter().all(|action| !action.contains('*')));
    }
}
