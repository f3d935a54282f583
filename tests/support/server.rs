//! The binary as a child process that serves, and requests to it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{WATCHDOG, binary, component};

/// A served answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The stable code of an error.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A directory with a hopper and a place for data, and the binary serving from it.
pub(crate) struct Server {
    pub(crate) directory: TempDir,
    pub(crate) url: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    process: Option<Process>,
}

/// The running binary, and what it prints.
struct Process {
    child: Child,
    /// Behind a lock only so that threads can share the server.
    lines: Mutex<mpsc::Receiver<String>>,
}

/// A jobmill command in `directory`, with none of this process's own settings.
pub(crate) fn jobmill(directory: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JOBMILL_")) {
        command.env_remove(name);
    }
    command
}

impl Server {
    /// `jobmill dev` with the three jobs.
    pub(crate) fn dev() -> Self {
        Self::start(&["dev"], None)
    }

    /// `jobmill up` with the three jobs and this configuration.
    pub(crate) fn up(configuration: &str) -> Self {
        Self::start(&["up"], Some(configuration))
    }

    pub(crate) fn start(arguments: &[&str], configuration: Option<&str>) -> Self {
        let mut server = Self::prepared(arguments, configuration);
        server.restart();
        server
    }

    /// Everything is in its place, and nothing runs yet.
    pub(crate) fn prepared(arguments: &[&str], configuration: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        component::fill(&directory.path().join("hopper"));
        if let Some(configuration) = configuration {
            std::fs::write(directory.path().join("jobmill.toml"), configuration).expect("written");
        }
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        if !arguments.iter().any(|argument| argument == "--listen") {
            arguments.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
        }
        Self { directory, url: String::new(), arguments, environment: Vec::new(), process: None }
    }

    /// The variables of the next starts, beside those of this process.
    pub(crate) fn set_environment(&mut self, environment: Vec<(&'static str, OsString)>) {
        self.environment = environment;
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn hopper(&self) -> PathBuf {
        self.path().join("hopper")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join(".jobmill")
    }

    fn child(&mut self) -> &mut Child {
        &mut self.process.as_mut().expect("it was started").child
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().expect("it was started").child.id()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child().kill().expect("killed");
        self.child().wait().expect("reaped");
    }

    /// Starts it on the same directory, without waiting until it serves.
    pub(crate) fn begin(&mut self) {
        self.process = Some(spawn(self.directory.path(), &self.arguments, &self.environment));
    }

    /// Waits until it serves; else says what happened.
    pub(crate) fn ready(&mut self, within: Duration) -> Result<(), String> {
        let started = Instant::now();
        let process = self.process.as_mut().expect("it was started");
        let lines = process.lines.get_mut().expect("not poisoned");
        while let Ok(line) = lines.recv_timeout(within.saturating_sub(started.elapsed())) {
            if let Some(at) = line.find("http://127.0.0.1:") {
                let url: String =
                    line[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || ":/.".contains(*c)).collect();
                url.trim_end_matches('/').clone_into(&mut self.url);
                return self.jobs_are_loaded(within.saturating_sub(started.elapsed()));
            }
        }
        let ended = self.ended();
        let log = self.log();
        Err(format!("it never printed its URL; it ended: {ended:?}, after {:?}\n{log}", started.elapsed()))
    }

    /// Waits for what lies in the hopper: on a busy machine compiling it may take longer than the greeting waits.
    fn jobs_are_loaded(&self, within: Duration) -> Result<(), String> {
        let started = Instant::now();
        let files = std::fs::read_dir(self.hopper()).into_iter().flatten().filter_map(Result::ok);
        if files.filter(|file| file.path().extension().is_some_and(|kind| kind == "wasm")).count() == 0 {
            return Ok(());
        }
        let url = format!("{}/api/v1/jobs", self.url);
        loop {
            let left = within.saturating_sub(started.elapsed());
            match ask(&agent(left), "GET", &url, &[], None) {
                Ok(answer) if answer.status == 200 && answer.json()["items"] == json!([]) => {}
                // Without a token nobody may look.
                Ok(_) => return Ok(()),
                Err(error) => return Err(format!("{url}: {error}\n{}", self.log())),
            }
            if left.is_zero() {
                return Err(format!("no job was loaded within {within:?}\n{}", self.log()));
            }
            pause();
        }
    }

    /// Starts it on the same directory and waits until it serves.
    pub(crate) fn restart(&mut self) {
        self.begin();
        if let Err(reason) = self.ready(WATCHDOG) {
            panic!("{reason}");
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child().try_wait().expect("waitable")
    }

    /// The end of what it printed since the first start.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path().join("jobmill.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.process_id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(id, signal).expect("signalled");
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Its exit code, once it has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.wait_for_end().code()
    }

    /// How it ended, once it has.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(started.elapsed() < WATCHDOG, "it did not stop");
            pause();
        }
    }

