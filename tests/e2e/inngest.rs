//! Inngest's own SDK as a client of the binary: what it sends arrives once, under the ids that its protocol says.

use std::ffi::OsStr;

use serde_json::{Value, json};

use crate::support::node::script;
use crate::support::server::Server;

fn sends(cases: &[&str], environment: &[(&str, &str)]) -> Value {
    let arguments: Vec<&OsStr> = cases.iter().map(OsStr::new).collect();
    script("inngest", &arguments, environment)
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|it| it.as_str().expect("a text")).collect()
}

/// The runs of an event, by the protocol's own route.
fn runs_of(server: &Server, ulid: &str) -> Vec<Value> {
    let answer = server.get(&format!("/v1/events/{ulid}/runs"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["data"].as_array().expect("runs").clone()
}

#[test]
fn what_the_sdk_sends_starts_runs_under_the_ids_that_it_is_told() {
    let server = Server::dev();
    let told = sends(&["one", "hundred"], &[("INNGEST_DEV", &server.url)]);
    let (one, hundred) = (texts(&told["one"]["ids"]), texts(&told["hundred"]["ids"]));
    assert_eq!((one.len(), hundred.len(), told["hundred"]["requests"].as_array().map(Vec::len)), (1, 100, Some(1)));
    for (position, ulid) in hundred.iter().enumerate() {
        let event = server.get(&format!("/v1/events/{ulid}")).json()["data"].clone();
        assert_eq!((&event["internal_id"], &event["name"]), (&json!(ulid), &json!("email/welcome")), "{event:#}");
        assert_eq!(event["data"]["userId"], format!("hundred-{position}"));
        assert_eq!(runs_of(&server, ulid).len(), 1);
    }
    let run = &runs_of(&server, one[0])[0];
    let id = format!("run_{}", run["run_id"].as_str().expect("an id"));
    assert_eq!(server.finished(&id)["state"], "completed");
    let run = &runs_of(&server, one[0])[0];
    assert_eq!(
        (&run["status"], run["output"]["delivery"].as_str()),
        (&json!("Completed"), Some("captured")),
        "{run:#}"
    );
}

#[test]
fn ids_and_seeds_start_once_what_is_sent_again() {
    let server = Server::dev();
    let told = sends(&["ids", "retried"], &[("INNGEST_DEV", &server.url)]);
    let count = |user: &str| {
        let all = server.get("/api/v1/runs?limit=200").json();
        all["items"].as_array().expect("items").iter().filter(|run| run["payload"]["userId"] == user).count()
    };
    assert_eq!((count("ids-1"), count("ids-2")), (1, 1), "{told:#}");
    let ids = texts(&told["ids"]["ids"]);
    assert_eq!((ids.len(), ids[1], ids[0]), (4, ids[2], ids[3]), "a repeat is answered with the first event");

    let retried = &told["retried"];
    assert_eq!((count("retried-1"), count("retried-2")), (1, 1), "{retried:#}");
    let requests = retried["requests"].as_array().expect("requests");
    assert_eq!(requests.len(), 2, "{retried:#}");
    assert!(requests[0]["seed"].is_string() && requests[0]["seed"] == requests[1]["seed"], "{retried:#}");
    assert_eq!(requests[0]["answer"]["ids"], requests[1]["answer"]["ids"], "{retried:#}");
    assert_eq!(retried["ids"], requests[1]["answer"]["ids"]);
}

#[test]
fn what_no_job_would_take_is_refused_whole_and_by_name() {
    let server = Server::dev();
    let told = sends(&["invalid"], &[("INNGEST_DEV", &server.url)]);
    let error = told["invalid"]["error"].as_str().expect("an error");
    assert!(error.contains("welcome-email") && error.contains("/userId"), "{error}");
    assert_eq!(server.get("/api/v1/runs").json()["items"], json!([]), "one of them was taken");
}

#[test]
fn in_production_the_event_key_is_a_token_and_the_signing_key_another() {
    let server = Server::up("[mail]\nmode = \"capture\"\nfrom = \"Shop <shop@example.com>\"\n");
    let create = |scope: &str, token: &str| {
        let mut arguments = vec!["token", "create", "--scope", scope];
        if !token.is_empty() {
            arguments.extend(["--token", token]);
        }
        let made = server.run(&arguments);
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).expect("text").trim().to_owned()
    };
    let operate = create("operate", "");
    let enqueue = create("enqueue", &operate);
    let read = create("read", &operate);
    let base = format!("{}/", server.url);
    let told = sends(&["one"], &[("INNGEST_BASE_URL", &base), ("INNGEST_EVENT_KEY", &enqueue)]);
    let ulid = texts(&told["one"]["ids"])[0].to_owned();
    let told = sends(&["wrong-key"], &[("INNGEST_BASE_URL", &base), ("INNGEST_EVENT_KEY", &enqueue)]);
    let answer = &told["wrong-key"]["requests"][0];
    assert_eq!((&answer["status"], &answer["answer"]["error"]), (&json!(401), &json!("Event key not found")));
    let told = sends(&["one"], &[("INNGEST_BASE_URL", &base), ("INNGEST_EVENT_KEY", &read)]);
    assert_eq!(told["one"]["requests"][0]["status"], 401, "a key that may only read: {told:#}");

    let path = format!("/v1/events/{ulid}/runs");
    assert_eq!(server.get(&path).status, 401);
    let digits = read.strip_prefix("jm_").expect("a prefix");
    let plain = format!("Bearer signkey-prod-{digits}");
    assert_eq!(server.send("GET", &path, &[("authorization", &plain)], b"").status, 200);
    let wrong = format!("Bearer signkey-prod-{}", digits.replace(['0', '1', '2', '3'], "4"));
    assert_eq!(server.send("GET", &path, &[("authorization", &wrong)], b"").status, 401);
}
