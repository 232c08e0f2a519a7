//! Pages as hubs write them, and answers no hub should give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[test]
fn a_page_of_a_hub_is_understood() {
    let page: Page = serde_json::from_str(
        r#"{"items": [{"kind": "user", "name": "alice", "last_activity": "2026-11-23T10:00:00.000000Z",
            "servers": {"": {"name": "", "ready": true, "pending": null, "url": "/user/alice/",
                "last_activity": "2026-11-23T10:00:00.1Z", "started": "2026-11-23T09:00:00Z"},
                "gpu": {"name": "gpu", "ready": false, "pending": "spawn", "url": "/user/alice/gpu/",
                "last_activity": null}}}],
            "_pagination": {"offset": 0, "limit": 200, "total": 201, "next": {"offset": 200, "limit": 200, "url": "x"}}}"#,
    )
    .unwrap();
    let person = page.items[0].person();
    assert_eq!((&*person.name, person.is_pending), ("alice", true));
    assert!(person.last_activity > SystemTime::UNIX_EPOCH);
    assert_eq!(page.pagination.next.unwrap().offset, 200);
    let bare: User = serde_json::from_str(r#"{"name": "bob"}"#).unwrap();
    assert!(
        bare.servers.is_none(),
        "a missing scope is told apart from no servers"
    );
}

/// A hub that answers request `number` with what `answer` says, and counts them.
async fn hub(answer: impl Fn(usize) -> String + Send + 'static) -> (Api, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = Api::new("127.0.0.1", listener.local_addr().unwrap().port(), None);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            assert!(head.contains("authorization: token secret\r\n"), "{head}");
            let text = answer(count.fetch_add(1, Ordering::Relaxed));
            // Whoever has enough closes before the end.
            drop(stream.write_all(text.as_bytes()).await);
        }
    });
    (api, asked)
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn page(user: &str, next: Option<usize>) -> String {
    let next = next.map_or("null".to_owned(), |offset| {
        format!("{{\"offset\": {offset}}}")
    });
    ok(&format!(
        "{{\"items\": [{{\"name\": \"{user}\", \"servers\": {{}}}}], \"_pagination\": {{\"next\": {next}}}}}"
    ))
}

async fn ask_all(api: &Api) -> Result<Vec<String>, Fault> {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let users = people_with_servers(api, &token).await?;
    Ok(users.iter().map(|user| user.name.to_string()).collect())
}

#[tokio::test]
async fn all_pages_are_read_and_no_page_twice() {
    let (api, asked) =
        hub(|number| page(&format!("p{number}"), (number < 2).then_some(number + 1))).await;
    assert_eq!(ask_all(&api).await.unwrap(), ["p0", "p1", "p2"]);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    // A hub that points back.
    let (api, asked) = hub(|_| page("p", Some(0))).await;
    assert_eq!(ask_all(&api).await.unwrap(), ["p"]);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // One that never ends.
    let (api, asked) = hub(|number| page("p", Some(number + 1))).await;
    assert!(matches!(ask_all(&api).await, Err(Fault::Long)));
    assert_eq!(asked.load(Ordering::Relaxed), PAGES_MAX);
}

#[tokio::test]
async fn what_is_no_answer_is_a_fault_in_words_without_the_token() {
    let endless = || {
        format!(
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "x".repeat(PAGE_BYTES_MAX + 100_000)
        )
    };
    let forbidden = || "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned();
    let scopeless = || ok(r#"{"items": [{"name": "a"}], "_pagination": {"next": null}}"#);
    let old = || ok(r#"[{"name": "a", "servers": {}}]"#);
    let cut = || "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned();
    type Case = (fn() -> String, &'static str);
    let cases: [Case; 5] = [
        (endless, "its answer is too long or was cut"),
        (forbidden, "it answered 403 Forbidden"),
        (scopeless, "the token lacks the scope read:servers"),
        (old, "its answer is of no known form"),
        (cut, "its answer is too long or was cut"),
    ];
    for (answer, told) in cases {
        let (api, _) = hub(move |_| answer()).await;
        let fault = ask_all(&api).await.unwrap_err().to_string();
        assert!(fault == told, "{fault}");
        assert!(!fault.contains("secret"), "{fault}");
    }
    let api = Api::new("127.0.0.1", 1, None);
    let missing = people_with_servers(&api, std::path::Path::new("/nowhere"));
    let missing = missing.await.unwrap_err().to_string();
    assert!(
        missing.starts_with("the token cannot be read: /nowhere"),
        "{missing}"
    );
}
