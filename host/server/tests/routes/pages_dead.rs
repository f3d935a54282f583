//! The dead-letter desk as a browser uses it: what it shows, and each action by its form.
//! What the actions do to runs is tested with the API; here is that the pages say it first, and then do it.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use insta::assert_snapshot;
use jobmill_core::RunState;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::world::{Answer, World, number_ids, request};

const PERMANENT: &str = r#"{ "fail": "permanent" }"#;
const SCRIPT: &str = r#"<script>alert(1)</script>"><img src=x onerror=alert(1)> javascript:alert(1)"#;

fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let encoded = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let body = fields.iter().map(encoded).collect::<Vec<_>>().join("&");
    let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(body)).expect("a request")
}

/// The key of the forms, which every page of operators has.
async fn key(world: &World) -> String {
    let id = world.finish("flaky", r#"{ "fail": "permanent", "error": "only for its form" }"#).await;
    let page = world.get(&format!("/dead/edit/{id}")).await.body;
    let discard = format!(r#"{{ "filter": {{ "ids": ["{id}"] }} }}"#);
    assert_eq!(world.post("/api/v1/dead/discard", &discard).await.json()["changed"], 1);
    let (_, rest) = page.split_once("name=\"form_key\" value=\"").expect("a form");
    rest.split('"').next().expect("its key").to_owned()
}

async fn post(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    let key = key(world).await;
    world.send(form(path, &[&[("form_key", key.as_str())], fields].concat())).await
}

/// What stands between the tags of the main part, without the key of the forms.
fn main_part(page: &str) -> String {
    let (_, rest) = page.split_once("<main").expect("a main part");
    let (_, rest) = rest.split_once('>').expect("its beginning");
    let (main, _) = rest.split_once("</main>").expect("its end");
    let mut text = main.to_owned();
    if let Some((_, rest)) = main.split_once("name=\"form_key\" value=\"") {
        text = main.replace(rest.split('"').next().expect("a key"), "KEY");
    }
    number_ids(&text)
}

async fn shown(world: &World, path: &str) -> String {
    let page = world.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    main_part(&page.body)
}

/// Where a form led, and the page there.
async fn followed(world: &World, answer: Answer) -> (String, String) {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let location = answer.headers[header::LOCATION].to_str().expect("text").to_owned();
    let page = world.get(&location).await;
    assert_eq!(page.status, StatusCode::OK, "{location}: {}", page.body);
    (location, page.body)
}

async fn fingerprint(world: &World) -> String {
    world.get("/api/v1/dead").await.json()["items"][0]["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

async fn run(world: &World, id: &str) -> Value {
    world.get(&format!("/api/v1/runs/{id}")).await.json()
}

#[tokio::test]
async fn an_empty_desk_says_what_comes_here() {
    let world = World::start().await;
    assert_snapshot!(shown(&world, "/dead").await);
}

#[tokio::test]
async fn one_dead_run_is_a_row_and_a_group_with_its_error_and_payload() {
    let world = World::start().await;
    world.finish("flaky", PERMANENT).await;
    assert_snapshot!("one", shown(&world, "/dead").await);
    let fingerprint = fingerprint(&world).await;
    assert_snapshot!("one_group", shown(&world, &format!("/dead/{fingerprint}?job=flaky")).await);
}

#[tokio::test]
async fn many_dead_runs_are_rows_by_job_and_error() {
    let world = World::start().await;
    for _ in 0..3 {
        world.finish("flaky", PERMANENT).await;
    }
    world.finish("flaky", r#"{ "fail": "permanent", "error": "the card was declined" }"#).await;
    world.finish("welcome-email", r#"{ "userId": "nobody", "email": "ada@example.com" }"#).await;
    assert_snapshot!("many", shown(&world, "/dead").await);
    let of_job = shown(&world, "/dead?job=flaky").await;
    assert!(of_job.contains("4 runs of flaky, 2 errors") && !of_job.contains("there is no user"), "{of_job}");
    assert!(of_job.contains("Requeue all of flaky"), "{of_job}");
    let none = shown(&world, "/dead?job=stuck").await;
    assert!(none.contains("No run of stuck is dead."), "{none}");
}

#[tokio::test]
async fn a_group_has_pages_from_the_newest_run_to_the_oldest() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..53 {
        ids.push(world.finish("flaky", PERMANENT).await);
    }
    let path = format!("/dead/{}?job=flaky", fingerprint(&world).await);
    let first = world.get(&path).await.body;
    let rows = |page: &str| ids.iter().filter(|id| page.contains(&format!("data-run=\"{id}\""))).count();
    assert_eq!(rows(&first), 50);
    assert!(first.contains(&ids[52]) && !first.contains(&ids[2]));
    let (before, _) = first.split_once("\" rel=\"next\">Older").expect("a link");
    let next = before.rsplit('"').next().expect("its address").replace("&#38;", "&").replace("&amp;", "&");
    let older = world.get(&next).await.body;
    assert_eq!(rows(&older), 3);
    assert!(older.contains(">Newest runs</a>") && !older.contains(">Older runs</a>"));
}

#[tokio::test]
async fn what_was_put_back_together_is_followed_until_all_of_it_has_ended() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.finish("flaky", PERMANENT).await);
    }
    let fingerprint = fingerprint(&world).await;
    let fields = [("job", "flaky"), ("fingerprint", fingerprint.as_str()), ("spread", "1m")];
    let (place, page) = followed(&world, post(&world, "/dead/requeue", &fields).await).await;
    assert!(page.contains("Spread over 1m, of which") && page.contains("of 3 have ended."), "{page}");
    assert!(page.contains("not due yet</span>"), "{page}");
    world.clock.advance(std::time::Duration::from_mins(1));
    for id in &ids {
        world.until_run_is(id, RunState::Dead).await;
    }
    let page = world.get(&place).await.body;
    assert!(page.contains("3 of 3 have ended. Spread over 1m, which is over."), "{page}");
    assert!(page.contains("<b>3</b> <span class=\"state dead\"><i aria-hidden=\"true\">✕</i> died again"), "{page}");
    let forgotten = world.get(&place.replace("progress=1", "progress=2")).await.body;
    assert!(forgotten.contains("Those that wait:") && !forgotten.contains("have ended"), "{forgotten}");
}

#[tokio::test]
async fn groups_have_pages_too() {
    let world = World::start().await;
    for number in 0..51_u8 {
        // Numbers are no difference; letters are.
        let letters = format!("{}{}", char::from(b'a' + number / 26), char::from(b'a' + number % 26));
        world.finish("flaky", &format!(r#"{{ "fail": "permanent", "error": "no {letters}" }}"#)).await;
    }
    let first = world.get("/dead?job=flaky").await.body;
    assert_eq!(first.matches("Discard</button>").count(), 50);
    let (before, _) = first.split_once("\" rel=\"next\">Older").expect("a link");
    let next = before.rsplit('"').next().expect("its address").replace("&#38;", "&").replace("&amp;", "&");
    let older = world.get(&next).await.body;
    assert_eq!(older.matches("Discard</button>").count(), 1);
    assert!(older.contains("href=\"/dead?job=flaky\">Newest errors</a>") && !older.contains(">Older errors</a>"));
}

#[tokio::test]
async fn a_newer_version_that_is_loaded_is_told() {
    let world = World::start().await;
    world.finish("flaky", PERMANENT).await;
    assert!(!shown(&world, "/dead").await.contains("a newer version is loaded"));
    let version = |world: &World| {
        let catalog = world.handle.catalog();
        catalog.serving(&"flaky".parse().expect("a job")).map(|loaded| loaded.version)
    };
    let before = version(&world);
    std::fs::write(world.hopper.path().join("flaky.wasm"), "flaky\n").expect("written");
    world.until(|world| version(world) != before).await;
    assert!(shown(&world, "/dead").await.contains("a newer version is loaded"));
    let group = format!("/dead/{}?job=flaky", fingerprint(&world).await);
    assert!(shown(&world, &group).await.contains("None of these runs has tried it."));
}

#[tokio::test]
async fn a_group_is_requeued_over_a_while_after_a_page_that_says_so() {
    let world = World::start().await;
    for _ in 0..3 {
        world.finish("flaky", PERMANENT).await;
    }
    let fingerprint = fingerprint(&world).await;
    let preview = format!("/dead/requeue?job=flaky&fingerprint={fingerprint}");
    assert_snapshot!("requeue", shown(&world, &preview).await);
    assert_eq!(world.get("/api/v1/runs?state=dead").await.json()["items"].as_array().map(Vec::len), Some(3));
    let fields = [("job", "flaky"), ("fingerprint", fingerprint.as_str()), ("spread", "1m")];
    let (location, page) = followed(&world, post(&world, "/dead/requeue", &fields).await).await;
    // They are the scripts of the test, and die again at once; two of them wait for their time.
    assert!(location.contains("did=requeue&matched=3&changed=3&of=flaky"), "{location}");
    assert!(page.contains("Requeued 3 of 3 runs."), "{page}");
    assert!(page.contains("href=\"/runs?state=scheduled&amp;job=flaky\""), "{page}");
    let waiting = world.get("/api/v1/runs?state=scheduled").await.json();
    let mut due: Vec<&str> =
        waiting["items"].as_array().expect("items").iter().filter_map(|run| run["scheduled_at"].as_str()).collect();
    due.sort_unstable();
    assert_eq!(due, ["2026-03-01T09:00:20.007Z", "2026-03-01T09:00:40.007Z"]);
}

#[tokio::test]
async fn one_run_is_requeued_without_a_question_and_a_selection_with_one() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.finish("flaky", PERMANENT).await);
    }
    let fingerprint = fingerprint(&world).await;
    let group = [("job", "flaky"), ("fingerprint", fingerprint.as_str())];
    // The button of a row counts, whatever is selected beside it.
    let one = [&group[..], &[("id", ids[1].as_str()), ("only", ids[0].as_str())]].concat();
    let (location, page) = followed(&world, post(&world, "/dead/requeue", &one).await).await;
    assert!(
        location.starts_with(&format!("/dead/{fingerprint}?job=flaky&did=requeue&matched=1&changed=1")),
        "{location}"
    );
    assert!(page.contains("Requeued 1 of 1 run."), "{page}");
    for (action, question) in [("requeue", "Requeue 2 runs?"), ("discard", "Discard 2 runs?")] {
        let selected = [("id", ids[2].as_str()), ("id", ids[3].as_str()), ("action", action)];
        let (location, page) =
            followed(&world, post(&world, "/dead/select", &[&group[..], &selected].concat()).await).await;
        assert_eq!(location, format!("/dead/{action}?job=flaky&fingerprint={fingerprint}&ids={},{}", ids[2], ids[3]));
        assert!(page.contains(question), "{page}");
        assert_eq!(page.matches("name=\"id\" value=\"run_").count(), 2);
    }
    let none = [&group[..], &[("action", "requeue")]].concat();
    let (_, page) = followed(&world, post(&world, "/dead/select", &none).await).await;
    assert!(page.contains("No run was selected"), "{page}");
}

#[tokio::test]
async fn runs_with_mails_in_doubt_are_left_until_somebody_says_what_became_of_them() {
    for (choice, before) in [("resend", "failed"), ("sent", "sent")] {
        let world = World::with(&["doubtful", "flaky"]).await;
        let id = world.finish("doubtful", "{}").await;
        let preview = format!("/dead/requeue?job=doubtful&ids={id}");
        if choice == "sent" {
            assert_snapshot!("in_doubt", shown(&world, &preview).await);
        }
        let target = [("job", "doubtful"), ("id", id.as_str())];
        let left = post(&world, "/dead/requeue", &[&target[..], &[("in_doubt", "leave")]].concat()).await;
        let (location, page) = followed(&world, left).await;
        assert!(location.contains(&format!("matched=1&changed=0&skipped=1&left={id}")), "{location}");
        assert!(page.contains("Requeued 0 of 1 run; 1 was left as it is."), "{page}");
        assert!(
            page.contains("in doubt") && page.contains(&format!("href=\"{}\"", preview.replace('&', "&amp;"))),
            "{page}"
        );
        let done = post(&world, "/dead/requeue", &[&target[..], &[("in_doubt", choice)]].concat()).await;
        assert!(followed(&world, done).await.1.contains("Requeued 1 of 1 run."));
        world.until_run_is(&id, RunState::Completed).await;
        assert_eq!(run(&world, &id).await["output"], json!({ "before": before }));
    }
}

#[tokio::test]
async fn a_run_that_is_dead_no_more_is_left_and_the_page_says_why() {
    let world = World::start().await;
    let dead = world.finish("flaky", PERMANENT).await;
    let completed = world.finish("flaky", "{}").await;
    let page = shown(&world, &format!("/dead/requeue?ids={dead},{completed}")).await;
    assert!(page.contains("Requeue 1 run?") && page.contains("is completed"), "{page}");
    let fields = [("id", dead.as_str()), ("id", completed.as_str()), ("reason", "done by hand")];
    let (_, page) = followed(&world, post(&world, "/dead/discard", &fields).await).await;
    assert!(page.contains("Discarded 1 of 2 runs; 1 was left as it is."), "{page}");
    assert!(page.contains(&completed) && page.contains("is completed"), "{page}");
}

#[tokio::test]
async fn a_discard_wants_a_reason_and_keeps_it() {
    let world = World::start().await;
    let ids = [world.finish("flaky", PERMANENT).await, world.finish("flaky", PERMANENT).await];
    let fingerprint = fingerprint(&world).await;
    assert_snapshot!("discard", shown(&world, &format!("/dead/discard?job=flaky&fingerprint={fingerprint}")).await);
    let group = [("job", "flaky"), ("fingerprint", fingerprint.as_str())];
    let refused = post(&world, "/dead/discard", &[&group[..], &[("reason", "  ")]].concat()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("Say why") && refused.body.contains("aria-invalid=\"true\""), "{}", refused.body);
    assert_eq!(run(&world, &ids[0]).await["state"], "dead");
    let done = post(&world, "/dead/discard", &[&group[..], &[("reason", " a test order ")]].concat()).await;
    let (location, page) = followed(&world, done).await;
    assert_eq!(location, "/dead?did=discard&matched=2&changed=2&of=flaky", "the group is gone");
    assert!(page.contains("Discarded 2 of 2 runs."), "{page}");
    for id in &ids {
        let run = run(&world, id).await;
        assert_eq!((&run["state"], &run["cancel_reason"]), (&json!("cancelled"), &json!("a test order")));
    }
    let gone = world.get(&format!("/dead/{fingerprint}?job=flaky")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.body.contains("No run is dead by this error"), "{}", gone.body);
}

#[tokio::test]
async fn a_payload_is_mended_in_a_new_run_and_the_dead_one_names_it() {
    let world = World::start().await;
    let id = world.finish("welcome-email", r#"{ "userId": "nobody", "email": "ada@example.com" }"#).await;
    let path = format!("/dead/edit/{id}");
    assert_snapshot!("edit", shown(&world, &path).await);
    for (payload, said) in [
        ("{ \"userId\": ", "the payload is not JSON"),
        ("", "the payload is not JSON"),
        (r#"{ "email": 7 }"#, "<code>/userId</code>"),
        (r#"{ "email": 7 }"#, "<code>/email</code>"),
        (&format!("{}1{}", "[".repeat(200), "]".repeat(200)), "nests deeper"),
    ] {
        let refused = post(&world, &path, &[("payload", payload)]).await;
        assert!(refused.status.is_client_error(), "{payload}: {}", refused.status);
        assert!(refused.body.contains(said), "{payload}: {}", refused.body);
        let kept = format!(">{}</textarea>", payload.replace('"', "&#34;"));
        assert!(refused.body.contains(&kept), "what was typed is still there: {}", refused.body);
    }
    assert_eq!(run(&world, &id).await["state"], "dead");
    let mended = r#"{ "userId": "user_1",  "email": "ada@example.com" }"#;
    let (location, page) = followed(&world, post(&world, &path, &[("payload", mended)]).await).await;
    let (_, new) = location.split_once("as=").expect("the new run");
    let new = new.split('&').next().expect("an id");
    assert!(page.contains(&format!("{id} was rerun as {new} and discarded.")), "{page}");
    assert!(page.contains(&format!("href=\"/runs/{new}\"")), "{page}");
    world.until_run_is(new, RunState::Completed).await;
    let (old, new_run) = (run(&world, &id).await, run(&world, new).await);
    assert_eq!((&old["state"], &old["cancel_reason"]), (&json!("cancelled"), &json!(format!("rerun as {new}"))));
    assert_eq!(new_run["rerun_of"], json!(id));
    let again = post(&world, &path, &[("payload", mended)]).await;
    assert_eq!(again.refusal(), "409 wrong-state", "a second press of the button makes no second run");
}

#[tokio::test]
async fn no_form_is_taken_without_its_key() {
    let world = World::start().await;
    let id = world.finish("flaky", PERMANENT).await;
    for path in ["/dead/requeue", "/dead/discard", "/dead/select", &format!("/dead/edit/{id}")] {
        for key in [&[][..], &[("form_key", "guessed")]] {
            let fields =
                [key, &[("id", id.as_str()), ("reason", "x"), ("action", "requeue"), ("payload", "{}")]].concat();
            let refused = world.send(form(path, &fields)).await;
            assert_eq!(refused.refusal(), "403 forbidden-origin", "{path}");
        }
    }
    assert_eq!(run(&world, &id).await["state"], "dead");
}

#[tokio::test]
async fn who_may_only_look_sees_no_button_and_is_refused() {
    let world = World::start().await;
    let id = world.finish("flaky", PERMANENT).await;
    let fingerprint = fingerprint(&world).await;
    let (_, operator) = world.token(r#"{ "scope": "operate", "name": "ops" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "scope": "read", "name": "the wall" }"#, &operator).await;
    let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
    for path in [
        "/dead".to_owned(),
        "/dead?job=flaky".to_owned(),
        format!("/dead/{fingerprint}?job=flaky"),
        format!("/dead/requeue?ids={id}"),
        format!("/dead/discard?ids={id}"),
        format!("/dead/edit/{id}"),
    ] {
        let page = world.get_with(&path, &secret).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let main = main_part(&page.body);
        for word in [
            "Requeue</button>",
            "Discard",
            "type=\"checkbox\"",
            "method=\"post\"",
            "<textarea",
            "Edit and requeue</a>",
            "name=\"reason\"",
        ] {
            assert!(!main.contains(word) || (word == "Discard" && main.contains("Discard 1 run?")), "{path}: {word}");
        }
    }
    for path in ["/dead/requeue", "/dead/discard", "/dead/select", &format!("/dead/edit/{id}")] {
        let mut request = form(path, &[("id", id.as_str()), ("reason", "x"), ("payload", "{}")]);
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {secret}").parse().expect("a header"));
        assert_eq!(world.send(request).await.refusal(), "403 scope-missing", "{path}");
    }
}

#[tokio::test]
async fn what_jobs_and_callers_write_is_never_markup() {
    let world = World::start().await;
    let payload = json!({ "fail": "permanent", "error": SCRIPT, SCRIPT: SCRIPT }).to_string();
    let id = world.finish("flaky", &payload).await;
    let fingerprint = fingerprint(&world).await;
    let typed = format!("{{ \"{SCRIPT}</textarea>");
    let refused = post(&world, &format!("/dead/edit/{id}"), &[("payload", typed.as_str())]).await.body;
    let mut pages = vec![refused];
    for path in [
        "/dead".to_owned(),
        format!("/dead/{fingerprint}?job=flaky"),
        format!("/dead/requeue?job=flaky&fingerprint={fingerprint}"),
        format!("/dead/discard?job=flaky&fingerprint={fingerprint}"),
        format!("/dead/edit/{id}"),
    ] {
        pages.push(world.get(&path).await.body);
    }
    for page in pages {
        assert!(page.contains("alert(1)"), "it is shown: {page}");
        let main = main_part(&page);
        assert!(!main.contains("<script") && !main.contains("<img") && !main.contains("=\"javascript:"), "{main}");
        assert!(main.matches("</textarea>").count() <= 1, "{main}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let world = World::start().await;
    for (path, refusal) in [
        ("/dead?sort=count", "400 unknown-parameter"),
        ("/dead?cursor=yesterday", "400 invalid-parameter"),
        ("/dead?did=everything", "400 invalid-parameter"),
        ("/dead?did=requeue&changed=all", "400 invalid-parameter"),
        ("/dead?did=requeue&left=<b>", "400 invalid-parameter"),
        ("/dead/xyz", "404 not-found"),
        ("/dead/requeue", "400 empty-filter"),
        ("/dead/discard?ids=7", "400 invalid-parameter"),
        ("/dead/edit/run_7", "404 unknown-run"),
    ] {
        assert_eq!(world.get(&path.replace('<', "%3C").replace('>', "%3E")).await.refusal(), refusal, "{path}");
    }
    for (path, fields, refusal) in [
        ("/dead/requeue", vec![], "400 empty-filter"),
        ("/dead/discard", vec![("reason", "x")], "400 empty-filter"),
        ("/dead/requeue", vec![("job", "flaky"), ("spread", "soon")], "400 invalid-member /spread"),
        ("/dead/requeue", vec![("job", "flaky"), ("spread", "500d")], "400 invalid-member /spread"),
        ("/dead/requeue", vec![("job", "flaky"), ("in_doubt", "drop")], "400 invalid-member /in_doubt"),
        ("/dead/requeue", vec![("id", "7")], "400 invalid-member /id"),
        ("/dead/requeue", vec![("fingerprint", "7")], "400 invalid-member /fingerprint"),
    ] {
        assert_eq!(post(&world, path, &fields).await.refusal(), refusal, "{path} {fields:?}");
    }
    let said = world.get("/dead?did=rerun&run=run_01JQDAE4RQF8MBCR55T5AK4KXS&as=run_01JQDAE4RQF8MBCR55T5AK4KXT").await;
    assert!(said.body.contains("and not discarded"), "what did not happen is not told: {}", said.body);
}