    /// A command against this server.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        jobmill(self.path()).args(["--server", &self.url]).args(arguments).output().expect("it starts")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request("GET", &format!("{}{path}", self.url), &[], None)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        request("DELETE", &format!("{}{path}", self.url), &[], None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(method, &format!("{}{path}", self.url), headers, Some(body))
    }

    /// Enqueues a run and gives its id.
    pub(crate) fn enqueue(&self, job: &str, payload: &Value) -> String {
        let answer = self.post(&format!("/api/v1/jobs/{job}/runs"), &json!({ "payload": payload }));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn run_of(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/runs/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The run, if there is an answer in time.
    pub(crate) fn run_if_served(&self, id: &str, within: Duration) -> Option<Value> {
        let url = format!("{}/api/v1/runs/{id}", self.url);
        ask(&agent(within), "GET", &url, &[], None).ok().map(|answer| answer.json())
    }

    /// The run once `wanted` holds of it.
    pub(crate) fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let run = self.run_of(id);
            if wanted(&run) {
                return run;
            }
            assert!(started.elapsed() < WATCHDOG, "still {run:#}");
            pause();
        }
    }

    /// The run once it is final.
    pub(crate) fn finished(&self, id: &str) -> Value {
        self.until(id, |run| matches!(run["state"].as_str(), Some("completed" | "dead" | "cancelled")))
    }

    pub(crate) fn mails(&self) -> Vec<Value> {
        self.get("/api/v1/mail?limit=200").json()["items"].as_array().expect("items").clone()
    }

    pub(crate) fn order(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/orders/{id}")).json()
    }

    /// The job's listing once `wanted` holds of it.
    pub(crate) fn until_job(&self, job: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let listing = self.get(&format!("/api/v1/jobs/{job}"));
            if listing.status == 200 && wanted(&listing.json()) {
                return listing.json();
            }
            assert!(started.elapsed() < WATCHDOG, "still {listing:?}");
            pause();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A child that has ended already is no concern here.
        if let Some(Process { child, .. }) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Between two looks at something that no event tells of from outside.
pub(crate) fn pause() {
    std::thread::park_timeout(Duration::from_millis(10));
}

fn spawn(directory: &Path, arguments: &[String], environment: &[(&'static str, OsString)]) -> Process {
    let log = directory.join("jobmill.log");
    let mut child = jobmill(directory)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (sender, lines) = mpsc::channel();
    let streams: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    for stream in streams {
        let (sender, mut log) = (sender.clone(), File::options().create(true).append(true).open(&log).expect("opened"));
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = std::io::Write::write_all(&mut log, format!("{line}\n").as_bytes());
                let _ = sender.send(line);
            }
        });
    }
    Process { child, lines: Mutex::new(lines) }
}

/// A client that keeps its connections and waits no longer than this for an answer.
pub(crate) fn agent(patience: Duration) -> ureq::Agent {
    let configuration = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    configuration.timeout_global(Some(patience)).build().new_agent()
}

fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
    ask(&agent(WATCHDOG), method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// The answer, whatever it says; an error when there is none.
pub(crate) fn ask(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<Answer, ureq::Error> {
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let mut response = match body {
        Some(body) => agent.run(builder.body(body.to_vec()).expect("a request")),
        None => agent.run(builder.body(()).expect("a request")),
    }?;
    let headers = response.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
    let status = response.status().as_u16();
    Ok(Answer { status, headers, text: response.body_mut().read_to_string()? })
}
