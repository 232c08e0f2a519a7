//! What goes out, what comes back, and what is not asked at all.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;

const LIMITS: Limits = Limits {
    time: Duration::from_secs(20),
    body_bytes: 64,
};

/// Answers one request with `answer`, and tells what that request was.
async fn server(answer: &str) -> (SocketAddr, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, asked) = oneshot::channel();
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"body") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        told.send(String::from_utf8(request).unwrap()).unwrap();
    });
    (address, asked)
}

/// One that believes an authority which nobody is certified by.
fn client(make: fn(Limits, Option<&Path>) -> Result<WebClient, String>) -> WebClient {
    let made = rcgen::generate_simple_self_signed(vec!["authority".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    make(LIMITS, Some(file.path())).unwrap()
}

fn post(uri: &str) -> Request<Bytes> {
    Request::post(uri)
        .body(Bytes::from_static(b"body"))
        .unwrap()
}

#[tokio::test]
async fn a_request_goes_out_in_origin_form_and_its_whole_answer_comes_back() {
    let answer =
        "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.example/\r\ncontent-length: 2\r\n\r\nok";
    let (address, asked) = server(answer).await;
    let uri = format!("http://ada:secret@{address}/a?b=c");
    let answer = client(WebClient::new).send(post(&uri)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (302, &b"ok"[..])
    );
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    assert!(asked.contains("user-agent: poolgate\r\n"), "{asked}");
    assert!(!asked.contains("secret"), "{asked}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_cut_or_no_http_is_none() {
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 65\r\n\r\n{body}");
    for (answer, told) in [
        (answer(&"x".repeat(65)), "larger than 64 bytes"),
        (answer("half"), "ends early"),
        (
            "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
            "does not answer as HTTP",
        ),
    ] {
        let (address, _asked) = server(&answer).await;
        let asking = post(&format!("http://{address}/secret"));
        let fault = client(WebClient::new).send(asking).await.unwrap_err();
        let fault = fault.to_string();
        assert!(
            fault.contains(told) && fault.contains("127.0.0.1"),
            "{fault}"
        );
        assert!(!fault.contains("secret"), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = WebClient::elsewhere(Arc::new(move |_| address), LIMITS);
    let fault = client
        .send(post("https://late.example/"))
        .await
        .unwrap_err();
    assert_eq!(
        fault.to_string(),
        "late.example has not answered within 20s"
    );
}

#[tokio::test]
async fn a_guarded_one_dials_no_metadata_and_both_refuse_what_is_no_web_address() {
    let guarded = client(WebClient::guarded);
    let told =
        async |client: &WebClient, uri: &str| client.send(post(uri)).await.unwrap_err().to_string();
    let forbidden = told(&guarded, "http://169.254.169.254/secret").await;
    assert!(forbidden.contains("169.254.169.254 has no address that may"));
    assert!(!forbidden.contains("secret"), "{forbidden}");
    for client in [&guarded, &client(WebClient::new)] {
        for uri in ["ftp://192.0.2.1/", "/path", "192.0.2.1:80"] {
            assert!(told(client, uri).await.contains("is not http://"), "{uri}");
        }
    }
    let (address, asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let answer = guarded.send(post(&format!("http://{address}/"))).await;
    assert_eq!(answer.unwrap().status(), 204);
    assert!(asked.await.is_ok());
}

#[tokio::test]
async fn a_system_without_authorities_keeps_nobody_from_plain_http() {
    let trust = Trust {
        loaded: Arc::default(),
        load: || Err("the system lists none".to_owned()),
    };
    let route = Route::Hosts {
        trust: trust.clone(),
        is_guarded: false,
    };
    let client = WebClient {
        route,
        limits: LIMITS,
    };
    let (address, asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let plain = format!("http://{address}/");
    assert_eq!(client.prepare_for(&plain.parse().unwrap()), Ok(()));
    let answer = client.send(post(&plain)).await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(asked.await.is_ok());
    let secure = format!("https://{address}/secret");
    let told = client.send(post(&secure)).await.unwrap_err().to_string();
    assert_eq!(told, "cannot ask 127.0.0.1 by https: the system lists none");
    assert!(client.prepare_for(&secure.parse().unwrap()).is_err());
    assert!(trust.loaded.get().is_none(), "asked again the next time");
}
