//! Who may use which route: every one of the table, with no token and with a token of each scope.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use insta::assert_snapshot;
use jobmill_server::{Route, Rule, route_table};
use tokio::net::TcpListener;

use crate::world::{Answer, World, json, request, settings_with};

/// A request to a route, with names that nothing has.
async fn ask(world: &World, route: &Route, secret: Option<&str>) -> Answer {
    let id = "01KJMR10000000000000000000";
    let path: String = route.path.replace("{address}", "nobody@example.com").replace("{key}", "no-such-key");
    let path = path.split('/').map(|it| if it.starts_with('{') { id } else { it }).collect::<Vec<_>>().join("/");
    let mut asked = match route.method {
        Method::GET | Method::DELETE | Method::OPTIONS => {
            request(route.method.clone(), &path).body(Body::empty()).expect("a request")
        }
        _ => json(route.method.clone(), &path, "{\"no such member\": 1}"),
    };
    if let Some(secret) = secret {
        let value = format!("Bearer {secret}").parse().expect("a header");
        asked.headers_mut().insert(header::AUTHORIZATION, value);
    }
    world.send(asked).await
}

/// What the table says that the doors do to a token of this scope; none for a request without one.
fn expected(rule: Rule, scope: Option<&str>) -> Option<StatusCode> {
    match (rule, scope) {
        (Rule::Open | Rule::Signed, _) => None,
        (Rule::EventKey, _) | (_, None) => Some(StatusCode::UNAUTHORIZED),
        (Rule::Scope(wanted), Some(scope)) if scope == "operate" || wanted.as_str() == scope => None,
        (Rule::Scope(_), Some(_)) => Some(StatusCode::FORBIDDEN),
    }
}

#[tokio::test]
async fn every_route_does_with_each_token_what_the_table_says() {
    let world = World::start().await;
    let operate = world.token(r#"{ "scope": "operate" }"#).await.1;
    let made = |scope: &'static str| {
        let body = format!("{{ \"scope\": \"{scope}\" }}");
        let (world, operate) = (&world, operate.clone());
        async move {
            world.post_with("/api/v1/tokens", &body, &operate).await.json()["secret"]
                .as_str()
                .expect("a secret")
                .to_owned()
        }
    };
    let (enqueue, read) = (made("enqueue").await, made("read").await);
    let secrets =
        [(None, None), (Some("enqueue"), Some(enqueue)), (Some("read"), Some(read)), (Some("operate"), Some(operate))];
    for route in route_table() {
        for (scope, secret) in &secrets {
            let answer = ask(&world, &route, secret.as_deref()).await;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status);
            let name = format!("{} {} with {scope:?}: {} {}", route.method, route.path, answer.status, answer.body);
            match expected(route.rule, *scope) {
                Some(status) => assert_eq!(answer.status, status, "{name}"),
                // A signature that is missing is refused by its route.
                None => assert!(!refused || route.rule == Rule::Signed || route.path == "/e/", "{name}"),
            }
        }
    }
}

