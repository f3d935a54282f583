//! Inngest's wire protocol as its SDKs speak it: events that are sent, runs that are read back, and keys.
//! The SDKs themselves are not run here; what they send and look at is written out.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use jobmill_core::RunState;
use jobmill_core::token::{Scope, SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId};
use serde_json::{Value, json};

use crate::world::{Answer, World, json as request_with, request, settings_with};

const ADA: &str = r#"{ "userId": "user_1", "email": "ada@example.com" }"#;
const SEED: &str = "1743130137367,eii2YKXRVTJPuA==";
/// The ids that Inngest makes of that seed.
const SEEDED: [&str; 2] = ["01JQDAE4RQF8MBCR55T5AK4KXS", "01JQDAE4RQF8MBCR55T5AK4KXT"];

fn welcome(more: &str) -> String {
    format!(r#"{{ "name": "email/welcome", "data": {ADA}{more} }}"#)
}

async fn send(world: &World, body: &str) -> Answer {
    world.post("/e/NO_EVENT_KEY_SET", body).await
}

async fn seeded(world: &World, body: &str) -> Answer {
    let mut request = request_with(Method::POST, "/e/key", body);
    request.headers_mut().insert("x-inngest-event-id-seed", SEED.parse().expect("a header"));
    world.send(request).await
}

/// The ids of an answer that the SDKs take for success.
fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    assert_eq!((answer.status, &body["status"]), (StatusCode::OK, &json!(200)), "{}", answer.body);
    assert_eq!(body.get("error"), None);
    body["ids"].as_array().expect("ids").iter().map(|id| id.as_str().expect("a text").to_owned()).collect()
}

/// The error of an answer that the SDKs take for a failure.
fn refused(answer: &Answer, status: u16) -> String {
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["status"]), (status, &json!(status)), "{}", answer.body);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(body["ids"], json!([]));
    body["error"].as_str().expect("an error").to_owned()
}

async fn runs_of_event(world: &World, id: &str) -> Value {
    world.get(&format!("/v1/events/{id}/runs")).await.json()["data"].clone()
}

/// The same world as production has it, where these tokens are declared.
async fn closed(secrets: &[(&str, Scope)]) -> World {
    let mut world = World::start().await;
    let mut settings = settings_with(None);
    settings.tokens = secrets.iter().zip(1..).map(|((secret, scope), number)| token(secret, *scope, number)).collect();
    world.router = jobmill_server::router(world.handle.clone(), settings);
    world
}

fn token(secret: &str, scope: Scope, number: u64) -> Token {
    let created_at = Timestamp::from_millis(number);
    Token {
        id: TokenId::first_at(created_at),
        name: scope.to_string(),
        scope,
        digest: SecretDigest::of(secret),
        created_at,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        rate_limit: None,
        max_waiting: None,
    }
}

fn bearing(method: Method, path: &str, secret: &str) -> Request<Body> {
    let request = request(method, path).header(header::AUTHORIZATION, format!("Bearer {secret}"));
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn one_event_or_many_are_answered_with_their_ulids_in_order() {
    let world = World::start().await;
    let one = ids(&send(&world, &welcome("")).await);
    let unheard = r#"{ "name": "cart/emptied" }"#;
    let answer = send(&world, &format!("[{}, {unheard}]", welcome(""))).await;
    assert_eq!(answer.headers["x-inngest-server-kind"], "dev");
    let many = ids(&answer);
    assert_eq!((one.len(), many.len()), (1, 2));
    assert_eq!(ids(&send(&world, "[]").await), [""; 0]);
    for id in one.iter().chain(&many) {
        assert_eq!(id.len(), 26, "{id}");
    }
    assert_eq!(runs_of_event(&world, &many[0]).await.as_array().map(Vec::len), Some(1));
    assert_eq!(runs_of_event(&world, &many[1]).await, json!([]));
    // The id that its sender was told is the event's own, everywhere.
    let native = world.get(&format!("/api/v1/events/{}", many[0])).await.json();
    assert_eq!((&native["id"], &native["key"]), (&json!(many[0]), &json!(format!("evt_{}", many[0]))));
}

#[tokio::test]
async fn a_body_is_read_whatever_content_type_it_says_it_has() {
    let world = World::start().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"] {
        let mut request = request_with(Method::POST, "/e/key", &welcome(""));
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().expect("a header"));
        assert_eq!(ids(&world.send(request).await).len(), 1, "{content_type}");
    }
    let mut request = request_with(Method::POST, "/e/key", &welcome(""));
    request.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().expect("a header"));
    assert!(refused(&world.send(request).await, 400).contains("gzip"));
}

