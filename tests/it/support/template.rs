//! An ARM template as Azure would read it: its expressions evaluated with given parameters, strictly. A name, function or
//! type that does not exist fails the test. What only Azure can know (`reference`, `listKeys`) is a recognisable stand-in.
//!
//! It knows the functions that `deploy/azure` uses and no others, and does not look at what resources mean.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
const GROUP: &str = "pool-group";

pub fn deploy_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/azure")
}

pub fn read_json(name: &str) -> Value {
    let text = std::fs::read_to_string(deploy_folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The template with the parameters of one deployment.
pub struct Template {
    pub raw: Value,
    given: Map<String, Value>,
}

impl Template {
    /// The template and parameter file of the project, with these in place of theirs.
    pub fn with(changed: &Value) -> Self {
        let raw = read_json("azuredeploy.json");
        let file = read_json("azuredeploy.parameters.json");
        let mut given = Map::new();
        for (name, value) in file["parameters"].as_object().unwrap() {
            given.insert(name.clone(), value["value"].clone());
        }
        given.extend(changed.as_object().unwrap().clone());
        Self { raw, given }
    }

    /// What is deployed: the resources whose condition holds, without expressions.
    pub fn resources(&self) -> Vec<Value> {
        let all = self.raw["resources"].as_array().unwrap().iter();
        let all = all.map(|resource| self.evaluate(resource));
        all.filter(|resource| resource.get("condition") != Some(&json!(false)))
            .collect()
    }

    /// The one of this type and name.
    pub fn resource(&self, kind: &str, name: &str) -> Value {
        let mut all = self.resources().into_iter();
        all.find(|one| one["type"] == kind && one["name"] == name)
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// Every expression in it evaluated; a null is left out, as Azure takes it.
    pub fn evaluate(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with("[[") => json!(text[1..]),
            Value::String(text) if text.starts_with('[') && text.ends_with(']') => {
                let mut reader = Reader {
                    template: self,
                    rest: &text[1..text.len() - 1],
                    whole: text,
                };
                let value = reader.expression();
                assert_eq!(reader.rest.trim(), "", "what follows is no part of {text}");
                self.evaluate(&value)
            }
            Value::Array(items) => items.iter().map(|item| self.evaluate(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| {
                    let key = self.evaluate(&json!(key)).as_str().unwrap().to_owned();
                    (key, self.evaluate(value))
                });
                fields.filter(|(_, value)| !value.is_null()).collect()
            }
            other => other.clone(),
        }
    }

    fn parameter(&self, name: &str) -> Value {
        let declared = &self.raw["parameters"][name];
        assert!(declared.is_object(), "there is no parameter {name}");
        let given = self.given.get(name);
        let value = given.or_else(|| declared.get("defaultValue"));
        self.evaluate(value.unwrap_or_else(|| panic!("no value for the parameter {name}")))
    }
}

/// The id that Azure gives a resource of this type; the name has one part for each part of the type after the first.
pub fn resource_id(kind: &str, names: &[String]) -> String {
    let (provider, types) = kind.split_once('/').expect("a type has a provider");
    let types: Vec<_> = types.split('/').collect();
    assert_eq!(
        types.len(),
        names.len(),
        "{kind} is named by as many words as its type has: {names:?}"
    );
    let path: String = types
        .iter()
        .zip(names)
        .map(|(kind, name)| format!("/{kind}/{name}"))
        .collect();
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{provider}{path}")
}

/// Reads and evaluates one expression from its beginning on.
struct Reader<'a> {
    template: &'a Template,
    rest: &'a str,
    whole: &'a str,
}

impl<'a> Reader<'a> {
    fn expression(&mut self) -> Value {
        let mut value = self.primary();
        loop {
            if self.eat('.') {
                let name = self.word();
                value = self.member(&value, &json!(name));
            } else if self.eat('[') {
                let key = self.expression();
                assert!(self.eat(']'), "a ] is missing in {}", self.whole);
                value = self.member(&value, &key);
            } else {
                return value;
            }
        }
    }

    fn member(&self, value: &Value, key: &Value) -> Value {
        let found = match key {
            Value::String(name) => value.get(name),
            number => value.get(usize::try_from(number.as_u64().unwrap()).unwrap()),
        };
        let found =
            found.unwrap_or_else(|| panic!("there is no {key} of {value} in {}", self.whole));
        self.template.evaluate(found)
    }

    fn primary(&mut self) -> Value {
        if self.eat('\'') {
            return json!(self.quoted());
        }
        let word = self.word();
        if let Ok(number) = word.parse::<i64>() {
            return json!(number);
        }
        assert!(self.eat('('), "{word:?} is no function in {}", self.whole);
        let mut arguments = Vec::new();
        while !self.eat(')') {
            arguments.push(self.expression());
            let is_more = self.eat(',') || self.rest.trim_start().starts_with(')');
            assert!(is_more, "a ) is missing in {}", self.whole);
        }
        self.call(word, &arguments)
    }

    /// After the opening quote; two quotes are one.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        loop {
            let end = self.rest.find('\'').expect("a string has an end");
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            if !self.rest.starts_with('\'') {
                return text;
            }
            text.push('\'');
            self.rest = &self.rest[1..];
        }
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Value {
        let text = |at: usize| match &arguments[at] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => panic!("{other} is no text for {name}"),
        };
        let truth = |at: usize| arguments[at].as_bool().unwrap();
        let texts = || (0..arguments.len()).map(text).collect::<Vec<_>>();
        match (name, arguments.len()) {
            ("parameters", 1) => self.template.parameter(&text(0)),
            ("variables", 1) => {
                let value = self.template.raw["variables"].get(text(0));
                let value = value.unwrap_or_else(|| panic!("there is no variable {}", text(0)));
                self.template.evaluate(value)
            }
            ("concat", 1..) => json!(texts().concat()),
            ("replace", 3) => json!(text(0).replace(&text(1), &text(2))),
            ("toLower", 1) => json!(text(0).to_lowercase()),
            ("base64", 1) => json!(BASE64.encode(text(0))),
            ("string", 1) => match &arguments[0] {
                Value::Bool(true) => json!("True"),
                Value::Bool(false) => json!("False"),
                _ => json!(text(0)),
            },
            ("json", 1) => serde_json::from_str(&text(0)).unwrap(),
            ("if", 3) => arguments[if truth(0) { 1 } else { 2 }].clone(),
            ("equals", 2) => json!(arguments[0] == arguments[1]),
            ("greater", 2) => {
                json!(arguments[0].as_i64().unwrap() > arguments[1].as_i64().unwrap())
            }
            ("empty", 1) => json!(text(0).is_empty()),
            ("not", 1) => json!(!truth(0)),
            ("and", 2..) => json!((0..arguments.len()).all(truth)),
            ("or", 2..) => json!((0..arguments.len()).any(truth)),
            ("false", 0) => json!(false),
            ("createObject", _) => {
                let pairs = arguments.chunks_exact(2);
                let pairs =
                    pairs.map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()));
                Value::Object(pairs.collect())
            }
            ("guid" | "uniqueString", 1..) => json!(stand_in(name, &texts())),
            ("resourceId", 2..) => json!(resource_id(&text(0), &texts()[1..])),
            ("subscriptionResourceId", 2) => json!(format!(
                "/subscriptions/{SUBSCRIPTION}/providers/{}/{}",
                text(0),
                text(1)
            )),
            ("subscription", 0) => {
                json!({ "subscriptionId": SUBSCRIPTION, "tenantId": "the-tenant" })
            }
            ("resourceGroup", 0) => json!({ "name": GROUP, "location": "westeurope",
                "id": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}") }),
            ("environment", 0) => json!({ "name": "AzureCloud",
                "suffixes": { "keyvaultDns": ".vault.azure.net", "storage": "core.windows.net" } }),
            ("reference", 2) => json!({ "clientId": format!("client-of-{}", last_part(&text(0))),
                "principalId": format!("principal-of-{}", last_part(&text(0))) }),
            ("listKeys", 2) => json!({ "keys": [{ "value": "key-of-the-account" }] }),
            _ => panic!(
                "{name} with {} arguments is not known: {}",
                arguments.len(),
                self.whole
            ),
        }
    }
}

fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap()
}

/// The same text for the same words, of the form that Azure's function gives.
fn stand_in(function: &str, words: &[String]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in words.join("|").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let hex = format!("{hash:016x}");
    match function {
        "guid" => format!(
            "{}-{}-4{}-8{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..15],
            &hex[..3],
            &hex[4..]
        ),
        _ => hex[..13].to_owned(),
    }
}
