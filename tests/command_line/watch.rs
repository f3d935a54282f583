//! Lists that go on: what is written when something changes, when the server goes away, and how they end.

use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::command_line::WELCOME;
use crate::support::WATCHDOG;
use crate::support::server::{Server, jobmill};

/// A command that goes on, and what it writes.
struct Watching {
    child: Child,
    data: Receiver<String>,
    notes: Receiver<String>,
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Watching {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut command = jobmill(server.path());
        command.args(["--server", &server.url]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let data = lines(child.stdout.take().expect("piped"));
        let notes = lines(child.stderr.take().expect("piped"));
        Self { child, data, notes }
    }

    /// The next line of data that has all of this in it.
    fn until(&self, parts: &[&str]) -> String {
        next(&self.data, parts)
    }

    /// Ctrl-C; how it ended.
    fn interrupt(&mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("signalled");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next(lines: &Receiver<String>, parts: &[&str]) -> String {
    let mut passed = Vec::new();
    loop {
        let line = lines.recv_timeout(WATCHDOG);
        let line = line.unwrap_or_else(|error| panic!("{parts:?}: {error} after {passed:#?}"));
        if parts.iter().all(|part| line.contains(part)) {
            return line;
        }
        passed.push(line);
    }
}

fn enqueue(server: &Server) -> String {
    server.enqueue("welcome-email", &serde_json::from_str(WELCOME).expect("JSON"))
}

#[test]
fn runs_are_told_as_they_change_until_ctrl_c_which_is_a_good_end() {
    let server = Server::dev();
    let first = enqueue(&server);
    server.finished(&first);
    let mut runs = Watching::start(&server, &["runs", "list", "--watch"]);
    let mut dead = Watching::start(&server, &["runs", "list", "-w", "--state", "dead", "-o", "jsonl"]);
    let mut completed = Watching::start(&server, &["-o", "jsonl", "runs", "list", "-w", "--event", "email/welcome"]);
    runs.until(&["RUN", "STATE"]);
    runs.until(&[&first, "completed"]);
    let second = enqueue(&server);
    runs.until(&[&second, "✓ completed", "welcome-email"]);
    // Nothing tells from outside that the others listen: each is given runs until it tells of one.
    let unknown = json!({ "orderId": "nowhere", "customerEmail": "a@example.com" });
    let told: Value = until_told(&dead, || drop(server.enqueue("purchase-confirmation", &unknown)));
    assert_eq!((&told["state"], &told["job"]), (&json!("dead"), &json!("purchase-confirmation")));
    let welcome: Value = serde_json::from_str(WELCOME).expect("JSON");
    let told = until_told(&completed, || {
        server.post("/api/v1/events", &json!({ "name": "email/welcome", "data": welcome }));
    });
    assert!(told["event_id"].is_string() && told["payload"] == welcome, "{told:#}");
    assert_eq!([runs.interrupt(), dead.interrupt(), completed.interrupt()], [Some(0); 3]);
}

/// Makes something happen until it is told of.
fn until_told(watching: &Watching, happen: impl Fn()) -> Value {
    let deadline = std::time::Instant::now() + WATCHDOG;
    loop {
        happen();
        if let Ok(line) = watching.data.recv_timeout(std::time::Duration::from_secs(1)) {
            return serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
        assert!(std::time::Instant::now() < deadline, "it was never told");
    }
}

#[test]
fn other_lists_are_written_again_when_they_are_others() {
    let server = Server::dev();
    let mut queues = Watching::start(&server, &["queues", "list", "--watch"]);
    queues.until(&["QUEUE", "STATUS"]);
    queues.until(&["default", "open"]);
    assert!(server.run(&["queues", "pause", "default"]).status.success());
    queues.until(&["QUEUE", "STATUS"]);
    queues.until(&["default", "paused by"]);
    assert_eq!(queues.interrupt(), Some(0));
    let mut mail = Watching::start(&server, &["mail", "list", "--watch", "-o", "jsonl"]);
    server.post("/api/v1/queues/default/resume", &json!({}));
    let run = enqueue(&server);
    mail.until(&[&run, "ada@example.com"]);
    assert_eq!(mail.interrupt(), Some(0));
}

#[test]
fn a_server_that_goes_away_is_said_once_and_heard_again_when_it_is_back() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let mut server = Server::start(&["dev", "--listen", &format!("127.0.0.1:{port}")], None);
    server.finished(&enqueue(&server));
    let mut runs = Watching::start(&server, &["runs", "list", "--watch"]);
    runs.until(&["RUN", "STATE"]);
    server.kill();
    next(&runs.notes, &["no Jobmill server answers", "asked again"]);
    server.restart();
    next(&runs.notes, &["the server is back"]);
    let run = enqueue(&server);
    runs.until(&[&run, "completed"]);
    assert_eq!(runs.interrupt(), Some(0));
}

#[test]
fn a_list_without_an_end_is_no_one_document_and_a_server_that_was_never_there_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| jobmill(directory.path()).args(arguments).output().expect("it starts");
    let document = run(&["runs", "list", "--watch", "-o", "json"]);
    super::assert_refused(&document, 2, &["endless-document", "-o jsonl"]);
    let nobody = run(&["--server", "http://127.0.0.1:9", "queues", "list", "--watch"]);
    super::assert_refused(&nobody, 5, &["server-unreachable"]);
}
