//! Who is let in at the address, byte by byte: tokens, sessions, roles, and what pages elsewhere cannot do.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::admin::{Role, new_token};
use crate::config::AdminConfig;

/// Lets one viewer in, with the token that is returned.
pub(super) fn of_viewer(folder: &Path) -> (Arc<Access>, String) {
    let (access, tokens) = of_roles(folder, &[Role::Viewer]);
    (access, tokens[0].clone())
}

fn of_roles(folder: &Path, roles: &[Role]) -> (Arc<Access>, Vec<String>) {
    let made = |role: &Role| new_token(role.name(), *role).unwrap();
    let made: Vec<_> = roles.iter().map(made).collect();
    let lines: Vec<_> = made.iter().map(|one| format!("{}\n", one.line)).collect();
    let file = folder.join("admin.tokens");
    std::fs::write(&file, lines.concat()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = AdminConfig {
        socket: None,
        listen: None,
        tls: None,
        tokens_file: Some(file),
        oidc: None,
        has_open_metrics: true,
        hosts: Vec::new(),
    };
    let audit = AuditLog::open(None).unwrap();
    let access = Access::open(&config, audit, Metrics::new(), FileFaults::default()).unwrap();
    let tokens = made.iter().map(|one| one.token.to_string()).collect();
    (Arc::new(access), tokens)
}

/// Everybody's token, by role from viewer to admin.
pub(super) async fn scene() -> (Scene, Vec<String>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (access, tokens) = of_roles(folder.path(), &Role::ALL);
    let scene = Scene::start_with(|state| state.access = access).await;
    (scene, tokens, folder)
}

impl Scene {
    /// Status, head and body of what a client without a token of its own sends.
    pub(super) async fn send(
        &self,
        line: &str,
        headers: &[&str],
        body: &str,
    ) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let headers: Vec<_> = headers.iter().map(|one| format!("{one}\r\n")).collect();
        let asked = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n{body}",
            headers.concat(),
            body.len()
        );
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    async fn order_with(&self, headers: &[&str]) -> (u16, String) {
        let json = ["Content-Type: application/json"];
        let body = r#"{"instance":"vm1","reason":"x"}"#;
        let headers = [&json, headers].concat();
        let (status, _, body) = self.send("POST /api/v1/cordon", &headers, body).await;
        (status, body)
    }

    fn is_untouched(&self) -> bool {
        let snapshot = self.state.pool.snapshot();
        let view = snapshot.instance("main", "vm1").unwrap();
        view.admin_state == crate::pool::AdminState::Ready
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

#[tokio::test]
async fn who_is_not_in_reaches_signs_of_life_and_nothing_else() {
    let (scene, _, _folder) = scene().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let (status, head, _) = scene.send(&format!("GET {path}"), &[], "").await;
        assert_eq!(status, 200, "{path}");
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{header} in {head}");
        }
    }
    for (method, path, needs) in crate::admin::access::ROUTES {
        let is_shut = matches!(needs, crate::admin::access::Needs::Role(_));
        if is_shut {
            let asked = format!("{method} {}", path.replace(['{', '}'], "x"));
            let (status, head, body) = scene.send(&asked, &[], "").await;
            assert_eq!(status, 401, "{asked}: {body}");
            assert!(head.contains("www-authenticate: Bearer"), "{head}");
            assert!(head.contains("application/problem+json"), "{head}");
        }
    }
    assert_eq!(scene.send("GET /nothing", &[], "").await.0, 401);
    assert_eq!(scene.order_with(&[]).await.0, 401);
    assert_eq!(
        scene.order_with(&["Authorization: Basic YTpi"]).await.0,
        401
    );
    assert!(scene.is_untouched());
    let (status, _, page) = scene
        .send("GET /machines", &["Accept: text/html"], "")
        .await;
    assert!(
        status == 401 && page.contains("value=\"/machines\""),
        "{page}"
    );
    let evil = ["Accept: text/html"];
    let (_, _, page) = scene.send("GET /x%22%3E<script>", &evil, "").await;
    assert!(!page.contains("<script"), "{page}");
}

