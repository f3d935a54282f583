//! The system's page as a browser uses it: what it tells, and tokens made and revoked by its forms.

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_core::Timestamp;
use jobmill_core::notice::{NoticeDelivery, NoticeMessage};
use jobmill_engine::Notifier;
use jobmill_server::{Alarm, OnDuty, ServerSettings, StorePlace};
use serde_json::json;

use crate::browsing::{
    SCRIPT, assert_harmless, form, main_part, notice, reader, shown, shown_to_reader, submit, submit_as_reader,
    submit_forged,
};
use crate::world::{Answer, WATCHDOG, World, settings_with};

const PAGE: &str = "/system";
const TOKENS: &str = "/system/tokens";

/// The secret that a page shows.
fn secret(page: &str) -> String {
    let (_, rest) = page.split_once("<code>jm_").expect("a secret");
    format!("jm_{}", rest.split('<').next().expect("its end"))
}

/// Sends a form with a token, and the key that its owner's pages have.
async fn submit_with(world: &World, page: &str, path: &str, fields: &[(&str, &str)], secret: &str) -> Answer {
    let shown = world.get_with(page, secret).await.body;
    let (_, rest) = shown.split_once("name=\"form_key\" value=\"").expect("a form");
    let key = rest.split('"').next().expect("a key");
    let mut request = form(path, &[&[("form_key", key)], fields].concat());
    let value = format!("Bearer {secret}").parse().expect("a header");
    request.headers_mut().insert(axum::http::header::AUTHORIZATION, value);
    world.send(request).await
}

