//! The template and its scripts as others judge them: the program's own API versions, the scripts that read the settings,
//! Azure's description of its resources, cloud-init, shellcheck.

use std::path::Path;

use serde_json::{Value, json};

use super::{GATE, NSG, PATIENT, SET, decoded, deployments};
use crate::support::azure::description_file;
use crate::support::client::{client_script, venv_python};
use crate::support::people::staged;
use crate::support::template::{deploy_folder, read_json};
use crate::support::{finish, tool};

#[test]
fn what_is_embedded_is_what_the_files_say() {
    finish(tool("jq").arg("--version"), PATIENT).ok();
    let check = finish(
        tool(deploy_folder().join("build").to_str().unwrap()).arg("--check"),
        PATIENT,
    );
    assert_eq!(check.code(), Some(0), "{check}");
    let embedded = &read_json("azuredeploy.json")["variables"]["files"];
    for (name, file) in [
        ("lib", "lib.sh"),
        ("gateCloudInit", "cloud-init/gate.yaml"),
        ("gateSetup", "gate/setup.sh"),
        ("instanceCloudInit", "cloud-init/instance.yaml"),
        ("instanceSetup", "instance/setup.sh"),
        ("atLogin", "instance/at-login.sh"),
        ("jupyterhubConfig", "instance/jupyterhub_config.py"),
        ("sshdDropIn", "../../config/sshd_config.d/poolgate.conf"),
    ] {
        let text = std::fs::read_to_string(deploy_folder().join(file)).unwrap();
        assert!(text.is_ascii(), "{file}: custom data is plain ASCII");
        assert_eq!(
            embedded[name], text,
            "{file} has changed; run deploy/azure/build"
        );
    }
    assert_eq!(embedded.as_object().unwrap().len(), 8);
}