#[tokio::test]
async fn without_any_token_every_route_is_open() {
    let world = World::start().await;
    // The first request to make a token would close the doors.
    for route in route_table().iter().filter(|route| !matches!(route.rule, Rule::Signed) && route.path != "/e/") {
        let answer = ask(&world, route, None).await;
        assert!(![401, 403].contains(&answer.status.as_u16()), "{} {}: {}", route.method, route.path, answer.body);
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_wanted_and_not_what_was_wrong_with_the_token() {
    let world = World::start().await;
    let (_, operate) = world.token(r#"{ "scope": "operate" }"#).await;
    let brief = world
        .post_with("/api/v1/tokens", r#"{ "scope": "read", "name": "brief", "expires_in": "1h" }"#, &operate)
        .await;
    let brief = brief.json()["secret"].as_str().expect("a secret").to_owned();
    let none = world.get("/api/v1/runs").await;
    assert_eq!(none.headers[header::WWW_AUTHENTICATE], "Bearer");
    assert_snapshot!("no_token", none.whole());
    assert_eq!(world.get_with("/api/v1/runs", &brief).await.status, StatusCode::OK);
    assert_snapshot!("scope", world.post_with("/api/v1/runs/cancel", "{}", &brief).await.whole());
    world.clock.advance(Duration::from_hours(1));
    for wrong in [brief.as_str(), "jm_", "nonsense", &operate[..operate.len() - 1], &operate.to_uppercase()] {
        assert_eq!(world.get_with("/api/v1/runs", wrong).await.body, none.body, "{wrong}");
    }
    let page = world.get("/").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(world.get("/api/v1/nothing").await.refusal(), "404 not-found");
}

#[tokio::test]
async fn a_token_beyond_its_rate_is_told_when_to_come_back_and_others_go_on() {
    let world = World::start().await;
    let (_, operate) = world.token(r#"{ "scope": "operate" }"#).await;
    let slow = r#"{ "scope": "read", "name": "slow", "rate_limit": { "limit": 2, "period": "1m" } }"#;
    let slow =
        world.post_with("/api/v1/tokens", slow, &operate).await.json()["secret"].as_str().expect("one").to_owned();
    for _ in 0..2 {
        assert_eq!(world.get_with("/api/v1/stats", &slow).await.status, StatusCode::OK);
    }
    assert_snapshot!(world.get_with("/api/v1/stats", &slow).await.whole());
    assert_eq!(world.get_with("/api/v1/stats", &operate).await.status, StatusCode::OK);
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.get_with("/api/v1/stats", &slow).await.status, StatusCode::OK);
    assert_eq!(world.get_with("/api/v1/stats", &slow).await.refusal(), "429 rate-limited");
}

#[tokio::test]
async fn a_tokens_work_is_refused_while_too_many_runs_wait_and_that_of_others_is_not() {
    let world = World::start().await;
    let (_, operate) = world.token(r#"{ "scope": "operate" }"#).await;
    let modest = r#"{ "scope": "enqueue", "max_waiting": 2 }"#;
    let modest =
        world.post_with("/api/v1/tokens", modest, &operate).await.json()["secret"].as_str().expect("one").to_owned();
    let later = r#"{ "payload": {}, "delay": "1h" }"#;
    for _ in 0..2 {
        assert_eq!(world.post_with("/api/v1/jobs/flaky/runs", later, &modest).await.status, StatusCode::ACCEPTED);
    }
    let refused = world.post_with("/api/v1/jobs/flaky/runs", later, &modest).await;
    assert_eq!(refused.refusal(), "429 too-many-waiting");
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    let event = r#"{ "name": "email/welcome", "data": { "userId": "u", "email": "a@example.com" } }"#;
    assert_eq!(world.post_with("/api/v1/events", event, &modest).await.refusal(), "429 too-many-waiting");
    assert_eq!(world.post_with("/api/v1/jobs/flaky/runs", later, &operate).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_last_use_of_a_token_is_put_on_record_at_most_once_a_minute() {
    let world = World::start().await;
    let (_, secret) = world.token(r#"{ "scope": "operate" }"#).await;
    let last_use =
        async || world.handle.tokens().await.expect("the store works")[0].last_used_at.map(|at| at.to_string());
    assert_eq!(last_use().await, None);
    world.get_with("/api/v1/stats", &secret).await;
    // The request did not wait for it.
    let noted = async {
        while last_use().await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::WATCHDOG, noted).await.expect("it is put on record");
    world.clock.advance(Duration::from_secs(59));
    world.get_with("/api/v1/stats", &secret).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(last_use().await.as_deref(), Some("2026-03-01T09:00:00.007Z"));
    world.clock.advance(Duration::from_secs(1));
    world.get_with("/api/v1/stats", &secret).await;
    let again = async {
        while last_use().await.as_deref() != Some("2026-03-01T09:01:00.007Z") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::WATCHDOG, again).await.expect("it is put on record again");
}

#[tokio::test]
async fn a_token_is_the_operator_who_is_named_where_the_request_names_none() {
    let world = World::start().await;
    let (_, secret) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    let paused = world.post_with("/api/v1/jobs/flaky/pause", "", &secret).await;
    assert_eq!(paused.json()["paused_by"], "night shift");
}

#[tokio::test]
async fn with_a_token_the_server_answers_to_every_name() {
    let world = World::start().await;
    let foreign = |secret: Option<&str>| {
        let mut request = json(Method::GET, "/api/v1/stats", "");
        request.headers_mut().insert(header::HOST, "jobs.shop.example".parse().expect("a header"));
        if let Some(secret) = secret {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {secret}").parse().expect("a header"));
        }
        request
    };
    assert_eq!(world.send(foreign(None)).await.refusal(), "403 forbidden-host");
    let (_, secret) = world.token(r#"{ "scope": "operate" }"#).await;
    assert_eq!(world.send(foreign(None)).await.refusal(), "401 token-required");
    assert_eq!(world.send(foreign(Some(&secret))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_others_can_reach_starts_with_a_token_only() {
    let world = World::start().await;
    let listener = async || TcpListener::bind("0.0.0.0:0").await.expect("a free port");
    let refused = jobmill_server::serve(listener().await, world.handle.clone(), settings_with(None)).await;
    let refused = refused.expect_err("must be refused");
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(refused.to_string().contains("jobmill token create"), "{refused}");
    world.token(r#"{ "scope": "operate" }"#).await;
    let listener = listener().await;
    let address: SocketAddr = listener.local_addr().expect("an address");
    let serving = tokio::spawn(jobmill_server::serve(listener, world.handle.clone(), settings_with(None)));
    tokio::net::TcpStream::connect(("127.0.0.1", address.port())).await.expect("it serves");
    world.handle.shutdown();
    serving.await.expect("no panic").expect("no error");
}
