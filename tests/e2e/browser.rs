//! The dashboard in a browser: Debian's Chromium reads every page, and follows one while runs go by.
//! What pages say is checked where they are made; here it is that they can be read, by everybody and on anything.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::node::script;
use crate::support::server::Server;

/// Where the distributions put it.
fn chromium() -> PathBuf {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    let found = named.into_iter().chain(usual).find(|path| path.exists());
    found.expect("Chromium is missing: on Debian `apt-get install chromium`; elsewhere name it in CHROMIUM")
}

fn browse(what: &str, server: &Server, paths: &[String]) -> Value {
    let chromium = chromium();
    let mut arguments = vec![OsStr::new(what), OsStr::new(&server.url), chromium.as_os_str()];
    arguments.extend(paths.iter().map(OsStr::new));
    script("browser", &arguments, &[])
}

/// Fails unless no page said anything, asked anybody else, breaks a rule of accessibility, or is wider than the screen.
fn assert_readable(server: &Server, paths: &[String]) {
    let fine = json!({ "said": [], "outside": [], "violations": [], "sideways": 0 });
    // A few at a time: axe takes a second for a page in each light.
    for some in paths.chunks(6) {
        let told = browse("pages", server, some);
        let pages = told["pages"].as_object().expect("pages");
        assert_eq!(pages.len(), some.len(), "{told:#}");
        let poor: Vec<_> = pages.iter().filter(|(_, found)| **found != fine).collect();
        assert!(poor.is_empty(), "{poor:#?}");
    }
}

/// The page of the first of a list.
fn first(server: &Server, list: &str, page: &str, key: &str) -> String {
    let items = server.get(list).json();
    let id = items["items"][0][key].as_str().unwrap_or_else(|| panic!("{list} is empty: {items:#}"));
    format!("{page}{id}")
}

#[test]
fn every_page_can_be_read_by_everybody_and_on_a_telephone() {
    let server = Server::dev();
    let sections =
        ["/", "/jobs", "/runs", "/dead", "/queues", "/schedule", "/mail", "/events", "/deliveries", "/system"];
    let mut paths: Vec<String> = sections.map(str::to_owned).into();
    assert_readable(&server, &paths);

    let payload = json!({ "userId": "u_1", "email": "ada@example.com" });
    let completed = server.enqueue("welcome-email", &payload);
    server.finished(&completed);
    server.post("/api/v1/jobs/welcome-email/runs", &json!({ "payload": payload, "delay": "1h" }));
    let dead =
        server.enqueue("refund-notification", &json!({ "orderId": "none-such", "customerEmail": "ada@example.com" }));
    assert_eq!(server.finished(&dead)["state"], "dead");
    server.post("/api/v1/events", &json!({ "name": "email/welcome", "data": payload }));
    paths.extend([format!("/runs/{completed}"), format!("/runs/{dead}"), format!("/runs/{dead}/journal")]);
    paths.extend(["/jobs/welcome-email".to_owned(), "/suppressions".to_owned(), "/runs/none-such".to_owned()]);
    paths.push(first(&server, "/api/v1/mail", "/mail/", "id"));
    paths.push(first(&server, "/api/v1/dead", "/dead/", "fingerprint"));
    assert_readable(&server, &paths);
}

#[test]
fn a_page_follows_what_happens_elsewhere_and_does_what_its_keys_say() {
    let server = Server::dev();
    let told = browse("live", &server, &[]);
    let wanted = json!({
        "appears": true,
        "same_page": true,
        "paused": "paused",
        "appears_while_paused": false,
        "appears_afterwards": true,
        "help": true,
        "help_is_gone": true,
        "theme": "dark",
        "focus": true,
        "opened": true,
        "folds": true,
        "copied": "{ \"userId\": \"exact\", \"email\": \"ada@example.com\", \"number\": 12345678901234567890.10 }",
        "without_script": true,
    });
    assert_eq!(told["steps"], wanted, "{told:#}");
    assert_eq!((&told["said"], &told["outside"]), (&json!([]), &json!([])));
}
