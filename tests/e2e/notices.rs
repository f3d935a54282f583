//! Whoever is on duty is told of dead runs by the real binary: by a webhook that the library of Standard Webhooks accepts, and
//! by mail.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::WATCHDOG;
use crate::support::node::script;
use crate::support::server::{Server, pause};
use crate::support::smtp::MailServer;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A message as it came in.
#[derive(Debug, Clone)]
struct Received {
    headers: BTreeMap<String, String>,
    body: String,
}

/// Who is on duty; it serves until the test process ends.
struct Duty {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Duty {
    /// Answers messages with these statuses in order, and every further one with 204.
    fn answering(statuses: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let duty = Self { address: listener.local_addr().expect("an address"), received: Arc::default() };
        let received = Arc::clone(&duty.received);
        std::thread::spawn(move || {
            let mut statuses: VecDeque<&str> = statuses.iter().copied().collect();
            for stream in listener.incoming().map_while(Result::ok) {
                let status = statuses.pop_front().unwrap_or("204 No Content");
                // Who breaks off has told nothing.
                if let Ok(message) = take(&stream, status) {
                    received.lock().expect("not poisoned").push(message);
                }
            }
        });
        duty
    }

    /// Waits until so many messages came.
    fn wait(&self, count: usize) -> Vec<Received> {
        let started = Instant::now();
        loop {
            let received = self.received.lock().expect("not poisoned").clone();
            if received.len() >= count {
                return received;
            }
            assert!(started.elapsed() < WATCHDOG, "only {} of {count} messages came", received.len());
            pause();
        }
    }
}

fn take(stream: &TcpStream, status: &str) -> std::io::Result<Received> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            // The request's own line has no colon with a space.
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut writer = stream;
    write!(writer, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?;
    Ok(Received { headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// What the sender's library reads in a message with this secret.
fn verified(message: &Received, secret: &str) -> Value {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &message.body).expect("written");
    let header = |name: &str| OsStr::new(&message.headers[name]);
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
    let signature = header("webhook-signature");
    let arguments = [OsStr::new(secret), file.path().as_os_str(), id, seconds, signature];
    script("standardwebhooks_verify", &arguments, &[])
}

fn configuration(mail: &MailServer, duty: &Duty) -> String {
    format!(
        "[mail]\nmode = \"smtp\"\nfrom = \"Shop <shop@example.com>\"\nsmtp = {{ url = \"smtp://{}\" }}\n\
         [notify]\nwebhook = \"http://{}/duty\"\nwebhook_secret = \"{SECRET}\"\nmail = [\"ops@example.com\"]\nspike = 3\n",
        mail.address, duty.address
    )
}

/// A run that ends dead: nobody has this order.
fn dead(server: &Server, order: &str) -> Value {
    let payload = json!({ "orderId": order, "customerEmail": "user@example.com" });
    let run = server.finished(&server.enqueue("purchase-confirmation", &payload));
    assert_eq!(run["state"], "dead", "{run:#}");
    run
}

#[test]
fn whoever_is_on_duty_hears_of_a_new_group_by_a_webhook_and_by_mail() {
    let (mail, duty) = (MailServer::start(), Duty::answering(&["503 Service Unavailable"]));
    let server = Server::up(&configuration(&mail, &duty));
    let run = dead(&server, "order_nobody_has");
    let received = duty.wait(2);
    let [first, again] = &received[..2] else { panic!("two: {received:?}") };
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"], "it was not taken, and came again");
    assert_eq!(first.body, again.body);

    let told = verified(again, SECRET);
    let told = &told["verified"];
    assert_eq!(told["type"], "dead.group_appeared", "{told:#}");
    let group = &told["data"]["groups"][0];
    let kept = |server: &Server| server.get("/api/v1/dead").json()["items"][0].clone();
    for member in ["job", "fingerprint", "kind", "count", "first_seen", "last_seen", "example"] {
        assert_eq!(group[member], kept(&server)[member], "{member}: {told:#}");
    }
    assert_eq!((&group["error"], &group["example"]), (&kept(&server)["message"], &run["id"]));
    let other = verified(again, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    assert!(other["refused"].is_string(), "{other:#}");

    let mails = mail.wait(1);
    let fingerprint = group["fingerprint"].as_str().expect("a text");
    for wanted in ["To: ops@example.com", "dead runs of purchase-confirmation", fingerprint] {
        assert!(mails[0].contains(wanted), "{wanted} is missing in\n{}", mails[0]);
    }
    let started = Instant::now();
    while kept(&server)["notified_at"].is_null() {
        assert!(started.elapsed() < WATCHDOG, "nobody was told: {:#}", kept(&server));
        pause();
    }
    let page = server.get("/system").text;
    assert!(page.contains("ops@example.com") && page.contains(fingerprint), "{page}");
    assert!(!page.contains("/duty\""), "the webhook's path can be a secret: {page}");
}

#[test]
fn a_restart_tells_again_what_nobody_took_and_nothing_else() {
    let (mail, duty) = (MailServer::start(), Duty::answering(&["500 Internal Server Error"; 4]));
    let mut server = Server::up(&configuration(&mail, &duty));
    dead(&server, "order_nobody_has");
    let first = duty.wait(1).remove(0);
    server.kill();
    let before = duty.wait(1).len();
    server.restart();
    let again = duty.wait(before + 1).remove(before);
    assert_eq!(first.headers["webhook-id"], again.headers["webhook-id"]);
    assert!(verified(&again, SECRET)["verified"].is_object());
}

#[test]
fn a_secret_that_is_none_is_refused_at_the_start() {
    let (mail, duty) = (MailServer::start(), Duty::answering(&[]));
    let configuration = configuration(&mail, &duty).replace(SECRET, "hunter2");
    let mut server = Server::prepared(&["up"], Some(&configuration));
    server.begin();
    assert_eq!(server.wait(), Some(2), "{}", server.log());
    let log = server.log();
    assert!(log.contains("notify.webhook_secret") && log.contains("openssl rand") && !log.contains("hunter2"), "{log}");
}
