//! Secrets that the server was given are nowhere that people or programs look: not in the log at its most talkative, in no
//! answer, on no page, in no file of the data directory. Errors are where they would get out, so each of them is made to fail.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::sandbox::guests::named;
use crate::support::ask::Ask;
use crate::support::guest::Guest;
use crate::support::server::{Answer, Server, agent, ask, jobmill, pause};
use crate::support::smtp::{Act, MailServer, Stage};
use crate::support::{WATCHDOG, component};

const SMTP: &str = "smtp/Parrot+7e11c0";
const DATABASE: &str = "database/Heron+52f0a9";
const TOKEN: &str = "operate-Magpie-81d63b-44";
const JOB: &str = "job-Kestrel-c90d2e-17";
/// What the secret of a webhook and of the notices are in base64, after `whsec_`.
const WEBHOOK: &str = "V2ViaG9va093bC0wMTIzNDU2Nzg5YWJjZGVmZw==";
const NOTIFY: &str = "Tm90aWZ5V3Jlbi0wMTIzNDU2Nzg5YWJjZGVmZw==";

/// The pages, as the test of the browser lists them.
const PAGES: &str = include_str!("../e2e/browser/pages.txt");

/// A host that jobs ask. It tells everybody what they told it.
struct Host {
    authority: String,
    /// The lines of `Authorization` that it was sent, one a request.
    told: Arc<Mutex<Vec<String>>>,
}

impl Host {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let authority = listener.local_addr().expect("an address").to_string();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let line = authorization(&stream);
                let body = format!("\"{line}\"");
                kept.lock().expect("no panic").push(line);
                let _ = write!(&stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { authority, told }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("no panic").clone()
    }
}

/// The value of that header of a request, which has no body.
fn authorization(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers: Vec<String> = lines.collect();
    let value = headers.iter().find_map(|line| line.strip_prefix("authorization: "));
    value.unwrap_or_default().to_owned()
}

/// A job that sends its secret to this host.
fn asking(id: &str, host: &Host, run: &str) -> Guest {
    let ask = Ask { header: Some(("authorization", "Bearer {{secret:token}}")), ..Ask::get(&host.authority) };
    named(ask.guest(run), id)
}

fn configuration(mail: &MailServer, allowed: &Host) -> String {
    let database = percent_encoded(DATABASE);
    format!(
        r#"
[server]
tokens = [{{ name = "ops", scope = "operate", secret = "{TOKEN}" }}]
[mail]
mode = "smtp"
from = "Shop <shop@example.com>"
smtp = {{ url = "smtp://{}", username = "shop", password = "{SMTP}" }}
[orders]
source = "postgres"
[orders.postgres]
url = "postgres://shop:{database}@127.0.0.1:1/shop"
timeout = "1s"
[notify]
webhook = "http://127.0.0.1:1/notices"
webhook_secret = "whsec_{NOTIFY}"
[webhooks.shop]
kind = "standard"
secrets = ["whsec_{WEBHOOK}"]
[jobs.asks]
retries = 0
allow = {{ http = ["http://{}"] }}
[jobs.asks-elsewhere]
retries = 0
allow = {{ http = ["api.example.com"] }}
[jobs.panics]
retries = 0
[secrets.asks]
token = "{JOB}"
[secrets.asks-elsewhere]
token = "{JOB}"
"#,
        mail.address, allowed.authority
    )
}

/// With everything but letters and digits written as in a URL.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A secret as it may turn up: as it is, in a URL, in JSON, and in base64 behind whatever else was encoded with it.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), percent_encoded(secret), secret.replace('/', "\\/")];
    for before in 0..3 {
        let bytes = [vec![0; before], secret.as_bytes().to_vec()].concat();
        let encoded = STANDARD.encode(&bytes);
        // Only what depends on nothing but the secret.
        forms.push(encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned());
    }
    forms
}

