//! The store as a whole: taken out, taken in, checked, pruned, whether a Jobmill runs on it or not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::{WELCOME, assert_refused, run_in, text};
use crate::support::WATCHDOG;
use crate::support::server::{Server, jobmill, pause};

/// An export that nobody but these tests wrote: an order, and a run that ended long ago.
const EXPORT: &str = r#"{"jobmill_export":1,"exported_at":"2020-03-01T09:00:00.000Z"}
{"order":{"id":"order_7","status":"paid","customer_email":"ada@example.com","customer_name":null,"items":[],"total":{"minor":100,"currency":"EUR"},"created_at":"2020-03-01T09:00:00.000Z","fulfilled_at":null,"refunded_at":null,"metadata":{},"revision":1}}
{"run":{"id":"run_01E2AN5PM0000000000000000A","journal":[{"at":"2020-03-01T09:00:00.000Z","kind":{"enqueued":{"job":"welcome-email","queue":"default","priority":5,"payload":{"userId":"needle-in-the-store"},"max_attempts":2,"scheduled_at":"2020-03-01T09:00:00.000Z","event":null,"tags":[],"unique_key":null,"idempotency_key":null,"request_digest":null,"rerun_of":null}}},{"at":"2020-03-01T09:00:00.000Z","kind":{"started":{"attempt":1,"version":"bebd05c64b675d71c239f2470e35ffdb2efb42e6032fcb28d8cd0fc467047abf","lease":1}}},{"at":"2020-03-01T09:00:01.000Z","kind":{"finished":{"outcome":"completed","error":null,"output":null,"to":"completed","scheduled_at":"2020-03-01T09:00:00.000Z","counted":true,"log":[],"log_dropped":0}}}]}}
{"end":{"records":2}}
"#;
const CANCELLED: &str = r#"{"at":"2020-03-01T09:00:00.000Z","kind":{"cancelled":{"reason":"x"}}}"#;
const OLD_RUN: &str = "run_01E2AN5PM0000000000000000A";

