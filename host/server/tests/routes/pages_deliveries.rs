//! The pages of webhooks as a browser uses them: what is set up, what came in, what was refused, and taking in again.

use axum::body::Body;
use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_core::RunState;
use serde_json::json;

use crate::browsing::{
    SCRIPT, assert_harmless, followed, notice, reader, shown, shown_to_reader, submit, submit_as_reader, submit_forged,
};
use crate::sender::{self, USER_CREATED, delivery};
use crate::world::{World, settings_with};

async fn received(world: &World, id: &str, body: &str) -> String {
    let answer = world.send(delivery(world, id, body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for run in answer.json()["runs"].as_array().expect("runs") {
        world.until_run_is(run.as_str().expect("a run"), RunState::Completed).await;
    }
    answer.json()["delivery"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn without_a_webhook_the_page_says_how_to_set_one_up() {
    let world = World::with(&[]).await;
    assert_snapshot!(shown(&world, "/deliveries").await);
}

#[tokio::test]
async fn deliveries_are_rows_with_what_came_of_each_and_refusals_are_told() {
    let world = sender::world().await;
    received(&world, "msg_1", USER_CREATED).await;
    received(&world, "msg_2", r#"{ "type": "session.ended" }"#).await;
    received(&world, "msg_3", r#"{ "type": "user.created", "data": {} }"#).await;
    let bounced = r#"{ "type": "email.bounced", "data": { "to": ["Grace@Example.com"],
        "bounce": { "type": "Permanent", "message": "no such mailbox" } } }"#;
    received(&world, "msg_4", bounced).await;
    received(&world, "msg_5", "no JSON at all").await;
    let mut forged = delivery(&world, "msg_6", USER_CREATED);
    *forged.body_mut() = Body::from("{}");
    assert_eq!(world.send(forged).await.status, StatusCode::UNAUTHORIZED);
    assert_snapshot!(shown(&world, "/deliveries").await);
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_body_and_taken_in_again_by_a_form() {
    let world = sender::world().await;
    let id = received(&world, "msg_1", USER_CREATED).await;
    let (path, replay) = (format!("/deliveries/{id}"), format!("/deliveries/{id}/replay"));
    assert_snapshot!(shown(&world, &path).await);
    submit_forged(&world, &replay, &[]).await;
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(1));
    let (place, page) = followed(&world, &submit(&world, &path, &replay, &[]).await).await;
    assert_eq!(place, "/deliveries/dlv_1?replayed=1");
    assert_eq!(notice(&page), "The delivery was taken in once more: it is published now.");
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(world.get("/deliveries/dlv_01JQDAE4RQF8MBCR55T5AK4KXS").await.refusal(), "404 unknown-delivery");
}

#[tokio::test]
async fn each_outcome_says_what_it_means() {
    let world = sender::world().await;
    for (id, body, said) in [
        ("msg_1", r#"{ "type": "session.ended" }"#, "has nothing for session.ended."),
        ("msg_2", r#"{ "type": "user.created", "data": {} }"#, "/data/id"),
        ("msg_3", "no JSON at all", "data-copy>no JSON at all</pre>"),
    ] {
        let id = received(&world, id, body).await;
        let page = shown(&world, &format!("/deliveries/{id}")).await;
        assert!(page.contains(said), "{page}");
        assert_eq!(page.contains("data-json"), body.starts_with('{'));
    }
}

#[tokio::test]
async fn a_delivery_whose_webhook_is_gone_can_only_be_read() {
    let mut world = sender::world().await;
    let id = received(&world, "msg_1", USER_CREATED).await;
    world.router = jobmill_server::router(world.handle.clone(), settings_with(None));
    let page = shown(&world, &format!("/deliveries/{id}")).await;
    assert!(page.contains("there is no [webhooks.users] in the configuration") && !page.contains("<form"), "{page}");
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let world = sender::world().await;
    for number in 0..51 {
        received(&world, &format!("msg_{number}"), r#"{ "type": "session.ended" }"#).await;
    }
    let first = shown(&world, "/deliveries?endpoint=users&outcome=ignored").await;
    assert_eq!(first.matches("href=\"/deliveries/dlv_").count(), 50);
    let page = world.get("/deliveries?outcome=ignored").await.body;
    let (_, rest) = page.split_once("<a href=\"/deliveries?outcome=ignored&#38;cursor=").expect("an older page");
    let cursor = rest.split('"').next().expect("a cursor");
    let older = shown(&world, &format!("/deliveries?outcome=ignored&cursor={cursor}")).await;
    assert_eq!(older.matches("href=\"/deliveries/dlv_").count(), 1);
    assert!(shown(&world, "/deliveries?endpoint=shop").await.contains("No delivery matches"));
    assert_eq!(world.get("/deliveries?outcome=lost").await.refusal(), "400 invalid-parameter");
    assert_eq!(world.get("/deliveries?kind=x").await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn what_a_sender_signs_stays_text() {
    let world = sender::world().await;
    let bodies = [
        json!({ "type": SCRIPT, "data": { SCRIPT: SCRIPT } }).to_string(),
        json!({ "type": "user.created", "data": { "id": SCRIPT } }).to_string(),
        SCRIPT.to_owned(),
    ];
    for (number, body) in bodies.iter().enumerate() {
        let id = received(&world, &format!("msg_{number}"), body).await;
        let page = shown(&world, &format!("/deliveries/{id}")).await;
        assert_harmless(&page);
        assert!(page.contains("&#60;script&#62;"), "{page}");
    }
    assert_harmless(&shown(&world, "/deliveries").await);
    assert_harmless(&shown(&world, "/deliveries?endpoint=%22%3E%3Cscript%3Ealert(1)").await);
}

#[tokio::test]
async fn whoever_may_only_look_sees_no_button_and_changes_nothing() {
    let world = sender::world().await;
    let id = received(&world, "msg_1", USER_CREATED).await;
    let secret = reader(&world).await;
    let page = shown_to_reader(&world, &format!("/deliveries/{id}"), &secret).await;
    assert!(page.contains("user.created"), "{page}");
    let refused = submit_as_reader(&world, &format!("/deliveries/{id}/replay"), &[], &secret).await;
    assert_eq!(refused.refusal(), "403 scope-missing");
}
