//! The API's description (OpenAPI 3.1), made of the routes and of the very types they take and give; what the guard answers
//! before any of them is added here, once, by the table of roles.
//!
//! `docs/api/openapi.json` is this text; a test compares them, and says how to write it anew.

mod answers;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::body::Bytes;
use serde_json::{Value, json};
use utoipa::openapi::{
    ContactBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, ServerBuilder, tag::TagBuilder,
};

use super::{dashboard, orders, routes};

/// The description as it is served.
pub(super) fn text() -> Bytes {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(format!("{:#}\n", description())));
    TEXT.clone()
}

fn description() -> Value {
    let mut api = head();
    for part in [
        routes::described().into_openapi(),
        dashboard::described().into_openapi(),
        orders::described().into_openapi(),
    ] {
        api.merge(part);
    }
    answers::add(&mut api);
    let mut json = serde_json::to_value(&api).unwrap_or_default();
    choose_one(&mut json, "MoveOrder", &["session", "user"]);
    say_null(&mut json);
    json
}

fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Poolgate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .contact(Some(
            ContactBuilder::new()
                .name(Some("Poolgate maintainers"))
                .build(),
        ))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))));
    let server = ServerBuilder::new()
        .url("/")
        .description(Some("The admin address or the admin socket of a gate"));
    let tags =
        TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build());
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([server.build()]))
        .tags(Some(tags))
        .build()
}

const ABOUT: &str = "What operators see and order. Over TCP every request but signs of life needs a token, or the session of a \
browser; the admin socket is its owner's and asks for neither. Whatever is refused is answered with a problem (RFC 9457) \
whose `detail` says what to write instead; so are unknown paths (404), methods that a path does not take (405, with \
`Allow`) and bodies of more than 16 KiB (413). `HEAD` is taken wherever `GET` is.";

const TAGS: [(&str, &str); 5] = [
    ("looks", "What is there at this moment"),
    ("reasons", "Why something is as it is"),
    ("figures", "Numbers over time"),
    (
        "orders",
        "Whatever changes something; each is in the audit log",
    ),
    (
        "signs of life",
        "For load balancers and supervisors, open to all who reach the address",
    ),
];

/// Says that exactly one of these fields is wanted, which no type can say.
fn choose_one(api: &mut Value, schema: &str, fields: &[&str]) {
    let only = |field: &&str| {
        let others = fields.iter().filter(|other| *other != field);
        let none: serde_json::Map<_, _> = others
            .map(|other| ((*other).to_owned(), json!({ "type": "null" })))
            .collect();
        let mut properties = none;
        properties.insert((*field).to_owned(), json!({ "type": "string" }));
        json!({ "required": [field], "properties": properties })
    };
    let alternatives: Vec<_> = fields.iter().map(only).collect();
    if let Some(schema) = api.pointer_mut(&format!("/components/schemas/{schema}"))
        && let Some(schema) = schema.as_object_mut()
    {
        schema.insert("oneOf".to_owned(), alternatives.into());
    }
}

/// What the source calls `None` is `null` to whoever reads JSON.
fn say_null(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("`None`") => *text = text.replace("`None`", "`null`"),
        Value::Array(items) => items.iter_mut().for_each(say_null),
        Value::Object(fields) => fields.values_mut().for_each(say_null),
        _ => {}
    }
}
