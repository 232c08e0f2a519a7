//! Who may do what: one table of every path, method and the least role it needs.
//!
//! What is not in the table is out of reach, whatever routers are mounted: a route that somebody forgets here answers 404.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an operator may do; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Decides about instances, sessions and sizes.
    Operator,
    /// Everything else too.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Who may have a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Anybody who reaches the address.
    Nothing,
    /// Nobody where there is no way to log in, else anybody.
    WayIn,
    /// As `admin.metrics` says.
    Metrics,
    Role(Role),
}

use Needs::{Metrics, Nothing, WayIn};
const VIEWER: Needs = Needs::Role(Role::Viewer);
const OPERATOR: Needs = Needs::Role(Role::Operator);

/// Paths are written as axum's router takes them. `GET` stands for `HEAD` too.
pub const ROUTES: &[(Method, &str, Needs)] = &[
    (Method::GET, "/livez", Nothing),
    (Method::GET, "/readyz", Nothing),
    (Method::GET, "/metrics", Metrics),
    (Method::GET, "/login", WayIn),
    (Method::POST, "/login", WayIn),
    (Method::GET, "/login/oidc", WayIn),
    (Method::GET, "/login/oidc/callback", WayIn),
    (Method::POST, "/logout", VIEWER),
    (Method::GET, "/", VIEWER),
    (Method::GET, "/machines", VIEWER),
    (Method::GET, "/machines.csv", VIEWER),
    (Method::GET, "/machines/{pool}/{name}", VIEWER),
    (Method::GET, "/sessions", VIEWER),
    (Method::GET, "/sessions.csv", VIEWER),
    (Method::GET, "/queue", VIEWER),
    (Method::GET, "/events", VIEWER),
    (Method::GET, "/charts", VIEWER),
    (Method::GET, "/explain", VIEWER),
    (Method::GET, "/act", OPERATOR),
    (Method::POST, "/act", OPERATOR),
    (Method::GET, "/dash/live", VIEWER),
    // The looks of all pages, those before a login among them.
    (Method::GET, "/dash/{file}", Nothing),
    (Method::GET, "/api/v1/openapi.json", VIEWER),
    (Method::GET, "/api/v1/config", VIEWER),
    (Method::GET, "/api/v1/status", VIEWER),
    (Method::GET, "/api/v1/pools", VIEWER),
    (Method::GET, "/api/v1/instances", VIEWER),
    (Method::GET, "/api/v1/sessions", VIEWER),
    (Method::GET, "/api/v1/queue", VIEWER),
    (Method::GET, "/api/v1/idle", VIEWER),
    (Method::GET, "/api/v1/events", VIEWER),
    (Method::GET, "/api/v1/cost", VIEWER),
    (Method::GET, "/api/v1/history", VIEWER),
    (Method::GET, "/api/v1/explain/user", VIEWER),
    (Method::GET, "/api/v1/explain/health", VIEWER),
    (Method::GET, "/api/v1/explain/scaling", VIEWER),
    (Method::GET, "/api/v1/kernels", VIEWER),
    (Method::GET, "/api/v1/me", VIEWER),
    (Method::GET, "/api/v1/upgrade", VIEWER),
    (Method::POST, "/api/v1/reload", Needs::Role(Role::Admin)),
    (Method::POST, "/api/v1/upgrade", Needs::Role(Role::Admin)),
    (Method::POST, "/api/v1/notices", OPERATOR),
    (Method::POST, "/api/v1/scale", OPERATOR),
    (Method::POST, "/api/v1/cordon", OPERATOR),
    (Method::POST, "/api/v1/uncordon", OPERATOR),
    (Method::POST, "/api/v1/drain", OPERATOR),
    (Method::POST, "/api/v1/evict", OPERATOR),
    (Method::POST, "/api/v1/keep", OPERATOR),
    (Method::POST, "/api/v1/move", OPERATOR),
];

/// What the table says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    Needs(Needs),
    /// The path is there, for these methods.
    OtherMethods(Vec<Method>),
    /// There is nothing.
    Unknown,
}

/// `path` is the route's, as the router matched it.
pub fn rule(method: &Method, path: Option<&str>) -> Rule {
    let asked = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut others = Vec::new();
    for (method, _, needs) in ROUTES.iter().filter(|(_, one, _)| Some(*one) == path) {
        if method == asked {
            return Rule::Needs(*needs);
        }
        others.push(method.clone());
    }
    match others.is_empty() {
        true => Rule::Unknown,
        false => Rule::OtherMethods(others),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_those_below_and_are_found_by_name() {
        assert!(Role::Admin > Role::Operator && Role::Operator > Role::Viewer);
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert_eq!(Role::named("root"), None);
    }

    #[test]
    fn whatever_changes_something_takes_an_operator_and_the_rest_a_viewer() {
        for (method, path, needs) in ROUTES {
            if path.starts_with("/api/") {
                let least = match *method {
                    Method::GET => Role::Viewer,
                    _ => Role::Operator,
                };
                let fits = matches!(needs, Needs::Role(role) if *role >= least);
                assert!(fits, "{method} {path}");
            }
        }
        let open = ROUTES.iter().filter(|(_, _, needs)| *needs == Nothing);
        let open: Vec<_> = open.map(|(_, path, _)| *path).collect();
        assert_eq!(open, ["/livez", "/readyz", "/dash/{file}"]);
    }

    #[test]
    fn what_is_not_in_the_table_is_out_of_reach() {
        let of = |method: Method, path| rule(&method, path);
        assert_eq!(of(Method::GET, None), Rule::Unknown);
        assert_eq!(of(Method::POST, Some("/api/v1/forgotten")), Rule::Unknown);
        assert_eq!(of(Method::HEAD, Some("/livez")), Rule::Needs(Nothing));
        let gets = Rule::OtherMethods(vec![Method::GET]);
        assert_eq!(of(Method::POST, Some("/api/v1/pools")), gets);
        let both = Rule::OtherMethods(vec![Method::GET, Method::POST]);
        assert_eq!(of(Method::DELETE, Some("/login")), both);
    }
}