#[tokio::test]
async fn the_page_tells_what_the_server_works_with() {
    let mut world = World::start().await;
    let alarm = |now: Timestamp| {
        let (kind, detail) = ("mail", "the mail server takes nothing from us: <535>".to_owned());
        vec![Alarm { kind, detail, since: now, next_try: now.after(std::time::Duration::from_mins(1)) }]
    };
    let place = StorePlace { directory: PathBuf::from("/srv/<shop>"), bytes: Arc::new(|| Some(1_572_864)) };
    let settings = ServerSettings { alarms: Arc::new(alarm), store_place: Some(place), ..settings_with(None) };
    world.router = jobmill_server::router(world.handle.clone(), settings);
    let page = shown(&world, PAGE).await;
    assert_snapshot!(page.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[tokio::test]
async fn a_token_is_made_by_a_form_and_its_secret_shown_once() {
    let world = World::start().await;
    let fields = [("name", "the shop's operator"), ("scope", "operate"), ("expires_in", "90d")];
    submit_forged(&world, TOKENS, &fields).await;
    let made = submit(&world, PAGE, TOKENS, &fields).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let first = secret(&made.body);
    assert_snapshot!("made", main_part(&made.body).replace(&first, "SECRET"));
    assert_eq!(world.get(PAGE).await.refusal(), "401 token-required", "once there is one, nothing opens without");
    let fields = [("scope", "enqueue"), ("rate_limit", "100"), ("rate_period", "1m"), ("max_waiting", "5")];
    let more = submit_with(&world, PAGE, TOKENS, &fields, &first).await;
    assert!(!more.body.contains("from now on nothing opens"), "{}", more.body);
    // That a token was used is put on record beside the request.
    let noted = async {
        while world.handle.tokens().await.expect("the store works").iter().all(|token| token.last_used_at.is_none()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WATCHDOG, noted).await.expect("it was never put on record");
    let listed = world.get_with(PAGE, &first).await.body;
    assert!(!listed.contains(&first) && !listed.contains(&secret(&more.body)), "secrets are not kept");
    assert_snapshot!("listed", main_part(&listed).split("<h3").next().expect("a list").replace("0.1.0", "VERSION"));
    let tokens = world.get_with("/api/v1/tokens", &first).await.json();
    let token = tokens["items"].as_array().expect("tokens").iter().find(|token| token["scope"] == "enqueue");
    let token = token.expect("the second one");
    assert_eq!((&token["max_waiting"], &token["rate_limit"]["limit"]), (&json!(5), &json!(100)));
}

#[tokio::test]
async fn a_refused_token_leaves_the_form_as_it_was_and_says_why() {
    let world = World::start().await;
    for (fields, status, said) in [
        (&[("scope", "read")][..], 409, "there is no token of scope operate yet"),
        (&[("scope", "")], 400, "scope is required"),
        (&[("scope", "admin")], 400, "is not a scope"),
        (&[("scope", "operate"), ("expires_in", "soon")], 400, "expires_in is refused"),
        (&[("scope", "operate"), ("expires_in", "0s")], 400, "expires_in must not be zero"),
        (&[("scope", "operate"), ("rate_limit", "5")], 400, "rate_period is required"),
        (&[("scope", "operate"), ("rate_period", "1m")], 400, "rate_limit is required"),
        (&[("scope", "operate"), ("rate_limit", "x"), ("rate_period", "1m")], 400, "rate_limit must be a whole number"),
        (&[("scope", "operate"), ("max_waiting", "-1")], 400, "max_waiting must be a whole number"),
        (&[("scope", "operate"), ("expires_in", SCRIPT), ("rate_period", SCRIPT)], 400, "rate_period is refused"),
    ] {
        let refused = submit(&world, PAGE, TOKENS, &[fields, &[("name", SCRIPT)]].concat()).await;
        assert_eq!(refused.status.as_u16(), status, "{fields:?}");
        let main = main_part(&refused.body);
        assert!(main.contains("No token was made</b>") && main.contains(said), "{fields:?}: {main}");
        assert!(main.contains("name=\"name\" value=\"&#60;script&#62;"), "{main}");
        assert_harmless(&main);
    }
    assert_eq!(world.get("/api/v1/tokens").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_token_is_revoked_once_that_is_confirmed() {
    let world = World::start().await;
    let (operator, secret) = world.token(r#"{ "scope": "operate", "name": "ops" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read", "name": "<b>eyes" }"#, &secret).await.json();
    let id = made["token"]["id"].as_str().expect("an id");
    let path = format!("/system/tokens/{id}/revoke");
    let asked = main_part(&world.get_with(&path, &secret).await.body);
    assert_harmless(&asked);
    assert_snapshot!(asked);
    let last = world.get_with(&format!("/system/tokens/{operator}/revoke"), &secret).await.body;
    assert!(last.contains("The last of scope operate"), "{last}");
    let revoked = submit_with(&world, &path, &path, &[], &secret).await;
    assert_eq!(revoked.status, StatusCode::SEE_OTHER, "{}", revoked.body);
    let page = world.get_with("/system?revoked=1", &secret).await.body;
    assert_eq!(notice(&page), "The token is revoked: it opens nothing any more.");
    let eyes = made["secret"].as_str().expect("a secret");
    assert_eq!(world.get_with("/api/v1/stats", eyes).await.refusal(), "401 token-required");
    let again = world.get_with(&path, &secret).await.body;
    assert!(again.contains("It is revoked already.") && !again.contains("Revoke it</button>"), "{again}");
    let nobody = "/system/tokens/tok_01KJMR10000000000000000000/revoke";
    assert_eq!(world.get_with(nobody, &secret).await.refusal(), "404 unknown-token");
}

#[tokio::test]
async fn whoever_may_only_look_sees_no_token_and_makes_none() {
    let world = World::start().await;
    let secret = reader(&world).await;
    let main = shown_to_reader(&world, PAGE, &secret).await;
    assert!(main.contains("Limits") && !main.contains("tok_") && !main.contains("API tokens"), "{main}");
    let refused = submit_as_reader(&world, TOKENS, &[("scope", "operate")], &secret).await;
    assert_eq!(refused.refusal(), "403 scope-missing");
    let revoke = "/system/tokens/tok_01KJMR10000000000000000000/revoke";
    assert_eq!(submit_as_reader(&world, revoke, &[], &secret).await.refusal(), "403 scope-missing");
    assert_eq!(world.get_with(revoke, &secret).await.refusal(), "403 scope-missing");
    assert_eq!(world.get_with("/system?x=1", &secret).await.refusal(), "400 unknown-parameter");
}

#[tokio::test]
async fn without_tokens_the_page_says_what_the_first_one_does() {
    let world = World::with(&[]).await;
    let page = shown(&world, PAGE).await;
    assert!(page.contains("whoever reaches this server may do everything"), "{page}");
}

/// Takes every message.
struct Taking;

#[async_trait::async_trait]
impl Notifier for Taking {
    fn name(&self) -> String {
        "the test".to_owned()
    }

    async fn deliver(&self, _: &NoticeMessage, _: Timestamp) -> NoticeDelivery {
        NoticeDelivery::Taken
    }
}

#[tokio::test]
async fn the_page_tells_who_is_told_of_dead_runs_and_of_which_groups_somebody_was() {
    let mut world = World::start().await;
    let on_duty = OnDuty {
        receivers: vec!["https://duty.example".to_owned()],
        unreached: vec!["<ops>@shop.example".to_owned()],
        spike: 7,
    };
    let settings = ServerSettings { on_duty, ..settings_with(None) };
    world.router = jobmill_server::router(world.handle.clone(), settings);
    let section = |page: &str| {
        let (_, rest) = page.split_once("<section aria-labelledby=\"duty\">").expect("the section");
        rest.split("</section>").next().expect("its end").to_owned()
    };
    assert!(!section(&shown(&world, PAGE).await).contains("<table"), "nobody was told of anything");
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let duty = tokio::spawn(world.handle.clone().tell_of_dead(vec![Arc::new(Taking)], 7));
    let told = async {
        while world.get("/api/v1/dead").await.json()["items"][0]["notified_at"] != json!("2026-03-01T09:00:00.007Z") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WATCHDOG, told).await.expect("nobody was told");
    duty.abort();
    assert_snapshot!("told", section(&shown(&world, PAGE).await));
}
