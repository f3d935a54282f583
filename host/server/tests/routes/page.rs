//! The status page in each state: nothing there, something there, something broken.

use axum::http::{StatusCode, header};
use insta::assert_snapshot;

use crate::world::{World, number_ids};

fn main_part(page: &str) -> String {
    let start = page.find("<main>").expect("a main part");
    let end = page.find("</main>").expect("its end");
    number_ids(&page[start..end])
}

#[tokio::test]
async fn an_empty_page_says_what_to_do() {
    let world = World::with(&[]).await;
    let page = world.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_snapshot!(main_part(&page.body));
}

#[tokio::test]
async fn a_full_page_shows_jobs_runs_dead_letters_and_mails_escaped() {
    let world = World::start().await;
    world.finish("welcome-email", r#"{ "userId": "user_1", "email": "ada@example.com" }"#).await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    let page = world.get("/").await.body;
    assert!(!page.contains("<b>hello</b>") && !page.contains("<42>"), "what jobs write is escaped");
    assert_snapshot!(main_part(&page));
}

#[tokio::test]
async fn the_first_command_is_that_of_a_loaded_job_with_its_example() {
    let world = World::with(&["welcome-email"]).await;
    let page = world.get("/").await.body;
    let command = page.split("<pre><code>").nth(1).and_then(|rest| rest.split("</code>").next()).expect("a command");
    let command = command.replace("&#34;", "\"").replace("&#39;", "'");
    assert_eq!(
        command,
        "curl http://localhost:8288/api/v1/jobs/welcome-email/runs -H 'Content-Type: application/json' \
         -d '{\"payload\": { \"userId\": \"user_1\", \"email\": \"ada@example.com\" }}'"
    );
}

#[tokio::test]
async fn the_page_may_load_its_style_and_nothing_else() {
    let world = World::start().await;
    let page = world.get("/").await;
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
    assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    assert!(!page.body.contains("style=") && !page.body.contains("<script"));
    let style = world.get("/assets/jobmill.css").await;
    assert_eq!(style.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(style.body.contains("prefers-color-scheme: dark"));
}
