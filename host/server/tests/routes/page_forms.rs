//! Forms of pages as a browser sends them, and the main part of a page as snapshots hold it.
//! It knows no page.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::world::{Answer, World, number_ids, request};

/// What no page may show unescaped.
pub(crate) const HOSTILE: &str = r#"<script>alert(1)</script>"><img/src=x/onerror=alert(1)>javascript:alert(1)"#;

/// The request of a form, with a token where one is given.
fn form(path: &str, fields: &[(&str, &str)], secret: Option<&str>) -> Request<Body> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let mut request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(secret) = secret {
        request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
    }
    request.body(Body::from(body.join("&"))).expect("a request")
}

/// The key of the forms on a page.
fn key_on(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"form_key\" value=\"").expect("a form");
    rest.split('"').next().expect("its key")
}

/// Loads a page and sends a form that could stand on it.
pub(crate) async fn send(world: &World, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let page = world.get(page).await.body;
    world.send(form(path, &[&[("form_key", key_on(&page))], fields].concat(), None)).await
}

/// The same with a token.
pub(crate) async fn send_with(world: &World, page: &str, path: &str, secret: &str) -> Answer {
    let page = world.get_with(page, secret).await.body;
    world.send(form(path, &[("form_key", key_on(&page))], Some(secret))).await
}

/// Fails unless a form to this path is refused without the right key, and for whoever may only look, who sees no button.
pub(crate) async fn is_guarded(world: &World, page: &str, path: &str, fields: &[(&str, &str)]) {
    for fields in [fields.to_vec(), [&[("form_key", "guessed")], fields].concat()] {
        assert_eq!(world.send(form(path, &fields, None)).await.refusal(), "403 forbidden-origin", "{path}");
    }
    let (_, operator) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read", "name": "wallboard" }"#, &operator).await.json();
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let seen = world.get_with(page, &secret).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.body);
    let main = main_part(&seen.body);
    assert!(!main.contains("<button") && !main.contains("<form"), "{main}");
    let key =
        seen.body.split_once("name=\"form_key\" value=\"").map(|(_, rest)| rest.split('"').next().expect("a key"));
    let fields = [&[("form_key", key.unwrap_or_default())], fields].concat();
    assert_eq!(world.send(form(path, &fields, Some(&secret))).await.refusal(), "403 scope-missing", "{path}");
}

/// Where a form led, and the main part of the page there.
pub(crate) async fn followed(world: &World, answer: Answer) -> (String, String) {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let place = answer.headers[header::LOCATION].to_str().expect("text").to_owned();
    let page = world.get(&place).await;
    assert_eq!(page.status, StatusCode::OK, "{place}: {}", page.body);
    (number_ids(&place), main_part(&page.body))
}

/// The main part of a page that is there.
pub(crate) async fn shown(world: &World, path: &str) -> String {
    let page = world.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    main_part(&page.body)
}

/// What stands in the main part, with numbered ids and without the key of the forms.
pub(crate) fn main_part(page: &str) -> String {
    let (_, rest) = page.split_once("<main").expect("a main part");
    let (_, rest) = rest.split_once('>').expect("its beginning");
    let (main, _) = rest.split_once("</main>").expect("its end");
    let main = if main.contains("name=\"form_key\"") { main.replace(key_on(main), "KEY") } else { main.to_owned() };
    number_ids(main.trim())
}

/// The main part from a heading to the next one.
pub(crate) fn section(main: &str, id: &str) -> String {
    let (_, rest) = main.split_once(&format!("<h2 id=\"{id}\">")).expect("the heading");
    rest.split("<h2").next().expect("a part").to_owned()
}

/// Fails if anything that others wrote became markup.
pub(crate) fn is_escaped(page: &str) {
    assert!(page.contains("&#60;script&#62;alert(1)"), "the text is there, escaped: {page}");
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    assert!(!page.contains("=\"javascript:"), "{page}");
}
