//! What is read of Azure's answers: few fields of many. What decides is demanded; words that are not known are taken as they
//! come, because Azure adds some without a new version.

use serde::Deserialize;

/// Versions of the interface, each the one that Azure's published description of these calls has.
pub(super) const COMPUTE: &str = "2024-03-01";
pub(super) const SET_INTERFACES: &str = "2017-03-30";
pub(super) const NETWORK: &str = "2024-01-01";
pub(super) const AUTHORIZATION: &str = "2022-04-01";
pub(super) const AUTOSCALE: &str = "2022-10-01";
pub(super) const STANDBY: &str = "2024-03-01";

/// A part of a listing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    pub value: Vec<T>,
    pub next_link: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ScaleSet {
    pub id: String,
    pub etag: Option<String>,
    pub sku: Sku,
    pub properties: SetProperties,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sku {
    pub name: String,
    pub tier: Option<String>,
    pub capacity: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SetProperties {
    pub orchestration_mode: Option<String>,
    pub overprovision: Option<bool>,
    pub automatic_repairs_policy: Option<Switch>,
    pub spot_restore_policy: Option<Switch>,
    pub upgrade_policy: Option<UpgradePolicy>,
    pub virtual_machine_profile: Option<Profile>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Switch {
    pub enabled: Option<bool>,
}

impl Switch {
    pub fn is_on(switch: Option<&Self>) -> bool {
        switch.is_some_and(|switch| switch.enabled == Some(true))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct UpgradePolicy {
    pub mode: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Profile {
    pub priority: Option<String>,
}

impl ScaleSet {
    pub fn is_flexible(&self) -> bool {
        is(self.properties.orchestration_mode.as_deref(), "Flexible")
    }

    pub fn is_spot(&self) -> bool {
        let profile = self.properties.virtual_machine_profile.as_ref();
        is(
            profile.and_then(|profile| profile.priority.as_deref()),
            "Spot",
        )
    }
}

/// Azure's words differ in case from one answer to the next.
pub(super) fn is(said: Option<&str>, word: &str) -> bool {
    said.is_some_and(|said| said.eq_ignore_ascii_case(word))
}

/// A machine of either kind of set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub id: String,
    #[serde(default)]
    pub name: String,
    /// Of a Uniform set.
    pub instance_id: Option<String>,
    #[serde(default)]
    pub properties: EntryProperties,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EntryProperties {
    pub vm_id: Option<String>,
    pub provisioning_state: Option<String>,
    pub time_created: Option<String>,
    pub latest_model_applied: Option<bool>,
    pub instance_view: Option<View>,
    pub protection_policy: Option<Protection>,
    pub priority: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct View {
    pub statuses: Vec<Status>,
    #[serde(rename = "orchestrationServices")]
    pub services: Vec<Service>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub code: String,
}

/// One of the set's own helpers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Service {
    pub service_name: String,
    pub service_state: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Protection {
    pub protect_from_scale_in: bool,
    pub protect_from_scale_set_actions: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Interface {
    pub properties: InterfaceProperties,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct InterfaceProperties {
    pub primary: Option<bool>,
    pub virtual_machine: Option<Reference>,
    pub ip_configurations: Vec<IpConfiguration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    pub id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IpConfiguration {
    pub properties: IpProperties,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IpProperties {
    pub primary: Option<bool>,
    #[serde(rename = "privateIPAddress")]
    pub address: Option<String>,
}

/// Somebody else's rules for the size of a set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AutoscaleSetting {
    pub id: String,
    pub name: String,
    pub properties: AutoscaleProperties,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AutoscaleProperties {
    pub enabled: Option<bool>,
    pub target_resource_uri: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StandbyPool {
    pub name: String,
    pub properties: StandbyProperties,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StandbyProperties {
    pub attached_virtual_machine_scale_set_id: Option<String>,
    pub virtual_machine_state: Option<String>,
    pub elasticity_profile: Option<Elasticity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Elasticity {
    pub max_ready_capacity: Option<u32>,
}

/// How an operation goes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub status: String,
    pub error: Option<super::faults::Reason>,
}
