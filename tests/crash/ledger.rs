//! Eight clients that enqueue, and their own record of what was answered, against which the runs are compared at the end.
//! It starts and stops nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::WATCHDOG;
use crate::support::random::Random;
use crate::support::server::{Answer, Server, agent, ask, pause};

const CLIENTS: u64 = 8;
/// How often, in a hundred, a client gives up on what was not answered.
const GIVES_UP: u64 = 10;

/// By which door the work comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// A welcome, with an `Idempotency-Key`.
    Run,
    /// A welcome, with a `unique_key` in the request.
    UniqueRun,
    /// An order, and then the event of its purchase, with an id.
    Event,
}

/// Something a client wants done once.
#[derive(Debug, Clone)]
struct Operation {
    /// Unique; also the local part of the address that the mail goes to.
    key: String,
    door: Door,
    /// Whether the order was answered; it must not be put again once its event may have arrived.
    has_order: bool,
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// Answered, with this run.
    Acknowledged(String),
    /// Never answered, and not asked for again: there may be a run or not.
    GivenUp,
}

/// There was no answer.
struct Gone;

struct Client {
    number: u64,
    count: u64,
    random: Random,
    unanswered: Option<Operation>,
    fates: Vec<(Operation, Fate)>,
    refusals: Vec<Answer>,
}

/// The clients and what they know.
pub(crate) struct Ledger {
    clients: Vec<Client>,
}

/// The clients at work.
pub(crate) struct Load {
    threads: Vec<JoinHandle<Client>>,
    stop: std::sync::Arc<AtomicBool>,
}

impl Operation {
    fn address(&self) -> String {
        format!("{}@example.com", self.key)
    }

    fn job(&self) -> &'static str {
        if self.door == Door::Event { "purchase-confirmation" } else { "welcome-email" }
    }

    /// Asks for it, as often as it is called the same thing.
    fn ask(&mut self, agent: &ureq::Agent, url: &str) -> Result<Answer, Gone> {
        let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
            let headers = [&[("content-type", "application/json")], headers].concat();
            let body = body.to_string();
            ask(agent, method, &format!("{url}{path}"), &headers, Some(body.as_bytes())).map_err(|_| Gone)
        };
        let welcome = json!({ "userId": self.key, "email": self.address() });
        match self.door {
            Door::Run => {
                let headers = [("idempotency-key", self.key.as_str())];
                send("POST", "/api/v1/jobs/welcome-email/runs", &headers, &json!({ "payload": welcome }))
            }
            Door::UniqueRun => {
                let body = json!({ "payload": welcome, "unique_key": self.key });
                send("POST", "/api/v1/jobs/welcome-email/runs", &[], &body)
            }
            Door::Event => {
                if !self.has_order {
                    let total = json!({ "minor": 1250, "currency": "EUR" });
                    let order =
                        json!({ "status": "paid", "customer_email": self.address(), "items": [], "total": total });
                    let answer = send("PUT", &format!("/api/v1/orders/{}", self.key), &[], &order)?;
                    if answer.status >= 300 {
                        return Ok(answer);
                    }
                    self.has_order = true;
                }
                let data = json!({ "orderId": self.key, "customerEmail": self.address() });
                let event = json!({ "name": "email/purchase-confirmation", "id": self.key, "data": data });
                send("POST", "/api/v1/events", &[], &event)
            }
        }
    }

    /// The run that an answer names.
    fn run_in(&self, answer: &Answer) -> String {
        let body = answer.json();
        let run = if self.door == Door::Event {
            let runs = body["events"][0]["runs"].as_array().expect("runs");
            assert_eq!(runs.len(), 1, "{body:#}");
            runs[0].clone()
        } else {
            body["id"].clone()
        };
        run.as_str().unwrap_or_else(|| panic!("no run id: {body:#}")).to_owned()
    }
}

impl Client {
    fn next(&mut self) -> Operation {
        let unanswered = self.unanswered.take();
        if let Some(operation) = unanswered {
            if !self.random.percent(GIVES_UP) {
                return operation;
            }
            self.fates.push((operation, Fate::GivenUp));
        }
        self.count += 1;
        let door = [Door::Run, Door::UniqueRun, Door::Event][usize::try_from(self.count % 3).expect("small")];
        Operation { key: format!("c{}-{}", self.number, self.count), door, has_order: false }
    }

    /// Up to `operations` of them, until the server is gone or `stop` is set.
    fn work(&mut self, url: &str, operations: usize, stop: &AtomicBool) {
        let agent = agent(Duration::from_secs(20));
        for _ in 0..operations {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let mut operation = self.next();
            match operation.ask(&agent, url) {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    let fate = Fate::Acknowledged(operation.run_in(&answer));
                    self.fates.push((operation, fate));
                }
                Ok(refused) => {
                    self.refusals.push(refused);
                    self.unanswered = Some(operation);
                    pause();
                }
                Err(Gone) => {
                    self.unanswered = Some(operation);
                    return;
                }
            }
        }
    }
}

impl Ledger {
    pub(crate) fn new(random: &mut Random) -> Self {
        let client = |number| Client {
            number,
            count: 0,
            random: random.split(),
            unanswered: None,
            fates: Vec::new(),
            refusals: Vec::new(),
        };
        Self { clients: (0..CLIENTS).map(client).collect() }
    }

    /// Sets all clients to work.
    pub(crate) fn begin(&mut self, url: &str, operations: usize) -> Load {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let threads = self.clients.drain(..).map(|mut client| {
            let (url, stop) = (url.to_owned(), stop.clone());
            std::thread::spawn(move || {
                client.work(&url, operations, &stop);
                client
            })
        });
        Load { threads: threads.collect(), stop }
    }

