//! The style sheet, the script and the icon: built in, each at an address that names its content, so that browsers may keep it
//! for good.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

struct Asset {
    path: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, text: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let path = format!("/dash/{name}-{:016x}.{ending}", hasher.finish());
        Self { path, kind, text }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("static/dash.css");
    Asset::new("style", "css", "text/css; charset=utf-8", text)
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("static/dash.js");
    Asset::new("live", "js", "text/javascript; charset=utf-8", text)
});
static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("static/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", text)
});

pub fn style_path() -> &'static str {
    &STYLE.path
}

pub fn script_path() -> &'static str {
    &SCRIPT.path
}

pub fn icon_path() -> &'static str {
    &ICON.path
}

pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/dash/{file}", get(answer))
}

async fn answer(Path(file): Path<String>) -> Response {
    let assets = [&*STYLE, &*SCRIPT, &*ICON];
    let found = assets
        .into_iter()
        .find(|asset| asset.path.strip_prefix("/dash/") == Some(&file));
    match found {
        Some(asset) => {
            let kept = "public, max-age=31536000, immutable";
            let headers = [
                (header::CONTENT_TYPE, asset.kind),
                (header::CACHE_CONTROL, kept),
            ];
            (headers, asset.text).into_response()
        }
        // Of a page that an older program made.
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