#[tokio::test]
async fn a_browser_that_goes_astray_is_told_so_by_a_page() {
    let (scene, tokens, _folder) = scene().await;
    let bearer = format!("Authorization: Bearer {}", tokens[0]);
    let headers = [&*bearer, "Accept: text/html"];
    let (status, _, page) = scene.send("GET /nowhere", &headers, "").await;
    assert_eq!(status, 404);
    assert!(page.contains("There is no page at /nowhere."), "{page}");
    let (status, head, page) = scene.send("GET /logout", &headers, "").await;
    assert_eq!(status, 405);
    assert!(head.to_lowercase().contains("allow: post"), "{head}");
    assert!(page.contains("<h1>Method Not Allowed</h1>"), "{page}");
    let (_, _, told) = scene.send("GET /nowhere", &[&bearer], "").await;
    assert!(told.starts_with('{') && told.contains("/api/v1/"), "{told}");
}

#[tokio::test]
async fn a_role_is_what_one_may_do() {
    let (scene, tokens, _folder) = scene().await;
    let bearer = |at: usize| format!("Authorization: Bearer {}", tokens[at]);
    let (status, body) = scene.order_with(&[&bearer(0)]).await;
    assert_eq!(status, 403);
    assert!(body.contains("needs the role operator"), "{body}");
    assert!(scene.is_untouched());
    let (status, body) = scene.order_with(&[&bearer(1)]).await;
    assert_eq!(status, 200, "{body}");
    let story = scene.state.events.after(0);
    assert_eq!(story[0].text, "operator cordons it: x");
    assert_eq!(scene.order_with(&[&bearer(2)]).await.0, 200);
    let (status, head, _) = scene.send("DELETE /api/v1/cordon", &[&bearer(2)], "").await;
    assert!(status == 405 && head.contains("allow: POST"), "{head}");
}

#[tokio::test]
async fn who_guesses_waits_and_disturbs_no_session() {
    let (scene, tokens, _folder) = scene().await;
    let cookie = scene.logged_in(&tokens[0]).await;
    let wrong = "Authorization: Bearer pgt_guessed";
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(scene.send("GET /api/v1/pools", &[wrong], "").await.0);
    }
    assert_eq!(seen, [401, 401, 401, 401, 429, 429]);
    let right = format!("Authorization: Bearer {}", tokens[2]);
    let (status, head, _) = scene.send("GET /api/v1/pools", &[&right], "").await;
    assert!(status == 429 && head.contains("retry-after: "), "{head}");
    assert_eq!(scene.send("GET /api/v1/pools", &[&cookie], "").await.0, 200);
}

impl Scene {
    /// The header line of a session's cookie.
    async fn logged_in(&self, token: &str) -> String {
        let form = format!("token={token}&next=/machines");
        let (status, head, _) = self.send("POST /login", &[FORM], &form).await;
        assert_eq!(status, 303, "{head}");
        assert!(head.contains("location: /machines"), "{head}");
        let line = head.lines().find(|line| line.starts_with("set-cookie: "));
        let (cookie, flags) = line.unwrap()[12..].split_once(';').unwrap();
        assert!(flags.contains("HttpOnly; SameSite=Strict"), "{flags}");
        format!("Cookie: {cookie}")
    }
}

#[tokio::test]
async fn a_session_gives_orders_by_its_own_pages_alone_until_it_ends() {
    let (scene, tokens, _folder) = scene().await;
    let cookie = scene.logged_in(&tokens[1]).await;
    let form = "order=cordon&instance=main%2Fvm1&reason=x";
    let asked = "/act?order=cordon&instance=main%2Fvm1";
    let (status, _, page) = scene.send(&format!("GET {asked}"), &[&cookie], "").await;
    assert_eq!(status, 200, "{page}");
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
    let csrf = csrf.split('"').next().unwrap().to_owned();
    let with_csrf = format!("{form}&csrf={csrf}");
    let of_form = [FORM, &cookie];
    for (headers, body) in [
        (&[][..], form),
        (&[], "csrf=wrong&order=cordon&instance=main%2Fvm1&reason=x"),
        (&["Origin: http://evil.example"], &*with_csrf),
        (&["Sec-Fetch-Site: cross-site"], &with_csrf),
        (&["Origin: null"], &with_csrf),
    ] {
        let headers = [&of_form, headers].concat();
        let (status, _, answer) = scene.send("POST /act", &headers, body).await;
        assert_eq!(status, 403, "{answer}");
    }
    assert_eq!(scene.order_with(&[&cookie]).await.0, 403);
    assert!(scene.is_untouched());
    let headers = [FORM, &cookie, "Origin: http://localhost"];
    let (status, _, answer) = scene.send("POST /act", &headers, &with_csrf).await;
    assert_eq!(status, 303, "{answer}");
    assert!(!scene.is_untouched());
    let by_header = format!("X-CSRF-Token: {csrf}");
    assert_eq!(scene.order_with(&[&cookie, &by_header]).await.0, 200);
    let leave = format!("csrf={csrf}");
    let (status, head, _) = scene.send("POST /logout", &of_form, &leave).await;
    assert!(status == 303 && head.contains("Max-Age=0"), "{head}");
    assert_eq!(scene.send("GET /", &[&cookie], "").await.0, 401);
}