/// A command that ends well; its standard output.
fn done(directory: &Path, arguments: &[&str]) -> String {
    let output = run_in(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

fn json_of(directory: &Path, arguments: &[&str]) -> Value {
    let printed = done(directory, &[&["-o", "json"], arguments].concat());
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// A directory with the written export in it.
fn with_export() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("old.jsonl"), EXPORT).expect("written");
    directory
}

/// Runs that ended in each way, one that waits, mails of which some are cleared, orders, an event without a run.
fn busy_server() -> Server {
    let server = Server::dev();
    let payload = json!({ "userId": "u_1", "email": "ada@example.com" });
    server.finished(&server.enqueue("welcome-email", &payload));
    assert_eq!(server.delete("/api/v1/mail").status, 200);
    assert_eq!(server.run(&["run", "welcome-email", "--payload", WELCOME, "--wait"]).status.code(), Some(0));
    let nowhere = json!({ "orderId": "nowhere", "customerEmail": "a@example.com" });
    assert_eq!(server.finished(&server.enqueue("purchase-confirmation", &nowhere))["state"], "dead");
    let later = json!({ "payload": payload, "delay": "1h", "tags": ["later"] });
    for cancelled in [true, false] {
        let run = server.post("/api/v1/jobs/welcome-email/runs", &later).json();
        if cancelled {
            server.post(&format!("/api/v1/runs/{}/cancel", run["id"].as_str().expect("an id")), &json!({}));
        }
    }
    server.post("/api/v1/events", &json!({ "name": "nobody/listens", "data": { "a": 1 } }));
    server
}

#[test]
fn an_export_is_taken_in_elsewhere_and_gives_the_same_bytes() {
    let server = busy_server();
    let directory = server.path();
    // Nothing names the server here: the data directory leads to it.
    done(directory, &["store", "export", "backup.jsonl"]);
    let backup = directory.join("backup.jsonl");
    assert_eq!(fs::metadata(&backup).expect("there").permissions().mode() & 0o777, 0o600);
    let exported = fs::read_to_string(&backup).expect("text");
    let (_, records) = exported.split_once('\n').expect("a header");
    for part in ["{\"order\"", "{\"event\"", "{\"run\"", "{\"mail_cleared\""] {
        assert!(records.contains(part), "{part}");
    }

    let mut checked = json_of(directory, &["store", "check"]);
    assert_eq!((&checked["ok"], &checked["runs"], &checked["events"]), (&json!(true), &json!(5), &json!(1)));
    assert_refused(&run_in(directory, &["store", "import", "backup.jsonl"]), 1, &["data-in-use", "process"]);

    let first = json_of(directory, &["store", "import", "backup.jsonl", "--data", "other"]);
    assert_eq!(first["runs"], json!({ "new": 5, "known": 0 }));
    let second = json_of(directory, &["store", "import", "backup.jsonl", "--data", "other"]);
    assert_eq!(
        (&second["runs"], &second["events"]),
        (&json!({ "new": 0, "known": 5 }), &json!({ "new": 0, "known": 1 }))
    );
    let again = done(directory, &["store", "export", "--data", "other"]);
    assert_eq!(again.split_once('\n').expect("a header").1, records);
    // An export leaves the components out.
    assert_eq!(checked["components"], json!(3));
    checked["components"] = json!(0);
    assert_eq!(json_of(directory, &["store", "check", "--data", "other"]), checked);
}

#[test]
fn what_is_no_whole_export_is_refused_by_its_line_and_nothing_is_taken_in() {
    let directory = with_export();
    let directory = directory.path();
    let lines: Vec<&str> = EXPORT.lines().collect();
    for (name, content, said) in [
        ("empty", String::new(), "line 1 of empty.jsonl is missing"),
        ("list", "{\"items\":[]}\n".to_owned(), "line 1 of list.jsonl does not begin an export"),
        ("newer", EXPORT.replacen("export\":1", "export\":2", 1), "line 1 of newer.jsonl says format 2"),
        ("cut", lines[..3].join("\n"), "line 4 of cut.jsonl is missing"),
        ("short", [lines[0], lines[2], lines[3]].join("\n"), "line 3 of short.jsonl says that 2 records"),
        ("twice", [lines[0], lines[1], lines[1], lines[3]].join("\n"), "line 3 of twice.jsonl is not in its place"),
        ("bare", EXPORT.replace("enqueued\":{\"job", "enqueued\":{\"jab"), "line 3 of bare.jsonl can't be read"),
        (
            "late",
            EXPORT.replace("\"journal\":[", &format!("\"journal\":[{CANCELLED},")),
            "line 3 of late.jsonl can't be used",
        ),
        ("more", format!("{EXPORT}{}\n", lines[1]), "line 5 of more.jsonl comes after the end"),
    ] {
        fs::write(directory.join(format!("{name}.jsonl")), content).expect("written");
        let output = run_in(directory, &["store", "import", &format!("{name}.jsonl")]);
        assert_refused(&output, 1, &["error[not-an-export]", said, "nothing was imported"]);
    }
    assert_refused(&run_in(directory, &["store", "import", "nowhere.jsonl"]), 3, &["nowhere.jsonl"]);
    assert!(!directory.join(".jobmill").exists());
    for action in ["check", "export", "prune"] {
        assert_refused(&run_in(directory, &["store", action]), 3, &["no-store", ".jobmill", "--data"]);
    }
    assert!(!directory.join(".jobmill").exists());
}

#[test]
fn a_flipped_byte_is_damage() {
    let directory = with_export();
    let directory = directory.path();
    done(directory, &["store", "import", "old.jsonl"]);
    assert!(done(directory, &["store", "check"]).contains("none"));
    let file = directory.join(".jobmill/store/db");
    let mut bytes = fs::read(&file).expect("read");
    let needle = b"needle-in-the-store";
    let at = bytes.windows(needle.len()).position(|window| window == needle).expect("it is in the store");
    bytes[at] ^= 1;
    fs::write(&file, bytes).expect("written");
    assert_refused(&run_in(directory, &["store", "check"]), 1, &[".jobmill/store", "damaged", "back-up"]);
    let output = run_in(directory, &["store", "export", "backup.jsonl"]);
    assert_refused(&output, 1, &["damaged"]);
    assert!(!directory.join("backup.jsonl").exists());
}

#[test]
fn pruning_takes_out_what_the_configuration_does_not_keep() {
    let directory = with_export();
    let directory = directory.path();
    done(directory, &["store", "import", "old.jsonl"]);
    let for_ever = jobmill(directory)
        .env("JOBMILL_RETENTION__COMPLETED", "never")
        .args(["store", "prune"])
        .output()
        .expect("starts");
    assert!(
        text(&for_ever.stdout).starts_with("pruned 0 runs, 0 events and 0 mails; the store takes "),
        "{for_ever:?}"
    );
    let pruned = json_of(directory, &["store", "prune"]);
    assert_eq!((&pruned["runs"], &pruned["events"]), (&json!(1), &json!(0)));
    assert!(pruned["bytes_before"].as_u64() > Some(0) && pruned["bytes_after"].as_u64() > Some(0), "{pruned}");
    let left = done(directory, &["store", "export"]);
    assert!(left.contains("order_7") && left.ends_with("{\"end\":{\"records\":1}}\n"), "{left}");
}

#[test]
fn a_server_prunes_by_itself_and_warns_when_it_may_lose_something() {
    let configuration = "[store]\ndurability = \"relaxed\"\n[mail]\nmode = \"capture\"\nfrom = \"shop@example.com\"\n";
    let mut server = Server::prepared(&["up"], Some(configuration));
    fs::write(server.path().join("old.jsonl"), EXPORT).expect("written");
    done(server.path(), &["store", "import", "old.jsonl"]);
    server.restart();
    assert!(server.log().contains("warning: store.durability is \"relaxed\""), "{}", server.log());
    let started = Instant::now();
    while server.get(&format!("/api/v1/runs/{OLD_RUN}")).status != 404 {
        assert!(started.elapsed() < WATCHDOG, "it is still there");
        pause();
    }
    assert_eq!(server.order("order_7")["status"], "paid");
    // Asked by its address it tells nothing of the disk, which may be another machine's.
    let by_hand = server.run(&["store", "prune"]);
    assert_eq!(text(&by_hand.stdout), "pruned 0 runs, 0 events and 0 mails\n", "{by_hand:?}");
}
