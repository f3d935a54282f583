//! API tokens as operators make, list and revoke them.

use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_core::token::{Scope, SecretDigest, Token};
use jobmill_core::{Timestamp, TokenId};
use jobmill_server::ServerSettings;

use crate::world::{Answer, World, settings_with};

const TOKENS: &str = "/api/v1/tokens";

fn whole(answer: &Answer, secret: &str) -> String {
    answer.whole().replace(secret, "SECRET")
}

#[tokio::test]
async fn the_first_token_is_made_without_any_and_its_secret_is_answered_once() {
    let world = World::start().await;
    let body = r#"{ "name": "shop", "scope": "operate", "expires_in": "90d", "rate_limit": { "limit": 100, "period": "1m" }, "max_waiting": 5000 }"#;
    let made = world.post(TOKENS, body).await;
    let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
    assert_snapshot!("made", whole(&made, &secret));
    let listed = world.get_with(TOKENS, &secret).await;
    assert!(!listed.body.contains(&secret), "{}", listed.body);
    assert_snapshot!("listed", listed.whole());
    assert_eq!(world.get(TOKENS).await.refusal(), "401 token-required");
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_and_keeps_the_doors_closed() {
    let world = World::start().await;
    let (id, secret) = world.token(r#"{ "scope": "operate" }"#).await;
    world.clock.advance(Duration::from_secs(5));
    let revoked = world.post_with(&format!("{TOKENS}/{id}/revoke"), "", &secret).await;
    assert_eq!(revoked.json()["revoked_at"], "2026-03-01T09:00:05.007Z");
    assert_eq!(world.get_with(TOKENS, &secret).await.refusal(), "401 token-required");
    assert_eq!(world.get(TOKENS).await.refusal(), "401 token-required");
    assert_eq!(world.post(TOKENS, r#"{ "scope": "operate" }"#).await.refusal(), "401 token-required");
}

#[tokio::test]
async fn a_token_of_the_configuration_is_listed_and_can_not_be_revoked_here() {
    let mut world = World::start().await;
    let token = Token {
        id: TokenId::from_bytes([7; 16]),
        name: "from the file".to_owned(),
        scope: Scope::Operate,
        digest: SecretDigest::of("a rather long secret"),
        created_at: Timestamp::from_millis(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        rate_limit: None,
        max_waiting: None,
    };
    let path = format!("{TOKENS}/{}/revoke", token.id);
    let settings = ServerSettings { tokens: vec![token], ..settings_with(None) };
    world.router = jobmill_server::router(world.handle.clone(), settings);
    assert_eq!(world.get(TOKENS).await.refusal(), "401 token-required");
    let listed = world.get_with(TOKENS, "a rather long secret").await.json();
    assert_eq!(listed["items"][0]["source"], "configuration");
    assert_eq!(listed["items"][0]["last_used_at"], "2026-03-01T09:00:00.007Z");
    assert_snapshot!(world.post_with(&path, "", "a rather long secret").await.whole());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_member() {
    let world = World::start().await;
    for (body, refusal) in [
        ("{}", "400 missing-member /scope"),
        (r#"{ "scope": "admin" }"#, "400 invalid-member /scope"),
        (r#"{ "scope": "read", "name": " " }"#, "400 invalid-member /name"),
        (r#"{ "scope": "read", "expires_at": "2026-03-01T09:00:00Z" }"#, "400 invalid-member /expires_at"),
        (r#"{ "scope": "read", "expires_in": "0s" }"#, "400 invalid-member /expires_in"),
        (
            r#"{ "scope": "read", "expires_in": "1h", "expires_at": "2027-03-01T09:00:00Z" }"#,
            "400 invalid-member /expires_in",
        ),
        (
            r#"{ "scope": "read", "rate_limit": { "limit": 0, "period": "1m" } }"#,
            "400 invalid-member /rate_limit/limit",
        ),
        (
            r#"{ "scope": "read", "rate_limit": { "limit": 1, "period": "2d" } }"#,
            "400 invalid-member /rate_limit/period",
        ),
        (
            r#"{ "scope": "read", "rate_limit": { "limit": 1, "period": "1m", "key": "/a" } }"#,
            "400 unknown-member /rate_limit/key",
        ),
    ] {
        assert_eq!(world.post(TOKENS, body).await.refusal(), refusal, "{body}");
    }
    let nobody = format!("{TOKENS}/tok_01KJMR10000000000000000000/revoke");
    assert_eq!(world.post(&nobody, "").await.refusal(), "404 unknown-token");
    assert_eq!(world.post(&format!("{TOKENS}/x/revoke"), "").await.refusal(), "404 unknown-token");
    assert_eq!(world.get(TOKENS).await.status, StatusCode::OK, "no token was made of any of these");
}

#[tokio::test]
async fn the_first_token_is_one_that_can_make_others() {
    let world = World::start().await;
    for scope in ["enqueue", "read"] {
        let refused = world.post("/api/v1/tokens", &format!(r#"{{ "scope": "{scope}" }}"#)).await;
        assert_eq!(refused.refusal(), "409 no-operator", "{scope}");
    }
    assert_eq!(world.get("/api/v1/tokens").await.status, 200, "nothing was closed");
}
