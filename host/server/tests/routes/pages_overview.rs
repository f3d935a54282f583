//! The first page in each state: nothing there, the way to begin, work done in the last hour and day, something broken.
//! That its numbers are right however the store is reopened is tested with the store.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use insta::assert_snapshot;
use jobmill_core::RunState;
use jobmill_server::{Alarm, ServerSettings};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::world::{World, number_ids, request, settings_with};

fn main_part(page: &str) -> String {
    let (_, rest) = page.split_once("<main").expect("a main part");
    let (_, rest) = rest.split_once('>').expect("its beginning");
    let (main, _) = rest.split_once("</main>").expect("its end");
    let mut text = main.to_owned();
    if let Some((_, rest)) = main.split_once("name=\"form_key\" value=\"") {
        text = main.replace(rest.split('"').next().expect("a key"), "KEY");
    }
    number_ids(&text)
}

fn form(fields: &[(&str, &str)]) -> Request<Body> {
    let encoded = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let body = fields.iter().map(encoded).collect::<Vec<_>>().join("&");
    let request = request(Method::POST, "/").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(body)).expect("a request")
}

async fn form_key(world: &World) -> String {
    let page = world.get("/").await.body;
    let (_, rest) = page.split_once("name=\"form_key\" value=\"").expect("a form");
    rest.split('"').next().expect("its key").to_owned()
}

#[tokio::test]
async fn without_jobs_it_says_how_to_get_one() {
    let world = World::with(&[]).await;
    let page = world.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_snapshot!(main_part(&page.body));
}

#[tokio::test]
async fn one_button_runs_the_first_job_with_its_example_and_leads_to_the_run() {
    let world = World::with(&["stuck", "welcome-email"]).await;
    assert_snapshot!(main_part(&world.get("/").await.body));
    let key = form_key(&world).await;
    let answer = world.send(form(&[("form_key", &key), ("job", "welcome-email")])).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let place = answer.headers[header::LOCATION].to_str().expect("text");
    let run = place.strip_prefix("/runs/").expect("the page of the run");
    world.until_run_is(run, RunState::Completed).await;
    let payload = world.get(&format!("/api/v1/runs/{run}")).await.json()["payload"].clone();
    assert_eq!(payload, serde_json::json!({ "userId": "user_1", "email": "ada@example.com" }));
    assert!(!world.get("/").await.body.contains("Nothing has run yet"), "it has");
}

#[tokio::test]
async fn the_button_needs_the_key_of_its_page_and_a_job_with_an_example() {
    let world = World::with(&["stuck", "welcome-email"]).await;
    let key = form_key(&world).await;
    for (fields, status) in [
        (vec![("job", "welcome-email")], StatusCode::FORBIDDEN),
        (vec![("form_key", "00"), ("job", "welcome-email")], StatusCode::FORBIDDEN),
        (vec![("form_key", key.as_str())], StatusCode::BAD_REQUEST),
        (vec![("form_key", key.as_str()), ("job", "no job")], StatusCode::BAD_REQUEST),
        (vec![("form_key", key.as_str()), ("job", "stuck")], StatusCode::NOT_FOUND),
        (vec![("form_key", key.as_str()), ("job", "unknown")], StatusCode::NOT_FOUND),
    ] {
        let answer = world.send(form(&fields)).await;
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.body);
    }
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn who_may_only_look_sees_no_button_and_runs_nothing() {
    let world = World::with(&["welcome-email"]).await;
    let key = form_key(&world).await;
    let (_, operate) = world.token(r#"{ "scope": "operate" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read" }"#, &operate).await.json();
    let read = made["secret"].as_str().expect("a secret").to_owned();
    let page = main_part(&world.get_with("/", &read).await.body);
    assert!(!page.contains("<form") && page.contains("curl http://localhost:8288/api/v1/jobs/welcome-email/runs"));
    let mut request = form(&[("form_key", &key), ("job", "welcome-email")]);
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {read}").parse().expect("a header"));
    assert_eq!(world.send(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_was_done_is_told_by_the_minute_and_by_the_job_with_what_is_broken() {
    let world = World::start().await;
    world.finish("welcome-email", r#"{ "userId": "user_1", "email": "ada@example.com" }"#).await;
    world.clock.advance(Duration::from_mins(3));
    world.finish("welcome-email", r#"{ "userId": "user_2", "email": "bob@example.com" }"#).await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    assert_snapshot!(main_part(&world.get("/").await.body));
    world.clock.advance(Duration::from_hours(1));
    let later = main_part(&world.get("/").await.body);
    assert!(later.contains("No attempt ended.") && later.contains("Jobs in the last 24 hours"), "{later}");
}

#[tokio::test]
async fn whatever_files_and_jobs_say_is_escaped() {
    const SCRIPT: &str = r#""><img src=x onerror=alert(1)><script>alert(2)"#;
    let mut world = World::with(&[SCRIPT, "flaky"]).await;
    let payload = serde_json::json!({ "fail": "permanent", "error": SCRIPT });
    world.finish("flaky", &payload.to_string()).await;
    let alarms = Arc::new(|now| vec![Alarm { kind: "mail", detail: SCRIPT.to_owned(), since: now, next_try: now }]);
    world.router = jobmill_server::router(world.handle.clone(), ServerSettings { alarms, ..settings_with(None) });
    let page = world.get("/").await.body;
    assert!(!page.contains("<img") && !page.contains("<script>"), "{page}");
    assert!(page.matches("&#60;img src=x onerror=alert(1)&#62;").count() >= 3, "{page}");
}

#[tokio::test]
async fn a_page_may_load_what_the_server_has_and_nothing_else() {
    let world = World::start().await;
    let page = world.get("/").await;
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"), "{policy}");
    assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    assert!(!page.body.contains("style=") && !page.body.contains("<script>") && !page.body.contains("onclick"));
    assert!(!page.body.contains("src=\"http") && !page.body.contains("href=\"http"));
    let unknown = world.get("/?nonsense=1").await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}
