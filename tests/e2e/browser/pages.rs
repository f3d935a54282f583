//! Every page can be read by everybody, in the light and in the dark, at a desk and on a telephone.
//! The pages are those of `pages.txt`, which the routes' own tests hold against the table of routes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::browse;
use crate::support::server::Server;
use crate::support::{component, signature};

/// The routes of all pages, one a line.
const ROUTES: &str = include_str!("pages.txt");

/// A mail server that is never asked, so that captured mails may be released.
const CONFIGURATION: &str = r#"
[queues.mail]
concurrency = 8

[jobs.purchase-confirmation]
queue = "mail"
unique_key = "/orderId"

[jobs.welcome-email]
cron = ["TZ=Europe/Berlin 0 9 * * MON-FRI", "0 3 1 * *"]

[mail]
from = "Corner Shop <shop@example.com>"
smtp = { url = "smtp://127.0.0.1:9" }
release = { allow = ["*@example.com"] }
"#;

/// A page that is read: of which route, where, and what is done there first.
struct Page {
    route: &'static str,
    path: String,
    fill: Value,
    press: Option<&'static str>,
}

impl Page {
    fn at(route: &'static str, path: impl Into<String>) -> Self {
        Self { route, path: path.into(), fill: json!({}), press: None }
    }

    /// What comes of a button there, once the fields are filled in.
    fn after(self, fill: Value, press: &'static str) -> Self {
        Self { fill, press: Some(press), ..self }
    }

    fn name(&self) -> String {
        let filled = self.fill.as_object().into_iter().flatten().map(|(label, value)| format!(", {label} {value}"));
        let pressed = self.press.into_iter().map(|press| format!(", then {press}"));
        [self.path.clone()].into_iter().chain(filled).chain(pressed).collect()
    }

    fn entry(&self) -> Value {
        json!({ "name": self.name(), "path": self.path, "fill": self.fill, "press": self.press })
    }
}

/// What is wrong with pages: which of them says something, asks anybody else, breaks a rule of accessibility, is wider than the
/// screen or has a button that a finger misses.
fn wrong(server: &Server, pages: &[Page], token: Option<&str>) -> String {
    let fine = json!({ "said": [], "outside": [], "violations": [], "sideways": 0, "small": [] });
    let entries = pages.iter().map(Page::entry).collect::<Value>().to_string();
    let mut arguments = vec![entries.as_str()];
    arguments.extend(token);
    let told = browse("browser_pages", &server.url, &arguments);
    let read = told.as_object().expect("pages");
    let names: BTreeSet<String> = pages.iter().map(Page::name).collect();
    assert_eq!(read.keys().cloned().collect::<BTreeSet<_>>(), names, "each page was read");
    let mut wrong = String::new();
    for (name, found) in read.iter().filter(|(_, found)| **found != fine) {
        writeln!(wrong, "{name}: {found:#}").expect("a text takes everything");
    }
    wrong
}

/// The first of a list, by one of its members.
fn first(server: &Server, list: &str, key: &str) -> String {
    let items = server.get(list).json();
    let id = items["items"][0][key].as_str().unwrap_or_else(|| panic!("{list} is empty: {items:#}"));
    id.to_owned()
}

/// The lists and desks, of which each has something to say when there is nothing.
fn sections() -> Vec<Page> {
    let sections = [
        "/",
        "/jobs",
        "/runs",
        "/dead",
        "/queues",
        "/schedule",
        "/mail",
        "/mail/clear",
        "/suppressions",
        "/events",
        "/deliveries",
        "/system",
    ];
    sections.map(|path| Page::at(path, path)).into()
}

/// A run in each of the final states, and one that waits.
struct Runs {
    completed: String,
    dead: String,
    waiting: String,
    cancelled: String,
}

/// A shop in the middle of its day: something of everything that pages show.
fn fill(server: &Server) -> Runs {
    let welcome = json!({ "userId": "u_1", "email": "ada@example.com", "name": "Ada" });
    let completed = server.enqueue("welcome-email", &welcome);
    let body = json!({ "payload": welcome, "delay": "1h", "tags": ["spring", "newsletter"] });
    let delayed = server.post("/api/v1/jobs/welcome-email/runs", &body).json();
    let waiting = delayed["id"].as_str().expect("an id").to_owned();
    let cancelled = server.post("/api/v1/jobs/welcome-email/runs", &body).json();
    let cancelled = cancelled["id"].as_str().expect("an id").to_owned();
    let reason = json!({ "reason": "the customer has left" });
    assert_eq!(server.post(&format!("/api/v1/runs/{cancelled}/cancel"), &reason).status, 200);
    let refund = |order: &str| json!({ "orderId": order, "customerEmail": "ada@example.com" });
    let dead =
        ["none-such", "order_900", "order_901"].map(|order| server.enqueue("refund-notification", &refund(order)));
    server.enqueue("purchase-confirmation", &json!({ "orderId": "order_123", "customerEmail": "user@example.com" }));
    server.post("/api/v1/events", &json!({ "name": "email/welcome", "data": welcome }));
    server.post("/api/v1/events", &json!({ "name": "cart/abandoned", "data": { "cart": [1, 2] } }));
    server.send("PUT", "/api/v1/suppressions/bounced@example.com", &[], b"");
    let body = signature::checkout("evt_1", "order_124", "grace@example.com");
    let header = signature::stripe(body.as_bytes());
    let delivered = server.send("POST", "/webhooks/stripe", &[("stripe-signature", &header)], body.as_bytes());
    assert_eq!(delivered.status, 200, "{delivered:?}");
    assert_eq!(server.post("/api/v1/jobs/refund-notification/pause", &json!({})).status, 200);
    component::put(&server.hopper(), "strange.wasm", b"no component");
    for id in dead.iter().chain([&completed]) {
        server.finished(id);
    }
    Runs { completed, dead: dead[0].clone(), waiting, cancelled }
}

