//! What an operator does not let a job do: the run says so with the line that would allow it, and goes through once it stands there.

use serde_json::json;

use crate::support::server::Server;

const MAIL: &str = "[mail]\nmode = \"capture\"\nfrom = \"Shop <shop@example.com>\"\n";
const LINE: &str = "[jobs.welcome-email.allow] mail.kinds = [\"refund\", \"welcome\"]";

#[test]
fn a_run_that_is_denied_names_the_line_that_lets_it_through() {
    let narrowed = format!("{MAIL}[jobs.welcome-email.allow]\nmail.kinds = [\"refund\"]\n");
    let mut server = Server::up(&narrowed);
    let id = server.enqueue("welcome-email", &json!({ "userId": "u_1", "email": "ada@example.com" }));
    let run = server.finished(&id);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{run:#}");
    let error = &run["attempts"][0]["error"];
    assert_eq!(error["kind"], "denied", "{run:#}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(LINE)), "{run:#}");
    assert!(server.mails().is_empty());
    let shown = |arguments: &[&str]| String::from_utf8(server.run(arguments).stdout).expect("UTF-8");
    let log = shown(&["runs", "logs", &id]);
    assert!(log.contains("warn") && log.contains(LINE), "{log}");
    let job = shown(&["jobs", "show", "welcome-email"]);
    assert!(job.contains("sends mail: narrowed (mail.kinds = [\"refund\"])"), "{job}");

    let widened = narrowed.replace("[\"refund\"]", "[\"refund\", \"welcome\"]");
    std::fs::write(server.path().join("jobmill.toml"), widened).expect("written");
    assert_eq!(server.stop(), Some(0));
    server.restart();
    assert_eq!(server.run(&["runs", "retry", &id]).status.code(), Some(0));
    assert_eq!(server.finished(&id)["state"], "completed");
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn a_limit_of_a_job_ends_its_run_by_name_and_leaves_others_alone() {
    let server = Server::up(&format!("{MAIL}[jobs.welcome-email]\nretries = 0\nlimits = {{ host_calls = 0 }}\n"));
    let id = server.enqueue("welcome-email", &json!({ "userId": "u_1", "email": "ada@example.com" }));
    let run = server.finished(&id);
    let error = &run["attempts"][0]["error"];
    assert_eq!(error["kind"], "limit", "{run:#}");
    let told = "more than 0 host calls (limits.host_calls)";
    assert!(error["message"].as_str().is_some_and(|message| message.contains(told)), "{run:#}");
    let limits = |job: &str| server.get(&format!("/api/v1/jobs/{job}")).json()["limits"]["host_calls"].clone();
    assert_eq!(limits("welcome-email"), json!({ "value": 0, "source": "configuration" }));
    assert_eq!(limits("purchase-confirmation"), json!({ "value": 10_000, "source": "default" }));
}
