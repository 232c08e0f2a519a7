//! Whatever is refused is refused in one shape, be it by a route, by the guard or by what reads requests.

use super::access::scene;
use super::*;

const JSON: &str = "Content-Type: application/json";

/// What is asked with which headers and which body, the status, and what the detail says.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static str,
    u16,
    &'static str,
);

const CASES: &[Case] = &[
    ("GET /api/v1/events?after=x", &[], "", 400, "after"),
    (
        "GET /api/v1/events?wait_s=31",
        &[],
        "",
        400,
        "write up to 30",
    ),
    ("GET /api/v1/events?sinse=1", &[], "", 400, "unknown field"),
    (
        "GET /api/v1/events?pool=mian",
        &[],
        "",
        404,
        "no pool named",
    ),
    (
        "GET /api/v1/history?pool=mian",
        &[],
        "",
        404,
        "no pool named",
    ),
    ("GET /api/v1/events?user=%20", &[], "", 400, "user name"),
    ("GET /api/v1/idle", &[], "", 400, "missing field `instance`"),
    (
        "GET /api/v1/explain/user?user=%20",
        &[],
        "",
        400,
        "user name",
    ),
    (
        "GET /api/v1/history?pool=a&pool=b",
        &[],
        "",
        400,
        "duplicate",
    ),
    ("GET /api/v1/nothing", &[], "", 404, "there is nothing at"),
    ("GET /api/v1/", &[], "", 404, "there is nothing at"),
    (
        "GET /api/v1/idle?instance=vm9",
        &[],
        "",
        404,
        "there is main/vm1",
    ),
    ("DELETE /api/v1/pools", &[], "", 405, "use GET"),
    ("POST /api/v1/cordon", &[JSON], "{", 400, "JSON"),
    ("POST /api/v1/cordon", &[], "{}", 415, "Content-Type"),
    ("POST /api/v1/cordon", &[JSON], "{}", 422, "missing field"),
    ("POST /api/v1/cordon", &[JSON], "[]", 422, ""),
    ("POST /api/v1/reload", &[], "", 422, "no configuration"),
];

#[tokio::test]
async fn every_refusal_is_a_problem_that_says_what_to_do() {
    let (scene, tokens, _folder) = scene().await;
    let admin = format!("Authorization: Bearer {}", tokens[2]);
    let long = format!(r#"{{"instance":"vm1","reason":"{}"}}"#, "x".repeat(17_000));
    let long = (
        "POST /api/v1/cordon",
        &[JSON][..],
        &*long,
        413,
        "length limit",
    );
    for (line, headers, body, wanted, says) in CASES.iter().copied().chain([long]) {
        let headers = [&[&*admin], headers].concat();
        let (status, head, body) = scene.send(line, &headers, body).await;
        assert_eq!(status, wanted, "{line}: {body}");
        let kind = "content-type: application/problem+json\r\n";
        assert!(head.contains(kind), "{line}: {head}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], wanted, "{line}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            !detail.is_empty() && detail.contains(says),
            "{line}: {detail}"
        );
    }
}

#[tokio::test]
async fn the_description_is_for_those_who_are_in() {
    let scene = Scene::start().await;
    let (status, api) = scene.get("/api/v1/openapi.json").await;
    assert_eq!((status, &api["openapi"]), (200, &"3.1.0".into()));
    let paths = api["paths"].as_object().unwrap();
    assert!(paths.contains_key("/api/v1/openapi.json"));
    assert_eq!(scene.send("GET /api/v1/openapi.json", &[], "").await.0, 401);
}
