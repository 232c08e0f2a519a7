//! Stands before every route: who asks, whether they may, and whether they meant it. What passes carries its `Caller`.
//!
//! The order matters. Who is not in learns nothing, not even what is there; methods and roles are told to those who are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Form, FromRequest, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::roles::{Needs, ROUTES, Rule, rule};
use super::{Access, Denied, cookies, page};
use crate::admin::BODY_BYTES_MAX;
use crate::admin::caller::{Link, Via};
use crate::admin::problem::Problem;

const CSRF_HEADER: &str = "x-csrf-token";

/// Puts the guard before all that `router` answers.
pub fn guard(router: Router, access: Arc<Access>) -> Router {
    router.layer(from_fn_with_state(access, check))
}

async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let wants_page = page::is_wanted(request.uri().path(), request.headers());
    match admit(&access, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.answer(&access, wants_page),
    }
}

async fn admit(access: &Access, mut request: Request) -> Result<Request, Refusal> {
    let path = request.extensions().get::<MatchedPath>();
    let rule = rule(request.method(), path.map(MatchedPath::as_str));
    let is_open = match &rule {
        Rule::Needs(Needs::Nothing) => true,
        Rule::Needs(Needs::Metrics) => access.ways().has_open_metrics,
        Rule::Needs(Needs::WayIn) if access.has_way_in() => true,
        _ => false,
    };
    if is_open {
        return Ok(request);
    }
    let link = request.extensions().get::<Link>();
    let caller = match link {
        Some(link) => access.identify(link, request.headers()),
        None => Err(Denied::Closed),
    };
    let caller = caller.map_err(|denied| Refusal::Denied {
        denied,
        next: goes_on_at(&request),
        is_lost: !request.method().is_safe(),
    })?;
    match rule {
        Rule::Needs(Needs::Role(needed)) if caller.role < needed => {
            let route = request.extensions().get::<MatchedPath>();
            let route = route.map(MatchedPath::as_str).unwrap_or_default();
            let asked = format!("{} {route}", request.method());
            access.forbid(&caller, asked, needed).await;
            let needed = needed.name();
            return Err(refuse(
                StatusCode::FORBIDDEN,
                format!(
                    "this needs the role {needed}, and yours is {}: ask an admin of this gate for the role {needed}",
                    caller.role.name()
                ),
            ));
        }
        Rule::Needs(_) => {}
        Rule::OtherMethods(methods) => {
            let method = request.method().clone();
            let path = request.uri().path().to_owned();
            return Err(Refusal::Method {
                method,
                path,
                methods,
            });
        }
        Rule::Unknown => {
            let path = request.uri().path();
            let detail = match page::is_wanted(path, request.headers()) {
                true => format!("there is no page at {path}"),
                false => not_found(path),
            };
            return Err(refuse(StatusCode::NOT_FOUND, detail));
        }
    }
    if let Via::Session { csrf } = &caller.via
        && !request.method().is_safe()
    {
        request = meant(request, csrf).await?;
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// Where whoever logs in first finds what they wanted: what was sent by a form cannot be had by going there.
fn goes_on_at(request: &Request) -> String {
    let whole = request.uri().path_and_query().map(ToString::to_string);
    let is_kept = request.method().is_safe();
    whole.filter(|_| is_kept).unwrap_or_else(|| "/".to_owned())
}

/// The request, if it comes of a page of this session. A form is read for that, and handed on whole.
async fn meant(request: Request, csrf: &str) -> Result<Request, Refusal> {
    if !cookies::is_from_here(request.headers()) {
        let detail =
            "this was sent by a page of another site, or under another name than this one's";
        return Err(refuse(StatusCode::FORBIDDEN, detail.to_owned()));
    }
    let (shown, request) = match request.headers().get(CSRF_HEADER) {
        Some(shown) => (shown.to_str().unwrap_or_default().to_owned(), request),
        None => form_field(request).await?,
    };
    let is_meant =
        aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), csrf.as_bytes());
    match is_meant.is_ok() {
        true => Ok(request),
        false => {
            let detail = "the page is of a session that is over, or of none: load it anew and try again. A script sends a token (Authorization: Bearer) in place of a cookie";
            Err(refuse(StatusCode::FORBIDDEN, detail.to_owned()))
        }
    }
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    csrf: String,
}

async fn form_field(request: Request) -> Result<(String, Request), Refusal> {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    if request.headers().get(header::CONTENT_TYPE) != Some(&form) {
        return Ok((String::new(), request));
    }
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
        let detail = format!("the form is longer than {BODY_BYTES_MAX} bytes, or broke off");
        refuse(StatusCode::PAYLOAD_TOO_LARGE, detail)
    })?;
    let mut copy = Request::new(Body::from(bytes.clone()));
    *copy.method_mut() = Method::POST;
    copy.headers_mut().insert(header::CONTENT_TYPE, form);
    let field = Form::<Field>::from_request(copy, &()).await;
    let field = field.map(|Form(field)| field.csrf).unwrap_or_default();
    Ok((field, Request::from_parts(head, Body::from(bytes))))
}

