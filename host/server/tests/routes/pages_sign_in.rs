//! Signing in by a browser: the way there and back, what a session opens, and everything that ends or refuses one.
//! Pages themselves are tested where they are; here any of them will do.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, Method, Request, StatusCode, header};
use futures::StreamExt as _;
use insta::assert_snapshot;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower::ServiceExt as _;

use crate::world::{Answer, WATCHDOG, World, request, settings_with};

const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
const OWN: &str = "http://localhost:8288";

/// A request of a browser, with these headers beside.
fn browser(method: Method, path: &str, more: &[(HeaderName, &str)]) -> Request<Body> {
    let with = |request: axum::http::request::Builder, (name, value): &(HeaderName, &str)| request.header(name, *value);
    let request = more.iter().fold(request(method, path).header(header::ACCEPT, HTML), with);
    request.body(Body::empty()).expect("a request")
}

/// A form that a page of the server sends.
fn form(path: &str, fields: &[(&str, &str)], more: &[(HeaderName, &str)]) -> Request<Body> {
    let encoded = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let body = fields.iter().map(encoded).collect::<Vec<_>>().join("&");
    let mut request = browser(Method::POST, path, more);
    request.headers_mut().insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().expect("a header"));
    request.headers_mut().entry(header::ORIGIN).or_insert(OWN.parse().expect("a header"));
    *request.body_mut() = Body::from(body);
    request
}

async fn look(world: &World, path: &str, cookie: Option<&str>) -> Answer {
    let more = cookie.map(|cookie| (header::COOKIE, cookie));
    world.send(browser(Method::GET, path, more.as_slice())).await
}

fn form_key(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("name=\"form_key\" value=\"").expect("a form");
    rest.split('"').next().expect("its key").to_owned()
}

/// Types a secret into the form of the sign-in page.
async fn try_with(world: &World, secret: &str, next: &str, more: &[(HeaderName, &str)]) -> Answer {
    let key = form_key(&look(world, "/sign-in", None).await);
    let fields = [("form_key", key.as_str()), ("next", next), ("token", secret)];
    world.send(form("/sign-in", &fields, more)).await
}

/// The cookie of somebody who signed in.
fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let set = answer.headers[header::SET_COOKIE].to_str().expect("text");
    set.split(';').next().expect("a cookie").to_owned()
}

pub(crate) async fn sign_in(world: &World, secret: &str) -> String {
    cookie(&try_with(world, secret, "/", &[]).await)
}

fn place(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    answer.headers[header::LOCATION].to_str().expect("text")
}

fn refusal(answer: &Answer) -> &str {
    assert!(!answer.headers.contains_key(header::SET_COOKIE));
    let (_, rest) = answer.body.split_once("not signed in</b> ").expect("a refusal");
    rest.split("</p>").next().expect("its end")
}

/// A world with a token of scope operate, whose secret and id are answered.
async fn closed() -> (World, String, String) {
    let world = World::start().await;
    let (id, secret) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    (world, secret, id)
}

async fn another(world: &World, operate: &str, body: &str) -> (String, String) {
    let made = world.post_with("/api/v1/tokens", body, operate).await.json();
    let text = |pointer| made.pointer(pointer).and_then(|it| it.as_str()).expect("a text").to_owned();
    (text("/token/id"), text("/secret"))
}

#[tokio::test]
async fn where_no_token_exists_nobody_has_to_sign_in() {
    let world = World::start().await;
    assert_eq!(look(&world, "/", None).await.status, StatusCode::OK);
    assert_eq!(place(&look(&world, "/sign-in", None).await), "/");
    assert_eq!(place(&look(&world, "/sign-in?next=/runs%3Fstate%3Ddead", None).await), "/runs?state=dead");
    assert_eq!(place(&look(&world, "/sign-in?next=//evil.example", None).await), "/");
}

