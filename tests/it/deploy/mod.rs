//! `deploy/azure`: the template that `az deployment group create` takes, and the scripts its machines run.
//!
//! Every expression is evaluated first, so that what is judged is what Azure would get. Nothing here talks to Azure.

mod gate_set_up;
mod oracles;
mod rights;
mod set_up;
mod template;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::template::{Template, resource_id};

pub(super) const PATIENT: Duration = Duration::from_secs(120);
pub(super) const NSG: &str = "Microsoft.Network/networkSecurityGroups";
pub(super) const SET: &str = "Microsoft.Compute/virtualMachineScaleSets";
pub(super) const GATE: &str = "Microsoft.Compute/virtualMachines";
/// What Azure takes of custom data, before base64.
const CUSTOM_DATA_MAX: usize = 65_535;

/// Deployments that differ in every switch of the template.
pub(super) fn deployments() -> Vec<Template> {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOq2";
    [
        json!({}),
        json!({ "orchestrationMode": "Uniform", "image": "ubuntu", "sharedDrive": "azure-files-smb" }),
        json!({ "priority": "Spot", "regularBaseCount": 1, "regularPercentageAboveBase": 25,
            "adminSourceAddressPrefix": "198.51.100.0/24", "publicName": "pool.example", "acmeTermsAgreed": true }),
        json!({ "orchestrationMode": "Uniform", "priority": "Spot", "sharedDrive": "nfs", "nfsExport": "10.0.0.250:/srv" }),
        json!({ "sharedDrive": "azure-files-smb", "storageAccountName": "old", "storageAccountKey": "key-of-old" }),
    ]
    .map(|mut changed| {
        changed["adminPublicKey"] = json!(key);
        Template::with(&changed)
    })
    .into()
}

pub(super) fn id_of(resource: &Value) -> String {
    let names: Vec<String> = resource["name"]
        .as_str()
        .unwrap()
        .split('/')
        .map(str::to_owned)
        .collect();
    resource_id(resource["type"].as_str().unwrap(), &names)
}

/// A machine's cloud-init text, and the files it writes.
pub(super) fn decoded(resource: &Value) -> (String, Vec<(String, String)>) {
    let properties = &resource["properties"];
    let profile = properties
        .get("virtualMachineProfile")
        .unwrap_or(properties);
    let text = BASE64
        .decode(profile["osProfile"]["customData"].as_str().unwrap())
        .unwrap();
    assert!(
        text.len() <= CUSTOM_DATA_MAX,
        "{} bytes of custom data",
        text.len()
    );
    let text = String::from_utf8(text).unwrap();
    let mut files = Vec::new();
    for part in text.split("  - path: ").skip(1) {
        let path = part.lines().next().unwrap();
        let content = part
            .split("content: \"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let content = BASE64
            .decode(content)
            .unwrap_or_else(|_| panic!("{path} is filled with {content}"));
        files.push((path.to_owned(), String::from_utf8(content).unwrap()));
    }
    (text, files)
}
