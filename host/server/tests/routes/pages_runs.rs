//! The pages of runs: the list, a run, its journal, and what can be done there by forms. Cancelling many is in `pages_runs_cancel`.
//! How bars are placed is tested beside the waterfall itself.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use insta::assert_snapshot;
use jobmill_core::flow::Concurrency;
use jobmill_core::{JobOverrides, RunState};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::world::{Answer, World, number_ids, request};

const ADA: &str = r#"{ "userId": "user_1", "email": "ada@example.com" }"#;
/// What must never come out as it went in.
const SCRIPTS: [&str; 3] = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "javascript:alert(1)"];

/// What a browser sends when a form is submitted.
fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut body = String::new();
    for (name, value) in fields {
        let _ = write!(body, "{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    let request = request(Method::POST, path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(body.trim_end_matches('&').to_owned())).expect("a request")
}

fn form_key(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"form_key\" value=\"").expect("a form");
    rest.split('"').next().expect("a key").to_owned()
}

/// The main part of a page, with numbered ids and without the key of its forms.
pub(crate) fn main_part(page: &str) -> String {
    let start = page.find("<main").expect("a main part");
    let end = page.find("</main>").expect("its end");
    let main = &page[start..end];
    let main = if main.contains("name=\"form_key\"") { main.replace(&form_key(main), "KEY") } else { main.to_owned() };
    number_ids(&main)
}

/// Submits a form with the key that pages carry. There has to be a run, whose page has a form.
pub(crate) async fn submit(world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
    let run = world.get("/api/v1/runs?limit=1").await.json()["items"][0]["id"].as_str().expect("a run").to_owned();
    let key = form_key(&world.get(&format!("/runs/{run}/edit")).await.body);
    world.send(form(path, &[&[("form_key", key.as_str())], fields].concat())).await
}

pub(crate) fn led_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    answer.headers[header::LOCATION].to_str().expect("text")
}

