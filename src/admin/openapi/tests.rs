//! The description beside the table of roles and beside the papers that are made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::{description, text};
use crate::admin::access::{Needs, ROUTES};

/// Writes a paper if that was asked for; it must be what would be written.
#[track_caller]
fn check_paper(name: &str, wanted: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("POOLGATE_WRITE_DOCS").is_some() {
        std::fs::write(&file, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{name}: is not what the routes say; write it anew: POOLGATE_WRITE_DOCS=1 cargo test --lib openapi"
    );
}

#[test]
fn the_file_in_docs_is_the_description() {
    let text = String::from_utf8(text().to_vec()).unwrap();
    check_paper("docs/api/openapi.json", &text);
}

/// `GET /path` and so on.
fn operations(api: &Value) -> BTreeMap<String, &Value> {
    let paths = api["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            let name = format!("{} {path}", method.to_uppercase());
            (name, operation)
        })
    });
    each.collect()
}

#[test]
fn routes_of_the_table_are_described_and_no_others() {
    let is_page = |path: &str, needs: Needs| needs == Needs::WayIn || !is_of_the_api(path);
    let table: BTreeSet<_> = ROUTES
        .iter()
        .filter(|(_, path, needs)| !is_page(path, *needs))
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let api = description();
    let described: BTreeSet<_> = operations(&api).into_keys().collect();
    assert_eq!(described, table);
}

fn is_of_the_api(path: &str) -> bool {
    path.starts_with("/api/") || ["/livez", "/readyz", "/metrics"].contains(&path)
}

#[test]
fn every_reference_leads_somewhere_and_every_object_is_told_about() {
    let api = description();
    let mut references = BTreeSet::new();
    collect(&api, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in &references {
        let at = reference.strip_prefix('#').unwrap();
        assert!(api.pointer(at).is_some(), "{reference}");
    }
    for (name, operation) in operations(&api) {
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(summary.ends_with('.'), "{name}: {summary:?}");
        assert!(operation["operationId"].is_string(), "{name}");
        assert!(operation["security"].is_array(), "{name}");
        let known = operation["responses"].as_object().unwrap();
        assert!(
            known.contains_key("200") && known.contains_key("421"),
            "{name}"
        );
        for (status, answer) in known {
            let text = answer["description"].as_str().unwrap_or_default();
            assert!(
                answer["$ref"].is_string() || !text.is_empty(),
                "{name}: {status}"
            );
        }
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            fields.values().for_each(|one| collect(one, references));
        }
        Value::Array(items) => items.iter().for_each(|one| collect(one, references)),
        _ => {}
    }
}

#[test]
fn orders_take_nothing_unknown_and_one_of_two_is_said_to_be_wanted() {
    let api = description();
    let schemas = &api["components"]["schemas"];
    for (name, operation) in operations(&api) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(body) = body.as_str() else {
            assert!(
                name.starts_with("GET") || name.ends_with("/reload"),
                "{name}"
            );
            continue;
        };
        let schema = &schemas[body.rsplit('/').next().unwrap()];
        assert_eq!(schema["additionalProperties"], false, "{name}");
        assert!(schema["examples"].is_array(), "{name}");
        for status in ["400", "401", "403", "413", "415", "422", "429"] {
            assert!(
                !operation["responses"][status].is_null(),
                "{name}: {status}"
            );
        }
    }
    assert_eq!(schemas["MoveOrder"]["oneOf"].as_array().unwrap().len(), 2);
}

const PAGE: &str = "docs/api.md";
const BEGIN: &str = "<!-- routes: made of the description -->\n";
const END: &str = "<!-- end of routes -->\n";

#[test]
fn the_page_has_the_table_of_routes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(file).unwrap_or_default();
    let (before, rest) = page.split_once(BEGIN).expect("the beginning of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let table = table(&description());
    check_paper(PAGE, &format!("{before}{BEGIN}{table}{END}{after}"));
}

fn table(api: &Value) -> String {
    let mut table = String::from("| route | what | takes | role |\n|---|---|---|---|\n");
    let all = operations(api);
    for (method, path, needs) in ROUTES {
        let Some(operation) = all.get(&format!("{method} {path}")) else {
            continue;
        };
        let role = match needs {
            Needs::Role(role) => role.name(),
            Needs::Metrics => "as `admin.metrics` says",
            Needs::Nothing | Needs::WayIn => "none",
        };
        let summary = operation["summary"].as_str().unwrap().trim_end_matches('.');
        let takes = takes(api, operation);
        writeln!(
            table,
            "| `{method} {path}` | {summary} | {takes} | {role} |"
        )
        .unwrap();
    }
    table
}

/// Names of parameters or of the body's fields; those that may be left out in brackets.
fn takes(api: &Value, operation: &Value) -> String {
    let shown = |name: &str, is_needed: bool| match is_needed {
        true => format!("`{name}`"),
        false => format!("[`{name}`]"),
    };
    let mut names = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        names.push(shown(name, parameter["required"] == true));
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    if let Some(body) = body.as_str() {
        let schema = api.pointer(body.trim_start_matches('#')).unwrap();
        let needed = schema["required"].as_array().unwrap();
        for name in schema["properties"].as_object().unwrap().keys() {
            names.push(shown(name, needed.iter().any(|one| one == name.as_str())));
        }
    }
    names.join(" ")
}
