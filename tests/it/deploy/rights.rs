//! Who may come in, who may read what, and which actions an identity has: no more than is needed.

use serde_json::json;

use super::{GATE, NSG, SET, decoded, deployments, id_of};
use crate::support::template::read_json;

#[test]
fn nobody_comes_in_but_by_the_gate() {
    for template in deployments() {
        let rules = |name: &str| {
            template.resource(NSG, name)["properties"]["securityRules"]
                .as_array()
                .unwrap()
                .clone()
        };
        let admin = template.evaluate(&json!("[parameters('adminSourceAddressPrefix')]"));
        for (group, open) in [
            ("dsvm-gate", json!(["22", "443", "80"])),
            ("dsvm-nsg", json!(["22", "8000"])),
        ] {
            for rule in rules(group) {
                let rule = &rule["properties"];
                if rule["access"] == "Deny" {
                    continue;
                }
                let source = &rule["sourceAddressPrefix"];
                let ports = rule
                    .get("destinationPortRanges")
                    .unwrap_or(&rule["destinationPortRange"]);
                let is_named = if group == "dsvm-gate" {
                    source == "Internet"
                } else {
                    source == "10.0.1.0/28"
                };
                let is_admin =
                    group == "dsvm-gate" && *source == admin && admin != "" && ports == "2222";
                assert!(is_named && *ports == open || is_admin, "{group}: {rule}");
            }
            let last = &rules(group).last().unwrap()["properties"].clone();
            assert_eq!(
                (
                    &last["access"],
                    &last["sourceAddressPrefix"],
                    &last["protocol"],
                    &last["destinationPortRange"]
                ),
                (&json!("Deny"), &json!("*"), &json!("*"), &json!("*")),
                "{group} ends with everybody else"
            );
        }
        let network = template.resource("Microsoft.Network/virtualNetworks", "dsvm-vnet");
        let subnets = network["properties"]["subnets"].as_array().unwrap();
        assert!(
            subnets
                .iter()
                .all(|one| one["properties"]["networkSecurityGroup"]["id"].is_string())
        );
        let addresses: Vec<_> = subnets
            .iter()
            .map(|one| &one["properties"]["addressPrefix"])
            .collect();
        assert_eq!(addresses, ["10.0.0.0/24", "10.0.1.0/28"]);
    }
}

#[test]
fn no_secret_is_where_it_can_be_read() {
    let raw = read_json("azuredeploy.json");
    for (name, parameter) in raw["parameters"].as_object().unwrap() {
        let is_secret = ["key", "password", "secret", "token"]
            .iter()
            .any(|word| name.to_lowercase().ends_with(word))
            && !name.to_lowercase().contains("public");
        assert_eq!(parameter["type"] == "securestring", is_secret, "{name}");
    }
    for template in deployments() {
        for mut resource in template.resources() {
            if resource["type"] == "Microsoft.KeyVault/vaults/secrets" {
                resource["properties"]["value"].take();
            }
            let text = resource.to_string();
            let machine = [SET, GATE].contains(&resource["type"].as_str().unwrap());
            let inner = if machine {
                decoded(&resource).0
            } else {
                String::new()
            };
            for secret in ["key-of-old", "key-of-the-account", "PRIVATE KEY"] {
                assert!(
                    !text.contains(secret) && !inner.contains(secret),
                    "{} holds {secret}",
                    id_of(&resource)
                );
            }
        }
        for vault in template
            .resources()
            .iter()
            .filter(|one| one["type"] == "Microsoft.KeyVault/vaults")
        {
            let properties = &vault["properties"];
            assert_eq!(
                (
                    &properties["enableRbacAuthorization"],
                    &properties["enablePurgeProtection"]
                ),
                (&json!(true), &json!(true))
            );
            assert_eq!(properties["networkAcls"]["defaultAction"], "Deny");
        }
    }
}

#[test]
fn rights_are_the_least() {
    let template = &deployments()[0];
    let role = read_json("role.json");
    let resources = template.resources();
    let of = |kind: &str| {
        resources
            .iter()
            .filter(|one| one["type"] == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    let roles = of("Microsoft.Authorization/roleDefinitions");
    let permissions: Vec<_> = roles
        .iter()
        .map(|one| one["properties"]["permissions"][0].clone())
        .collect();
    assert_eq!(
        permissions[0]["actions"], role["Actions"],
        "run deploy/azure/build"
    );
    assert_eq!(permissions[0]["dataActions"], json!([]));
    assert_eq!(permissions[1]["actions"], json!([]));
    let named = permissions[1]["dataActions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap());
    assert_eq!(
        named.collect::<Vec<_>>(),
        [
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/setSecret/action"
        ]
    );
    for role in &roles {
        let group = template.evaluate(&json!("[resourceGroup().id]"));
        assert_eq!(role["properties"]["assignableScopes"], json!([group]));
    }
    // Who may what, where: an instance reads one vault and nothing else.
    let mut given: Vec<(String, String)> = of("Microsoft.Authorization/roleAssignments")
        .iter()
        .map(|one| {
            let scope = one
                .get("scope")
                .map_or("the group", |scope| scope.as_str().unwrap());
            (
                one["properties"]["principalId"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
                scope.to_owned(),
            )
        })
        .collect();
    given.sort();
    let vault = |name: &str| {
        let name = template.evaluate(&json!(format!("[variables('{name}')]")));
        format!("Microsoft.KeyVault/vaults/{}", name.as_str().unwrap())
    };
    let mut expected = vec![
        ("principal-of-dsvm-gate".to_owned(), "the group".to_owned()),
        ("principal-of-dsvm-gate".to_owned(), vault("gateVaultName")),
        ("principal-of-dsvm-gate".to_owned(), vault("poolVaultName")),
        ("principal-of-dsvm-pool".to_owned(), vault("poolVaultName")),
    ];
    expected.sort();
    assert_eq!(given, expected);
}
