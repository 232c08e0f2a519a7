use super::*;
use std::collections::HashMap;

/// Names every file that a configuration can name.
const ALL: &str = r#"
[ssh]
listen = ["127.0.0.1:2222"]
host_keys = ["host"]
standby_host_keys = ["standby"]
host_certificates = ["host-cert.pub"]
user_ca = "ca"
[ssh.auth]
trusted_user_ca_keys = ["people"]
revoked_keys = "revoked"
[https]
listen = ["127.0.0.1:8443"]
certificate = "chain"
private_key = "key"
ocsp_response = "ocsp"
[https.acme]
agree_to_terms = true
domains = ["pool.example"]
ca_file = "acme"
[admin]
tokens_file = "tokens"
[admin.tls]
certificate = "chain2"
private_key = "key2"
[admin.oidc]
issuer = "https://provider.example"
client_id = "poolgate"
client_secret_file = "oidc"
ca_file = "oidc.pem"
roles.viewer = ["*"]
[traces]
endpoint = "https://otlp.example/otlp/"
headers_file = "otlp"
ca_file = "otlp.pem"
[webhooks.team]
url_file = "team"
form = "slack"
ca_file = "team.pem"
[pools.main]
default = true
[pools.main.ssh]
instance_host_keys = "known_hosts:known"
[pools.main.jupyter]
tls = "ca:hubs.pem"
api_token_file = "hub"
[pools.main.fleet]
provider = "azure"
subscription = "00000000-0000-0000-0000-000000000000"
resource_group = "dsvm"
scale_set = "dsvm"
credential = "service-principal"
tenant_id = "00000000-0000-0000-0000-000000000000"
client_id = "00000000-0000-0000-0000-000000000000"
client_secret_file = "azure"
"#;

fn config(folder: &Path, text: &str) -> Config {
    let parsed = crate::config::parse(&folder.join("x.toml"), text, HashMap::new());
    parsed.unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn each_file_that_is_missing_empty_or_a_folder_is_told_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), ALL);
    let files = files_of(&config);
    assert_eq!(files.len(), 23);
    let make: [fn(&Path); 3] = [
        |_| {},
        |path| std::fs::write(path, "").unwrap(),
        |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        },
    ];
    for make in make {
        for file in &files {
            make(&file.path);
        }
        let faults = faults(&config, nix::unistd::geteuid().as_raw(), &InUse::default());
        for file in &files {
            let is_told = |fault: &String| fault.starts_with(&format!("{}: ", file.key));
            // Told with what they belong to; an empty list is a list.
            let is_told_elsewhere = matches!(file.kind, Kind::OfPair | Kind::HostCertificate);
            let is_list = matches!(
                file.kind,
                Kind::Authorities | Kind::Revoked | Kind::Tokens | Kind::HostKeys(_)
            );
            let is_empty_list = is_list && file.path.is_file();
            assert!(
                faults.iter().any(is_told) || is_told_elsewhere || is_empty_list,
                "{}: {faults:#?}",
                file.key
            );
        }
    }
}

#[test]
fn the_reference_says_of_each_that_it_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    for file in files_of(&config(folder.path(), ALL)) {
        let key = file.key;
        assert!(crate::config::taking::names_files(&key), "{key}");
    }
}

#[test]
fn every_key_whose_value_is_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), ALL);
    let named: Vec<_> = files_of(&config).into_iter().map(|file| file.key).collect();
    let source = include_str!("../../../config/poolgate.toml");
    // Where something is written and not read, what people have, and programs.
    const OTHERS: [&str; 7] = [
        "state_dir",
        "socket",
        "file",
        "folder",
        "authorized_keys",
        "authorized_keys_command",
        "command",
    ];
    let mut found = 0;
    for section in crate::config::reference::sections(source) {
        for (key, value) in section.entries.iter().flat_map(|entry| &entry.keys) {
            let is_path = value.contains("\"/") || key.ends_with("_file") || key.ends_with("_keys");
            if !is_path || OTHERS.contains(&&**key) {
                continue;
            }
            found += 1;
            let is_named = named.iter().any(|one| one.ends_with(&format!(".{key}")));
            assert!(is_named, "[{}] {key} = {value} is not named", section.name);
        }
    }
    assert!(found >= 15, "{found}");
}

#[test]
fn a_file_that_another_account_may_not_read_is_told_to_root() {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let config = config(folder.path(), ALL);
    let files = files_of(&config);
    let ca = files.iter().find(|file| file.key == "ssh.user_ca").unwrap();
    assert_eq!(
        ca.closed_to(NOBODY),
        None,
        "a missing one is told as missing"
    );
    std::fs::write(&ca.path, "").unwrap();
    std::fs::set_permissions(&ca.path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let own = nix::unistd::geteuid();
    assert_eq!(ca.closed_to(own.as_raw()), None);
    let told = ca.closed_to(NOBODY);
    assert_eq!(told.is_some(), own.is_root(), "only root asks about others");
    if let Some(told) = told {
        let path = ca.path.display();
        assert!(told.starts_with("ssh.user_ca: "), "{told}");
        assert!(
            told.contains(&format!("may not read {path}; run: chown ")),
            "{told}"
        );
    }
    std::fs::set_permissions(&ca.path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(ca.closed_to(NOBODY), None);
}