#[tokio::test]
async fn a_browser_is_led_to_sign_in_and_a_program_is_refused() {
    let (world, ..) = closed().await;
    assert_eq!(place(&look(&world, "/", None).await), "/sign-in");
    let led = look(&world, "/?state=dead&job=a%20b", None).await;
    assert_eq!(place(&led), "/sign-in?next=%2F%3Fstate%3Ddead%26job%3Da%2520b");
    assert!(led.body.is_empty());
    let sent = world.send(form("/sign-out", &[], &[])).await;
    assert_eq!(place(&sent), "/sign-in?ended=true");
    assert_eq!(look(&world, "/api/v1/runs", None).await.refusal(), "401 token-required");
    assert_eq!(world.get("/").await.refusal(), "401 token-required");
    assert_eq!(look(&world, "/nowhere", None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(look(&world, "/assets/jobmill.css", None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_page_tells_nothing_but_how_to_sign_in() {
    let (world, ..) = closed().await;
    let planted = look(&world, "/sign-in?next=/runs%3Fjob%3D%22%3E%3Cscript%3E", None).await;
    assert!(!planted.body.contains("<script"), "{}", planted.body);
    let page = look(&world, "/sign-in?next=/runs%3Fstate%3Ddead%26error%3Dit's", None).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text").contains("form-action 'self'"));
    assert_snapshot!(page.body.replace(&form_key(&page), "KEY"));
    let ended = look(&world, "/sign-in?ended=true", None).await;
    assert!(ended.body.contains("nothing was changed"));
    assert_eq!(look(&world, "/sign-in?then=/runs", None).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn whoever_signs_in_gets_back_to_where_they_were() {
    let (world, secret, _) = closed().await;
    let answer = try_with(&world, &format!(" {secret}\n"), "/runs?state=dead", &[]).await;
    assert_eq!(place(&answer), "/runs?state=dead");
    let set = answer.headers[header::SET_COOKIE].to_str().expect("text");
    let (value, attributes) = set.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert!(value.starts_with("__Host-jobmill=") && !value.contains(&secret), "{value}");
    let cookie = cookie(&answer);
    assert_eq!(look(&world, "/", Some(&cookie)).await.status, StatusCode::OK);
    assert_eq!(look(&world, "/api/v1/runs", Some(&cookie)).await.status, StatusCode::OK);
    assert_eq!(look(&world, "/v1/events", Some(&cookie)).await.status, StatusCode::OK);
    assert_eq!(place(&look(&world, "/sign-in?next=/jobs", Some(&cookie)).await), "/jobs");
    let beside = format!("theme=dark; {cookie}");
    assert_eq!(look(&world, "/", Some(&beside)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_led_away_to_another_site() {
    let (world, secret, _) = closed().await;
    for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "javascript:a"] {
        let asked = format!("/sign-in?next={}", utf8_percent_encode(elsewhere, NON_ALPHANUMERIC));
        assert!(look(&world, &asked, None).await.body.contains("name=\"next\" value=\"/\""), "{elsewhere:?}");
        assert_eq!(place(&try_with(&world, &secret, elsewhere, &[]).await), "/", "{elsewhere:?}");
    }
    // What a browser asks for as a path may look like a host; it is not led there either.
    let led = look(&world, "//evil.example/", None).await;
    assert!(!led.headers.contains_key(header::LOCATION) || !place(&led).contains("evil"));
}

#[tokio::test]
async fn what_is_no_token_for_looking_is_refused_and_nothing_is_repeated() {
    let (world, operate, _) = closed().await;
    let (_, brief) = another(&world, &operate, r#"{ "scope": "read", "expires_in": "1h" }"#).await;
    let (id, revoked) = another(&world, &operate, r#"{ "scope": "read" }"#).await;
    let (_, enqueue) = another(&world, &operate, r#"{ "scope": "enqueue", "name": "<script>shop" }"#).await;
    world.post_with(&format!("/api/v1/tokens/{id}/revoke"), "", &operate).await;
    world.clock.advance(Duration::from_hours(1));
    for wrong in ["jm_nonsense", &brief, &revoked, &operate[..operate.len() - 1]] {
        let answer = try_with(&world, wrong, "/runs", &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(refusal(&answer), "This is no valid token. It may be mistyped, revoked, or over.");
        assert!(!answer.body.contains(wrong) && answer.body.contains("name=\"next\" value=\"/runs\""));
    }
    let answer = try_with(&world, " ", "/", &[]).await;
    assert_eq!((answer.status, refusal(&answer)), (StatusCode::BAD_REQUEST, "Please type or paste a token."));
    let answer = try_with(&world, &enqueue, "/", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_snapshot!(
        refusal(&answer),
        @"The token “&#60;script&#62;shop” has the scope enqueue: it brings work in, and shows nothing. Sign in with one of the scope read or operate."
    );
}

#[tokio::test]
async fn another_sites_page_signs_nobody_in() {
    let (world, secret, _) = closed().await;
    let foreign = try_with(&world, &secret, "/", &[(header::ORIGIN, "https://evil.example")]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(!foreign.headers.contains_key(header::SET_COOKIE));
    for key in [None, Some("guessed")] {
        let fields = [("token", secret.as_str()), ("form_key", key.unwrap_or_default())];
        let answer = world.send(form("/sign-in", &fields, &[])).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(refusal(&answer), "This page had grown old. Please try again.");
    }
    let big = "a".repeat(20_000);
    let answer = try_with(&world, &big, "/", &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn a_session_changes_what_is_for_programs_only_from_our_own_page() {
    let (world, secret, _) = closed().await;
    let cookie = sign_in(&world, &secret).await;
    let pause = |more: &[(HeaderName, &str)]| {
        let all = [more, &[(header::COOKIE, cookie.as_str())]].concat();
        world.send(browser(Method::POST, "/api/v1/jobs/flaky/pause", &all))
    };
    assert_eq!(pause(&[]).await.refusal(), "401 token-required");
    assert_eq!(pause(&[(header::ORIGIN, "null")]).await.refusal(), "403 forbidden-origin");
    assert_eq!(pause(&[(header::ORIGIN, "http://localhost:3000")]).await.refusal(), "403 forbidden-origin");
    let paused = pause(&[(header::ORIGIN, OWN)]).await;
    assert_eq!(paused.json()["paused_by"], "night shift");
    // A header counts alone, and what is in the cookie is no token.
    let wrong = [(header::COOKIE, cookie.as_str()), (header::AUTHORIZATION, "Bearer nonsense")];
    assert_eq!(world.send(browser(Method::GET, "/api/v1/runs", &wrong)).await.refusal(), "401 token-required");
    let value = cookie.strip_prefix("__Host-jobmill=").expect("a cookie");
    assert_eq!(world.get_with("/api/v1/runs", value).await.refusal(), "401 token-required");
    let as_cookie = format!("__Host-jobmill={secret}");
    assert_eq!(look(&world, "/api/v1/runs", Some(&as_cookie)).await.refusal(), "401 token-required");
    let event = [(header::COOKIE, cookie.as_str()), (header::ORIGIN, OWN)];
    assert_eq!(world.send(browser(Method::POST, "/e/no-such-key", &event)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_may_do_what_its_token_may() {
    let (world, operate, _) = closed().await;
    let (_, read) = another(
        &world,
        &operate,
        r#"{ "scope": "read", "name": "auditor", "rate_limit": { "limit": 5, "period": "1h" } }"#,
    )
    .await;
    let cookie = sign_in(&world, &read).await;
    let page = look(&world, "/", Some(&cookie)).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("auditor, who may only look"));
    let pause = [(header::COOKIE, cookie.as_str()), (header::ORIGIN, OWN)];
    let refused = world.send(browser(Method::POST, "/api/v1/jobs/flaky/pause", &pause)).await;
    assert_eq!(refused.refusal(), "403 scope-missing");
    assert_eq!(look(&world, "/api/v1/tokens", Some(&cookie)).await.refusal(), "403 scope-missing");
    // The fifth, since signing in was one too.
    assert_eq!(look(&world, "/api/v1/runs", Some(&cookie)).await.status, StatusCode::OK);
    assert_eq!(look(&world, "/api/v1/runs", Some(&cookie)).await.refusal(), "429 rate-limited");
}

#[tokio::test]
async fn signing_out_ends_the_session_at_once_and_no_other() {
    let (world, secret, _) = closed().await;
    let (mine, other) = (sign_in(&world, &secret).await, sign_in(&world, &secret).await);
    let key = form_key(&look(&world, "/", Some(&mine)).await);
    let others_key = form_key(&look(&world, "/", Some(&other)).await);
    assert_ne!(key, others_key);
    for wrong in [others_key.as_str(), "", &form_key(&look(&world, "/sign-in", None).await)] {
        let refused = world.send(form("/sign-out", &[("form_key", wrong)], &[(header::COOKIE, &mine)])).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(look(&world, "/", Some(&mine)).await.status, StatusCode::OK);
    let stream = browser(Method::GET, "/api/v1/stream", &[(header::COOKIE, &mine)]);
    let mut stream = world.router.clone().oneshot(stream).await.expect("infallible").into_body().into_data_stream();
    stream.next().await.expect("a greeting").expect("readable");
    let left = world.send(form("/sign-out", &[("form_key", &key)], &[(header::COOKIE, &mine)])).await;
    assert_eq!(place(&left), "/sign-in");
    let end = tokio::time::timeout(WATCHDOG, stream.next()).await.expect("what is live goes on");
    assert!(end.is_none(), "{end:?}");
    let gone = left.headers[header::SET_COOKIE].to_str().expect("text");
    assert_eq!(gone, "__Host-jobmill=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    assert_eq!(place(&look(&world, "/", Some(&mine)).await), "/sign-in");
    assert_eq!(look(&world, "/", Some(&other)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn signing_in_anew_ends_the_session_before_and_takes_no_cookie_that_was_planted() {
    let (world, secret, _) = closed().await;
    let before = sign_in(&world, &secret).await;
    let after = cookie(&try_with(&world, &secret, "/", &[(header::COOKIE, &before)]).await);
    assert_ne!(before, after);
    assert_eq!(place(&look(&world, "/", Some(&before)).await), "/sign-in");
    assert_eq!(look(&world, "/", Some(&after)).await.status, StatusCode::OK);
    let planted = format!("__Host-jobmill=jm_{}", "0".repeat(64));
    cookie(&try_with(&world, &secret, "/", &[(header::COOKIE, &planted)]).await);
    assert_eq!(place(&look(&world, "/", Some(&planted)).await), "/sign-in");
    let two = format!("{after}; {planted}");
    assert_eq!(place(&look(&world, "/", Some(&two)).await), "/sign-in");
}

#[tokio::test]
async fn a_session_ends_with_time() {
    let (world, secret, _) = closed().await;
    let cookie = sign_in(&world, &secret).await;
    for _ in 0..11 {
        world.clock.advance(Duration::from_mins(65));
        assert_eq!(look(&world, "/", Some(&cookie)).await.status, StatusCode::OK);
    }
    world.clock.advance(Duration::from_mins(5));
    assert_eq!(place(&look(&world, "/", Some(&cookie)).await), "/sign-in");
    let unused = sign_in(&world, &secret).await;
    world.clock.advance(Duration::from_hours(2));
    assert_eq!(place(&look(&world, "/", Some(&unused)).await), "/sign-in");
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_with_the_server() {
    let (mut world, operate, _) = closed().await;
    let (id, doomed) = another(&world, &operate, r#"{ "scope": "read" }"#).await;
    let (_, brief) = another(&world, &operate, r#"{ "scope": "read", "expires_in": "1h" }"#).await;
    let (doomed, brief) = (sign_in(&world, &doomed).await, sign_in(&world, &brief).await);
    let kept = sign_in(&world, &operate).await;
    assert_eq!(look(&world, "/", Some(&doomed)).await.status, StatusCode::OK);
    world.post_with(&format!("/api/v1/tokens/{id}/revoke"), "", &operate).await;
    assert_eq!(place(&look(&world, "/", Some(&doomed)).await), "/sign-in");
    world.clock.advance(Duration::from_mins(59));
    assert_eq!(look(&world, "/", Some(&brief)).await.status, StatusCode::OK);
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(place(&look(&world, "/", Some(&brief)).await), "/sign-in");
    assert_eq!(look(&world, "/", Some(&kept)).await.status, StatusCode::OK);
    world.router = jobmill_server::router(world.handle.clone(), settings_with(None));
    assert_eq!(place(&look(&world, "/", Some(&kept)).await), "/sign-in");
}

#[tokio::test]
async fn a_token_of_the_configuration_signs_in_too() {
    let (mut world, operate, _) = closed().await;
    let mut token = world.handle.tokens().await.expect("the store works")[0].clone();
    let (id, secret) = world.handle.new_secret();
    token.id = id;
    token.digest = jobmill_core::token::SecretDigest::of(secret.as_str());
    token.name = "from the file".to_owned();
    let settings = jobmill_server::ServerSettings { tokens: vec![token], ..settings_with(None) };
    world.router = jobmill_server::router(world.handle.clone(), settings);
    for secret in [secret.as_str(), &operate] {
        let cookie = sign_in(&world, secret).await;
        assert_eq!(look(&world, "/api/v1/runs", Some(&cookie)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn tries_are_bounded_and_sessions_go_on_meanwhile() {
    let (world, secret, _) = closed().await;
    let cookie = sign_in(&world, &secret).await;
    for _ in 1..30 {
        assert_eq!(try_with(&world, "jm_guess", "/", &[]).await.status, StatusCode::FORBIDDEN);
    }
    for typed in ["jm_guess", &secret] {
        let answer = try_with(&world, typed, "/", &[]).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal(&answer), "There were too many tries. Please wait 2 s, then try again.");
        assert_eq!(answer.headers[header::RETRY_AFTER], "2");
    }
    assert_eq!(look(&world, "/", Some(&cookie)).await.status, StatusCode::OK);
    world.clock.advance(Duration::from_secs(2));
    sign_in(&world, &secret).await;
}

#[tokio::test]
async fn over_plain_http_from_elsewhere_the_page_says_that_browsers_keep_no_cookie() {
    let (world, secret, _) = closed().await;
    let named = |mut request: Request<Body>| {
        request.headers_mut().insert(header::HOST, "jobs.lan:8288".parse().expect("a header"));
        request
    };
    let page = world.send(named(browser(Method::GET, "/sign-in", &[]))).await;
    assert!(page.body.contains("plain HTTP from <code>jobs.lan:8288</code>"), "{}", page.body);
    let key = form_key(&page);
    let fields = [("form_key", key.as_str()), ("token", secret.as_str())];
    let plain = world.send(named(form("/sign-in", &fields, &[(header::ORIGIN, "http://jobs.lan:8288")]))).await;
    assert_eq!(plain.status, StatusCode::BAD_REQUEST);
    assert_eq!(refusal(&plain), "You are not signed in, because your browser would not keep it.");
    // Behind something that speaks TLS, which keeps the name.
    let safe = world.send(named(form("/sign-in", &fields, &[(header::ORIGIN, "https://jobs.lan:8288")]))).await;
    cookie(&safe);
    let fetched = [(HeaderName::from_static("sec-fetch-site"), "none")];
    let page = world.send(named(browser(Method::GET, "/sign-in", &fetched))).await;
    assert!(!page.body.contains("plain HTTP"), "{}", page.body);
}
