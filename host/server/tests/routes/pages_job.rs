//! The page of a job: what it shows in each state, and what its forms do, refuse and keep filled in.
//! How settings and schemas are put into words is tested where they are.

use std::time::Duration;

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_core::flow::{BreakerSettings, Concurrency, RateLimit};
use jobmill_core::job::{Limit, LimitOverrides, Switch};
use jobmill_core::{Descriptor, JobOverrides, RunState, Trigger};
use serde_json::{Value, json};

use crate::page_forms::{HOSTILE, followed, is_escaped, is_guarded, main_part, section, send, send_with, shown};
use crate::world::{Answer, World};

/// A job that writes markup wherever it can.
pub(crate) fn hostile() -> Descriptor {
    let schema = json!({
        "type": "object",
        "properties": {
            HOSTILE: { "type": "string", "format": HOSTILE, "description": HOSTILE },
            "choice": { "enum": [HOSTILE, "b"] },
        },
    });
    Descriptor {
        id: "hostile".to_owned(),
        title: HOSTILE.to_owned(),
        description: Some(HOSTILE.to_owned()),
        triggers: vec![Trigger::Event(HOSTILE.to_owned())],
        payload_schema: Some(schema.to_string()),
        payload_example: Some(json!({ HOSTILE: HOSTILE, "choice": HOSTILE }).to_string()),
        ..Descriptor::default()
    }
}

const ADA: [(&str, &str); 3] = [("by", "members"), ("member.userId", "user_1"), ("member.email", "ada@example.com")];

async fn run(world: &World, job: &str, fields: &[(&str, &str)]) -> Answer {
    send(world, &format!("/jobs/{job}"), &format!("/jobs/{job}/runs"), fields).await
}

/// The run that was enqueued last.
async fn latest(world: &World) -> Value {
    world.get("/api/v1/runs").await.json()["items"][0].clone()
}

#[tokio::test]
async fn a_job_that_has_not_run_shows_what_it_says_of_itself_and_a_form_by_its_schema() {
    let world = World::start().await;
    assert_snapshot!(shown(&world, "/jobs/welcome-email").await);
}

#[tokio::test]
async fn a_job_without_a_schema_is_run_by_json_and_lists_its_runs() {
    let world = World::start().await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    world.finish("flaky", "[1.10]").await;
    assert_snapshot!(shown(&world, "/jobs/flaky").await);
}

#[tokio::test]
async fn settings_are_told_with_who_said_them() {
    let overrides = JobOverrides {
        priority: Some(1),
        concurrency: Some(vec![Concurrency { limit: 1, key: None }]),
        rate_limit: Some(Switch::On(RateLimit { limit: 100, period: Duration::from_mins(90), key: None })),
        ..JobOverrides::default()
    };
    let world = World::overriding("flaky", overrides).await;
    assert_snapshot!(section(&shown(&world, "/jobs/flaky").await, "settings"));
}

#[tokio::test]
async fn the_page_tells_what_a_job_may_reach_and_how_much_it_may_take() {
    let overrides = JobOverrides {
        limits: LimitOverrides::from_iter([(Limit::Memory, 16 << 20)]),
        allow: serde_json::from_value(json!({ "mail": { "kinds": [] } })).expect("valid"),
        ..JobOverrides::default()
    };
    let world = World::overriding("flaky", overrides).await;
    let page = shown(&world, "/jobs/flaky").await;
    let reach = section(&page, "reach");
    let line = "add to jobmill.toml: [jobs.flaky.allow] mail.kinds = [&#34;KIND&#34;]";
    assert!(reach.contains("sends mail") && reach.contains(">denied<") && reach.contains(line), "{reach}");
    let limits = section(&page, "limits");
    assert!(limits.contains(">16 MiB</td>") && limits.contains(">10000</td>"), "{limits}");
}

#[tokio::test]
async fn a_run_is_enqueued_member_by_member() {
    let world = World::start().await;
    let options =
        [("delay", "5m"), ("priority", "2"), ("tags", "spring, sale ,"), ("key", "ada-1"), ("payload", "ignored")];
    let answer = run(&world, "welcome-email", &[&ADA[..], &options].concat()).await;
    let (place, main) = followed(&world, answer).await;
    assert_eq!(place, "/jobs/welcome-email?enqueued=run_1");
    assert!(main.contains("Enqueued as <a href=\"/runs/run_1\">"), "{main}");
    let kept = latest(&world).await;
    assert_eq!(kept["payload"], json!({ "userId": "user_1", "email": "ada@example.com" }));
    assert_eq!(kept["scheduled_at"], "2026-03-01T09:05:00.007Z");
    assert_eq!((&kept["priority"], &kept["tags"]), (&json!(2), &json!(["spring", "sale"])));
    assert_eq!((&kept["unique_key"], &kept["state"]), (&json!("ada-1"), &json!("scheduled")));
    let again = run(&world, "welcome-email", &[&ADA[..], &options].concat()).await;
    let (place, main) = followed(&world, again).await;
    assert_eq!(place, "/jobs/welcome-email?known=run_1");
    assert!(main.contains("Nothing new was enqueued"), "{main}");
}