/// Every secret by its name, in every form.
fn secrets() -> Vec<(&'static str, Vec<String>)> {
    let plain = |text: &str| String::from_utf8(STANDARD.decode(text).expect("base64")).expect("text");
    vec![
        ("the password of the mail server", forms(SMTP)),
        ("the password of the database", forms(DATABASE)),
        ("the token", forms(TOKEN)),
        ("the secret of a job", forms(JOB)),
        ("the secret of a webhook", forms(&plain(WEBHOOK))),
        ("the secret of the notices", forms(&plain(NOTIFY))),
    ]
}

/// Looks through what can be seen.
struct Search {
    secrets: Vec<(&'static str, Vec<String>)>,
    found: Vec<String>,
    looked_at: usize,
}

impl Search {
    fn look(&mut self, place: &str, bytes: &[u8]) {
        self.looked_at += 1;
        // Whatever is no text stays apart from what is.
        let text = String::from_utf8_lossy(bytes);
        for (name, forms) in &self.secrets {
            for form in forms.iter().filter(|form| text.contains(*form)) {
                self.found.push(format!("{name} is in {place}, as {form:?}"));
            }
        }
    }

    /// Every file below.
    fn files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("listed").filter_map(Result::ok) {
            if entry.path().is_dir() {
                self.files(&entry.path());
            } else {
                self.look(&entry.path().display().to_string(), &std::fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
}

fn get(server: &Server, path: &str) -> Answer {
    get_as(server, path, TOKEN)
}

fn get_as(server: &Server, path: &str, token: &str) -> Answer {
    let (url, bearer) = (format!("{}{path}", server.url), format!("Bearer {token}"));
    let answer = ask(&agent(WATCHDOG), "GET", &url, &[("authorization", &bearer)], None);
    answer.unwrap_or_else(|error| panic!("{url}: {error}\n{}", server.log()))
}

fn enqueue(server: &Server, job: &str, payload: &Value) -> String {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = json!({ "payload": payload }).to_string();
    let answer = server.send("POST", &format!("/api/v1/jobs/{job}/runs"), &headers, body.as_bytes());
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}\n{}", server.log())).to_owned()
}

/// Waits until the run, or the log, tells this.
fn until_told(server: &Server, run: &str, wanted: &[&str]) {
    let began = Instant::now();
    loop {
        let told = format!("{}{}", get(server, &format!("/api/v1/runs/{run}")).text, server.log());
        if wanted.iter().any(|wanted| told.contains(wanted)) {
            return;
        }
        assert!(began.elapsed() < WATCHDOG, "nothing of {wanted:?}: {told}");
        pause();
    }
}

/// Makes everything that has a secret use it or fail, and gives the runs.
fn use_everywhere(server: &Server, mail: &MailServer, allowed: &Host, elsewhere: &Host) -> Vec<String> {
    for _ in 0..20 {
        mail.meet(Stage::SignIn, Act::Say("535 5.7.8 who are you"));
    }
    for (id, guest) in [
        ("asks", asking("asks", allowed, "(call $answer)")),
        ("asks-elsewhere", asking("asks-elsewhere", elsewhere, "(drop (call $ask)) (unreachable)")),
        ("panics", named(Guest::new("(unreachable)"), "panics")),
    ] {
        component::put(&server.hopper(), &format!("{id}.wasm"), &guest.component());
        let began = Instant::now();
        while get(server, &format!("/api/v1/jobs/{id}")).status != 200 {
            assert!(began.elapsed() < WATCHDOG, "{}", server.log());
            pause();
        }
    }
    let welcome = enqueue(server, "welcome-email", &json!({ "userId": "u", "email": "ada@example.com" }));
    let order = json!({ "orderId": "o_1", "customerEmail": "ada@example.com" });
    let purchase = enqueue(server, "purchase-confirmation", &order);
    let [asked, denied, panics] = ["asks", "asks-elsewhere", "panics"].map(|job| enqueue(server, job, &json!({})));
    until_told(server, &welcome, &["535", "mail server"]);
    until_told(server, &purchase, &["\"error\":{"]);
    // The host says the secret back, and the job is not told it.
    until_told(server, &asked, &["Bearer {{secret:token}}"]);
    until_told(server, &denied, &["\"denied\""]);
    until_told(server, &panics, &["\"trap\""]);
    for token in ["wrong-token-of-somebody-else", &TOKEN[1..]] {
        assert_eq!(get_as(server, "/api/v1/runs", token).status, 401);
    }
    let unsigned = server.send(
        "POST",
        "/webhooks/shop",
        &[("webhook-id", "m1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,AAAA")],
        b"{}",
    );
    assert!((400..500).contains(&unsigned.status), "{unsigned:?}");
    vec![welcome, purchase, asked, denied, panics]
}

/// The address of a route with what is there in place of its parameters.
fn filled(route: &str, run: &str) -> String {
    let of_runs = route.contains("/runs/");
    let filled = if of_runs { route.replacen("{id}", run, 1) } else { route.replacen("{id}", "panics", 1) };
    filled.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/")
}

/// Every address that may be read.
fn addresses(server: &Server, runs: &[String]) -> Vec<String> {
    let document = get(server, "/api/v1/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths").iter();
    let readable = paths.filter(|(path, it)| it["get"].is_object() && *path != "/api/v1/stream");
    let routes: Vec<String> = readable.map(|(path, _)| path.clone()).chain(PAGES.lines().map(str::to_owned)).collect();
    let mut addresses: Vec<String> =
        routes.iter().flat_map(|route| runs.iter().map(move |run| filled(route, run))).collect();
    for list in ["/api/v1/webhooks/deliveries", "/api/v1/dead", "/api/v1/tokens", "/api/v1/mail"] {
        let items = get(server, list).json()["items"].as_array().cloned().unwrap_or_default();
        let ids =
            items.iter().filter_map(|item| item["id"].as_str().or(item["fingerprint"].as_str()).map(str::to_owned));
        addresses.extend(ids.map(|id| format!("{list}/{id}")));
    }
    addresses.push("/metrics".to_owned());
    addresses.sort();
    addresses.dedup();
    addresses
}

#[test]
fn a_secret_gets_out_nowhere() {
    let mail = MailServer::start();
    let (allowed, elsewhere) = (Host::start(), Host::start());
    let mut server = Server::prepared(&["up", "-vv"], Some(&configuration(&mail, &allowed)));
    server.set_environment(vec![("RUST_LOG", OsString::from("trace"))]);
    server.restart();
    let runs = use_everywhere(&server, &mail, &allowed, &elsewhere);
    assert_eq!((allowed.told(), elsewhere.told()), (vec![format!("Bearer {JOB}")], Vec::new()));
    let mut search = Search { secrets: secrets(), found: Vec::new(), looked_at: 0 };
    for address in addresses(&server, &runs) {
        let answer = get(&server, &address);
        search.look(&address, format!("{:?}{}", answer.headers, answer.text).as_bytes());
    }
    for arguments in [&["config", "show"][..], &["config", "show", "-o", "json"], &["doctor"]] {
        let shown = jobmill(server.path()).args(arguments).output().expect("it starts");
        let place = format!("jobmill {}", arguments.join(" "));
        assert!(shown.stdout.len() > 100, "{place} shows nothing: {shown:?}");
        search.look(&place, &[shown.stdout, shown.stderr].concat());
    }
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    search.files(&server.data());
    let log = std::fs::read(server.path().join("jobmill.log")).expect("readable");
    assert!(log.windows(5).any(|word| word == b"TRACE"), "the log is not at its most talkative");
    search.look("the log", &log);
    assert!(search.looked_at > 60, "only {} places", search.looked_at);
    assert!(search.found.is_empty(), "{}", search.found.join("\n"));
    // The search itself finds what is there.
    let mut planted = Search { secrets: secrets(), found: Vec::new(), looked_at: 0 };
    planted.look("a login", STANDARD.encode(format!("\0shop\0{SMTP}")).as_bytes());
    assert_eq!(planted.found.len(), 1, "{:?}", planted.found);
}