#[test]
fn api_versions_are_the_ones_the_program_speaks() {
    let wire =
        std::fs::read_to_string(deploy_folder().join("../../src/fleet/azure/wire.rs")).unwrap();
    let version = |name: &str| {
        let line = wire
            .lines()
            .find(|line| line.contains(&format!("const {name}: ")))
            .unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    for resource in read_json("azuredeploy.json")["resources"]
        .as_array()
        .unwrap()
    {
        let expected = match resource["type"]
            .as_str()
            .unwrap()
            .split('/')
            .next()
            .unwrap()
        {
            "Microsoft.Compute" => version("COMPUTE"),
            "Microsoft.Network" => version("NETWORK"),
            "Microsoft.Storage" => "2023-05-01".to_owned(),
            "Microsoft.KeyVault" => "2023-07-01".to_owned(),
            "Microsoft.ManagedIdentity" => "2023-01-31".to_owned(),
            "Microsoft.Authorization" => "2022-04-01".to_owned(),
            other => panic!("{other} is new"),
        };
        assert_eq!(resource["apiVersion"], expected, "{}", resource["type"]);
    }
}

#[test]
fn machines_are_told_what_their_set_up_reads() {
    let folder = tempfile::tempdir().unwrap();
    for (number, template) in deployments().iter().enumerate() {
        for (kind, name, script) in [
            (GATE, "dsvm-gate", "gate/setup.sh"),
            (SET, "dsvm", "instance/setup.sh"),
        ] {
            let (_, files) = decoded(&template.resource(kind, name));
            let content = |path: &str| {
                &files
                    .iter()
                    .find(|(one, _)| one == path)
                    .unwrap_or_else(|| panic!("no {path}"))
                    .1
            };
            let text = std::fs::read_to_string(deploy_folder().join(script)).unwrap();
            assert_eq!(*content("/opt/poolgate/setup/setup.sh"), text);
            let file = if kind == GATE {
                "/etc/poolgate/gate.env"
            } else {
                "/etc/poolgate/instance.env"
            };
            let settings = content(file);
            assert!(
                settings.contains("POOLGATE_SHARE_PATH=/mnt/dsvmshare\n"),
                "{settings}"
            );
            let path = folder.path().join(format!("{number}.env"));
            std::fs::write(&path, settings).unwrap();
            let read = ". ./lib.sh; read_settings \"$1\"; check_words; needed POOLGATE_IDENTITY; needed POOLGATE_VAULT; echo; share_options";
            let mut bash = tool("bash");
            bash.args(["-euo", "pipefail", "-c", read, "bash"])
                .arg(&path)
                .current_dir(deploy_folder());
            let said = finish(&mut bash, PATIENT).ok();
            let drive = template.evaluate(&json!("[variables('isSmb')]"));
            let expected = if drive == true {
                "cifs vers=3.1.1,seal,credentials="
            } else {
                "nfs vers=4.1,"
            };
            assert!(
                said.stdout.contains(expected) && said.stdout.contains("_netdev,nofail"),
                "{said}"
            );
        }
    }
}

/// The parser and schema of cloud-init itself, unpacked by tests/run.
fn cloud_init(file: &Path) -> crate::support::Finished {
    let folder = staged().join("cloud-init");
    let program = folder.join("usr/bin/cloud-init");
    assert!(
        program.exists(),
        "cloud-init is missing: run tests/run, which unpacks it"
    );
    let mut python = venv_python();
    python
        .env("PYTHONPATH", folder.join("usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
        .arg(program)
        .args(["schema", "--config-file"])
        .arg(file);
    finish(&mut python, PATIENT)
}

#[test]
fn cloud_init_accepts_what_machines_get() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("user-data");
    let template = &deployments()[0];
    let mut texts: Vec<String> = [(GATE, "dsvm-gate"), (SET, "dsvm")]
        .map(|(kind, name)| decoded(&template.resource(kind, name)).0)
        .into();
    for name in ["gate", "instance"] {
        texts.push(
            std::fs::read_to_string(deploy_folder().join(format!("cloud-init/{name}.yaml")))
                .unwrap(),
        );
    }
    for text in &texts {
        std::fs::write(&file, text).unwrap();
        let said = cloud_init(&file).ok();
        assert!(said.stdout.contains("Valid cloud-config"), "{said}");
    }
    std::fs::write(&file, texts[0].replace("runcmd:", "runcmd: 3\nrun:")).unwrap();
    assert_ne!(
        cloud_init(&file).code(),
        Some(0),
        "it refuses what is wrong"
    );
}

/// What Azure's description of its resources says to these; one line a fault.
fn schema_faults(schema: &Path, resources: &[Value]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resources.json");
    std::fs::write(&file, json!(resources).to_string()).unwrap();
    let mut python = venv_python();
    python
        .arg(client_script("arm_schema.py"))
        .arg(schema)
        .arg(&file);
    let said = finish(&mut python, PATIENT).ok();
    assert!(said.stdout.contains("judged"), "{said}");
    said.stdout
        .lines()
        .filter(|line| line.starts_with("fault"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn azure_knows_every_property() {
    let Some(schema) = description_file("arm-resources.schema.json") else {
        eprintln!(
            "skipped: no folder azure-spec with Azure's description; set POOLGATE_AZURE_SPEC to one"
        );
        return;
    };
    for template in deployments() {
        assert_eq!(schema_faults(&schema, &template.resources()), "");
    }
    let template = &deployments()[0];
    let mut set = template.resource(SET, "dsvm");
    set["sku"]["capcity"] = json!(0);
    let mut network = template.resource(NSG, "dsvm-nsg");
    network["properties"]["securityRules"][0]["properties"]["priority"] = json!("first");
    let faults = schema_faults(&schema, &[set, network]);
    assert!(
        faults.contains("capcity") && faults.contains("priority"),
        "{faults}"
    );
}

#[test]
fn the_scripts_are_sound() {
    let mut shellcheck = tool("shellcheck");
    let root = deploy_folder();
    for script in [
        "lib.sh",
        "build",
        "gate/setup.sh",
        "instance/setup.sh",
        "instance/at-login.sh",
    ] {
        shellcheck.arg(root.join(script));
    }
    finish(
        shellcheck.arg("-x").current_dir(root.join("../..")),
        PATIENT,
    )
    .ok();
}
