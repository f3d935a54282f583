//! The store as a whole: taken out, read through, pruned.

use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_core::{Json, RunState};
use jobmill_engine::EventRequest;
use jobmill_store::{Checked, LogStore, MailFilter, MemoryLog, Query, Record, Retention, Store as _, portable};

use crate::world::World;

/// Runs in six states, an event that nobody listens to, an order, and an e-mail log that was emptied.
async fn with_everything() -> World {
    let world = World::start().await;
    world.finish("welcome-email", "{ \"userId\": \"user_1\",\n  \"email\": \"ada@example.com\" }").await;
    world.delete("/api/v1/mail").await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let stuck = world.enqueue("stuck", "{}").await;
    world.until_run_is(&stuck, RunState::Running).await;
    let retryable = world.enqueue("flaky", r#"{ "fail": "transient" }"#).await;
    world.until_run_is(&retryable, RunState::Retryable).await;
    let later = r#"{ "payload": 1, "delay": "1h" }"#;
    world.post("/api/v1/jobs/stuck/runs", later).await;
    let cancelled = world.post("/api/v1/jobs/stuck/runs", later).await.id();
    world.post(&format!("/api/v1/runs/{cancelled}/cancel"), "{}").await;
    world.post("/api/v1/events", r#"{ "name": "nobody/listens", "data": { "a": 1 }, "id": "evt-1" }"#).await;
    let order = r#"{ "status": "paid", "customer_email": "ada@example.com", "items": [], "metadata": { "note": "x" },
        "total": { "minor": 100, "currency": "EUR" } }"#;
    assert_eq!(world.put("/api/v1/orders/order_1", order).await.status, StatusCode::OK);
    world
}

#[tokio::test]
async fn an_export_has_a_line_for_everything_that_is_kept() {
    let world = with_everything().await;
    let answer = world.get("/api/v1/store/export").await;
    // The attachment has many zeros, of which one says as much.
    assert_snapshot!("export", answer.whole().replace(&"0,".repeat(1_233), ""));
    let mut reading = portable::Reading::default();
    let records = answer.body.lines().filter_map(|line| reading.take(line).expect("a good line"));
    let runs = records.filter(|record| matches!(record, Record::Journal { .. })).count();
    reading.finish().expect("is whole");
    let counts = world.handle.query().counts(None, world.handle.now()).await.expect("counts").0;
    assert_eq!((runs, counts.iter().sum()), (6, 6));
}

#[tokio::test]
async fn an_export_taken_into_an_empty_store_gives_the_same_export() {
    let world = with_everything().await;
    let exported = world.get("/api/v1/store/export").await.body;
    let mut reading = portable::Reading::default();
    let records = exported.lines().filter_map(|line| reading.take(line).expect("a good line"));
    let records: Vec<Record> = records.collect();
    let store = LogStore::open(MemoryLog::new()).expect("an empty store");
    assert_eq!(store.import(records.clone()).await.expect("imported"), 15);
    assert_eq!(store.import(records).await.expect("imported"), 0, "nothing is new");
    let export = store.export().await.expect("exported");
    let again: Result<String, _> = portable::lines(export, world.handle.now()).collect();
    assert_eq!(again.expect("readable"), exported);
    let counts = async |query: &dyn Query| query.counts(None, world.handle.now()).await.expect("counts");
    assert_eq!(counts(&store).await, counts(world.handle.query()).await);
    let mails = store.mails(&MailFilter::default(), None, 10).await.expect("mails");
    assert!(mails.items.is_empty(), "what was cleared stays cleared");
}

#[tokio::test]
async fn a_check_counts_what_it_has_read() {
    let world = with_everything().await;
    assert_snapshot!("check", world.get("/api/v1/store/check").await.whole());
    assert_eq!(world.get("/api/v1/store/check?fast=1").await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn a_run_that_is_not_as_it_was_exported_is_damage() {
    let world = World::start().await;
    world.finish("flaky", "{}").await;
    let mut export = world.handle.query().export().await.expect("exported");
    let Some(Ok(Record::Journal { run, entries, .. })) = export.next() else { panic!("it is the only record") };
    let mut checked = Checked::default();
    let whole = Record::Journal { run, first: 0, entries: entries.clone() };
    checked.add(&whole, world.handle.query()).await.expect("is the same");
    assert_eq!((checked.runs, checked.entries), (1, 3));
    let mut changed = entries;
    changed[1].at = changed[1].at.after(Duration::from_millis(1));
    let changed = Record::Journal { run, first: 0, entries: changed };
    let damage = checked.add(&changed, world.handle.query()).await.expect_err("differs").to_string();
    assert!(damage.contains(&run.to_string()), "{damage}");
}

#[tokio::test]
async fn pruning_goes_by_what_is_configured() {
    let month = Duration::from_hours(24 * 30);
    // Not started, so that it does not prune by itself.
    let (world, _engine) = World::keeping(&[], Retention { completed: Some(month), ..Retention::default() });
    let event = EventRequest::new("nobody/listens".to_owned(), Json::empty_object());
    world.handle.publish(vec![event]).await.expect("published");
    assert_eq!(
        world.post("/api/v1/store/prune", "{}").await.body,
        r#"{"runs":0,"events":0,"mails":0,"deliveries":0,"audit":0}"#
    );
    world.clock.advance(month);
    assert_eq!(
        world.post("/api/v1/store/prune", "{}").await.body,
        r#"{"runs":0,"events":1,"mails":0,"deliveries":0,"audit":0}"#
    );
    assert_eq!(
        world.post("/api/v1/store/prune", "").await.body,
        r#"{"runs":0,"events":0,"mails":0,"deliveries":0,"audit":0}"#
    );
    assert_eq!(world.post("/api/v1/store/prune", r#"{ "all": true }"#).await.refusal(), "400 unknown-member /all");
}