#[tokio::test]
async fn a_payload_that_is_typed_is_kept_as_it_was() {
    let world = World::start().await;
    followed(
        &world,
        run(&world, "flaky", &[("by", "json"), ("payload", "{ \"n\": 1.10,\r\n \"big\": 12345678901234567890123 }")])
            .await,
    )
    .await;
    let run = world.handle.query().runs(&jobmill_store::RunFilter::default(), None, 1, world.handle.now()).await;
    assert_eq!(
        run.expect("the store works").items[0].payload.as_str(),
        "{ \"n\": 1.10,\n \"big\": 12345678901234567890123 }"
    );
}

#[tokio::test]
async fn refusals_of_a_payload_stand_at_their_members_and_nothing_is_lost() {
    let world = World::start().await;
    let fields = [("by", "members"), ("member.email", "nobody"), ("tags", "spring"), ("delay", "5m")];
    let refused = run(&world, "welcome-email", &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_snapshot!(section(&main_part(&refused.body), "run"));
    assert_eq!(latest(&world).await, Value::Null);
}

#[tokio::test]
async fn refusals_of_typed_json_are_listed_and_it_stays_typed() {
    let world = World::start().await;
    let refused = run(&world, "welcome-email", &[("by", "json"), ("payload", "{ \"email\": \"nobody\" }")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let form = section(&main_part(&refused.body), "run");
    assert!(form.contains("<li><code>/email</code> is not a valid email</li>"), "{form}");
    assert!(form.contains("<li><code>/userId</code> is required</li>"), "{form}");
    assert!(form.contains("{ &#34;email&#34;: &#34;nobody&#34; }</textarea>"), "{form}");
    let broken = run(&world, "flaky", &[("by", "json"), ("payload", "{ \"email\": ")]).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert!(broken.body.contains("id=\"payload-refused\""), "{}", broken.body);
    assert!(broken.body.contains("{ &#34;email&#34;:"), "{}", broken.body);
}

#[tokio::test]
async fn every_other_field_says_what_is_wrong_with_it() {
    let world = World::start().await;
    let long = "x".repeat(300);
    for (field, value, id, detail) in [
        ("delay", "soon", "delay", "is refused: &#34;soon&#34; is not a duration"),
        ("delay", "9000d", "delay", "is more than a year ahead"),
        ("priority", "10", "priority", "must be 0 (first) to 9 (last)"),
        ("priority", "-1", "priority", "must be 0 (first) to 9 (last)"),
        ("tags", &long, "tags", "must have 1 to 256 printable characters"),
        ("key", &long, "key", "must have 1 to 256 printable characters"),
    ] {
        let refused = run(&world, "flaky", &[("by", "json"), ("payload", "{}"), (field, value)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{field} {value}");
        let (_, said) = refused.body.split_once(&format!("id=\"{id}-refused\">")).expect("said at the field");
        assert!(said.split("</p>").next().is_some_and(|said| said.contains(detail)), "{field} {value}: {said}");
        assert!(refused.body.contains(&format!("value=\"{value}\" aria-invalid=\"true\"")), "{field} {value}");
    }
    assert_eq!(latest(&world).await, Value::Null);
}

#[tokio::test]
async fn a_key_of_another_request_is_refused_on_the_form() {
    let world = World::start().await;
    let fields = |payload| [("by", "json"), ("payload", payload), ("key", "one")];
    followed(&world, run(&world, "flaky", &fields("1")).await).await;
    let refused = run(&world, "flaky", &fields("2")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("the key was used for another request, which is run_"), "{}", refused.body);
}

#[tokio::test]
async fn a_payload_is_written_the_other_way_without_being_lost_or_enqueued() {
    let world = World::start().await;
    let form = async |fields: &[(&str, &str)]| {
        let answer = run(&world, "welcome-email", &[fields, &[("switch", "1")]].concat()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        section(&main_part(&answer.body), "run")
    };
    let json = form(&[&ADA[..], &[("tags", "spring")]].concat()).await;
    assert!(
        json.contains("{ &#34;email&#34;: &#34;ada@example.com&#34;, &#34;userId&#34;: &#34;user_1&#34; }</textarea>"),
        "{json}"
    );
    assert!(json.contains("value=\"spring\""), "{json}");
    let members = form(&[("by", "json"), ("payload", r#"{ "userId": "bo" }"#)]).await;
    assert!(
        members.contains("name=\"member.userId\" type=\"text\" value=\"bo\"") && !members.contains("<textarea"),
        "{members}"
    );
    let beyond = form(&[("by", "json"), ("payload", r#"{ "userId": "bo", "more": [1] }"#)]).await;
    assert!(beyond.contains("something that fields can't show") && beyond.contains("&#34;more&#34;: [1]"), "{beyond}");
    let broken = form(&[("by", "json"), ("payload", "{")]).await;
    assert!(broken.contains("id=\"payload-refused\""), "{broken}");
    assert_eq!(latest(&world).await, Value::Null);
}

#[tokio::test]
async fn the_form_begins_with_the_payload_of_a_run_that_is_named() {
    let world = World::start().await;
    let [first, second] = [world.finish("flaky", "[1]").await, world.finish("flaky", "[2]").await];
    let begins = async |path: &str| section(&shown(&world, path).await, "run");
    assert!(begins("/jobs/flaky").await.contains("[2]</textarea>"), "the last, where there is no example");
    assert!(begins(&format!("/jobs/flaky?from={first}")).await.contains("[1]</textarea>"));
    assert_eq!(world.get(&format!("/jobs/stuck?from={second}")).await.refusal(), "404 unknown-run");
    assert_eq!(world.get("/jobs/flaky?from=x").await.refusal(), "400 invalid-parameter");
}

#[tokio::test]
async fn a_job_is_paused_and_goes_on_by_its_forms() {
    let world = World::start().await;
    let (place, main) = followed(&world, send(&world, "/jobs/stuck", "/jobs/stuck/pause", &[]).await).await;
    assert_eq!(place, "/jobs/stuck?changed=1");
    assert!(main.contains("paused</span> <span class=\"quiet\">by the dashboard"), "{main}");
    assert!(world.get(&place).await.body.contains("stuck is paused: runs under way go on, and none begins."));
    assert_eq!(world.get("/api/v1/jobs/stuck").await.json()["paused_by"], "the dashboard");
    let (place, _) = followed(&world, send(&world, "/jobs/stuck", "/jobs/stuck/resume", &[]).await).await;
    assert!(world.get(&place).await.body.contains("stuck goes on."));
    assert_eq!(world.get("/api/v1/jobs/stuck").await.json()["paused"], false);
}

#[tokio::test]
async fn whoever_pauses_a_job_is_named_by_their_token() {
    let world = World::start().await;
    let (_, secret) = world.token(r#"{ "scope": "operate", "name": "night shift" }"#).await;
    let answer = send_with(&world, "/jobs/stuck", "/jobs/stuck/pause", &secret).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let page = world.get_with("/jobs/stuck", &secret).await.body;
    assert!(page.contains("by night shift <time"), "{page}");
    assert!(page.contains("-H &#34;Authorization: Bearer $JOBMILL_TOKEN&#34;"), "{page}");
}

#[tokio::test]
async fn a_breaker_that_holds_a_job_back_is_told_and_can_be_closed() {
    let minute = Duration::from_mins(1);
    let breaker = BreakerSettings { failures: 0.5, window: minute, min_attempts: 1, pause: minute };
    let world = World::overriding("flaky", JobOverrides { breaker: Some(breaker), ..JobOverrides::default() }).await;
    world.finish("flaky", r#"{ "fail": "permanent" }"#).await;
    let main = shown(&world, "/jobs/flaky").await;
    assert!(main.contains("none begins for a while, and one is tried in 1 min."), "{main}");
    let (_, main) = followed(&world, send(&world, "/jobs/flaky", "/jobs/flaky/resume", &[]).await).await;
    assert!(!main.contains("held back"), "{main}");
}

#[tokio::test]
async fn a_broken_file_over_a_good_version_is_told_word_for_word() {
    let world = World::start().await;
    std::fs::write(world.hopper.path().join("flaky.wasm"), "not <what> it was").expect("written");
    let flaky = "flaky".parse().expect("a job id");
    world.until(|world| world.handle.catalog().listing(&flaky).is_some_and(|it| it.breakage.is_some())).await;
    let main = shown(&world, "/jobs/flaky").await;
    let (alarm, _) = main.split_once("</section>").expect("an alarm");
    assert_snapshot!(alarm);
    assert!(main.contains("<h2 id=\"run\">Run it</h2>"), "the version before goes on");
}

#[tokio::test]
async fn a_retired_job_is_shown_without_a_form_and_takes_nothing() {
    let world = World::start().await;
    std::fs::remove_file(world.hopper.path().join("stuck.wasm")).expect("removed");
    let stuck = "stuck".parse().expect("a job id");
    world.until(|world| world.handle.catalog().serving(&stuck).is_none()).await;
    let main = shown(&world, "/jobs/stuck").await;
    assert!(main.contains("Its file is gone from the hopper") && !main.contains("<textarea"), "{main}");
    assert_eq!(run(&world, "stuck", &[("by", "json"), ("payload", "1")]).await.refusal(), "404 unknown-job");
}

#[tokio::test]
async fn jobs_that_are_not_there_are_refused_by_name() {
    let world = World::start().await;
    assert_eq!(world.get("/jobs/stuk").await.refusal(), "404 unknown-job");
    for verb in ["pause", "resume", "runs"] {
        assert_eq!(send(&world, "/jobs/stuck", &format!("/jobs/stuk/{verb}"), &[]).await.refusal(), "404 unknown-job");
    }
    assert_eq!(world.get("/jobs/stuck?tab=1").await.refusal(), "400 unknown-parameter");
    let (starting, _engine) = World::prepare(&["stuck"]);
    assert_eq!(starting.get("/jobs/stuck").await.refusal(), "503 not-ready");
}

#[tokio::test]
async fn only_operators_with_the_pages_key_run_and_pause() {
    for verb in ["runs", "pause", "resume"] {
        let world = World::start().await;
        let fields = [("by", "json"), ("payload", "1")];
        is_guarded(&world, "/jobs/stuck", &format!("/jobs/stuck/{verb}"), &fields).await;
        let runs = world.handle.query().runs(&jobmill_store::RunFilter::default(), None, 1, world.handle.now()).await;
        assert!(runs.expect("the store works").items.is_empty(), "{verb}");
    }
}

#[tokio::test]
async fn what_others_write_is_escaped_in_every_field() {
    let world = World::with(&["hostile", "flaky"]).await;
    is_escaped(&shown(&world, "/jobs/hostile").await);
    let as_json =
        run(&world, "hostile", &[("by", "members"), (&format!("member.{HOSTILE}"), HOSTILE), ("switch", "1")]).await;
    is_escaped(&main_part(&as_json.body));
    for field in ["payload", "delay", "priority", "tags", "key"] {
        let other = if field == "payload" { "delay" } else { "payload" };
        let answer = run(&world, "hostile", &[("by", "json"), (field, HOSTILE), (other, "{")]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}");
        is_escaped(&main_part(&answer.body));
    }
    let payload = json!({ "fail": "permanent", "error": HOSTILE }).to_string();
    let id = world.finish("flaky", &payload).await;
    is_escaped(&section(&shown(&world, "/jobs/flaky").await, "runs"));
    is_escaped(&section(&shown(&world, &format!("/jobs/flaky?from={id}")).await, "commands"));
}

#[tokio::test]
async fn the_same_is_done_from_a_shell_with_every_quote_kept() {
    let world = World::start().await;
    let id = world.finish("flaky", r#"{ "who": "it's $HOME" }"#).await;
    let commands = section(&shown(&world, &format!("/jobs/flaky?from={id}")).await, "commands");
    let commands = commands.replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&");
    assert!(
        commands.contains(
            r#"curl 'http://localhost:8288/api/v1/jobs/flaky/runs' -H 'Content-Type: application/json' -d '{"payload": { "who": "it'\''s $HOME" }}'"#
        ),
        "{commands}"
    );
    assert!(commands.contains(r#"jobmill run flaky --payload='{ "who": "it'\''s $HOME" }' --wait"#), "{commands}");
    let run_elsewhere = world
        .send(
            axum::http::Request::get("/jobs/flaky")
                .header("host", "127.0.0.1:9000")
                .body(axum::body::Body::empty())
                .expect("a request"),
        )
        .await;
    assert!(run_elsewhere.body.contains("jobmill run flaky --server &#39;http://127.0.0.1:9000&#39; --payload="));
}

#[tokio::test]
async fn a_run_that_goes_on_is_a_row_that_can_be_kept_fresh() {
    let world = World::start().await;
    let id = world.enqueue("stuck", "1").await;
    world.until_run_is(&id, RunState::Running).await;
    let main = shown(&world, "/jobs/stuck").await;
    assert!(main.contains("<tr data-run=\"run_1\">"), "{main}");
    assert!(main.contains("href=\"/runs?job=stuck&amp;state=running\""), "{main}");
}
