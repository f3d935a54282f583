//! The client for TypeScript, and the types that the server makes of its jobs, as a shop's compiler and runtime see them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::node::{Package, repository, script};
use crate::support::server::Server;

/// The client, built.
fn built() -> (Package, PathBuf) {
    let client = Package::of_client();
    client.npm_run("build");
    let built = client.path().join("dist");
    (client, built)
}

fn typed(what: &str, paths: &[&Path]) -> Value {
    let arguments: Vec<&OsStr> =
        [OsStr::new(what)].into_iter().chain(paths.iter().map(|path| path.as_os_str())).collect();
    script("types", &arguments, &[])
}

#[test]
fn the_client_passes_its_own_tests() {
    let told = Package::of_client().npm_run("test");
    assert!(told.contains("retries end"), "none of them was run: {told}");
}

#[test]
fn what_the_client_enqueues_and_publishes_is_done_once() {
    let server = Server::dev();
    let (_client, built) = built();
    let told = script("client", &[built.as_os_str()], &[("JOBMILL_SERVER", &server.url)]);
    let runs = told["runs"].as_array().expect("runs");
    for (run, job) in runs.iter().zip(["purchase-confirmation", "refund-notification", "welcome-email"]) {
        assert_eq!((&run["job"], &run["state"]), (&json!(job), &json!("completed")), "{run:#}");
        assert_eq!(*run, server.run_of(run["id"].as_str().expect("an id")));
    }
    assert_eq!(runs[2]["tags"], json!(["new"]));

    // The answer was lost, and what was sent again was the same request.
    let requests = told["enqueuing"].as_array().expect("requests");
    assert_eq!((requests.len(), &requests[0]["status"], &requests[1]["status"]), (2, &json!(202), &json!(200)));
    assert!(requests[0]["key"].is_string() && requests[0]["key"] == requests[1]["key"], "{requests:?}");
    assert_eq!(requests[0]["body"], requests[1]["body"]);
    let requests = told["sending"].as_array().expect("requests");
    assert_eq!((requests.len(), &requests[0]["body"]), (2, &requests[1]["body"]));
    let sent = told["sent"].as_array().expect("events");
    assert_eq!((sent[0]["runs"].as_array().map(Vec::len), &sent[1]["runs"]), (Some(1), &json!([])), "{sent:?}");

    let all = server.get("/api/v1/runs?job=welcome-email&limit=200").json();
    let count = |user: &str| {
        let runs = all["items"].as_array().expect("items").iter();
        runs.filter(|run| run["payload"]["userId"] == user).count()
    };
    assert_eq!((count("u_1"), count("retried"), count("sent")), (1, 1, 1), "{all:#}");

    let refused = &told["refused"];
    assert_eq!((&refused["status"], &refused["code"]), (&json!(422), &json!("payload-invalid")), "{refused:#}");
    let errors = refused["errors"].as_array().expect("errors");
    assert!(errors.contains(&json!({ "pointer": "/email", "detail": "is required" })), "{errors:?}");
}

#[test]
fn the_types_of_the_loaded_jobs_catch_what_is_misspelt() {
    let server = Server::dev();
    let (client, built) = built();
    let answer = server.get("/api/v1/events.d.ts");
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = client.path().join("events.d.ts");
    std::fs::write(&events, &answer.text).expect("written");
    let told = typed("programs", &[&events, &built]);
    assert_eq!(told["errors"], json!([]), "{told:#}\n{}", answer.text);
    assert!(told["checked"].as_u64().is_some_and(|programs| programs >= 2), "{told:#}");

    // With another type in the place of a job's own the same programs are refused: they do look at it.
    std::fs::write(&events, answer.text.replace("orderId: string", "orderNumber: string")).expect("written");
    let told = typed("programs", &[&events, &built]);
    let errors = told["errors"].to_string();
    assert!(errors.contains("client.ts") && errors.contains("inngest.ts") && errors.contains("orderId"), "{errors}");
}

#[test]
fn every_declaration_that_the_servers_own_tests_show_is_typescript() {
    let snapshots = repository().join("host/server/src/typescript/snapshots");
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = Vec::new();
    for snapshot in std::fs::read_dir(&snapshots).expect("listed").map(|entry| entry.expect("listed").path()) {
        let text = std::fs::read_to_string(&snapshot).expect("read");
        let (_, declarations) = text.split_once("\n---\n").expect("the snapshot has a header");
        let file = directory.path().join(snapshot.with_extension("ts").file_name().expect("a name"));
        std::fs::write(&file, declarations).expect("written");
        files.push(file);
    }
    let told = typed("declarations", &files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    assert_eq!((&told["checked"], &told["errors"]), (&json!(files.len()), &json!([])), "{told:#}");
    assert!(files.len() >= 5, "{files:?}");
}