async fn sentence(world: &World, run: &str) -> String {
    let page = world.get(&format!("/runs/{run}")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let (_, rest) = page.body.split_once("<strong>").expect("a sentence");
    number_ids(rest.split("</strong>").next().expect("its end"))
}

pub(crate) async fn state(world: &World, run: &str) -> String {
    world.get(&format!("/api/v1/runs/{run}")).await.json()["state"].as_str().expect("a state").to_owned()
}

/// A run that is dead, at its first attempt.
async fn dead(world: &World) -> String {
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await
}

#[tokio::test]
async fn an_empty_list_says_what_to_do() {
    let world = World::with(&["welcome-email"]).await;
    assert_snapshot!(main_part(&world.get("/runs").await.body));
    let filtered = world.get("/runs?state=dead").await.body;
    assert!(filtered.contains("No run matches."), "{filtered}");
}

#[tokio::test]
async fn the_list_shows_each_run_with_its_state_times_and_error() {
    let world = World::start().await;
    dead(&world).await;
    world.finish("welcome-email", ADA).await;
    world.clock.advance(Duration::from_mins(1));
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    assert_snapshot!(main_part(&world.get("/runs").await.body));
}

#[tokio::test]
async fn the_list_is_filtered_and_says_of_what_it_counts() {
    let world = World::start().await;
    let dead = dead(&world).await;
    let completed = world.finish("flaky", "{}").await;
    for (query, shows, count) in [
        ("?job=flaky", true, Some("<b>2</b>")),
        ("?state=dead", true, Some("<b>1</b>")),
        ("?state=dead&error=NO+order", true, Some("<b>1</b>")),
        ("?error=nothing", false, Some("<b>0</b>")),
        ("?since=1h", true, Some("<b>2</b>")),
        ("?tag=eu", false, Some("<b>0</b>")),
        ("?q=job:flaky+no+order", true, Some("<b>1</b>")),
        ("?q=queue:slow+payload.fail:permanent", true, None),
        ("?q=payload.fail:transient", false, None),
        ("?q=queue:elsewhere", false, None),
    ] {
        let page = world.get(&format!("/runs{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert_eq!(page.body.contains(&format!("/runs/{dead}")), shows, "{query}");
        let tabs = page.body.split("</nav>").nth(1).expect("tabs");
        assert_eq!(count.is_none(), !tabs.contains("<b>"), "{query}: {tabs}");
        assert!(count.is_none_or(|count| tabs.contains(count)), "{query}: {tabs}");
    }
    assert!(!world.get("/runs?state=dead").await.body.contains(&completed));
    let found = world.get("/runs?q=payload.fail:permanent").await.body;
    assert!(found.contains(&dead) && !found.contains(&completed) && !found.contains("name=\"all\""));
    let one = world.get(&format!("/runs?q={dead}")).await;
    assert_eq!(led_to(&one), format!("/runs/{dead}"));
    for (query, refusal) in [
        ("stat=dead", "400 unknown-parameter"),
        ("state=ded", "400 invalid-parameter"),
        ("since=x", "400 invalid-parameter"),
    ] {
        assert_eq!(world.get(&format!("/runs?{query}")).await.refusal(), refusal, "{query}");
    }
}

#[tokio::test]
async fn a_search_that_can_not_be_read_keeps_its_text_and_says_why() {
    let world = World::start().await;
    dead(&world).await;
    let page = world.get("/runs?q=colour:%3Cb%3E").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.body.contains("name=\"q\" list=\"words\" value=\"colour:&#60;b&#62;\""), "{}", page.body);
    assert!(page.body.contains("colour: is no qualifier; known are job:, queue:"), "{}", page.body);
    let page = world.get("/runs?job=flaky&tag=a%20b").await.body;
    assert!(page.contains("value=\"job:flaky tag:&#34;a b&#34;\""), "{page}");
}

#[tokio::test]
async fn what_is_looked_for_run_by_run_has_a_bound_and_goes_on_from_there() {
    let world = World::start().await;
    let first = world.finish("flaky", r#"{ "order_id": "A-1" }"#).await;
    for _ in 0..1_000 {
        world.finish("flaky", r#"{ "order_id": "A-2" }"#).await;
    }
    let none = world.get("/runs?q=payload.order_id:A-1").await.body;
    assert!(none.contains("None of the 1000 newest runs matches.") && !none.contains(&first), "{none}");
    let (before, _) = none.split_once("\" rel=\"next\">Older runs</a>").expect("a link");
    let older = before.rsplit('"').next().expect("its address").replace("&#38;", "&");
    let found = world.get(&older).await.body;
    assert!(found.contains(&first), "{older}: {found}");
}

#[tokio::test]
async fn a_long_list_has_pages_with_the_filters_kept() {
    let world = World::start().await;
    let mut runs = Vec::new();
    for _ in 0..51 {
        runs.push(world.finish("flaky", "{}").await);
        world.clock.advance(Duration::from_millis(1));
    }
    let first = world.get("/runs?job=flaky").await.body;
    assert!(!first.contains(&runs[0]) && first.contains(&runs[1]), "fifty to a page");
    let older = format!("/runs?job=flaky&#38;cursor={}", runs[1].replace('_', "%5F"));
    assert!(first.contains(&format!("<a href=\"{older}\"")), "{first}");
    let second = world.get(&older.replace("&#38;", "&")).await.body;
    assert!(second.contains(&runs[0]) && !second.contains(&runs[1]));
    assert!(
        second.contains("<a href=\"/runs?job=flaky\">Newest runs</a>") && !second.contains(">Older runs</a>"),
        "{second}"
    );
}

#[tokio::test]
async fn a_completed_run_shows_everything_that_it_did() {
    let world = World::start().await;
    let run = world.finish("welcome-email", ADA).await;
    let page = world.get(&format!("/runs/{run}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_snapshot!(main_part(&page.body));
    assert!(!page.body.contains("style="), "a strict policy lets no style attribute be");
}

#[tokio::test]
async fn a_run_that_failed_shows_each_attempt_and_the_one_that_is_planned() {
    let world = World::start().await;
    let run = world.enqueue("flaky", r#"{ "fail": "transient" }"#).await;
    world.until_run_is(&run, RunState::Retryable).await;
    assert_snapshot!("retryable", main_part(&world.get(&format!("/runs/{run}")).await.body));
    world.clock.advance(Duration::from_secs(1));
    world.until_run_is(&run, RunState::Dead).await;
    assert_snapshot!("dead", main_part(&world.get(&format!("/runs/{run}")).await.body));
    assert_snapshot!("journal", main_part(&world.get(&format!("/runs/{run}/journal")).await.body));
}

#[tokio::test]
async fn one_sentence_says_what_is_happening_in_every_state() {
    let world = World::start().await;
    let completed = world.finish("flaky", "{}").await;
    let dead = dead(&world).await;
    let retryable = world.enqueue("flaky", r#"{ "fail": "transient" }"#).await;
    world.until_run_is(&retryable, RunState::Retryable).await;
    let scheduled = world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await.id();
    let cancelled = world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await.id();
    world.post(&format!("/api/v1/runs/{cancelled}/cancel"), r#"{ "reason": "sold out" }"#).await;
    let mut stuck = Vec::new();
    for _ in 0..2 {
        stuck.push(world.enqueue("stuck", "1").await);
        world.until_run_is(stuck.last().expect("a run"), RunState::Running).await;
    }
    let next = world.enqueue("stuck", "1").await;
    let last = world.enqueue("stuck", "1").await;
    for (run, told) in [
        (&completed, "Completed 0 ms after the enqueue, with attempt 1 of 2."),
        (&dead, "Dead after attempt 1 of 2, for a retry would not help: there is no order &#60;42&#62;"),
        (&retryable, "Waiting 1 s for attempt 2 of 2: order 42 is locked"),
        (&scheduled, "Waiting 1h for its time; then attempt 1 of 4 begins."),
        (&cancelled, "Cancelled just now: sold out"),
        (&stuck[0], "Attempt 1 of 4 has been running for 0 ms."),
        (&next, "Due, and waiting to begin attempt 1 of 4: waits for room: at most 2 attempts run at once."),
        (
            &last,
            "Due, and waiting to begin attempt 1 of 4: waits for room: at most 2 attempts run at once; 1 run goes before it.",
        ),
    ] {
        assert_eq!(sentence(&world, run).await, told);
    }
    world.clock.advance(Duration::from_secs(1));
    let told = sentence(&world, &retryable).await;
    assert!(
        told.starts_with("Due, and waiting to begin attempt 2 of 2: ")
            && told.ends_with("Attempt 1 said: order 42 is locked"),
        "{told}"
    );
}

#[tokio::test]
async fn a_run_that_gave_up_says_after_how_many_attempts_and_how_long() {
    let world = World::start().await;
    let run = world.enqueue("flaky", r#"{ "fail": "transient" }"#).await;
    world.until_run_is(&run, RunState::Retryable).await;
    world.clock.advance(Duration::from_secs(1));
    world.until_run_is(&run, RunState::Dead).await;
    assert_eq!(sentence(&world, &run).await, "Gave up after 2 attempts over 1 s: order 42 is locked");
}

#[tokio::test]
async fn a_run_that_a_limit_stops_says_which_and_who_holds_it() {
    let limit = Concurrency { limit: 1, key: None };
    let world =
        World::overriding("stuck", JobOverrides { concurrency: Some(vec![limit]), ..JobOverrides::default() }).await;
    let holder = world.enqueue("stuck", "1").await;
    world.until_run_is(&holder, RunState::Running).await;
    let waits = world.enqueue("stuck", "1").await;
    assert_eq!(sentence(&world, &waits).await, "Due, and waiting to begin attempt 1 of 4: 1 of 1 run of stuck: run_1.");
}

#[tokio::test]
async fn a_dead_run_is_put_back_by_its_button() {
    let world = World::start().await;
    let run = dead(&world).await;
    let page = world.get(&format!("/runs/{run}")).await.body;
    assert!(page.contains("Retry now") && page.contains("Edit and rerun") && !page.contains(">Cancel</button>"));
    let answer = submit(&world, &format!("/runs/{run}/retry"), &[]).await;
    assert_eq!(led_to(&answer), format!("/runs/{run}?done=retried"));
    let page = world.get(led_to(&answer)).await.body;
    assert!(page.contains("Put back: its attempts start anew"), "{page}");
    let journal = world.get(&format!("/runs/{run}/journal")).await.body;
    assert!(journal.contains("<td>requeued</td>"), "{journal}");
}

#[tokio::test]
async fn an_action_that_the_state_does_not_allow_keeps_the_page_and_says_why() {
    let world = World::start().await;
    let run = world.finish("flaky", "{}").await;
    let page = world.get(&format!("/runs/{run}")).await.body;
    assert!(!page.contains("Retry now") && !page.contains(">Cancel</button>"));
    for action in ["retry", "cancel"] {
        let answer = submit(&world, &format!("/runs/{run}/{action}"), &[]).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{action}");
        assert!(answer.body.contains(&format!("Not done: {run} is completed, so it can&#39;t be")), "{}", answer.body);
        assert!(answer.body.contains("<h2 id=\"time\">"), "the page itself");
    }
}

#[tokio::test]
async fn a_run_with_a_mail_in_doubt_asks_for_a_choice() {
    for (choice, before) in [("sent", "sent"), ("resend", "failed")] {
        let world = World::with(&["doubtful"]).await;
        let run = world.finish("doubtful", "{}").await;
        let page = world.get(&format!("/runs/{run}")).await.body;
        assert!(page.contains("A mail that may have been sent") && page.contains("ada@example.com"), "{page}");
        let retry = format!("/runs/{run}/retry");
        assert_eq!(submit(&world, &retry, &[]).await.status, StatusCode::CONFLICT);
        assert_eq!(submit(&world, &retry, &[("in_doubt", "drop")]).await.refusal(), "400 invalid-member /in_doubt");
        led_to(&submit(&world, &retry, &[("in_doubt", choice)]).await);
        world.until_run_is(&run, RunState::Completed).await;
        assert_eq!(world.get(&format!("/api/v1/runs/{run}")).await.json()["output"]["before"], before);
    }
}

#[tokio::test]
async fn a_run_is_cancelled_with_a_reason_or_with_who_did_it() {
    let world = World::start().await;
    let delayed = r#"{ "payload": 1, "delay": "1h" }"#;
    let run = world.post("/api/v1/jobs/stuck/runs", delayed).await.id();
    let answer = submit(&world, &format!("/runs/{run}/cancel"), &[("reason", "sold <out>")]).await;
    assert_eq!(led_to(&answer), format!("/runs/{run}?done=cancelled"));
    assert_eq!(sentence(&world, &run).await, "Cancelled just now: sold &#60;out&#62;");
    let run = world.post("/api/v1/jobs/stuck/runs", delayed).await.id();
    submit(&world, &format!("/runs/{run}/cancel"), &[("reason", " ")]).await;
    assert_eq!(sentence(&world, &run).await, "Cancelled just now: cancelled by the dashboard");
}

#[tokio::test]
async fn a_rerun_leads_to_the_new_run_which_links_to_the_first() {
    let world = World::start().await;
    let first = dead(&world).await;
    let answer = submit(&world, &format!("/runs/{first}/rerun"), &[]).await;
    let new = led_to(&answer).strip_suffix("?done=rerun").expect("the new run");
    assert_ne!(new, format!("/runs/{first}"));
    let page = world.get(led_to(&answer)).await.body;
    assert!(page.contains(&format!("<dt>Rerun of</dt><dd><a href=\"/runs/{first}\">")), "{page}");
    assert!(page.contains("{ &#34;fail&#34;: &#34;permanent&#34; }"), "the same payload: {page}");
}

#[tokio::test]
async fn an_edited_payload_is_refused_member_by_member_and_keeps_what_was_typed() {
    let world = World::start().await;
    let first = world.finish("welcome-email", ADA).await;
    let edit = world.get(&format!("/runs/{first}/edit")).await.body;
    assert!(edit.contains("{ &#34;userId&#34;: &#34;user_1&#34;"), "prefilled: {edit}");
    let path = format!("/runs/{first}/rerun");
    let typed = "{\r\n  \"email\": \"</textarea><script>\"\r\n}";
    let refused = submit(&world, &path, &[("edited", "yes"), ("payload", typed)]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_snapshot!(main_part(&refused.body));
    for (typed, said) in
        [("", "the payload is empty"), ("{ nul", "the payload is not JSON"), ("\n", "the payload is empty")]
    {
        let refused = submit(&world, &path, &[("edited", "yes"), ("payload", typed)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.body.contains(said), "{typed}: {}", refused.body);
    }
    let deep = "[".repeat(200) + &"]".repeat(200);
    let refused = submit(&world, &path, &[("edited", "yes"), ("payload", &deep)]).await;
    assert!(refused.body.contains("nests deeper"), "{}", refused.body);
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(1), "nothing enqueued");
    let typed = "{ \"userId\": \"user_2\",\r\n \"email\": \"bob@example.com\" }";
    let answer = submit(&world, &path, &[("edited", "yes"), ("payload", typed)]).await;
    let new = led_to(&answer).trim_start_matches("/runs/").trim_end_matches("?done=rerun").to_owned();
    world.until_run_is(&new, RunState::Completed).await;
    let run = world.get(&format!("/api/v1/runs/{new}")).await;
    assert!(run.body.contains("{ \"userId\": \"user_2\",\n \"email\": \"bob@example.com\" }"), "{}", run.body);
}

#[tokio::test]
async fn no_form_is_taken_without_the_key_of_its_page() {
    let world = World::start().await;
    let dead = dead(&world).await;
    let waiting = world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await.id();
    for path in [
        format!("/runs/{dead}/retry"),
        format!("/runs/{dead}/rerun"),
        format!("/runs/{waiting}/cancel"),
        "/runs/cancel".to_owned(),
    ] {
        for key in [&[][..], &[("form_key", "guessed")]] {
            let fields = [key, &[("run", waiting.as_str()), ("confirmed", "yes")]].concat();
            assert_eq!(world.send(form(&path, &fields)).await.refusal(), "403 forbidden-origin", "{path}");
        }
    }
    assert_eq!((state(&world, &dead).await.as_str(), state(&world, &waiting).await.as_str()), ("dead", "scheduled"));
    assert_eq!(world.get("/api/v1/runs").await.json()["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn whoever_may_only_read_sees_no_button_and_can_send_no_form() {
    let world = World::start().await;
    let dead = dead(&world).await;
    world.post("/api/v1/jobs/stuck/runs", r#"{ "payload": 1, "delay": "1h" }"#).await;
    let (_, operator) = world.token(r#"{ "name": "ops", "scope": "operate" }"#).await;
    let made = world.post_with("/api/v1/tokens", r#"{ "name": "eyes", "scope": "read" }"#, &operator).await.json();
    let reader = made["secret"].as_str().expect("a secret");
    for path in
        ["/runs".to_owned(), format!("/runs/{dead}"), format!("/runs/{dead}/edit"), format!("/runs/{dead}/journal")]
    {
        let page = world.get_with(&path, reader).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let main = main_part(&page.body);
        assert!(!main.contains("method=\"post\""), "{path}: {main}");
        if !path.ends_with("journal") {
            assert!(main_part(&world.get_with(&path, &operator).await.body).contains("method=\"post\""), "{path}");
        }
    }
    let key = form_key(&world.get_with(&format!("/runs/{dead}"), reader).await.body);
    for path in [
        format!("/runs/{dead}/retry"),
        format!("/runs/{dead}/rerun"),
        format!("/runs/{dead}/cancel"),
        "/runs/cancel".to_owned(),
    ] {
        let mut request = form(&path, &[("form_key", &key)]);
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {reader}").parse().expect("a header"));
        assert_eq!(world.send(request).await.refusal(), "403 scope-missing", "{path}");
    }
    let page = world.get_with(&format!("/runs/{dead}"), &operator).await.body;
    assert!(
        page.contains("-H &#34;Authorization: Bearer $JOBMILL_TOKEN&#34;"),
        "the command says where the token goes"
    );
}

#[tokio::test]
async fn a_run_that_is_not_there_is_told_of_kindly() {
    let world = World::start().await;
    for path in [
        "/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/journal",
        "/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/edit",
        "/runs/7",
    ] {
        let page = world.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.body.contains("final runs are pruned after their retention"), "{}", page.body);
    }
    assert_snapshot!(main_part(&world.get("/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV").await.body));
}

#[tokio::test]
async fn nothing_that_came_from_outside_is_markup() {
    let world = World::start().await;
    for script in SCRIPTS {
        let quoted = serde_json::to_string(script).expect("JSON");
        let body = format!(
            r#"{{ "payload": {{ "userId": {quoted}, "email": "a@b.example" }}, "tags": [{quoted}], "unique_key": {quoted}, "delay": "1h" }}"#
        );
        let run = world.post("/api/v1/jobs/welcome-email/runs", &body).await.id();
        world.post(&format!("/api/v1/runs/{run}/cancel"), &format!("{{ \"reason\": {quoted} }}")).await;
        let encoded = utf8_percent_encode(script, NON_ALPHANUMERIC);
        for path in [
            "/runs".to_owned(),
            format!("/runs?tag={encoded}&event={encoded}&error={encoded}"),
            format!("/runs/{run}"),
            format!("/runs/{run}/journal"),
            format!("/runs/{run}/edit"),
        ] {
            let page = world.get(&path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            let main = main_part(&page.body);
            assert!(
                !main.contains("<script") && !main.contains("<img") && !main.contains("href=\"javascript:"),
                "{path}: {main}"
            );
        }
        let page = world.get(&format!("/runs/{run}")).await.body;
        assert!(
            page.contains(&format!("<a href=\"/runs?tag={}", script.split(['<', '"', ':']).next().expect("a part")))
        );
    }
}

#[tokio::test]
async fn a_run_of_an_event_links_to_it_whatever_its_publisher_calls_it() {
    let world = World::start().await;
    let id = serde_json::to_string(SCRIPTS[1]).expect("JSON");
    let event = format!(r#"{{ "id": {id}, "name": "email/welcome", "data": {ADA} }}"#);
    let published = world.post("/api/v1/events", &event).await.json();
    let run = published["events"][0]["runs"][0].as_str().expect("a run").to_owned();
    world.until_run_is(&run, RunState::Completed).await;
    let page = world.get(&format!("/runs/{run}")).await.body;
    assert!(!main_part(&page).contains("<img"), "{page}");
    let (_, rest) = page.split_once("<dt>Event</dt><dd><a href=\"").expect("a link");
    let link = rest.split('"').next().expect("its address");
    assert!(link.starts_with("/events/evt_"), "{link}");
    assert_eq!(world.get(link).await.status, StatusCode::OK);
}