enum Refusal {
    Denied {
        denied: Denied,
        next: String,
        /// Something was sent, and nothing came of it.
        is_lost: bool,
    },
    Method {
        method: Method,
        path: String,
        methods: Vec<Method>,
    },
    Other(Problem),
}

fn refuse(status: StatusCode, detail: String) -> Refusal {
    Refusal::Other(Problem { status, detail })
}

impl Refusal {
    fn answer(self, access: &Access, wants_page: bool) -> Response {
        match self {
            Self::Denied {
                denied,
                next,
                is_lost,
            } => denied.answer(access, wants_page, &next, is_lost),
            Self::Other(problem) if wants_page => page::of_problem(&problem, true),
            Self::Other(problem) => problem.into_response(),
            Self::Method {
                method,
                path,
                methods,
            } => {
                let names: Vec<_> = methods.iter().map(Method::as_str).collect();
                let problem = Problem {
                    status: StatusCode::METHOD_NOT_ALLOWED,
                    detail: format!("{path} takes no {method}: use {}", names.join(" or ")),
                };
                let allow = [(header::ALLOW, names.join(", "))];
                match wants_page {
                    true => (allow, page::of_problem(&problem, true)).into_response(),
                    false => (allow, problem).into_response(),
                }
            }
        }
    }
}

impl Denied {
    pub(super) fn problem(&self) -> Problem {
        let (status, detail) = match self {
            Self::Closed => (StatusCode::FORBIDDEN, HOW_TO_OPEN.to_owned()),
            Self::Nobody => (
                StatusCode::UNAUTHORIZED,
                "log in first: send Authorization: Bearer TOKEN, or log in at /login with a browser"
                    .to_owned(),
            ),
            Self::Over => (
                StatusCode::UNAUTHORIZED,
                "your session is over: log in again to go on".to_owned(),
            ),
            Self::Wrong => (
                StatusCode::UNAUTHORIZED,
                "that is no token of this gate: was all of it copied? An admin makes another with poolgate token NAME --role viewer"
                    .to_owned(),
            ),
            Self::Wait(wait) => (
                StatusCode::TOO_MANY_REQUESTS,
                format!("too many wrong tokens came from your address: try again in {} s", whole(*wait)),
            ),
        };
        Problem { status, detail }
    }

    fn answer(&self, access: &Access, wants_page: bool, next: &str, is_lost: bool) -> Response {
        let mut problem = self.problem();
        if *self == Self::Over && is_lost {
            problem.detail += ". What you sent was not carried out";
        }
        let fault = (*self != Self::Nobody).then_some(&*problem.detail);
        let mut response = match self {
            Self::Nobody | Self::Over | Self::Wrong if wants_page => {
                access.login_page(problem.status, fault, next, false)
            }
            _ if wants_page => page::of_problem(&problem, false),
            _ => problem.into_response(),
        };
        self.mark(&mut response);
        response
    }

    /// What RFC 9110 wants beside the status.
    pub(super) fn mark(&self, response: &mut Response) {
        let headers = response.headers_mut();
        match self {
            Self::Nobody | Self::Over => {
                let realm = HeaderValue::from_static("Bearer realm=\"poolgate\"");
                headers.insert(header::WWW_AUTHENTICATE, realm);
            }
            Self::Wrong => {
                let realm = "Bearer realm=\"poolgate\", error=\"invalid_token\"";
                let realm = HeaderValue::from_static(realm);
                headers.insert(header::WWW_AUTHENTICATE, realm);
            }
            Self::Wait(wait) => {
                headers.insert(header::RETRY_AFTER, whole(*wait).into());
            }
            Self::Closed => {}
        }
    }
}

fn whole(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(1)
}

fn not_found(path: &str) -> String {
    let known = ROUTES
        .iter()
        .filter_map(|(_, path, _)| path.strip_prefix("/api/v1/"));
    // By several methods one path is still one.
    let known: BTreeSet<_> = known.collect();
    let known: Vec<_> = known.into_iter().collect();
    format!(
        "there is nothing at {path}: ask for /livez, /readyz, /metrics or /api/v1/{}",
        known.join(", ")
    )
}

/// For whoever comes to a gate that lets nobody in over TCP.
const HOW_TO_OPEN: &str = "nobody can log in at this address: write tokens_file = \"/etc/poolgate/admin.tokens\" in [admin] of the configuration, and into that file the line that `poolgate token NAME --role admin` prints. Without it `poolgate status` and the other commands ask over the admin socket";
