//! The corpus in `tests/config`, the documented file in `config/`, and the environment.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Config, Faults, parse, raw, source, validate};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(file: &str, text: &str, environment: &[(&str, &str)]) -> Result<Config, Faults> {
    let variables = environment.iter();
    let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(Path::new(file), text, variables.collect())
}

fn corpus(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join("tests/config").join(kind);
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    files
}

/// A first line `# environment: NAME=VALUE` sets a variable.
fn read_corpus(file: &Path) -> Result<Config, Faults> {
    let text = fs::read_to_string(file).unwrap();
    let set = text
        .lines()
        .filter_map(|line| line.strip_prefix("# environment: "));
    let variables: Vec<_> = set.filter_map(|line| line.split_once('=')).collect();
    let name = file.file_name().unwrap().to_str().unwrap();
    read(name, &text, &variables)
}

#[test]
fn every_valid_file_is_taken() {
    let files = corpus("valid");
    assert!(files.len() >= 5, "the corpus is gone");
    for file in files {
        if let Err(faults) = read_corpus(&file) {
            panic!("{}:\n{faults}", file.display());
        }
    }
}

#[test]
fn every_mistake_gets_its_message() {
    let files = corpus("invalid");
    assert!(files.len() >= 25, "the corpus is gone");
    let mut wrong = Vec::new();
    for file in files {
        let told = read_corpus(&file).err().map(|faults| format!("{faults}\n"));
        let told = told.unwrap_or_else(|| "no fault\n".to_owned());
        let expected = fs::read_to_string(file.with_extension("expected")).unwrap_or_default();
        if told != expected {
            wrong.push(format!(
                "{}:\nexpected\n{expected}told\n{told}",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_says_where_what_and_what_to_write() {
    for file in corpus("invalid") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let faults = read_corpus(&file).unwrap_err();
        for line in faults.to_string().lines() {
            assert!(
                line.starts_with(&name) || line.starts_with("environment POOLGATE__"),
                "{line}"
            );
            assert!(line.contains("; "), "{name}: no remedy: {line}");
        }
    }
}

#[test]
fn the_documented_defaults_of_a_webhook_are_true() {
    let full = read("/etc/poolgate.toml", &documented_in_full(), &[]).unwrap();
    let webhook = full.webhooks["team"].clone();
    let text = format!(
        "{}\n[webhooks.team]\nurl_file = \"team.url\"\nform = \"slack\"",
        documented()
    );
    let short = read("/etc/poolgate/x.toml", &text, &[]).unwrap();
    let short = super::WebhookConfig {
        ca_file: webhook.ca_file.clone(),
        ..short.webhooks["team"].clone()
    };
    assert_eq!(short, webhook);
}

#[test]
fn the_documented_defaults_of_traces_are_true() {
    let full = read("/etc/poolgate.toml", &documented_in_full(), &[]).unwrap();
    let traces = full.traces.unwrap();
    let text = format!(
        "{}\n[traces]\nendpoint = \"http://127.0.0.1:4318/v1/traces\"",
        documented()
    );
    let short = read("/etc/poolgate/x.toml", &text, &[]).unwrap();
    let short = super::TracesConfig {
        headers_file: traces.headers_file.clone(),
        ca_file: traces.ca_file.clone(),
        ..short.traces.unwrap()
    };
    assert_eq!(short, traces);
    assert!(!traces.trusts([127, 0, 0, 1].into()));
}

fn documented() -> String {
    fs::read_to_string(Path::new(ROOT).join("config/poolgate.toml")).unwrap()
}

/// With every commented-out key in force.
fn documented_in_full() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    documented()
        .lines()
        .map(|line| uncomment(line) + "\n")
        .collect()
}

#[test]
fn the_documented_file_is_valid_and_its_defaults_are_true() {
    let short =
        read("/etc/poolgate.toml", &documented(), &[]).unwrap_or_else(|faults| panic!("{faults}"));
    let mut full = read("/etc/poolgate.toml", &documented_in_full(), &[])
        .unwrap_or_else(|faults| panic!("{faults}"));
    let process = full.pools.remove("local").unwrap();
    let clouds = ["west", "east", "lab"].map(|pool| full.pools.remove(pool).unwrap().fleet);
    let tls = full.admin.tls.take().unwrap();
    assert_eq!((&*tls.key, tls.ocsp_response), ("admin.tls", None));
    let oidc = full.admin.oidc.take().unwrap();
    full.webhooks.clear();
    full.traces = None;
    let acme = full.https.as_mut().unwrap().acme.take().unwrap();
    full.written.clone_from(&short.written);
    assert_eq!(format!("{short:?}"), format!("{full:?}"));
    let text = "[https]\nlisten = [\"127.0.0.1:443\"]\n[https.acme]\nagree_to_terms = true\ndomains = [\"pool.example\"]\n\
        [pools.main.fleet]\nprovider = \"static\"\ninstances = [{ name = \"a\", address = \"b\" }]";
    let https = read("/etc/poolgate.toml", text, &[])
        .unwrap()
        .https
        .unwrap();
    let short = super::AcmeConfig {
        ca_file: acme.ca_file.clone(),
        ..https.acme.unwrap()
    };
    assert_eq!(format!("{short:?}"), format!("{acme:?}"));
    assert!(https.certificates.is_empty());
    let text = format!(
        "{text}\n[admin.oidc]\nissuer = {:?}\nclient_id = \"poolgate\"\nroles.admin = [\"ada\"]",
        oidc.issuer
    );
    let short = super::OidcConfig {
        ca_file: oidc.ca_file.clone(),
        roles: oidc.roles.clone(),
        ..read("x.toml", &text, &[]).unwrap().admin.oidc.unwrap()
    };
    assert_eq!(format!("{short:?}"), format!("{oidc:?}"));
    let fleet = "[pools.local.fleet]\nprovider = \"process\"\ncount = 3\ncommand = [\"x\"]";
    let text = format!(
        "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n{fleet}"
    );
    let short = read("x.toml", &text, &[]).unwrap();
    let (super::FleetConfig::Process(short), super::FleetConfig::Process(full)) =
        (&short.pools["local"].fleet, &process.fleet)
    else {
        panic!("both are process fleets");
    };
    assert_eq!(short.state_dir, full.state_dir);
    assert_eq!(short.stop_timeout, full.stop_timeout);
    let [west, _, lab] = clouds;
    let id = "\"00000000-0000-0000-0000-000000000000\"";
    let azure = format!(
        "provider = \"azure\"\nsubscription = {id}\nresource_group = \"dsvm\"\nscale_set = \"dsvm\"\nclient_id = {id}"
    );
    let command = "provider = \"command\"\ncommand = [\"/usr/local/lib/poolgate/lxd.sh\", \"lab\"]";
    for (written, full) in [(azure.as_str(), west), (command, lab)] {
        let ssh = "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"";
        let text = format!("{ssh}\n[pools.a.fleet]\n{written}");
        let short = read("x.toml", &text, &[]).unwrap();
        assert_eq!(format!("{:?}", short.pools["a"].fleet), format!("{full:?}"));
    }
}

#[test]
fn every_key_is_documented() {
    let text = documented_in_full();
    let file = Path::new("poolgate.toml");
    let source = source::Source::read(file, &text, HashMap::new()).unwrap();
    let document = toml_edit::Document::parse(text.as_str()).unwrap();
    let raw = raw::Raw::new(file, std::sync::Arc::new(source));
    assert!(validate::validate(&raw).is_some());
    let general = |key: &str| {
        let pools = ["main", "local", "west", "east", "lab"];
        let key = key.replace("webhooks.team.", "webhooks.*.");
        let key = pools.iter().fold(key, |key, pool| {
            key.replace(&format!("pools.{pool}."), "pools.*.")
        });
        let mut general = String::new();
        let mut inside = false;
        for c in key.chars() {
            inside = (inside || c == '[') && c != ']';
            if !inside && c != ']' {
                general.push(c);
            }
        }
        general
    };
    let known: BTreeSet<_> = raw.known().iter().map(|key| general(key)).collect();
    let mut written = BTreeSet::new();
    keys_of("", document.as_table(), &mut written);
    let written: BTreeSet<_> = written.iter().map(|key| general(key)).collect();
    let missing: Vec<_> = known.difference(&written).collect();
    assert!(
        missing.is_empty(),
        "not in config/poolgate.toml: {missing:?}"
    );
    assert!(known.len() > 50, "{known:?}");
}

fn keys_of(path: &str, table: &dyn toml_edit::TableLike, keys: &mut BTreeSet<String>) {
    for (name, item) in table.iter() {
        let path = source::join(path, name);
        for value in item.as_array().into_iter().flatten() {
            if let Some(table) = value.as_inline_table() {
                keys_of(&path, table, keys);
            }
        }
        if let Some(table) = item.as_table_like() {
            keys_of(&path, table, keys);
        }
        keys.insert(path);
    }
}

const SMALL: &str = r#"
[ssh]
listen = ["127.0.0.1:2222"]
host_keys = ["host_key"]
user_ca = "/ca"
[pools.main.fleet]
provider = "static"
instances = [{ name = "vm1", address = "10.0.0.4" }]
"#;

#[test]
fn the_environment_wins_and_holds_any_type() {
    let config = read(
        "/etc/gate/x.toml",
        SMALL,
        &[
            ("POOLGATE__SSH__LISTEN", "127.0.0.1:1, 127.0.0.1:2"),
            ("POOLGATE__SSH__MAX_STARTUPS", "7"),
            ("POOLGATE__SSH__LOGIN_GRACE", "1m"),
            ("POOLGATE__SSH__AUTH__AUTHORIZED_KEYS", "[\"/keys/%u\", '/more/%u']"),
            ("POOLGATE__POOLS__MAIN__DEFAULT", "true"),
            (
                "POOLGATE__POOLS__MAIN__FLEET__INSTANCES",
                "[{ name = \"a\", address = \"h1\", ssh_port = 2201 }, { name = \"b\", address = \"h2\" }]",
            ),
            ("POOLGATE_CONFIG", "elsewhere"),
            ("HOME", "/root"),
        ],
    )
    .unwrap_or_else(|faults| panic!("{faults}"));
    let ssh = config.ssh.unwrap();
    assert_eq!(
        ssh.listen,
        [
            "127.0.0.1:1".parse().unwrap(),
            "127.0.0.1:2".parse().unwrap()
        ]
    );
    assert_eq!((ssh.max_startups, ssh.max_startups_per_source), (7, 7));
    assert_eq!(ssh.login_grace.as_secs(), 60);
    assert_eq!(ssh.auth.authorized_keys, ["/keys/%u", "/more/%u"]);
    assert_eq!(ssh.host_keys, [Path::new("/etc/gate/host_key")]);
    let super::FleetConfig::Static { instances } = &config.pools["main"].fleet else {
        panic!("a static list");
    };
    assert_eq!(instances[0].ssh_port, Some(2201));
    assert_eq!(instances.len(), 2);
}

#[test]
fn limits_are_shown_by_their_keys() {
    let config = read("x.toml", SMALL, &[]).unwrap();
    let table = config.limits_table();
    assert!(table.contains("ssh.login_grace"), "{table}");
    for (key, value) in config.limits() {
        let line = format!("{}{value}", " ".repeat(2));
        assert!(table.contains(&line) && !key.is_empty(), "{table}");
    }
}

#[test]
fn a_missing_file_is_a_fault() {
    let faults = super::load(Some(Path::new("/nowhere/poolgate.toml"))).unwrap_err();
    let told = faults.to_string();
    assert!(
        told.starts_with("/nowhere/poolgate.toml: cannot be read: "),
        "{told}"
    );
}

#[test]
fn hubs_count_only_behind_a_browsers_door() {
    let pool = "[pools.main.fleet]\nprovider = \"static\"\n\
        instances = [{ name = \"vm1\", address = \"10.0.0.4\", jupyter_port = 8001 }]\n";
    let ssh = "[ssh]\nlisten = [\"127.0.0.1:2222\"]\nhost_keys = [\"/k\"]\nuser_ca = \"/ca\"\n\
        [ssh.auth]\nauthorized_keys = [\"/keys/%u\"]\n";
    let https =
        "[https]\nlisten = [\"127.0.0.1:8443\"]\ncertificate = \"/c\"\nprivate_key = \"/p\"\n";
    let hub_ports = |text: &str| {
        let config = read("x.toml", text, &[]).unwrap();
        let super::FleetConfig::Static { instances } = &config.pools["main"].fleet else {
            panic!("not static");
        };
        (config.pools["main"].jupyter_port, instances[0].jupyter_port)
    };
    assert_eq!(hub_ports(&format!("{ssh}{pool}")), (None, None));
    let both = hub_ports(&format!("{ssh}{https}{pool}"));
    assert_eq!(both, (Some(8000), Some(Some(8001))));
}

#[test]
fn a_process_fleets_program_is_found_beside_the_file() {
    for (written, meant) in [
        ("./start", "/etc/pg/./start"),
        ("/opt/start", "/opt/start"),
        ("start", "start"),
        ("{state_dir}/start", "{state_dir}/start"),
    ] {
        let fleet = format!(
            "[pools.main.fleet]\nprovider = \"process\"\ncount = 1\ncommand = [\"{written}\"]"
        );
        let text = format!(
            "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n{fleet}"
        );
        let config = read("/etc/pg/x.toml", &text, &[]).unwrap();
        let super::FleetConfig::Process(fleet) = &config.pools["main"].fleet else {
            panic!("it is a process fleet");
        };
        assert_eq!(fleet.command, [meant]);
    }
}

#[test]
fn paths_are_whole_even_where_the_file_is_named_from_here() {
    let text = documented_in_full().replace("\"/etc/poolgate/user_ca\"", "\"keys/ca\"");
    let config = read("conf/x.toml", &text, &[]).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.ssh.unwrap().user_ca, here.join("conf/keys/ca"));
}

#[test]
fn host_names_lead_to_their_pool_and_all_others_to_the_default_one() {
    let file = Path::new(ROOT).join("tests/config/valid/pools_by_host_name.toml");
    let https = read_corpus(&file).unwrap().https.unwrap();
    assert_eq!(https.hosts.default, "main");
    assert_eq!(https.hosts.pools["gpu-2.pool.example"], "gpu");
    assert_eq!(https.hosts.pools.len(), 2);
    let log = https.access_log.unwrap();
    assert_eq!(log.file, Path::new("/var/log/poolgate/access.log"));
    assert_eq!(https.admins, ["alice"]);
}
