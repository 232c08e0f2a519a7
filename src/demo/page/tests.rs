//! A browser's way through the page, as a browser goes it: redirects followed by hand, cookies kept by path.

use hyper::client::conn::http1;
use tokio::net::TcpStream;

use super::*;

struct Browser {
    port: u16,
    /// Name, value and path.
    jar: Vec<(String, String, String)>,
    shutdown: CancellationToken,
}

struct Seen {
    status: StatusCode,
    location: String,
    cookies: Vec<String>,
    body: String,
}

impl Browser {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shutdown = CancellationToken::new();
        let page = Page::new("demo-3").run(listener, TaskTracker::new(), shutdown.clone());
        tokio::spawn(page);
        Self {
            port,
            jar: Vec::new(),
            shutdown,
        }
    }

    async fn get(&mut self, path: &str) -> Seen {
        self.ask(Method::GET, path, String::new()).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Seen {
        self.ask(Method::POST, path, form.into()).await
    }

    async fn ask(&mut self, method: Method, path: &str, form: String) -> Seen {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let fits = self
            .jar
            .iter()
            .filter(|(_, _, base)| path.starts_with(base.as_str()));
        let cookies: Vec<_> = fits
            .map(|(name, value, _)| format!("{name}={value}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "pool.example")
            .header("x-scheme", "https")
            .header("x-forwarded-for", "<b>192.0.2.7")
            .header("cookie", cookies.join("; "))
            .body(Full::new(Bytes::from(form)))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let texts = |name| {
            let values = answer.headers().get_all(name).into_iter();
            values
                .map(|v| v.to_str().unwrap().to_string())
                .collect::<Vec<_>>()
        };
        let (cookies, location) = (texts("set-cookie"), texts("location").concat());
        for cookie in &cookies {
            self.keep(cookie);
        }
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Seen {
            status,
            location,
            cookies,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let path = parts.find_map(|part| part.strip_prefix("Path=")).unwrap();
        self.jar.retain(|(n, _, p)| !(n == name && p == path));
        if !value.is_empty() {
            self.jar.push((name.into(), value.into(), path.into()));
        }
    }

    /// The form's hidden field, sent back as the form would.
    async fn log_in(&mut self, name: &str) -> Seen {
        let form = self.get("/hub/login").await.body;
        let token = form.split("name=_xsrf value=\"").nth(1).unwrap();
        let token = token.split('"').next().unwrap();
        self.post("/hub/login", &format!("_xsrf={token}&username={name}"))
            .await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test]
async fn the_way_in_has_the_shape_of_a_hub() {
    let mut browser = Browser::start().await;
    assert_eq!(browser.get("/hub/health").await.status, StatusCode::OK);
    assert_eq!(browser.get("/").await.location, "/hub/login");
    let answer = browser.log_in("ada").await;
    assert_eq!(answer.status, StatusCode::FOUND);
    assert!(
        answer
            .location
            .starts_with("/user/ada/oauth_callback?code=")
    );
    assert!(
        answer.cookies.iter().all(|c| c.ends_with("; Secure")),
        "{:?}",
        answer.cookies
    );

    let proof = browser.get(&answer.location).await;
    assert_eq!(proof.location, "/user/ada/lab");
    assert!(proof.cookies[0].starts_with("jupyterhub-user-ada="));
    assert!(proof.cookies[0].contains("Path=/user/ada/;"));
    let page = browser.get("/user/ada/lab").await.body;
    assert!(page.contains("demo-3") && page.contains("ada"), "{page}");
    assert!(
        page.contains("&lt;b&gt;192.0.2.7") && !page.contains("<b>"),
        "{page}"
    );

    // A code counts once; who is logged in passes the hub without the form.
    assert_eq!(browser.get(&answer.location).await.location, "/hub/login");
    assert!(
        browser
            .get("/hub/")
            .await
            .location
            .starts_with("/user/ada/oauth_callback")
    );
    browser.get("/hub/logout").await;
    assert_eq!(browser.get("/hub/").await.location, "/hub/login");
    assert_eq!(browser.get("/user/ada/lab").await.location, "/hub/user/ada");
}

#[tokio::test]
async fn nobody_sees_another_ones_page() {
    let mut browser = Browser::start().await;
    let door = browser.log_in("ada").await.location;
    let code = door.split("code=").nth(1).unwrap();
    let other = browser
        .get(&format!("/user/ben/oauth_callback?code={code}"))
        .await;
    assert_eq!(
        (other.location.as_str(), other.cookies.len()),
        ("/hub/login", 0)
    );
    assert_eq!(browser.get("/user/ben/lab").await.location, "/hub/user/ben");
}

#[tokio::test]
async fn a_bad_form_is_refused() {
    let mut browser = Browser::start().await;
    let blind = browser.post("/hub/login", "username=ada").await;
    assert_eq!(blind.status, StatusCode::FORBIDDEN);
    for name in ["", "a/b", "%3Cscript%3E", "..", &"x".repeat(33)] {
        let answer = browser.log_in(name).await;
        assert!(answer.body.contains("A name is 1 to 32"), "{name}");
        assert!(
            answer.cookies.iter().all(|c| c.starts_with("_xsrf")),
            "{name}"
        );
    }
    let long = "x".repeat(MAX_FORM_BYTES + 1);
    assert_eq!(
        browser.post("/hub/login", &long).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}
