//! The pages of events as a browser uses them: what came in, which runs it started, and why it started none.

use insta::assert_snapshot;
use serde_json::json;

use crate::browsing::{SCRIPT, assert_harmless, shown};
use crate::world::World;

const WELCOME: &str = r#"{ "name": "email/welcome", "data": { "userId": "user_1", "email": "ada@example.com" } }"#;

async fn publish(world: &World, event: &str) -> String {
    let published = world.post("/api/v1/events", event).await.json();
    published["events"][0]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_empty_list_says_how_to_publish_one() {
    let world = World::with(&[]).await;
    assert_snapshot!(shown(&world, "/events").await);
}

#[tokio::test]
async fn events_are_rows_with_their_runs_or_why_there_is_none() {
    let world = World::with(&["welcome-email"]).await;
    publish(&world, WELCOME).await;
    publish(&world, r#"{ "name": "cart/abandoned", "id": "cart-7", "data": {} }"#).await;
    assert_snapshot!(shown(&world, "/events").await);
}

#[tokio::test]
async fn an_event_is_shown_with_its_data_and_its_runs() {
    let world = World::with(&["welcome-email"]).await;
    let id = publish(&world, WELCOME).await;
    let run = world.get("/api/v1/runs").await.json()["items"][0]["id"].as_str().expect("a run").to_owned();
    world.until_run_is(&run, jobmill_core::RunState::Completed).await;
    assert_snapshot!(shown(&world, &format!("/events/{id}")).await);
}

#[tokio::test]
async fn an_event_that_nobody_listens_to_says_so() {
    let world = World::with(&["welcome-email"]).await;
    publish(&world, r#"{ "name": "cart/abandoned", "id": "cart-7", "data": { "n": 1.10 } }"#).await;
    let page = shown(&world, "/events/cart-7").await;
    assert!(page.contains("None: no job listens to cart/abandoned."), "{page}");
    assert!(page.contains("{ &#34;n&#34;: 1.10 }"), "the data is as it was sent: {page}");
    assert_eq!(world.get("/events/cart-8").await.refusal(), "404 unknown-event");
    assert_eq!(world.get("/events/cart-7?x=1").await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn the_list_is_filtered_by_name_and_paged() {
    let world = World::with(&[]).await;
    let many: Vec<_> = (0..51).map(|n| json!({ "name": "a/b", "id": format!("id-{n}-"), "data": n })).collect();
    world.post("/api/v1/events", &json!(many).to_string()).await;
    publish(&world, r#"{ "name": "c/d", "data": 1 }"#).await;
    let first = world.get("/events?name=a/b").await.body;
    assert_eq!(first.matches("href=\"/events/evt_").count(), 50);
    let (_, rest) = first.split_once("<a href=\"/events?name=a%2Fb&#38;cursor=").expect("an older page");
    let cursor = rest.split('"').next().expect("a cursor");
    let older = shown(&world, &format!("/events?name=a/b&cursor={cursor}")).await;
    assert_eq!(older.matches("href=\"/events/evt_").count(), 1);
    assert!(older.contains("Newest events") && !older.contains("Older events"), "{older}");
    assert!(shown(&world, "/events?name=x").await.contains("No event of this name"));
    assert_eq!(world.get("/events?cursor=x").await.refusal(), "400 invalid-parameter");
    assert_eq!(world.get("/events?id=x").await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn what_a_publisher_sends_stays_text() {
    let world = World::with(&["welcome-email"]).await;
    // A name has no spaces; the rest is what it likes.
    let name = SCRIPT.replace(' ', "/");
    let event = json!({ "name": name, "id": SCRIPT, "data": { SCRIPT: SCRIPT } }).to_string();
    let answer = world.post("/api/v1/events", &event).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let list = world.get("/events").await.body;
    let (_, rest) = list.split_once("href=\"/events/evt_").expect("a link");
    let key = rest.split('"').next().expect("a key");
    for path in ["/events".to_owned(), format!("/events/evt_{key}")] {
        let page = shown(&world, &path).await;
        assert_harmless(&page);
        assert!(page.contains("&#60;script&#62;"), "{page}");
    }
    assert_harmless(&shown(&world, "/events?name=%22%3E%3Cscript%3Ealert(1)").await);
}
