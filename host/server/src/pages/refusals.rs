//! Refusals as people read them: whatever a page's path answers with a problem, a browser is shown as a page.
//! Programs get the problem itself.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Problem;
use crate::pages::page_headers;

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    heading: &'static str,
    detail: String,
    members: Vec<(String, String)>,
}

/// Shows a browser a page where a program is told a problem.
pub(crate) async fn speak(request: Request, next: Next) -> Response {
    let is_browser = wants_a_page(request.headers()) && !is_for_programs(request.uri().path());
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>().filter(|_| is_browser) else { return response };
    let members = problem.members().iter().map(|it| (it.pointer.clone(), it.detail.clone())).collect();
    let page = RefusalPage { heading: problem.title(), detail: problem.detail().to_owned(), members };
    match page.render() {
        Ok(text) => (problem.status(), page_headers(), text).into_response(),
        // The problem itself says it as well.
        Err(_) => response,
    }
}

/// Whether a browser asks, for something to show.
pub(crate) fn wants_a_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepted.is_some_and(|accept| accept.contains("text/html"))
}

/// Whether what is at the path is for programs, which are told problems.
pub(crate) fn is_for_programs(path: &str) -> bool {
    ["/api/", "/v1/", "/e/", "/webhooks/", "/assets/"].iter().any(|start| path.starts_with(start))
}
