//! HTTP requests and settings on the test host: answers as they are scripted, and what changes something once for the run.
//! What the engine allows and keeps is tested there.

use jobmill_sdk::http::{Request, Response};
use jobmill_sdk::testing::TestHost;
use jobmill_sdk::{config, prelude::*};

#[payload]
struct Sync {
    order: String,
    fails: Option<bool>,
}

/// Tells another system of an order.
#[job(title = "Sync")]
fn sync(context: &Context, payload: Sync) -> Result<Value, Failure> {
    let base = config::get("api_url").unwrap_or_else(|| "https://api.example.com".to_owned());
    let url = format!("{base}/orders/{}", payload.order);
    let known: Value = Request::get(&url).send()?.error_for_status()?.json()?;
    let told = Request::put(&url)
        .header("authorization", "Bearer {{secret:token}}")
        .json(&json!({ "paid": true }))
        .send()?
        .error_for_status()?;
    if payload.fails == Some(true) && context.attempt == 1 {
        return Err(Failure::transient("later"));
    }
    Ok(json!({ "known": known, "told": told.json::<Value>()? }))
}

fn answer(status: u16, body: &str) -> Response {
    Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

#[test]
fn requests_get_the_scripted_answers_in_order() {
    let host = TestHost::new().with_setting("api_url", "https://crm.example.com");
    host.answer_next_request(Ok(answer(200, "1"))).answer_next_request(Ok(answer(201, "2")));
    let output = host.run(sync, json!({ "order": "7" })).unwrap().unwrap();
    assert_eq!(output, json!({ "known": 1, "told": 2 }));
    let requests = host.requests();
    let lines: Vec<_> = requests.iter().map(|request| format!("{} {}", request.method, request.url)).collect();
    assert_eq!(lines, ["GET https://crm.example.com/orders/7", "PUT https://crm.example.com/orders/7"]);
    assert_eq!(requests[1].headers[0], ("authorization".to_owned(), "Bearer {{secret:token}}".to_owned()));
    assert_eq!(requests[1].body, br#"{"paid":true}"#);
}

#[test]
fn what_changes_something_is_sent_once_for_the_run() {
    let host = TestHost::new();
    for body in ["1", "2", "3"] {
        host.answer_next_request(Ok(answer(200, body)));
    }
    let payload = json!({ "order": "7", "fails": true });
    host.run(sync, &payload).unwrap_err();
    let output = host.run(sync, &payload).unwrap().unwrap();
    assert_eq!(output, json!({ "known": 3, "told": 2 }));
    assert_eq!(host.requests().len(), 3);
}

#[test]
fn a_refused_change_is_sent_again_and_an_unscripted_request_is_denied() {
    let host = TestHost::new();
    for (status, body) in [(200, "1"), (503, ""), (200, "3"), (200, "4")] {
        host.answer_next_request(Ok(answer(status, body)));
    }
    assert!(matches!(host.run(sync, json!({ "order": "7" })), Err(Failure::Transient(_))));
    let output = host.run(sync, json!({ "order": "7" })).unwrap().unwrap();
    assert_eq!(output, json!({ "known": 3, "told": 4 }));
    assert!(matches!(host.run(sync, json!({ "order": "8" })), Err(Failure::Permanent(_))));
}
