//! An engine with scripted jobs, its router, and what a caller sends and gets.
//! Answers are written out whole, with ids numbered in the order in which they appear, so that snapshots hold them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use jobmill_core::job::Overrides;
use jobmill_core::mail::InDoubt;
use jobmill_core::{JobOverrides, RunId, RunState, limits};
use jobmill_engine::{Engine, Handle, Settings};
use jobmill_server::{DevelopmentFaults, FaultKind, MailRoute, OnDuty, ServerSettings};
use jobmill_store::{LogStore, MemoryLog, Retention};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::conformance;
use crate::machine::{Counting, HandClock};
use crate::scripts::Scripts;

/// Longer than anything here takes: a test that hangs ends.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(20);

/// Runs that may wait, over all jobs.
pub(crate) const WAITING: u32 = 20;

/// What was asked to fail.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Mutex<Vec<(&'static str, u32, FaultKind)>>);

impl DevelopmentFaults for Faults {
    fn fail_mail(&self, count: u32, kind: FaultKind) {
        self.0.lock().expect("not poisoned").push(("mail", count, kind));
    }

    fn fail_orders(&self, count: u32, kind: FaultKind) {
        self.0.lock().expect("not poisoned").push(("orders", count, kind));
    }
}

pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) handle: Handle,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) log: MemoryLog,
    pub(crate) faults: Arc<Faults>,
    pub(crate) hopper: TempDir,
}

impl World {
    /// An engine that has loaded the three scripts, and a file that is none.
    pub(crate) async fn start() -> Self {
        Self::with(&["welcome-email", "flaky", "stuck", "garbage"]).await
    }

    /// An engine that has loaded these scripts.
    pub(crate) async fn with(scripts: &[&str]) -> Self {
        Self::started(Self::prepare(scripts)).await
    }

    /// An engine that has loaded this script, of which the operator says so.
    pub(crate) async fn overriding(script: &str, overrides: JobOverrides) -> Self {
        let jobs = BTreeMap::from([(script.parse().expect("a job id"), overrides)]);
        let overrides = Overrides { jobs, ..Overrides::default() };
        Self::started(Self::set_up(&[script], Retention::default(), overrides)).await
    }

    /// The same engine, once it has loaded what is in the hopper.
    async fn started((world, engine): (Self, Engine)) -> Self {
        tokio::spawn(engine.run());
        world.until(|world| world.handle.is_ready()).await;
        // Ready comes just before the hopper is watched; a file that changes in between would never be noticed.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        world
    }

    /// An engine that was not started.
    pub(crate) fn prepare(scripts: &[&str]) -> (Self, Engine) {
        Self::keeping(scripts, Retention::default())
    }

    /// The same, which keeps final runs only for so long.
    pub(crate) fn keeping(scripts: &[&str], retention: Retention) -> (Self, Engine) {
        Self::set_up(scripts, retention, Overrides::default())
    }

    fn set_up(scripts: &[&str], retention: Retention, overrides: Overrides) -> (Self, Engine) {
        let hopper = TempDir::new().expect("a directory");
        for script in scripts {
            std::fs::write(hopper.path().join(format!("{script}.wasm")), script).expect("a file");
        }
        let log = MemoryLog::new();
        let clock = Arc::new(HandClock::at("2026-03-01T09:00:00.007Z"));
        let settings = Settings {
            hopper: hopper.path().to_owned(),
            quiet: Duration::ZERO,
            concurrency: 2,
            shutdown_grace: Duration::ZERO,
            overrides,
            retention,
            queues: BTreeMap::from([("bulk".to_owned(), 3)]),
            waiting: WAITING,
            in_doubt: InDoubt::Park,
            event_id_window: limits::UNIQUE_WINDOW,
            auto_rollback: false,
        };
        let (engine, handle) = Engine::new(
            settings,
            Arc::new(LogStore::open(log.clone()).expect("an empty store")),
            Arc::new(Scripts),
            Arc::clone(&clock) as Arc<_>,
            Arc::new(Counting::default()),
        );
        let faults = Arc::new(Faults::default());
        let router = jobmill_server::router(handle.clone(), settings_with(Some(Arc::clone(&faults) as Arc<_>)));
        let world = Self { router, handle, clock, log, faults, hopper };
        (world, engine)
    }

    /// Ends when it is so. Only for what nothing announces.
    pub(crate) async fn until(&self, so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !so(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WATCHDOG, waiting).await.expect("it never came to be");
    }

