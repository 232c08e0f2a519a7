//! What of Azure's own would delete machines behind our back, each with the command that ends it. Pure.
//!
//! While there is any, the fleet is looked at and not resized: of two that decide on machines, one kills people's sessions.

use super::wire::{AutoscaleSetting, ScaleSet, Service, StandbyPool, Switch, is};
use crate::config::AzureFleet;

pub(super) fn of(
    fleet: &AzureFleet,
    set: &ScaleSet,
    services: &[Service],
    settings: &[AutoscaleSetting],
) -> Vec<String> {
    let mut found = of_the_model(fleet, set, services);
    let foreign = settings.iter().filter(|setting| {
        let target = setting.properties.target_resource_uri.as_deref();
        // Enabled unless it says otherwise.
        is(target, &set.id) && setting.properties.enabled != Some(false)
    });
    found.extend(foreign.map(|setting| {
        format!(
            "the autoscale setting {:?} resizes the set too; run: az monitor autoscale update --resource-group {} --name {} --enabled false",
            setting.name, fleet.resource_group, setting.name
        )
    }));
    found
}

fn of_the_model(fleet: &AzureFleet, set: &ScaleSet, services: &[Service]) -> Vec<String> {
    let properties = &set.properties;
    let update = format!(
        "az vmss update --resource-group {} --name {}",
        fleet.resource_group, fleet.scale_set
    );
    let is_suspended = services.iter().any(|service| {
        is(Some(&service.service_name), "AutomaticRepairs")
            && is(Some(&service.service_state), "Suspended")
    });
    let mut found = Vec::new();
    if Switch::is_on(properties.automatic_repairs_policy.as_ref()) && !is_suspended {
        found.push(format!(
            "automatic repairs delete machines that seem ill, with the people on them; run: {update} --enable-automatic-repairs false"
        ));
    }
    if Switch::is_on(properties.spot_restore_policy.as_ref()) {
        found.push(format!(
            "the set restores evicted machines by itself; run: {update} --enable-spot-restore false"
        ));
    }
    // Flexible sets have no such thing and may leave it out; Uniform ones do it unless told not to.
    if properties.overprovision.unwrap_or(false) {
        found.push(format!(
            "the set makes more machines than asked for and deletes some again; run: {update} --set overprovision=false"
        ));
    }
    let mode = properties
        .upgrade_policy
        .as_ref()
        .and_then(|policy| policy.mode.as_deref());
    if let Some(mode) = mode.filter(|mode| !mode.eq_ignore_ascii_case("Manual")) {
        found.push(format!(
            "the upgrade policy {mode:?} restarts machines by itself; run: {update} --set upgradePolicy.mode=Manual"
        ));
    }
    found
}

/// A standby pool hinders nothing: growing draws from it. But its machines cost, which is worth a line.
pub(super) fn standby(set: &ScaleSet, pools: &[StandbyPool]) -> Option<String> {
    let is_ours = |pool: &&StandbyPool| {
        let attached = pool
            .properties
            .attached_virtual_machine_scale_set_id
            .as_deref();
        is(attached, &set.id)
    };
    let pool = pools.iter().find(is_ours)?;
    let properties = &pool.properties;
    let ready = properties
        .elasticity_profile
        .as_ref()
        .and_then(|profile| profile.max_ready_capacity);
    Some(format!(
        "the standby pool {:?} keeps up to {} machines ready, {}; growing draws from it first",
        pool.name,
        ready.unwrap_or_default(),
        properties
            .virtual_machine_state
            .as_deref()
            .unwrap_or("in an unknown state")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AzureCloud, AzureCredential};
    use serde_json::json;
    use std::time::Duration;

    fn found(
        properties: serde_json::Value,
        services: &[Service],
        settings: serde_json::Value,
    ) -> Vec<String> {
        let fleet = AzureFleet {
            subscription: "s".into(),
            resource_group: "rg".into(),
            scale_set: "dsvm".into(),
            cloud: AzureCloud::Public,
            credential: AzureCredential::AzCli,
            interval: Duration::from_secs(20),
        };
        let set = json!({ "id": "/sets/DSVM", "sku": { "name": "x", "capacity": 1 }, "properties": properties });
        let set = serde_json::from_value(set).unwrap();
        let settings: Vec<AutoscaleSetting> = serde_json::from_value(settings).unwrap();
        of(&fleet, &set, services, &settings)
    }

    #[test]
    fn a_quiet_set_is_left_to_us() {
        let quiet = json!({ "upgradePolicy": { "mode": "Manual" }, "overprovision": false,
            "automaticRepairsPolicy": { "enabled": false } });
        let settings = json!([
            { "name": "off", "properties": { "enabled": false, "targetResourceUri": "/sets/dsvm" } },
            { "name": "other", "properties": { "enabled": true, "targetResourceUri": "/sets/web" } }
        ]);
        assert_eq!(found(quiet, &[], settings), [] as [String; 0]);
    }

    #[test]
    fn each_rival_is_told_with_the_command_that_ends_it() {
        let loud = json!({ "upgradePolicy": { "mode": "Rolling" }, "overprovision": true,
            "automaticRepairsPolicy": { "enabled": true }, "spotRestorePolicy": { "enabled": true } });
        let settings =
            json!([{ "name": "cpu", "properties": { "targetResourceUri": "/sets/dsvm" } }]);
        let told = found(loud, &[], settings);
        assert_eq!(told.len(), 5);
        assert!(
            told.iter().all(|line| line.contains("; run: az ")),
            "{told:?}"
        );
        assert!(told[4].ends_with("--name cpu --enabled false"), "{told:?}");
    }

    #[test]
    fn suspended_repairs_hinder_nothing() {
        let suspended = [Service {
            service_name: "AutomaticRepairs".into(),
            service_state: "Suspended".into(),
        }];
        let set = json!({ "automaticRepairsPolicy": { "enabled": true } });
        assert_eq!(found(set, &suspended, json!([])).len(), 0);
    }

    #[test]
    fn only_our_own_standby_pool_is_told() {
        let set =
            json!({ "id": "/sets/DSVM", "sku": { "name": "x", "capacity": 1 }, "properties": {} });
        let set = serde_json::from_value(set).unwrap();
        let pools: Vec<StandbyPool> = serde_json::from_value(json!([
            { "name": "web", "properties": { "attachedVirtualMachineScaleSetId": "/sets/web" } },
            { "name": "warm", "properties": { "attachedVirtualMachineScaleSetId": "/sets/dsvm",
                "virtualMachineState": "Deallocated", "elasticityProfile": { "maxReadyCapacity": 3 } } }
        ]))
        .unwrap();
        let told = standby(&set, &pools).unwrap();
        assert!(
            told.contains("\"warm\" keeps up to 3 machines ready, Deallocated"),
            "{told}"
        );
        assert_eq!(standby(&set, &pools[..1]), None);
    }
}
