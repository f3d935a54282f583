//! That no page is left out where pages are read in a browser.
//! How they are read stands with the tests of the whole binary.

use std::collections::BTreeSet;

use axum::http::Method;
use jobmill_server::route_table;

/// The pages that a browser reads, one a line.
const READ: &str = include_str!("../../../../tests/e2e/browser/pages.txt");

/// Documents that are no pages of their own, and what belongs to pages.
const PARTS: [&str; 1] = ["/mail/{id}/html"];

fn is_for_programs(path: &str) -> bool {
    const PREFIXES: [&str; 5] = ["/api/", "/v1/", "/e/", "/assets/", "/webhooks/"];
    const PATHS: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/health", "/dev"];
    PREFIXES.iter().any(|prefix| path.starts_with(prefix)) || PATHS.contains(&path)
}

#[test]
fn each_page_of_the_table_of_routes_is_read_in_a_browser() {
    let table = route_table();
    let pages = table.iter().filter(|route| route.method == Method::GET).map(|route| route.path);
    let pages: BTreeSet<&str> = pages.filter(|path| !is_for_programs(path) && !PARTS.contains(path)).collect();
    let read: BTreeSet<&str> = READ.lines().collect();
    assert_eq!(pages, read, "a page is named in tests/e2e/browser/pages.txt, and read in tests/e2e/browser/pages.rs");
}