#[tokio::test]
async fn a_second_try_under_the_same_seed_is_the_first() {
    let world = World::start().await;
    let body = format!("[{}, {}]", welcome(""), welcome(r#", "id": "signup-1""#));
    assert_eq!(ids(&seeded(&world, &body).await), SEEDED);
    assert_eq!(ids(&seeded(&world, &body).await), SEEDED);
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(2));
    let event = world.get(&format!("/v1/events/{}", SEEDED[1])).await.json()["data"].clone();
    assert_eq!((&event["internal_id"], &event["id"]), (&json!(SEEDED[1]), &json!("signup-1")));
    let event = world.get(&format!("/v1/events/{}", SEEDED[0])).await.json()["data"].clone();
    assert_eq!(event["id"], event["internal_id"]);
}

#[tokio::test]
async fn an_id_of_the_senders_own_starts_a_job_once() {
    let world = World::start().await;
    let first = ids(&send(&world, &welcome(r#", "id": "order-42""#)).await);
    let again = ids(&send(&world, &welcome(r#", "id": "order-42""#)).await);
    assert_eq!(again, first);
    assert_eq!(runs_of_event(&world, &again[0]).await.as_array().map(Vec::len), Some(1));
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn one_bad_event_keeps_all_of_them_out_and_is_named() {
    let world = World::start().await;
    let bad = r#"{ "name": "email/welcome", "data": { "userId": "user_1" } }"#;
    let error = refused(&send(&world, &format!("[{}, {bad}]", welcome(""))).await, 400);
    assert_eq!(
        error,
        "the data of email/welcome does not fit the schema of the job welcome-email: /1/data/email is required"
    );
    let alone = refused(&send(&world, bad).await, 400);
    assert!(alone.ends_with(": /data/email is required"), "{alone}");
    let nameless = refused(&send(&world, &format!("[{}, {{}}]", welcome(""))).await, 400);
    assert_eq!(nameless, "event name is empty (event /1)");
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(0));
    assert_eq!(world.get("/v1/events").await.json()["data"], json!([]));
}

#[tokio::test]
async fn what_the_protocol_refuses_is_refused_in_its_envelope() {
    let world = World::start().await;
    for (body, part) in [
        ("", "Request body must contain an event object or an array of event objects"),
        ("\"email/welcome\"", "Request body must contain"),
        ("{", "the body is not JSON"),
        (
            r#"{ "name": "inngest/function.failed" }"#,
            "event name is reserved for internal use: inngest/function.failed",
        ),
        (r#"{ "name": "a", "data": 1 }"#, "event data must be an object"),
        (r#"{ "name": "a", "ts": 1743130137 }"#, "1980-01-01"),
        (r#"{ "name": 7 }"#, "name is integer 7"),
    ] {
        let error = refused(&send(&world, body).await, 400);
        assert!(error.contains(part), "{body}: {error}");
    }
    let many = format!("[{}]", vec![r#"{"name":"a"}"#; 5_001].join(","));
    assert_eq!(refused(&send(&world, &many).await, 400), "Cannot have more than 5000 events in a batch");
    assert!(refused(&send(&world, &" ".repeat(4 * 1024 * 1024 + 1)).await, 413).contains("larger"));
    let keyless = world.post("/e/", &welcome("")).await;
    assert_eq!(keyless.json(), json!({ "status": 401, "message": "", "error": "Event key is required" }));
}

#[tokio::test]
async fn five_thousand_events_are_one_request() {
    let world = World::start().await;
    let many = format!("[{}]", vec![r#"{"name":"cart/emptied","data":{}}"#; 5_000].join(","));
    let mut known = ids(&send(&world, &many).await);
    assert_eq!(known.len(), 5_000);
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), 5_000);
}

#[tokio::test]
async fn work_that_can_not_be_taken_is_told_when_to_come_again() {
    let (starting, _engine) = World::prepare(&["welcome-email"]);
    let answer = send(&starting, &welcome("")).await;
    refused(&answer, 503);
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    let world = World::start().await;
    let later = welcome(r#", "ts": 1772442000000"#);
    let batch = vec![later.as_str(); 20].join(",");
    assert_eq!(ids(&send(&world, &format!("[{batch}]")).await).len(), 20);
    let answer = send(&world, &later).await;
    assert!(refused(&answer, 429).contains("20 runs"));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    world.log.fill(true);
    let answer = send(&world, r#"{ "name": "cart/emptied" }"#).await;
    assert!(refused(&answer, 503).contains("no room on the disk"));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_time_to_come_delays_the_run_and_any_other_does_not() {
    let world = World::start().await;
    let later = ids(&send(&world, &welcome(r#", "ts": 1772442000000"#)).await);
    let run = runs_of_event(&world, &later[0]).await[0].clone();
    assert_eq!((&run["status"], &run["ended_at"]), (&json!("Scheduled"), &Value::Null));
    let native = world.get(&format!("/api/v1/runs/run_{}", run["run_id"].as_str().expect("an id"))).await.json();
    assert_eq!((&native["state"], &native["scheduled_at"]), (&json!("scheduled"), &json!("2026-03-02T09:00:00.000Z")));
    for ts in ["0", "1743130137367"] {
        let now = ids(&send(&world, &welcome(&format!(r#", "ts": {ts}"#))).await);
        let run = runs_of_event(&world, &now[0]).await[0]["run_id"].as_str().expect("an id").to_owned();
        world.until_run_is(&format!("run_{run}"), RunState::Completed).await;
    }
}

#[tokio::test]
async fn pages_of_any_site_may_send_events_and_nothing_else() {
    let world = World::start().await;
    let from_shop = |method: Method, path: &str| {
        let mut request = request_with(method, path, &welcome(""));
        request.headers_mut().insert(header::ORIGIN, "https://shop.example".parse().expect("a header"));
        request.headers_mut().insert("sec-fetch-site", "cross-site".parse().expect("a header"));
        request
    };
    let mut asked = from_shop(Method::OPTIONS, "/e/key");
    asked.headers_mut().insert("access-control-request-headers", "content-type, x-more".parse().expect("a header"));
    let preflight = world.send(asked).await;
    assert_eq!(preflight.status, StatusCode::OK);
    assert_eq!(preflight.headers["access-control-allow-origin"], "*");
    assert_eq!(preflight.headers["access-control-allow-headers"], "content-type, x-more");
    assert!(preflight.headers["access-control-allow-methods"].to_str().expect("text").contains("POST"));
    assert_eq!(preflight.headers["access-control-max-age"], "3600");
    assert!(!preflight.headers.contains_key("access-control-allow-credentials"));
    let sent = world.send(from_shop(Method::POST, "/e/key")).await;
    assert_eq!(ids(&sent).len(), 1);
    assert_eq!(sent.headers["access-control-allow-origin"], "*");
    let refused = world.send(from_shop(Method::POST, "/v1/cancellations")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_run_is_polled_by_the_events_id_until_it_has_ended() {
    let world = World::start().await;
    let event = ids(&send(&world, &welcome("")).await).remove(0);
    let runs = world.get(&format!("/v1/events/{event}/runs")).await;
    assert_eq!(runs.headers[header::CACHE_CONTROL], "private, max-age=15");
    let id = runs.json()["data"][0]["run_id"].as_str().expect("an id").to_owned();
    world.until_run_is(&format!("run_{id}"), RunState::Completed).await;
    let answer = world.get(&format!("/v1/runs/{id}")).await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "private, max-age=3");
    assert_eq!(
        answer.json(),
        json!({
            "data": {
                "run_id": id,
                "run_started_at": "2026-03-01T09:00:00.007Z",
                "function_id": answer.json()["data"]["function_id"],
                "function_version": 1,
                "environment_id": "00000000-0000-0000-0000-000000000000",
                "event_id": event,
                "status": "Completed",
                "ended_at": "2026-03-01T09:00:00.007Z",
                "output": { "delivery": "captured" },
                "job": "welcome-email",
            },
            "metadata": { "fetched_at": "2026-03-01T09:00:00.007Z", "cached_until": "2026-03-01T09:00:03.007Z" },
        })
    );
    assert_eq!(world.get(&format!("/v1/runs/{id}/jobs")).await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_run_that_failed_shows_its_error_as_output() {
    let world = World::start().await;
    let id = world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let run = world.get(&format!("/v1/runs/{}", id.trim_start_matches("run_"))).await.json()["data"].clone();
    assert_eq!((&run["status"], &run["event_id"]), (&json!("Failed"), &Value::Null));
    assert_eq!(run["output"]["message"], "there is no order <42>");
    assert_eq!(run["output"]["name"], "permanent");
    let again = world.post(&format!("/api/v1/runs/{id}/rerun"), "").await.id();
    let run = world.get(&format!("/v1/runs/{again}")).await.json()["data"].clone();
    assert_eq!(run["original_run_id"], id.trim_start_matches("run_"));
}

#[tokio::test]
async fn what_is_no_id_and_what_is_not_there_are_told_apart() {
    let world = World::start().await;
    let nobody = "01JQDAE4RQF8MBCR55T5AK4KXS";
    for (method, path, status) in [
        (Method::GET, "/v1/events/nonsense".to_owned(), 400),
        (Method::GET, format!("/v1/events/{nobody}"), 404),
        (Method::GET, "/v1/events/nonsense/runs".to_owned(), 400),
        (Method::GET, "/v1/events?cursor=nonsense".to_owned(), 400),
        (Method::GET, "/v1/events?received_after=yesterday".to_owned(), 400),
        (Method::GET, "/v1/runs/nonsense".to_owned(), 400),
        (Method::GET, format!("/v1/runs/{nobody}"), 404),
        (Method::GET, format!("/v1/runs/{nobody}/jobs"), 404),
        (Method::DELETE, format!("/v1/runs/{nobody}"), 404),
        (Method::GET, "/v1/nothing".to_owned(), 404),
        (Method::POST, format!("/v1/runs/{nobody}"), 405),
    ] {
        let answer = world.send(request(method.clone(), &path).body(Body::empty()).expect("a request")).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["status"]), (status, &json!(status)), "{method} {path}");
        assert_eq!((&body["data"], body["error"].is_string()), (&Value::Null, true), "{path}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(answer.headers["x-inngest-server-kind"], "dev");
    }
    assert_eq!(runs_of_event(&world, nobody).await, json!([]));
}

#[tokio::test]
async fn events_are_listed_newest_first_by_name_and_time() {
    let world = World::start().await;
    let first = ids(&send(&world, r#"[{ "name": "a/first", "data": { "x": 1 } }, { "name": "a/second" }]"#).await);
    world.clock.advance(Duration::from_mins(1));
    let last = ids(&send(&world, r#"{ "name": "a/first", "v": "2026-01-01", "user": {}, "meta": {} }"#).await);
    let listed = async |query: &str| {
        let answer = world.get(&format!("/v1/events{query}")).await;
        let events = answer.json()["data"].as_array().expect("events").clone();
        events.iter().map(|event| event["internal_id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, [last[0].as_str(), &first[1], &first[0]]);
    assert_eq!(listed("?name=a%2Ffirst&unknown=1").await, [last[0].as_str(), &first[0]]);
    assert_eq!(listed("?received_after=2026-03-01T09:01:00Z").await, [last[0].as_str()]);
    assert_eq!(listed("?received_before=2026-03-01T09:01:00Z").await, [first[1].as_str(), &first[0]]);
    assert_eq!(listed("?limit=1").await, [last[0].as_str()]);
    assert_eq!(listed(&format!("?limit=500&cursor={}", first[1])).await, [first[0].as_str()]);
    let event = world.get(&format!("/v1/events/{}", first[0])).await.json()["data"].clone();
    assert_eq!((&event["name"], &event["data"]), (&json!("a/first"), &json!({ "x": 1 })));
    assert_eq!(
        (&event["ts"], &event["received_at"]),
        (&json!(1_772_355_600_007_u64), &json!("2026-03-01T09:00:00.007Z"))
    );
}

#[tokio::test]
async fn a_run_is_cancelled_by_its_id_and_a_second_time_too() {
    let world = World::start().await;
    let running = world.enqueue("stuck", "1").await;
    world.until_run_is(&running, RunState::Running).await;
    let id = running.trim_start_matches("run_").to_owned();
    let jobs = world.get(&format!("/v1/runs/{id}/jobs")).await.json()["data"].clone();
    assert_eq!(jobs, json!([{ "at": "2026-03-01T09:00:00.007Z", "position": 0, "kind": "start", "attempt": 0 }]));
    for _ in 0..2 {
        let answer = world.delete(&format!("/v1/runs/{id}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    }
    let run = world.get(&format!("/v1/runs/{id}")).await.json()["data"].clone();
    assert_eq!((&run["status"], run.get("output")), (&json!("Cancelled"), None));
    let done = world.finish("flaky", "{}").await;
    let answer = world.delete(&format!("/v1/runs/{done}")).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.json()["error"].as_str().is_some_and(|error| error.contains("completed")), "{}", answer.body);
}

#[tokio::test]
async fn a_cancellation_takes_the_unfinished_runs_of_a_span() {
    let world = World::start().await;
    let old = world.enqueue("stuck", "1").await;
    world.until_run_is(&old, RunState::Running).await;
    world.post("/api/v1/jobs/stuck/pause", "").await;
    world.clock.advance(Duration::from_mins(10));
    let waiting = world.enqueue("stuck", "2").await;
    let scheduled = world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 3, "delay": "1h" }"#).await.id();
    world.clock.advance(Duration::from_mins(10));
    let young = world.enqueue("stuck", "4").await;
    let body = r#"{ "app_id": "shop", "function_id": "stuck", "started_after": "2026-03-01T09:05:00Z",
                    "started_before": "2026-03-01T09:15:00Z", "kind": "ignored" }"#;
    let answer = world.post("/v1/cancellations", body).await;
    let cancellation = answer.json()["data"].clone();
    assert_eq!(
        (answer.status, &cancellation["cancelled"], &cancellation["more"]),
        (StatusCode::OK, &json!(2), &json!(false))
    );
    assert_eq!(cancellation["function_id"], "stuck");
    for (run, state) in [
        (&waiting, RunState::Cancelled),
        (&scheduled, RunState::Cancelled),
        (&old, RunState::Running),
        (&young, RunState::Available),
    ] {
        let shown = world.get(&format!("/api/v1/runs/{run}")).await.json()["state"].clone();
        assert_eq!(shown, state.as_str(), "{run}");
    }
    let rest = r#"{ "function_id": "stuck", "started_before": "2026-03-01T09:20:01Z" }"#;
    assert_eq!(world.post("/v1/cancellations", rest).await.json()["data"]["cancelled"], 2);
    world.until_run_is(&old, RunState::Cancelled).await;
    world.until_run_is(&young, RunState::Cancelled).await;
}

#[tokio::test]
async fn a_cancellation_that_can_not_be_meant_is_refused() {
    let world = World::start().await;
    for (body, status, part) in [
        (r#"{ "started_before": "2026-03-01T08:00:00Z" }"#, 400, "function_id is required"),
        (r#"{ "function_id": "stuck" }"#, 400, "started_before is required"),
        (r#"{ "function_id": "stuck", "started_before": "2026-03-01T10:00:00Z" }"#, 400, "in the past"),
        (r#"{ "function_id": "nobody", "started_before": "2026-03-01T08:00:00Z" }"#, 404, "function not found"),
        (
            r#"{ "function_id": "stuck", "started_before": "2026-03-01T08:00:00Z", "if": "true" }"#,
            400,
            "if is not supported",
        ),
        (
            r#"{ "function_id": "stuck", "started_before": "2026-03-01T08:00:00Z", "started_after": "2026-03-01T08:30:00Z" }"#,
            400,
            "started_after must be before",
        ),
        ("[", 400, "not JSON"),
    ] {
        let answer = world.post("/v1/cancellations", body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.body);
        assert!(answer.json()["error"].as_str().is_some_and(|error| error.contains(part)), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_server_says_that_it_is_there_and_what_kind_it_is() {
    let world = World::start().await;
    let health = world.get("/health").await;
    assert_eq!(health.json(), json!({ "status": 200, "message": "OK" }));
    assert!(world.get("/dev").await.json()["version"].is_string());
    let production = closed(&[("an operators secret", Scope::Operate)]).await;
    let health = production.get("/health").await;
    assert_eq!(health.status, StatusCode::OK);
    assert_eq!(health.headers["x-inngest-server-kind"], "cloud");
    assert_eq!(production.get("/dev").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn with_tokens_an_event_key_is_one_that_brings_work_in() {
    let secrets = [
        ("an event key of ours", Scope::Enqueue),
        ("a reader of ours", Scope::Read),
        ("an operator of ours", Scope::Operate),
    ];
    let world = closed(&secrets).await;
    for key in ["an%20event%20key%20of%20ours", "an%20operator%20of%20ours"] {
        let answer = world.post(&format!("/e/{key}"), &welcome("")).await;
        assert_eq!(ids(&answer).len(), 1, "{key}");
        assert_eq!(answer.headers["x-inngest-server-kind"], "cloud");
    }
    for key in ["NO_EVENT_KEY_SET", "a%20reader%20of%20ours"] {
        let answer = world.post(&format!("/e/{key}"), &welcome("")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json(), json!({ "status": 401, "message": "", "error": "Event key not found" }), "{key}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
    let preflight = request(Method::OPTIONS, "/e/NO_EVENT_KEY_SET").body(Body::empty()).expect("a request");
    assert_eq!(world.send(preflight).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_signing_key_is_a_token_plain_or_as_the_sdks_hash_it() {
    use sha2::{Digest as _, Sha256};

    let digits = "5f".repeat(32);
    let (reader, operator) = (format!("signkey-prod-{digits}"), "an operator of ours");
    let world = closed(&[(&reader, Scope::Read), (operator, Scope::Operate)]).await;
    let hashed = format!("signkey-prod-{}", jobmill_core::id::hex(&Sha256::digest([0x5f; 32])));
    for secret in [&reader, &hashed, &format!("jm_{digits}")] {
        let answer = world.send(bearing(Method::GET, "/v1/events", secret)).await;
        assert_eq!(answer.status, StatusCode::OK, "{secret}");
    }
    let without = request(Method::GET, "/v1/events").body(Body::empty()).expect("a request");
    let wrong = bearing(Method::GET, "/v1/events", "signkey-prod-12345678");
    for request in [without, wrong] {
        let answer = world.send(request).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::UNAUTHORIZED, "Authentication failed"));
    }
    let event = ids(&world.post("/e/an%20operator%20of%20ours", &welcome(r#", "ts": 1772442000000"#)).await).remove(0);
    let runs = world.send(bearing(Method::GET, &format!("/v1/events/{event}/runs"), &hashed)).await.json();
    let path = format!("/v1/runs/{}", runs["data"][0]["run_id"].as_str().expect("an id"));
    let refused = world.send(bearing(Method::DELETE, &path, &hashed)).await;
    assert_eq!((refused.status, refused.json()["data"].clone()), (StatusCode::FORBIDDEN, Value::Null));
    assert_eq!(world.send(bearing(Method::DELETE, &path, operator)).await.status, StatusCode::OK);
}
