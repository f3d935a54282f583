//! What a browser does with pages: it shows their main part, fills in their forms, and goes where it is led.
//! It asserts nothing that belongs to one page.

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::world::{Answer, World, number_ids, request};

/// What people try on every field.
pub(crate) const SCRIPT: &str = r#"<script>alert(1)</script>"><img src=x onerror=alert(1)> javascript:alert(1)"#;

/// A form as a page sends it.
pub(crate) fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let encoded = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let body = fields.iter().map(encoded).collect::<Vec<_>>().join("&");
    let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(body)).expect("a request")
}

/// The key of a page's forms; none where it has no form.
fn form_key(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("name=\"form_key\" value=\"")?;
    rest.split('"').next()
}

/// Sends a form of the page at `page`, with the key that stands there.
pub(crate) async fn submit(world: &World, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let shown = world.get(page).await;
    let key = form_key(&shown.body).expect("a form").to_owned();
    world.send(form(path, &[&[("form_key", key.as_str())], fields].concat())).await
}

/// Sends a form with a key that no page has.
pub(crate) async fn submit_forged(world: &World, path: &str, fields: &[(&str, &str)]) -> String {
    let forged = "0".repeat(64);
    for key in [&[][..], &[("form_key", "")], &[("form_key", forged.as_str())]] {
        let refused = world.send(form(path, &[key, fields].concat())).await;
        assert_eq!(refused.refusal(), "403 forbidden-origin", "{path}");
    }
    "403 forbidden-origin".to_owned()
}

/// What stands between the tags of the main part, with numbered ids and without the key of the forms.
pub(crate) fn main_part(page: &str) -> String {
    let (_, rest) = page.split_once("<main").expect("a main part");
    let (_, rest) = rest.split_once('>').expect("its beginning");
    let (main, _) = rest.split_once("</main>").expect("its end");
    let text = form_key(main).map_or_else(|| main.to_owned(), |key| main.replace(key, "KEY"));
    number_ids(&text)
}

/// The main part of a page that is there.
pub(crate) async fn shown(world: &World, path: &str) -> String {
    let page = world.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(!page.body.contains("style="), "{path}");
    main_part(&page.body)
}

/// Where a form led, and the main part there.
pub(crate) async fn followed(world: &World, answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let place = answer.headers[header::LOCATION].to_str().expect("text").to_owned();
    let page = shown(world, &place).await;
    (number_ids(&place), page)
}

/// What a page says came of an action.
pub(crate) fn notice(page: &str) -> &str {
    let (_, rest) = page.split_once("role=\"status\">").expect("a notice");
    rest.split("</p>").next().expect("its end")
}

/// Makes two tokens; answers the secret of one that may only look.
pub(crate) async fn reader(world: &World) -> String {
    let (_, operator) = world.token(r#"{ "scope": "operate" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read" }"#, &operator).await;
    made.json()["secret"].as_str().expect("a secret").to_owned()
}

/// Shows a page to somebody who may only look, and asserts that it has no button that changes anything.
pub(crate) async fn shown_to_reader(world: &World, path: &str, secret: &str) -> String {
    let page = world.get_with(path, secret).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let main = main_part(&page.body);
    assert!(!main.contains("method=\"post\""), "{main}");
    main
}

/// Sends a form as somebody who may only look.
pub(crate) async fn submit_as_reader(world: &World, path: &str, fields: &[(&str, &str)], secret: &str) -> Answer {
    let mut request = form(path, fields);
    let value = HeaderValue::try_from(format!("Bearer {secret}")).expect("a header");
    request.headers_mut().insert(header::AUTHORIZATION, value);
    world.send(request).await
}

/// Asserts that none of what was tried got out of its field.
pub(crate) fn assert_harmless(page: &str) {
    for broken in ["<script>alert", "<img", "href=\"javascript:"] {
        assert!(!page.contains(broken), "{broken} stands in {page}");
    }
}
