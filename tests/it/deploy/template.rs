//! The template against itself: names that resolve, and a scale set that nobody but the gate resizes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{SET, deployments, id_of};
use crate::support::template::read_json;

fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, found)),
        _ => {}
    }
}

#[test]
fn parameters_are_declared_used_and_answered() {
    let raw = read_json("azuredeploy.json");
    let declared: BTreeSet<_> = raw["parameters"].as_object().unwrap().keys().collect();
    let file = read_json("azuredeploy.parameters.json");
    let given: BTreeSet<_> = file["parameters"].as_object().unwrap().keys().collect();
    let unknown: Vec<_> = given.difference(&declared).collect();
    assert!(unknown.is_empty(), "the template has no {unknown:?}");
    for (name, parameter) in raw["parameters"].as_object().unwrap() {
        let is_answered = parameter.get("defaultValue").is_some() || given.contains(name);
        assert!(
            is_answered,
            "{name} has neither a default nor a value in the parameters file"
        );
        assert!(
            parameter["metadata"]["description"].is_string(),
            "what is {name}?"
        );
    }
    let mut texts = Vec::new();
    strings(&raw, &mut texts);
    for (kind, names) in [
        ("parameters", &raw["parameters"]),
        ("variables", &raw["variables"]),
    ] {
        for name in names.as_object().unwrap().keys() {
            let call = format!("{kind}('{name}')");
            assert!(
                texts.iter().any(|text| text.contains(&call)),
                "nothing uses {call}"
            );
        }
    }
    // The 2018 template's, so that an old parameters file needs few changes.
    for name in [
        "vmSku",
        "vmssName",
        "instanceCount",
        "adminUsername",
        "storageAccountName",
        "storageAccountKey",
        "shareName",
        "mountpointPath",
    ] {
        assert!(raw["parameters"].get(name).is_some(), "{name} is gone");
    }
}

#[test]
fn everything_that_is_referred_to_is_there() {
    for template in deployments() {
        let all: Vec<Value> = template.raw["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| template.evaluate(one))
            .collect();
        let ids: Vec<String> = all.iter().map(id_of).collect();
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            ids.len(),
            "two of one name: {ids:?}"
        );
        for resource in &all {
            for wanted in resource["dependsOn"].as_array().into_iter().flatten() {
                assert!(
                    ids.iter().any(|id| wanted == id),
                    "{} waits for {wanted}, which nothing makes",
                    id_of(resource)
                );
            }
        }
        template.evaluate(&template.raw["outputs"]);
    }
}

#[test]
fn the_set_is_left_to_the_gate() {
    for template in deployments() {
        let resources = template.resources();
        let is_rival = |one: &&Value| {
            let kind = one["type"].as_str().unwrap().to_lowercase();
            kind.contains("autoscale") || kind.contains("standbypool")
        };
        assert_eq!(resources.iter().find(is_rival), None);
        let set = template.resource(SET, "dsvm");
        assert_eq!(set["sku"]["capacity"], 0);
        let properties = &set["properties"];
        let is_uniform = properties["orchestrationMode"] == "Uniform";
        for on_by_itself in ["automaticRepairsPolicy", "spotRestorePolicy"] {
            assert_eq!(properties.get(on_by_itself), None);
        }
        assert_eq!(
            properties.get("overprovision"),
            is_uniform.then_some(&json!(false))
        );
        assert_eq!(
            properties.get("upgradePolicy"),
            is_uniform.then_some(&json!({ "mode": "Manual" }))
        );
        let profile = &properties["virtualMachineProfile"];
        let deleted = (!is_uniform).then_some(json!("Delete"));
        let nic = &profile["networkProfile"]["networkInterfaceConfigurations"][0]["properties"];
        assert_eq!(nic.get("deleteOption").cloned(), deleted);
        assert_eq!(
            profile["storageProfile"]["osDisk"]
                .get("deleteOption")
                .cloned(),
            deleted
        );
        let is_spot = profile["priority"] == "Spot";
        assert_eq!(
            profile.get("scheduledEventsProfile").is_some(),
            !is_spot,
            "Spot machines have no such notice"
        );
        assert_eq!(
            profile.get("evictionPolicy"),
            is_spot.then_some(&json!("Delete"))
        );
        assert_eq!(
            properties.get("priorityMixPolicy").is_some(),
            is_spot && !is_uniform
        );
    }
}
