//! `AzureFleet` and `CommandFleet`, and how they are written: where a cloud's machines are, and as whom it is asked.
//!
//! Azure's names are checked to the letter here, because they become parts of request paths.

use std::path::PathBuf;
use std::time::Duration;

use ::config::Value;

use super::fleets::beside;
use super::raw::Section;
use super::units::duration;
use super::validate::seconds;
use super::values::{Read, path, text, word};

/// A Virtual Machine Scale Set.
#[derive(Clone, Debug, PartialEq)]
pub struct AzureFleet {
    pub subscription: String,
    pub resource_group: String,
    pub scale_set: String,
    pub cloud: AzureCloud,
    pub credential: AzureCredential,
    /// From one look at the set to the next.
    pub interval: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AzureCloud {
    Public,
    UsGovernment,
    China,
}

/// Who the gate is to Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureCredential {
    /// Of the machine it runs on; the user-assigned one of this client id, or the system's.
    ManagedIdentity { client_id: Option<String> },
    /// Of the Kubernetes pod it runs in, by the variables that AKS sets.
    WorkloadIdentity,
    ServicePrincipal {
        tenant_id: String,
        client_id: String,
        client_secret_file: PathBuf,
    },
    /// Whoever is logged in with `az`.
    AzCli,
}

/// Instances of any other cloud, by a program of the operator's.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandFleet {
    pub command: Vec<String>,
    /// From one listing to the next.
    pub interval: Duration,
    /// Of one run of the program.
    pub timeout: Duration,
}

#[derive(Clone, Copy)]
enum Credential {
    ManagedIdentity,
    WorkloadIdentity,
    ServicePrincipal,
    AzCli,
}

const ID: &str = "00000000-0000-0000-0000-000000000000";

pub(super) fn azure(section: &mut Section<'_>) -> Option<AzureFleet> {
    let subscription = section.required("subscription", &format!("subscription = {ID:?}"), id);
    let group = "resource_group = \"dsvm\"";
    let resource_group = section.required("resource_group", group, name(90, "-_.()"));
    let scale_set = section.required("scale_set", "scale_set = \"dsvm\"", name(64, "-_."));
    let clouds = word(&[
        ("public", AzureCloud::Public),
        ("us-government", AzureCloud::UsGovernment),
        ("china", AzureCloud::China),
    ]);
    let cloud = section.get_or("cloud", AzureCloud::Public, clouds);
    // Looks count against what Azure allows a set: 12 reads a minute.
    let bounds = seconds(10)..=seconds(600);
    let interval = section.get_or("interval", seconds(20), duration(bounds));
    let credential = credential(section);
    Some(AzureFleet {
        subscription: subscription?,
        resource_group: resource_group?,
        scale_set: scale_set?,
        cloud,
        credential: credential?,
        interval,
    })
}

fn credential(section: &mut Section<'_>) -> Option<AzureCredential> {
    let words = word(&[
        ("managed-identity", Credential::ManagedIdentity),
        ("workload-identity", Credential::WorkloadIdentity),
        ("service-principal", Credential::ServicePrincipal),
        ("az-cli", Credential::AzCli),
    ]);
    let kind = section.get_or("credential", Credential::ManagedIdentity, words);
    let principal = "credential = \"service-principal\"";
    if !matches!(kind, Credential::ServicePrincipal) {
        section.refuse(&["tenant_id", "client_secret_file"], principal);
    }
    match kind {
        Credential::ManagedIdentity => {
            let client_id = section.get("client_id", id);
            Some(AzureCredential::ManagedIdentity { client_id })
        }
        Credential::ServicePrincipal => {
            let tenant_id = section.required("tenant_id", &format!("tenant_id = {ID:?}"), id);
            let client_id = section.required("client_id", &format!("client_id = {ID:?}"), id);
            let write = "client_secret_file = \"/etc/poolgate/azure.secret\"";
            let file: Option<PathBuf> =
                section.required("client_secret_file", write, path(section.folder()));
            Some(AzureCredential::ServicePrincipal {
                tenant_id: tenant_id?,
                client_id: client_id?,
                client_secret_file: file?,
            })
        }
        Credential::WorkloadIdentity | Credential::AzCli => {
            let only = "credential = \"managed-identity\" or \"service-principal\"";
            section.refuse(&["client_id"], only);
            Some(match kind {
                Credential::AzCli => AzureCredential::AzCli,
                _ => AzureCredential::WorkloadIdentity,
            })
        }
    }
}

pub(super) fn command(section: &mut Section<'_>) -> Option<CommandFleet> {
    let folder = section.folder();
    let command = section.list("command", text);
    if command.as_ref().is_none_or(Vec::is_empty) && !section.is_at_fault("command") {
        let write = "command = [\"/usr/local/lib/poolgate/lxd.sh\"]";
        section.fault("command", format!("names no program; write {write}"));
    }
    let interval = section.get_or("interval", seconds(20), duration(seconds(1)..=seconds(600)));
    let timeout = section.get_or("timeout", seconds(60), duration(seconds(1)..=seconds(600)));
    Some(CommandFleet {
        command: beside(folder, command?),
        interval,
        timeout,
    })
}

/// A GUID, in small letters.
fn id(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    let is_hex = text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    match lengths == [8, 4, 4, 4, 12] && is_hex {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!(
            "is {text:?}, which is no id of Azure; write it like {ID:?}"
        )),
    }
}

/// Letters, digits and `also`, as Azure allows in names of this kind.
fn name(chars_max: usize, also: &'static str) -> impl Read<String> {
    move |value| {
        let text = text(value)?;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
        let is_name =
            text.len() <= chars_max && text.chars().all(is_allowed) && !text.ends_with('.');
        match is_name {
            true => Ok(text),
            false => Err(format!(
                "is {text:?}; write the name as Azure shows it: up to {chars_max} letters, digits and any of {also}"
            )),
        }
    }
}