/// Every page, in the states that there is something to see of.
fn all_pages(server: &Server, runs: &Runs) -> Vec<Page> {
    let Runs { completed, dead, waiting, cancelled } = runs;
    let group = first(server, "/api/v1/dead", "fingerprint");
    let target = format!("job=refund-notification&fingerprint={group}");
    let mail = first(server, "/api/v1/mail", "id");
    let event = first(server, "/api/v1/events", "key");
    let delivery = first(server, "/api/v1/webhooks/deliveries", "id");
    let of_run = |id: &str| Page::at("/runs/{id}", format!("/runs/{id}"));
    let mut pages = sections();
    pages.extend([completed, dead, waiting, cancelled].map(|id| of_run(id)));
    pages.extend([
        Page::at("/audit", "/audit"),
        of_run(dead).after(json!({}), "Try it out"),
        of_run("none-such"),
        Page::at("/runs", "/runs?state=dead&job=refund-notification"),
        Page::at("/runs", "/runs?tag=nothing-has-it"),
        Page::at("/runs/{id}/journal", format!("/runs/{dead}/journal")),
        Page::at("/runs/{id}/edit", format!("/runs/{dead}/edit")),
        Page::at("/runs/{id}/edit", format!("/runs/{dead}/edit"))
            .after(json!({ "Payload": "{ oh" }), "Rerun with this payload"),
        Page::at("/dead/{fingerprint}", format!("/dead/{group}?job=refund-notification")),
        Page::at("/dead/{fingerprint}", "/dead/0123456789abcdef?job=refund-notification"),
        Page::at("/dead/requeue", format!("/dead/requeue?{target}")),
        Page::at("/dead/discard", format!("/dead/discard?{target}")),
        Page::at("/dead/edit/{id}", format!("/dead/edit/{dead}")),
        Page::at("/jobs/{id}", "/jobs/welcome-email"),
        Page::at("/jobs/{id}", "/jobs/welcome-email").after(json!({ "Delay": "soon" }), "Run"),
        Page::at("/jobs/{id}", "/jobs/refund-notification"),
        Page::at("/jobs/{id}/rollback", "/jobs/welcome-email/rollback?version=0123456789ab"),
        Page::at("/mail/{id}", format!("/mail/{mail}")),
        Page::at("/mail/{id}/release", format!("/mail/{mail}/release")),
        Page::at("/events/{id}", format!("/events/{event}")),
        Page::at("/deliveries/{id}", format!("/deliveries/{delivery}")),
    ]);
    pages
}

/// What there is to see of tokens, once there is one.
fn pages_with_tokens(id: &str) -> Vec<Page> {
    let system = || Page::at("/system", "/system");
    vec![
        Page::at("/system/tokens/{id}/revoke", format!("/system/tokens/{id}/revoke")),
        system().after(json!({ "Name, for people": "the till", "Expires in": "soon" }), "Make the token"),
        system().after(json!({ "Name, for people": "the till" }), "Make the token"),
        Page::at("/sign-in", "/sign-in?next=%2Fdead"),
        Page::at("/sign-in", "/sign-in").after(json!({ "API token": "none of yours" }), "Sign in"),
    ]
}

/// The routes of `pages.txt`.
fn routes() -> BTreeSet<&'static str> {
    ROUTES.lines().collect()
}

#[test]
fn every_page_can_be_read_by_everybody_and_on_a_telephone() {
    let configuration = [CONFIGURATION, signature::CONFIGURATION].concat();
    let mut server = Server::prepared(&["dev"], Some(&configuration));
    // A schema that requires nothing, so that the job can have a cron.
    let undemanding = component::altered("welcome-email", "required", "requires");
    component::put(&server.hopper(), "welcome-email.wasm", &undemanding);
    server.restart();
    server.until_job("welcome-email", |job| job["status"] == "loaded");
    let mut found = wrong(&server, &sections(), None);

    let runs = fill(&server);
    let mut pages = all_pages(&server, &runs);
    let made = server.post("/api/v1/tokens", &json!({ "name": "ops", "scope": "operate" })).json();
    let (id, secret) = (made["token"]["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    pages.extend(pages_with_tokens(id));
    let known: BTreeSet<&str> = pages.iter().map(|page| page.route).collect();
    assert_eq!(known, routes(), "each route of pages.txt has a page that is read here");
    let is_sign_in = |page: &&Page| page.route == "/sign-in";
    for page in pages.iter().filter(|page| !is_sign_in(page)) {
        let answer = server.send("GET", &page.path, &[("accept", "text/html")], b"");
        let place = answer.header("location").unwrap_or_default();
        assert!(answer.status == 303 && place.starts_with("/sign-in"), "{}: {answer:?}", page.path);
    }
    let (out, within): (Vec<Page>, Vec<Page>) = pages.into_iter().partition(|page| is_sign_in(&page));
    found.push_str(&wrong(&server, &out, None));
    found.push_str(&wrong(&server, &within, Some(secret)));
    assert!(found.is_empty(), "{found}");
}
