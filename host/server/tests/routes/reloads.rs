//! What pages that are open ask for again: made once for many, never too old, and of nobody else.
//! What a page shows is tested where the page is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, Method, StatusCode, header};
use futures::future::join_all;
use jobmill_core::RunState;
use jobmill_server::ServerSettings;
use tokio::time::Instant;

use crate::browsing::{followed, submit};
use crate::pages_sign_in::sign_in;
use crate::world::{Answer, World, request, settings_with};

/// The least time between two makings of one page.
const PACE: Duration = Duration::from_millis(250);

/// A world, and how often a page was made: each looks at the alarms once.
async fn counting() -> (World, Arc<AtomicUsize>) {
    let mut world = World::start().await;
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let alarms = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Vec::new()
    });
    let settings = ServerSettings { alarms, ..settings_with(None) };
    world.router = jobmill_server::router(world.handle.clone(), settings);
    (world, made)
}

async fn reload(world: &World, path: &str, who: Option<(HeaderName, &str)>) -> Answer {
    let asked = request(Method::GET, path).header("x-jobmill-reload", "1").header(header::ACCEPT, "text/html");
    let asked = who.into_iter().fold(asked, |asked, (name, value)| asked.header(name, value));
    world.send(asked.body(Body::empty()).expect("a request")).await
}

/// The key of the forms on a page.
fn key_on(page: &Answer) -> &str {
    let (_, rest) = page.body.split_once("name=\"form_key\" value=\"").expect("a form");
    rest.split('"').next().expect("its key")
}

