//! The page of suppressed addresses as a browser uses it: empty, full, added to, lifted.

use axum::http::StatusCode;
use insta::assert_snapshot;

use crate::browsing::{
    SCRIPT, assert_harmless, followed, main_part, notice, reader, shown, shown_to_reader, submit, submit_as_reader,
    submit_forged,
};
use crate::world::World;

const PAGE: &str = "/suppressions";

#[tokio::test]
async fn an_empty_list_says_what_comes_here() {
    let world = World::with(&[]).await;
    assert_snapshot!(shown(&world, PAGE).await);
}

#[tokio::test]
async fn an_address_is_suppressed_and_lifted_by_forms() {
    let world = World::with(&[]).await;
    let fields = [("address", " Ada@example.com "), ("reason", "asked for it")];
    submit_forged(&world, PAGE, &fields).await;
    let (place, page) = followed(&world, &submit(&world, PAGE, PAGE, &fields).await).await;
    assert_eq!((place.as_str(), notice(&page)), ("/suppressions?added=1", "The address gets no mail from now on."));
    assert_snapshot!(page);
    let again = submit(&world, PAGE, PAGE, &[("address", "ada@EXAMPLE.com")]).await;
    assert!(notice(&followed(&world, &again).await.1).contains("no mail before either"));
    let shown = world.get("/api/v1/suppressions/ada@example.com").await.json();
    assert_eq!((&shown["by"], &shown["reason"]), (&"the dashboard".into(), &"asked for it".into()));
    let lift = "/suppressions/lift";
    submit_forged(&world, lift, &[("address", "ada@example.com")]).await;
    let lifted = submit(&world, PAGE, lift, &[("address", "ada@example.com")]).await;
    let (place, page) = followed(&world, &lifted).await;
    assert_eq!((place.as_str(), notice(&page)), ("/suppressions?lifted=1", "The address gets mail again."));
    let gone = submit(&world, PAGE, lift, &[("address", "ada@example.com")]).await;
    assert_eq!(gone.refusal(), "404 unknown-suppression");
    assert_eq!(submit(&world, PAGE, lift, &[]).await.refusal(), "400 missing-member /address");
}

#[tokio::test]
async fn a_refused_address_stays_in_the_form_with_the_reason() {
    let world = World::with(&[]).await;
    for address in ["ada", "a@b.c,d@e.f", SCRIPT, ""] {
        let refused = submit(&world, PAGE, PAGE, &[("address", address), ("reason", SCRIPT)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let main = main_part(&refused.body);
        assert!(main.contains("Not suppressed</b> the recipient has no usable address"), "{main}");
        assert_harmless(&main);
    }
    let long = "x".repeat(4 * 1024 + 1);
    let refused = submit(&world, PAGE, PAGE, &[("address", "ada@example.com"), ("reason", &long)]).await;
    assert!(refused.body.contains("reason is longer than 4096 bytes"), "{}", refused.body);
    assert!(shown(&world, PAGE).await.contains("Every address gets mail"));
}

#[tokio::test]
async fn the_list_has_pages_and_its_reasons_stay_text() {
    let world = World::with(&[]).await;
    for number in 0..51 {
        let reason = serde_json::json!({ "reason": SCRIPT, "by": SCRIPT }).to_string();
        world.put(&format!("/api/v1/suppressions/a{number}@example.com"), &reason).await;
    }
    let first = shown(&world, PAGE).await;
    assert_harmless(&first);
    assert_eq!(first.matches("/suppressions/lift").count(), 50);
    let (_, rest) = first.split_once("<a href=\"/suppressions?cursor=").expect("an older page");
    let cursor = rest.split('"').next().expect("a cursor");
    let older = shown(&world, &format!("/suppressions?cursor={cursor}")).await;
    assert_eq!(older.matches("/suppressions/lift").count(), 1);
    assert!(older.contains("Newest addresses") && !older.contains("Older addresses"));
    assert_eq!(world.get("/suppressions?cursor=x").await.refusal(), "400 invalid-parameter");
    assert_eq!(world.get("/suppressions?page=2").await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn whoever_may_only_look_sees_no_button_and_changes_nothing() {
    let world = World::start().await;
    world.put("/api/v1/suppressions/ada@example.com", "").await;
    let secret = reader(&world).await;
    let main = shown_to_reader(&world, PAGE, &secret).await;
    assert!(main.contains("ada@example.com"), "{main}");
    for path in [PAGE, "/suppressions/lift"] {
        let refused = submit_as_reader(&world, path, &[("address", "ada@example.com")], &secret).await;
        assert_eq!(refused.refusal(), "403 scope-missing", "{path}");
    }
}
