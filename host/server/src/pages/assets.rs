//! What pages load beside themselves: style sheet, script and pictures, which are part of the program.
//! Anybody may have them, as they say nothing of what is going on.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use crate::routes::{Routes, Rule};

/// A file and what tells it from its other versions.
struct Asset {
    media_type: &'static str,
    text: &'static str,
    tag: LazyLock<String>,
}

/// The file of this name, with its type.
macro_rules! asset {
    ($name:literal, $media_type:literal) => {
        Asset {
            media_type: $media_type,
            text: include_str!(concat!("../../assets/", $name)),
            tag: LazyLock::new(|| tag(include_str!(concat!("../../assets/", $name)))),
        }
    };
}

static STYLE: Asset = asset!("jobmill.css", "text/css; charset=utf-8");
static SCRIPT: Asset = asset!("jobmill.js", "text/javascript; charset=utf-8");
static PLAIN: Asset = asset!("plain.svg", "image/svg+xml");
static RUNNING: Asset = asset!("running.svg", "image/svg+xml");
static DEAD: Asset = asset!("dead.svg", "image/svg+xml");

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/assets/jobmill.css", Rule::Open, async |headers: HeaderMap| STYLE.answer(&headers))
        .get("/assets/jobmill.js", Rule::Open, async |headers: HeaderMap| SCRIPT.answer(&headers))
        .get("/assets/plain.svg", Rule::Open, async |headers: HeaderMap| PLAIN.answer(&headers))
        .get("/assets/running.svg", Rule::Open, async |headers: HeaderMap| RUNNING.answer(&headers))
        .get("/assets/dead.svg", Rule::Open, async |headers: HeaderMap| DEAD.answer(&headers))
}

/// The first half of the hash of its bytes, in quotes.
fn tag(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    // Half of it tells two files apart.
    let half = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
    format!("\"{half:032x}\"")
}

impl Asset {
    /// The file; only that it is the same, to whoever has it already.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let Ok(tag) = HeaderValue::from_str(&self.tag) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let shared = [
            (header::ETAG, tag),
            // Asked for again each time, so that a new release is never shown in an old one's style.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        if self.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, shared).into_response();
        }
        let media_type = (header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        (shared, [media_type], Bytes::from_static(self.text.as_bytes())).into_response()
    }

    /// Whether the browser has this very version (RFC 9110 section 13.1.2).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = known.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == *self.tag)
    }
}
