//! The status page: how everything stands, on one page that needs no script.
//! It changes nothing; everything that it shows is in the API too.

mod status;
mod words;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;

use crate::routes::{Routes, Rule};

/// Every page and what belongs to it.
pub(crate) fn routes() -> Routes {
    Routes::new().get("/", Rule::READ, status::show).get("/assets/jobmill.css", Rule::READ, stylesheet)
}

/// What a page may load and do: its own style sheet, and nothing else.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The headers of every page.
fn page_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
}

async fn stylesheet() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        // Asked for again each time, so that a new release is never shown in an old one's style.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, include_str!("../../assets/jobmill.css"))
}