    /// Takes the clients back once each has done its part or lost its server.
    pub(crate) fn end(&mut self, load: Load) {
        self.clients = load.threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    }

    /// The same, and tells them to stop.
    pub(crate) fn stop(&mut self, load: Load) {
        load.stop.store(true, Ordering::Relaxed);
        self.end(load);
    }

    /// How much was answered so far.
    pub(crate) fn acknowledged(&self) -> usize {
        let fates = self.clients.iter().flat_map(|client| &client.fates);
        fates.filter(|(_, fate)| matches!(fate, Fate::Acknowledged(_))).count()
    }

    /// Answers that were neither 200 nor 202, which it forgets.
    pub(crate) fn take_refusals(&mut self) -> Vec<Answer> {
        self.clients.iter_mut().flat_map(|client| client.refusals.drain(..)).collect()
    }

    /// How many answered runs are not there.
    pub(crate) fn missing(&self, server: &Server) -> usize {
        let runs = pages(server, "/api/v1/runs");
        let there: BTreeSet<&str> = runs.iter().filter_map(|run| run["id"].as_str()).collect();
        let fates = self.clients.iter().flat_map(|client| &client.fates);
        fates.filter(|(_, fate)| matches!(fate, Fate::Acknowledged(id) if !there.contains(id.as_str()))).count()
    }

    /// Without faults: everything that was not answered is asked for again, and every run comes to its end.
    /// Then what there is and what was answered are one: each answered run once, none besides. Gives the runs by key.
    pub(crate) fn settle(&mut self, server: &Server) -> BTreeMap<String, Value> {
        let load = self.begin(&server.url, 1);
        self.end(load);
        assert!(self.clients.iter().all(|client| client.unanswered.is_none()), "not answered without a fault");
        assert!(self.take_refusals().is_empty(), "refused without a fault");
        all_final(server);
        let mut runs = BTreeMap::new();
        for run in pages(server, "/api/v1/runs") {
            let address = run["payload"]["email"].as_str().or(run["payload"]["customerEmail"].as_str());
            let key = address.and_then(|address| address.split('@').next()).unwrap_or_else(|| panic!("{run:#}"));
            if let Some(twin) = runs.insert(key.to_owned(), run.clone()) {
                panic!("{key} has two runs:\n{twin:#}\n{run:#}");
            }
        }
        let mut known = 0;
        for (operation, fate) in self.clients.iter().flat_map(|client| &client.fates) {
            let run = runs.get(&operation.key);
            known += usize::from(run.is_some());
            match (fate, run) {
                (Fate::GivenUp, None) => {}
                (_, None) => panic!("{operation:?} was answered and is missing"),
                (fate, Some(run)) => {
                    assert_eq!(run["job"], operation.job(), "{run:#}");
                    if let Fate::Acknowledged(id) = fate {
                        assert_eq!(&run["id"], id, "{operation:?} was answered with another run than it has: {run:#}");
                    }
                }
            }
        }
        assert_eq!(known, runs.len(), "there are runs that nobody asked for");
        runs
    }
}

impl Load {
    /// Whether all clients have done their part or lost their server.
    pub(crate) fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// Waits until no run has anything before it.
pub(crate) fn all_final(server: &Server) {
    let started = Instant::now();
    loop {
        let runs = &server.get("/api/v1/stats").json()["runs"];
        let open: u64 = ["scheduled", "available", "running", "retryable"]
            .map(|state| runs[state].as_u64().expect("a count"))
            .iter()
            .sum();
        if open == 0 {
            return;
        }
        assert!(started.elapsed() < WATCHDOG, "still {runs}");
        pause();
    }
}

/// All items of a listing.
pub(crate) fn pages(server: &Server, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("{path}?limit=200{cursor}")).json();
        items.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page:#}")).iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// Each run completed; every attempt before the last died with the engine, and none was lost count of.
/// Gives how many attempts died so.
pub(crate) fn all_completed(runs: &BTreeMap<String, Value>) -> usize {
    let mut failed = 0;
    for run in runs.values() {
        let attempts = run["attempts"].as_array().expect("attempts");
        assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(attempts.len())), "{run:#}");
        for (number, attempt) in attempts.iter().enumerate() {
            assert_eq!(attempt["number"], json!(number + 1), "{run:#}");
            if number + 1 < attempts.len() {
                assert_eq!(attempt["error"]["kind"], json!("host"), "{run:#}");
                failed += 1;
            }
        }
    }
    failed
}

/// Each run has one captured mail, to its own address, and no mail has another's `Message-ID`.
pub(crate) fn one_mail_each(server: &Server, runs: &BTreeMap<String, Value>) {
    let mails = pages(server, "/api/v1/mail");
    let ids: BTreeSet<&str> = mails.iter().filter_map(|mail| mail["message_id"].as_str()).collect();
    assert_eq!(ids.len(), mails.len(), "mails that share a Message-ID");
    let mut to: BTreeMap<&str, &Value> = BTreeMap::new();
    for mail in &mails {
        let key = mail["to"].as_str().and_then(|address| address.split('@').next()).expect("an address");
        if let Some(twin) = to.insert(key, mail) {
            panic!("{key} has two mails:\n{twin:#}\n{mail:#}");
        }
    }
    for (key, run) in runs {
        assert_eq!(to.remove(key.as_str()).map(|mail| &mail["run"]), Some(&run["id"]), "the mail of {run:#}");
    }
    assert!(to.is_empty(), "mails without a run: {to:?}");
}