    /// Ends when the run shows the state.
    pub(crate) async fn until_run_is(&self, id: &str, state: RunState) {
        let id: RunId = id.parse().expect("a run id");
        let mut changes = self.handle.changes();
        let waiting = async {
            loop {
                let record = self.handle.query().run(id).await.expect("the store works").expect("the run is there");
                if record.run.head.state == state {
                    return;
                }
                changes.recv().await.expect("the store is open");
            }
        };
        tokio::time::timeout(WATCHDOG, waiting).await.expect("the run never came to be so");
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(json(Method::POST, path, body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.send(json(Method::PUT, path, body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &str) -> Answer {
        self.send(json(Method::PATCH, path, body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(request(Method::DELETE, path).body(Body::empty()).expect("a request")).await
    }

    /// The same with a token.
    pub(crate) async fn get_with(&self, path: &str, secret: &str) -> Answer {
        let request = request(Method::GET, path).header(header::AUTHORIZATION, format!("Bearer {secret}"));
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    /// The same with a token.
    pub(crate) async fn post_with(&self, path: &str, body: &str, secret: &str) -> Answer {
        let mut request = json(Method::POST, path, body);
        let value = format!("Bearer {secret}").parse().expect("a header");
        request.headers_mut().insert(header::AUTHORIZATION, value);
        self.send(request).await
    }

    /// Makes the first token; answers its id and its secret.
    pub(crate) async fn token(&self, body: &str) -> (String, String) {
        let made = self.post("/api/v1/tokens", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let text = |pointer| made.json().pointer(pointer).and_then(Value::as_str).expect("a text").to_owned();
        (text("/token/id"), text("/secret"))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (request, sent) = readable(request).await;
        let answered = self.router.clone().oneshot(request);
        let response =
            tokio::time::timeout(WATCHDOG, answered).await.expect("the answer never came").expect("infallible");
        let (parts, body) = response.into_parts();
        // A stream has no end; what it says is for `stream`.
        let is_endless =
            parts.headers.get(header::CONTENT_TYPE).is_some_and(|media_type| media_type == "text/event-stream");
        let body = if is_endless { Body::empty() } else { body };
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8(bytes.into()).expect("UTF-8");
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        conformance::check(&method, &path, sent.as_deref(), &answer);
        answer
    }

    /// Enqueues and waits for the end; answers the run's id.
    pub(crate) async fn finish(&self, job: &str, payload: &str) -> String {
        let path = format!("/api/v1/jobs/{job}/runs?wait=1m");
        let answer = self.post(&path, &format!("{{\"payload\": {payload}}}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.id()
    }

    /// Enqueues; answers the run's id.
    pub(crate) async fn enqueue(&self, job: &str, payload: &str) -> String {
        let answer = self.post(&format!("/api/v1/jobs/{job}/runs"), &format!("{{\"payload\": {payload}}}")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.id()
    }
}

/// The same request, and the text of its body where the whole length was declared.
async fn readable(request: Request<Body>) -> (Request<Body>, Option<String>) {
    if request.body().size_hint().exact().is_none_or(|length| length == 0) {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(bytes.to_vec()).ok();
    (Request::from_parts(parts, Body::from(bytes)), text)
}

pub(crate) fn settings_with(faults: Option<Arc<dyn DevelopmentFaults>>) -> ServerSettings {
    ServerSettings {
        raw_mail: Arc::new(|mail| {
            Ok(format!("Subject: {}\r\n\r\n{}", mail.message.subject, mail.message.text).into_bytes())
        }),
        mail_outlet: None,
        alarms: Arc::new(|_| Vec::new()),
        faults,
        tokens: Vec::new(),
        webhooks: Vec::new(),
        mail_route: MailRoute::Captured,
        on_duty: OnDuty::default(),
        store_place: None,
    }
}

pub(crate) fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "localhost:8288")
}

pub(crate) fn json(method: Method, path: &str, body: &str) -> Request<Body> {
    let request = request(method, path).header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_owned())).expect("a request")
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().expect("an id").to_owned()
    }

    /// `code` of a refusal, with the pointers of what it is about.
    pub(crate) fn refusal(&self) -> String {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        let mut refusal = format!("{} {}", self.status.as_u16(), problem["code"].as_str().expect("a code"));
        for error in problem["errors"].as_array().into_iter().flatten() {
            refusal.push(' ');
            refusal.push_str(error["pointer"].as_str().expect("a pointer"));
        }
        refusal
    }

    /// Status, the headers that say something, and the body, with numbered ids.
    pub(crate) fn whole(&self) -> String {
        let mut text = format!("{}\n", self.status);
        for name in ["content-type", "location", "allow", "retry-after", "idempotency-replayed", "content-disposition"]
        {
            if let Some(value) = self.headers.get(name) {
                let _ = writeln!(text, "{name}: {}", value.to_str().expect("text"));
            }
        }
        let body = match serde_json::from_str::<Value>(&self.body) {
            Ok(value) => serde_json::to_string_pretty(&value).expect("JSON"),
            Err(_) => self.body.clone(),
        };
        number_ids(&format!("{text}\n{body}"))
    }
}

/// `run_01ABC…` becomes `run_1` for the first such id, `run_2` for the second.
pub(crate) fn number_ids(text: &str) -> String {
    let mut numbered = text.to_owned();
    for prefix in ["run_", "mail_", "evt_", "tok_", "dlv_", "aud_"] {
        let mut known: Vec<String> = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(prefix) {
            rest = &rest[at + prefix.len()..];
            let id: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
            if id.len() == 26 && !known.contains(&id) {
                known.push(id);
            }
        }
        for (position, id) in known.iter().enumerate() {
            let number = format!("{prefix}{}", position + 1);
            numbered = numbered.replace(&format!("{prefix}{id}"), &number);
            numbered = numbered.replace(&format!("{prefix}{}", id.to_lowercase()), &number);
        }
    }
    numbered
}