#[tokio::test]
async fn without_tokens_the_address_says_how_to_have_some() {
    let audit = AuditLog::open(None).unwrap();
    let closed = Arc::new(Access::closed(audit, Metrics::new()));
    let scene = Scene::start_with(|state| state.access = closed).await;
    for path in ["/", "/login", "/api/v1/pools", "/nothing"] {
        let (status, _, body) = scene.send(&format!("GET {path}"), &[], "").await;
        assert_eq!(status, 403, "{path}");
        assert!(body.contains("tokens_file"), "{body}");
    }
    assert_eq!(scene.send("GET /livez", &[], "").await.0, 200);
    assert_eq!(scene.send("GET /metrics", &[], "").await.0, 200);
}

#[tokio::test]
async fn a_session_that_is_over_is_called_so_and_its_form_came_to_nothing() {
    let (scene, _, _folder) = scene().await;
    let stale = "Cookie: poolgate_admin=of-a-gate-that-was-restarted";
    let page = ["Accept: text/html", stale];
    let asked = "GET /machines?q=vm1&page=2";
    let (status, _, body) = scene.send(asked, &page, "").await;
    assert_eq!(status, 401);
    assert!(
        body.contains("Your session is over: log in again to go on.<"),
        "{body}"
    );
    assert!(
        body.contains("value=\"/machines?q=vm1&#38;page=2\""),
        "{body}"
    );
    let form = [&page[..], &[FORM]].concat();
    let (status, _, body) = scene.send("POST /act", &form, "order=cordon").await;
    assert_eq!(status, 401);
    assert!(body.contains("was not carried out."), "{body}");
    assert!(body.contains("name=\"next\" value=\"/\""), "{body}");
    assert!(scene.is_untouched());
}

#[tokio::test]
async fn answers_that_nobody_asked_for_cost_their_source() {
    let text = "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n\
        [pools.main.fleet]\nprovider = \"static\"\ninstances = [{ name = \"a\", address = \"b\" }]\n\
        [admin.oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"poolgate\"\nroles.admin = [\"ada\"]";
    let config = crate::config::parse(Path::new("x.toml"), text, HashMap::new()).unwrap();
    let audit = AuditLog::open(None).unwrap();
    let access = Access::open(&config.admin, audit, Metrics::new(), FileFaults::default()).unwrap();
    let scene = Scene::start_with(|state| state.access = Arc::new(access)).await;
    let (status, _, page) = scene.send("GET /login?next=//evil.example", &[], "").await;
    assert_eq!(status, 200);
    let way = "href=\"http://127.0.0.1:9180/login/oidc?next=%2F\">Log in with 127.0.0.1<";
    assert!(
        page.contains(way) && !page.contains("name=\"token\""),
        "{page}"
    );
    let (status, _, page) = scene.send("GET /login/oidc?next=/machines", &[], "").await;
    assert_eq!(status, 503);
    assert!(page.contains("127.0.0.1 cannot be asked now"), "{page}");
    let mut seen = Vec::new();
    for _ in 0..5 {
        let made_up = "GET /login/oidc/callback?code=a&state=b";
        seen.push(
            scene
                .send(made_up, &["Cookie: poolgate_login=c"], "")
                .await
                .0,
        );
    }
    assert_eq!(seen, [400, 400, 400, 400, 429]);
    assert_eq!(scene.send("GET /login/oidc", &[], "").await.0, 429);
    assert_eq!(scene.send("GET /livez", &[], "").await.0, 200);
}