#[tokio::test]
async fn pages_that_are_asked_for_again_together_are_made_once_a_pace() {
    let (world, made) = counting().await;
    let begun = Instant::now();
    for _ in 0..4 {
        let answers = join_all((0..50).map(|_| reload(&world, "/runs", None))).await;
        for answer in &answers {
            assert_eq!((answer.status, &answer.body), (StatusCode::OK, &answers[0].body));
            assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
            assert!(answer.headers.contains_key(header::CONTENT_SECURITY_POLICY));
        }
    }
    let most = usize::try_from(begun.elapsed().as_millis() / PACE.as_millis()).expect("few") + 1;
    let times = made.load(Ordering::SeqCst);
    assert!((4..=most).contains(&times), "{times} times in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_page_that_somebody_goes_to_is_made_for_them() {
    let (world, made) = counting().await;
    reload(&world, "/runs", None).await;
    for _ in 0..10 {
        world.get("/runs").await;
    }
    assert_eq!(made.load(Ordering::SeqCst), 11);
}

#[tokio::test]
async fn a_reload_shows_what_changed_before_it_was_asked_for() {
    let (world, _) = counting().await;
    for _ in 0..3 {
        let id = world.enqueue("stuck", "1").await;
        world.until_run_is(&id, RunState::Running).await;
        let seen = join_all((0..10).map(|_| reload(&world, "/runs", None))).await;
        assert!(seen.iter().all(|page| page.body.contains(&id)));
        world.post(&format!("/api/v1/runs/{id}/cancel"), "{}").await;
        let page = reload(&world, &format!("/runs?state=cancelled&q={}", "job:stuck"), None).await;
        assert!(page.body.contains(&id), "{}", page.body);
    }
}

#[tokio::test]
async fn what_a_form_did_shows_on_the_page_that_it_leads_to_and_on_reloads() {
    let (world, _) = counting().await;
    assert!(!reload(&world, "/queues", None).await.body.contains("bulk/resume"));
    let done = submit(&world, "/queues", "/queues/bulk/pause", &[]).await;
    let (_, page) = followed(&world, &done).await;
    assert!(page.contains("bulk/resume"), "{page}");
    assert!(reload(&world, "/queues", None).await.body.contains("bulk/resume"));
}

#[tokio::test]
async fn sessions_of_one_token_share_a_page_but_not_the_key_of_its_forms() {
    let (world, made) = counting().await;
    let (_, secret) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    let cookies = [sign_in(&world, &secret).await, sign_in(&world, &secret).await];
    let mut keys = Vec::new();
    for cookie in &cookies {
        let asked = request(Method::GET, "/runs").header(header::COOKIE, cookie);
        keys.push(key_on(&world.send(asked.body(Body::empty()).expect("a request")).await).to_owned());
    }
    assert_ne!(keys[0], keys[1]);
    let before = made.load(Ordering::SeqCst);
    let look = |at: usize| reload(&world, "/runs", Some((header::COOKIE, &*cookies[at % 2])));
    let pages = join_all((0..40).map(look)).await;
    for (at, page) in pages.iter().enumerate() {
        assert!(page.body.contains(&keys[at % 2]) && !page.body.contains(&keys[(at + 1) % 2]), "{}", page.body);
    }
    assert!(made.load(Ordering::SeqCst) - before < 10, "they share");
}

#[tokio::test]
async fn tokens_share_no_page_and_nobody_gets_one_without_or_after_theirs() {
    let (world, _) = counting().await;
    let (_, operate) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read", "name": "wallboard" }"#, &operate).await.json();
    let (id, read) = (made["token"]["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    world.post_with("/api/v1/jobs/stuck/runs", r#"{ "payload": 1 }"#, &operate).await;
    let (operate, read) = (format!("Bearer {operate}"), format!("Bearer {read}"));
    let look = |who| reload(&world, "/runs", Some((header::AUTHORIZATION, who)));
    let pages = join_all((0..20).map(|at| look(if at % 2 == 0 { &*operate } else { &*read }))).await;
    for (at, page) in pages.iter().enumerate() {
        let is_operator = at % 2 == 0;
        assert_eq!(page.body.contains("night shift"), is_operator);
        assert_eq!(page.body.contains("wallboard, who may only look"), !is_operator);
        assert_eq!(page.body.contains("action=\"/runs/cancel\""), is_operator, "{}", page.body);
    }
    let (waits, none) = tokio::join!(look(&read), reload(&world, "/runs", None));
    assert_eq!((waits.status, none.status), (StatusCode::OK, StatusCode::SEE_OTHER), "{}", none.body);
    let revoked = request(Method::POST, &format!("/api/v1/tokens/{id}/revoke")).header(header::AUTHORIZATION, &operate);
    assert_eq!(world.send(revoked.body(Body::empty()).expect("a request")).await.status, StatusCode::OK);
    let asked = request(Method::GET, "/runs").header("x-jobmill-reload", "1").header(header::AUTHORIZATION, &read);
    let refused = world.send(asked.body(Body::empty()).expect("a request")).await;
    assert_eq!(refused.refusal(), "401 token-required");
}

#[tokio::test]
async fn what_is_no_page_is_answered_as_ever_and_so_is_what_is_refused() {
    let (world, _) = counting().await;
    let problem = reload(&world, "/runs?colour=red", None).await;
    assert_eq!(problem.status, StatusCode::BAD_REQUEST);
    assert!(problem.body.contains("colour"), "{}", problem.body);
    assert_eq!(reload(&world, "/api/v1/runs", None).await.json()["items"].as_array().map(Vec::len), Some(0));
    assert_eq!(reload(&world, "/assets/jobmill.js", None).await.headers[header::CACHE_CONTROL], "no-cache");
    assert_eq!(reload(&world, "/sign-in", None).await.status, StatusCode::SEE_OTHER);
    assert_eq!(reload(&world, "/runs/run_01J00000000000000000000000", None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn more_addresses_than_are_shared_are_all_answered() {
    let (world, _) = counting().await;
    let paths: Vec<String> = (0..300).map(|number| format!("/runs?tag=t{number}")).collect();
    for answer in join_all(paths.iter().map(|path| reload(&world, path, None))).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    let long = format!("/runs?tag={}", "t".repeat(3_000));
    let plain = world.get(&long).await.status;
    assert_eq!(reload(&world, &long, None).await.status, plain);
}

#[tokio::test]
async fn a_stop_keeps_nobody_waiting() {
    let (world, made) = counting().await;
    reload(&world, "/runs", None).await;
    world.handle.shutdown();
    assert!(reload(&world, "/runs", None).await.body.contains("starting or stopping"));
    assert_eq!(made.load(Ordering::SeqCst), 2);
}
