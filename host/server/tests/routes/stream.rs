//! What is told as it happens: runs, loads, the end; and how many may listen.

use axum::body::{Body, BodyDataStream};
use axum::http::request::Builder;
use axum::http::{Method, StatusCode, header};
use futures::StreamExt as _;
use jobmill_core::RunState;
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::world::{WATCHDOG, World, request};

/// A stream that is being read.
struct Reader(BodyDataStream);

impl Reader {
    async fn of(world: &World) -> Self {
        Self::asked(world, request(Method::GET, "/api/v1/stream")).await
    }

    async fn with(world: &World, secret: &str) -> Self {
        let bearer = format!("Bearer {secret}");
        Self::asked(world, request(Method::GET, "/api/v1/stream").header(header::AUTHORIZATION, bearer)).await
    }

    async fn asked(world: &World, asked: Builder) -> Self {
        let asked = asked.body(Body::empty()).expect("a request");
        let answer = world.router.clone().oneshot(asked).await.expect("infallible");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let mut reader = Self(answer.into_body().into_data_stream());
        assert_eq!(reader.next().await.as_deref(), Some("retry: 2000\n\n"));
        reader
    }

    /// The next message; none at the end.
    async fn next(&mut self) -> Option<String> {
        let next = tokio::time::timeout(WATCHDOG, self.0.next()).await.expect("nothing came");
        next.map(|bytes| String::from_utf8(bytes.expect("readable").to_vec()).expect("UTF-8"))
    }

    /// What the next message says of runs.
    async fn runs(&mut self) -> Vec<Value> {
        let message = self.next().await.expect("a message");
        let data = message.strip_prefix("event: run\ndata: ").unwrap_or_else(|| panic!("of runs: {message}"));
        serde_json::from_str(data.trim_end()).expect("JSON")
    }

    /// Reads until a message says that the run is in the state.
    async fn until(&mut self, id: &str, state: &str) -> Value {
        loop {
            let runs = self.runs().await;
            if let Some(run) = runs.into_iter().find(|run| run["id"] == id && run["state"] == state) {
                return run;
            }
        }
    }
}

#[tokio::test]
async fn a_run_is_told_as_it_stands_whoever_brought_it_in() {
    let world = World::start().await;
    let (mut one, mut other) = (Reader::of(&world).await, Reader::of(&world).await);
    let id = world.enqueue("stuck", "1").await;
    let told = one.until(&id, "running").await;
    assert_eq!(told["job"], "stuck");
    assert_eq!(told["attempt"], 1);
    assert_eq!(told["scheduled_at"], "2026-03-01T09:00:00.007Z");
    assert_eq!(told.as_object().expect("an object").len(), 5, "{told}");
    assert_eq!(other.until(&id, "running").await, told);
    world.post(&format!("/api/v1/runs/{id}/cancel"), "{}").await;
    one.until(&id, "cancelled").await;
}

#[tokio::test]
async fn changes_come_together_at_most_ten_times_a_second() {
    let world = World::start().await;
    let begun = Instant::now();
    let mut reader = Reader::of(&world).await;
    let mut last = String::new();
    for _ in 0..40 {
        last = world.finish("flaky", "{}").await;
    }
    let mut messages = 0;
    loop {
        messages += 1;
        if reader.runs().await.iter().any(|run| run["id"] == last.as_str() && run["state"] == "completed") {
            break;
        }
    }
    // The first comes at once.
    let most = begun.elapsed().as_millis() / 100 + 1;
    assert!(messages <= most, "{messages} messages in {:?}", begun.elapsed());
}

#[tokio::test]
async fn other_jobs_are_told_and_then_runs_again() {
    let world = World::with(&["flaky"]).await;
    let mut reader = Reader::of(&world).await;
    std::fs::write(world.hopper.path().join("welcome-email.wasm"), "welcome-email").expect("a file");
    assert_eq!(reader.next().await.as_deref(), Some("event: catalog\ndata: {}\n\n"));
    let id = world.finish("welcome-email", r#"{ "userId": "user_1", "email": "ada@example.com" }"#).await;
    world.until_run_is(&id, RunState::Completed).await;
    reader.until(&id, "completed").await;
}

#[tokio::test]
async fn a_stop_ends_every_stream_and_lets_none_begin() {
    let world = World::start().await;
    let (mut one, mut other) = (Reader::of(&world).await, Reader::of(&world).await);
    world.handle.shutdown();
    assert_eq!((one.next().await, other.next().await), (None, None));
    assert_eq!(world.get("/api/v1/stream").await.refusal(), "503 not-ready");
}

#[tokio::test]
async fn one_stream_too_many_is_refused_until_another_ends() {
    let world = World::start().await;
    let mut readers = Vec::new();
    for _ in 0..250 {
        readers.push(Reader::of(&world).await);
    }
    let refused = world.get("/api/v1/stream").await;
    assert_eq!(refused.refusal(), "503 too-many-streams");
    assert_eq!(refused.headers[header::RETRY_AFTER], "10");
    readers.pop();
    let mut reader = Reader::of(&world).await;
    let id = world.enqueue("stuck", "1").await;
    reader.until(&id, "running").await;
    readers[0].until(&id, "running").await;
}

#[tokio::test]
async fn a_feed_that_everybody_left_begins_again() {
    let world = World::start().await;
    drop(Reader::of(&world).await);
    world.finish("flaky", "{}").await;
    let mut reader = Reader::of(&world).await;
    let id = world.finish("flaky", "{}").await;
    reader.until(&id, "completed").await;
}

#[tokio::test]
async fn a_stream_ends_at_once_with_the_token_that_opened_it_and_others_go_on() {
    let world = World::start().await;
    let mut open = Reader::of(&world).await;
    let (_, operate) = world.token(r#"{ "scope": "operate" }"#).await;
    assert_eq!(open.next().await, None, "from the first token on nothing opens without one");
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read" }"#, &operate).await.json();
    let (id, doomed) = (&made["token"]["id"], made["secret"].as_str().expect("a secret"));
    let id = id.as_str().expect("an id");
    let (mut kept, mut ended) = (Reader::with(&world, &operate).await, Reader::with(&world, doomed).await);
    world.post_with(&format!("/api/v1/tokens/{id}/revoke"), "", &operate).await;
    assert_eq!(ended.next().await, None);
    world.post_with("/api/v1/jobs/stuck/runs", r#"{ "payload": 1 }"#, &operate).await;
    assert!(kept.next().await.is_some(), "the other one goes on");
}

#[tokio::test]
async fn parameters_are_refused_by_name() {
    let world = World::start().await;
    assert_eq!(world.get("/api/v1/stream?job=flaky").await.refusal(), "400 unknown-parameter");
}
