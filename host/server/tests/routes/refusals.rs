//! What every route refuses alike: bodies, methods, paths, hosts, origins, a store that failed.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use insta::assert_snapshot;

use crate::world::{World, json, request};

const RUNS: &str = "/api/v1/jobs/flaky/runs";

#[tokio::test]
async fn a_path_that_is_none_is_a_problem_too() {
    let world = World::start().await;
    assert_snapshot!(world.get("/api/v1/nothing").await.whole());
    for later in ["/api/v1/suppression", "/metric", "/api/v1/streams", "/api/v1/runs/"] {
        assert_eq!(world.get(later).await.refusal(), "404 not-found", "{later}");
    }
}

#[tokio::test]
async fn a_method_that_the_path_lacks_names_those_it_has() {
    let world = World::start().await;
    assert_snapshot!(world.delete("/api/v1/runs").await.whole());
    let head = request(Method::HEAD, "/api/v1/runs").body(Body::empty()).expect("a request");
    assert_eq!(world.send(head).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_must_be_json_and_say_so() {
    let world = World::start().await;
    let mut form = json(Method::POST, RUNS, "{\"payload\": {}}");
    form.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().expect("a header"));
    assert_snapshot!("media_type", world.send(form).await.whole());
    assert_snapshot!("malformed", world.post(RUNS, "{\n  \"payload\": nope\n}").await.whole());
    assert_snapshot!("unknown_member", world.post(RUNS, "{ \"payload\": {}, \"prioritty\": 1 }").await.whole());
    assert_snapshot!("wrong_type", world.post(RUNS, "{ \"payload\": {}, \"priority\": \"high\" }").await.whole());
    let mut bytes = json(Method::POST, RUNS, "");
    *bytes.body_mut() = Body::from(&b"{\"payload\": \"\xff\"}"[..]);
    assert_eq!(world.send(bytes).await.refusal(), "400 malformed-json");
}

#[tokio::test]
async fn hostile_json_is_refused_in_one_line() {
    let world = World::start().await;
    let deep = format!("{{\"payload\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(world.post(RUNS, &deep).await.refusal(), "400 malformed-json");
    for body in ["\u{feff}{\"payload\": 1}", "{\"payload\": NaN}", "{\"payload\": 1} x", "{\"payload\": \"\u{1}\"}", ""]
    {
        assert_eq!(world.post(RUNS, body).await.refusal(), "400 malformed-json", "{body:?}");
    }
    let twice = world.post(RUNS, "{\"payload\": 1, \"payload\": 2}").await;
    assert!(twice.refusal().starts_with("400 invalid-member"), "{}", twice.body);
    for odd in ["1e400", "\"\\ud800\"", "\"\\u0000\"", "{\"a\":1,\"a\":2}", "123456789012345678901234567890"] {
        let answer = world.post(RUNS, &format!("{{\"payload\": {odd}}}")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{odd}");
        assert!(answer.body.contains(odd), "{odd} comes back as it was");
        let welcome = world.post("/api/v1/jobs/welcome-email/runs", &format!("{{\"payload\": {odd}}}")).await;
        assert_eq!(welcome.status, StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
    }
}

#[tokio::test]
async fn a_body_over_its_bound_is_refused_declared_or_not() {
    let world = World::start().await;
    let large = " ".repeat(4 * 1024 * 1024 + 1);
    assert_snapshot!(world.post(RUNS, &large).await.whole());
    let pieces = tokio_stream_of(large);
    let mut chunked = json(Method::POST, RUNS, "");
    *chunked.body_mut() = pieces;
    assert_eq!(world.send(chunked).await.refusal(), "413 body-too-large");
}

/// A body whose length nobody declares.
fn tokio_stream_of(text: String) -> Body {
    use http_body_util::BodyExt as _;
    use http_body_util::combinators::UnsyncBoxBody;

    let whole = http_body_util::Full::new(text.into_bytes().into());
    // A wrapper that hides the length.
    let boxed: UnsyncBoxBody<_, _> = whole.with_trailers(async { None }).boxed_unsync();
    Body::new(boxed)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up() {
    let (world, _engine) = World::prepare(&[]);
    let mut silent = json(Method::POST, RUNS, "");
    *silent.body_mut() = Body::new(NeverBody);
    let answer = world.router.clone();
    let response = tower::ServiceExt::oneshot(answer, silent).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

struct NeverBody;

impl axum::body::HttpBody for NeverBody {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn other_sites_are_kept_out() {
    let world = World::start().await;
    let mut foreign = json(Method::GET, "/", "");
    foreign.headers_mut().insert(header::HOST, "evil.example".parse().expect("a header"));
    assert_snapshot!("host", world.send(foreign).await.whole());
    let mut nowhere = json(Method::GET, "/nothing", "");
    nowhere.headers_mut().insert(header::HOST, "evil.example".parse().expect("a header"));
    assert_eq!(world.send(nowhere).await.refusal(), "403 forbidden-host");
    let mut forged = json(Method::POST, RUNS, "{\"payload\": {}}");
    forged.headers_mut().insert(header::ORIGIN, "https://evil.example".parse().expect("a header"));
    assert_snapshot!("origin", world.send(forged).await.whole());
    let mut own = json(Method::POST, RUNS, "{\"payload\": {}}");
    own.headers_mut().insert(header::ORIGIN, "http://localhost:8288".parse().expect("a header"));
    assert_eq!(world.send(own).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_store_that_failed_acknowledges_nothing() {
    let world = World::start().await;
    world.log.fail_syncs(true);
    let answer = world.post(RUNS, "{\"payload\": {}}").await;
    assert_snapshot!(answer.whole());
    assert_eq!(world.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_its_text_stays_in_the_log() {
    let mut world = World::start().await;
    let id = {
        world.finish("welcome-email", r#"{ "userId": "user_1", "email": "ada@example.com" }"#).await;
        world.get("/api/v1/mail").await.json()["items"][0]["id"].as_str().expect("a mail").to_owned()
    };
    let mut settings = crate::world::settings_with(None);
    settings.raw_mail = std::sync::Arc::new(|_| panic!("a secret"));
    world.router = jobmill_server::router(world.handle.clone(), settings);
    assert_snapshot!(world.get(&format!("/api/v1/mail/{id}/raw")).await.whole());
}
