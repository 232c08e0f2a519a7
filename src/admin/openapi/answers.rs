//! What stands before every route, and so can be the answer to any: who is let in, and whether the request can be read.

use axum::http::Method;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::admin::access::{Needs, ROUTES, Role};
use crate::admin::problem::{CONTENT_TYPE, ProblemBody};

/// Status, the name under which it stands among the components, and when it is given.
const REFUSALS: &[(u16, &str, &str)] = &[
    (
        400,
        "Malformed",
        "A parameter or the body is not as described.",
    ),
    (
        401,
        "Unauthorized",
        "No token or session was shown, or one that is not known.",
    ),
    (
        403,
        "Forbidden",
        "The role does not suffice, a browser's request does not come of a page of its session, or nobody can log in at this address.",
    ),
    (413, "TooLarge", "The body is longer than 16 KiB."),
    (
        415,
        "NotJson",
        "The body is not said to be application/json.",
    ),
    (
        421,
        "Misdirected",
        "The request names another host than this gate's.",
    ),
    (
        422,
        "Unprocessable",
        "The body is JSON, and not as described: the field that is at fault is named.",
    ),
    (
        429,
        "TooManyTries",
        "Too many wrong tokens came from this address.",
    ),
];

/// Names every answer that a request of each route can get, and what it must show.
pub(super) fn add(api: &mut OpenApi) {
    let components = api.components.get_or_insert_with(Components::new);
    let mut schemas = Vec::new();
    ProblemBody::schemas(&mut schemas);
    schemas.push((ProblemBody::name().into_owned(), ProblemBody::schema()));
    components.schemas.extend(schemas);
    for (status, name, text) in REFUSALS {
        let refusal = refusal(*status, text);
        components
            .responses
            .insert((*name).to_owned(), refusal.into());
    }
    for (name, scheme) in schemes() {
        components.add_security_scheme(name, scheme);
    }
    for (method, path, needs) in ROUTES {
        let item = api.paths.paths.get_mut(*path);
        let operation = item.and_then(|item| match *method {
            Method::GET => item.get.as_mut(),
            _ => item.post.as_mut(),
        });
        if let Some(operation) = operation {
            complete(operation, method, *needs);
        }
    }
}

fn complete(operation: &mut Operation, method: &Method, needs: Needs) {
    let has_body = operation.request_body.is_some();
    let has_parameters = operation.parameters.is_some();
    let is_guarded = needs != Needs::Nothing;
    for (status, name, _) in REFUSALS {
        let is_possible = match status {
            400 => has_body || has_parameters,
            413 | 415 | 422 => has_body,
            421 => true,
            _ => is_guarded,
        };
        if is_possible {
            let known = &mut operation.responses.responses;
            let answer = RefOr::Ref(Ref::from_response_name(*name));
            known.entry(status.to_string()).or_insert(answer);
        }
    }
    let summary = operation.summary.clone().unwrap_or_default();
    for answer in operation.responses.responses.values_mut() {
        if let RefOr::T(answer) = answer
            && answer.description.is_empty()
        {
            answer.description.clone_from(&summary);
        }
    }
    operation.security = Some(security(method, needs));
    if let Needs::Role(role) = needs {
        let text = operation.description.get_or_insert_default();
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&format!("Least role: {}.", role.name()));
    }
}

/// What has to be shown: one of these.
fn security(method: &Method, needs: Needs) -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    let token = SecurityRequirement::new("token", none);
    let session = SecurityRequirement::new("session", none);
    let session = match *method {
        Method::GET => session,
        _ => session.add("csrf", none),
    };
    match needs {
        Needs::Nothing | Needs::WayIn => vec![SecurityRequirement::default()],
        Needs::Metrics => vec![SecurityRequirement::default(), token, session],
        Needs::Role(_) => vec![token, session],
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let roles = Role::ALL.map(Role::name).join(", ");
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(format!(
        "A token of `admin.tokens_file`, as `poolgate token NAME --role ROLE` makes them; the roles are {roles}, each with the rights of those before it."
    )));
    let cookie = "What a browser gets at `/login` for a token; `__Host-poolgate_admin` over TLS.";
    let header = "What a session must send with whatever changes something: the value of the field `csrf` of each form.";
    [
        ("token", SecurityScheme::Http(token.build())),
        (
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "poolgate_admin",
                cookie,
            ))),
        ),
        (
            "csrf",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "X-CSRF-Token",
                header,
            ))),
        ),
    ]
}

fn refusal(status: u16, text: &str) -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let answer = ResponseBuilder::new()
        .description(text)
        .content(CONTENT_TYPE, content);
    let of = |kind, text: &str| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(kind).build()))
            .description(Some(text))
            .build()
    };
    match status {
        401 => answer.header(
            "WWW-Authenticate",
            of(Type::String, "`Bearer`, and what was wrong with it."),
        ),
        429 => answer.header("Retry-After", of(Type::Integer, "Seconds.")),
        _ => answer,
    }
    .build()
}
