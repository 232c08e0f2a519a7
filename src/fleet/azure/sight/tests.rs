//! Decoding and joining: on small answers of our own, and on Microsoft's examples where their folder is at hand.

use std::path::PathBuf;

use super::super::wire::Page;
use super::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn machines(
    pool: &Arc<str>,
    set: &ScaleSet,
    entries: &[Entry],
    interfaces: &[Interface],
) -> Vec<Sighted> {
    super::machines(pool, set, entries, interfaces).unwrap()
}

fn set(mode: &str) -> ScaleSet {
    let set = json!({ "id": "/s/dsvm", "etag": "\"1\"", "sku": { "name": "x", "tier": "Standard", "capacity": 2 },
        "properties": { "orchestrationMode": mode } });
    serde_json::from_value(set).unwrap()
}

fn entry(provisioning: &str, power: Option<&str>) -> Entry {
    let statuses: Vec<_> = power.iter().map(|code| json!({ "code": code })).collect();
    let entry = json!({ "id": "/s/dsvm/virtualMachines/3", "name": "DSVM_3", "instanceId": "3", "properties": {
        "vmId": "42AF9FDF-B906-4AD7-9905-8316209FF619", "provisioningState": provisioning,
        "timeCreated": "2021-06-27T01:02:38.3138469+00:00", "instanceView": { "statuses": statuses } } });
    serde_json::from_value(entry).unwrap()
}

#[test]
fn every_state_has_its_phase() {
    use MachinePhase::*;
    let cases = [
        ("Creating", None, Creating),
        ("Creating", Some("PowerState/running"), Booting),
        ("Succeeded", Some("PowerState/starting"), Booting),
        ("Succeeded", Some("PowerState/running"), Running),
        ("Updating", Some("PowerState/Running"), Running),
        ("Failed", Some("PowerState/running"), Running),
        ("Failed", None, Failed),
        ("Succeeded", Some("PowerState/stopped"), Stopped),
        ("Succeeded", Some("PowerState/deallocating"), Stopping),
        ("Succeeded", Some("PowerState/deallocated"), Deallocated),
        ("Deleting", Some("PowerState/running"), Deleting),
        ("Succeeded", Some("PowerState/dreaming"), Running),
        ("Succeeded", None, Running),
    ];
    for (provisioning, power, expected) in cases {
        assert_eq!(
            phase(&entry(provisioning, power)),
            expected,
            "{provisioning} {power:?}"
        );
    }
}

#[test]
fn a_machine_is_known_by_the_id_of_its_own() {
    let pool = Arc::from("main");
    let interfaces: Vec<Interface> = serde_json::from_value(json!([
        { "properties": { "primary": false, "virtualMachine": { "id": "/s/DSVM/virtualMachines/3" },
            "ipConfigurations": [{ "properties": { "privateIPAddress": "10.9.9.9" } }] } },
        { "properties": { "primary": true, "virtualMachine": { "id": "/s/DSVM/virtualMachines/3" }, "ipConfigurations": [
            { "properties": { "primary": false, "privateIPAddress": "10.0.0.9" } },
            { "properties": { "primary": true, "privateIPAddress": "10.0.0.4" } }] } },
        { "properties": {} }
    ]))
    .unwrap();
    let one = entry("Succeeded", Some("PowerState/running"));
    let first = machines(
        &pool,
        &set("Uniform"),
        std::slice::from_ref(&one),
        &interfaces,
    );
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].handle, "3");
    assert_eq!(&*first[0].machine.id.name, "dsvm_3");
    assert_eq!(first[0].machine.address.as_deref(), Some("10.0.0.4"));
    assert_ne!(first[0].machine.created, UNIX_EPOCH);
    let mut replaced = one.clone();
    replaced.properties.vm_id = Some("00000000-b906-4ad7-9905-8316209ff619".into());
    let second = machines(&pool, &set("Flexible"), &[replaced.clone()], &interfaces);
    assert_ne!(second[0].machine.generation, first[0].machine.generation);
    assert_eq!(second[0].handle, "DSVM_3");
    replaced.properties.vm_id = None;
    let unknown = super::machines(&pool, &set("Flexible"), &[replaced], &interfaces);
    assert_eq!(unknown.unwrap_err().kind(), "transient");
}

#[test]
fn a_generation_does_not_change_with_the_version_of_the_program() {
    let id = "42AF9FDF-B906-4AD7-9905-8316209FF619";
    assert_eq!(generation(id), generation(&id.to_lowercase()));
    assert_eq!(generation(id), 0xe4c7_b952_e4e0_0d7b);
}

/// The folder of Microsoft's published description, wherever `POOLGATE_AZURE_SPEC` says or beside the project.
fn examples() -> Option<PathBuf> {
    let named = std::env::var_os("POOLGATE_AZURE_SPEC").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside =
        ["../shared/azure-spec", "../../shared/azure-spec"].map(|folder| root.join(folder));
    let found = named
        .into_iter()
        .chain(beside)
        .map(|folder| folder.join("examples"));
    let found = found.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!(
            "skipped: no folder azure-spec with Microsoft's examples; set POOLGATE_AZURE_SPEC to one"
        );
    }
    found
}

fn bodies<T: DeserializeOwned>(folder: &std::path::Path, begins: &str) -> Vec<T> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let named = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(begins)
    };
    let mut bodies = Vec::new();
    for file in files.filter(named) {
        let example: Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let body = example["responses"]["200"]["body"].clone();
        match serde_json::from_value(body) {
            Ok(body) => bodies.push(body),
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }
    bodies
}

#[test]
fn microsofts_own_examples_are_read() {
    let Some(folder) = examples() else {
        return;
    };
    let sets: Vec<ScaleSet> = bodies(&folder, "VirtualMachineScaleSet_Get_W");
    assert!(sets.len() >= 2 && sets.iter().all(|set| set.sku.capacity > 0));
    let uniform: Vec<Page<Entry>> = bodies(&folder, "VirtualMachineScaleSetVM_List_");
    let flexible: Vec<Page<Entry>> = bodies(&folder, "VirtualMachine_List_");
    let interfaces: Vec<Page<Interface>> = bodies(&folder, "VmssNetworkInterfaceList");
    assert!(!interfaces[0].value.is_empty());
    for (pages, mode) in [(uniform, "Uniform"), (flexible, "Flexible")] {
        assert_eq!(pages.len(), 2);
        let entries = pages.into_iter().flat_map(|page| page.value);
        // The least of their examples have ids alone.
        let entries: Vec<Entry> = entries
            .filter(|entry| entry.properties.vm_id.is_some())
            .collect();
        let seen = machines(
            &Arc::from("main"),
            &set(mode),
            &entries,
            &interfaces[0].value,
        );
        assert!(!seen.is_empty(), "{mode}");
    }
    let views: Vec<super::super::wire::View> =
        bodies(&folder, "VirtualMachineScaleSet_GetInstanceView_");
    assert!(views.iter().any(|view| !view.services.is_empty()));
}
