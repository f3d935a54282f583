//! A mail and then a change to an order: kills between the two make neither twice.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::crash::kills::park;
use crate::crash::setting;
use crate::support::random::{Random, rounds};
use crate::support::server::Server;
use crate::support::smtp::{MailServer, Taken};

/// The latest moments of a kill after the mail, in microseconds: what follows is mostly done within the first.
const KILLED_WITHIN: [u64; 2] = [3_000, 30_000];

fn order() -> Value {
    let price = json!({ "minor": 1450, "currency": "EUR" });
    json!({ "status": "paid", "customer_email": "user@example.com", "items": [], "total": price })
}

/// Kills the engine once the mail to this customer was taken, or was answered, and starts it again.
fn kill_between(server: &mut Server, mail: &MailServer, random: &mut Random, to: &str) {
    let after_answer = random.percent(50);
    mail.until(|taken| taken.iter().any(|copy| copy.envelope[1].contains(to) && (copy.answered || !after_answer)));
    let within = KILLED_WITHIN[usize::from(random.percent(40))];
    park(Duration::from_micros(random.below(within)));
    server.kill();
    server.restart();
}

/// So many orders one after the other, each under a kill; gives each order and its completed run.
fn confirmed_under_kills(
    server: &mut Server,
    mail: &MailServer,
    random: &mut Random,
    prepare: impl Fn(&Server, &str),
) -> Vec<(String, Value)> {
    let mut runs = Vec::new();
    for number in 0..rounds("ORDER_KILLS", 20) {
        let (id, to) = (format!("order_{number}"), format!("u{number}@example.com"));
        prepare(server, &id);
        let run = server.enqueue("purchase-confirmation", &json!({ "orderId": id, "customerEmail": to }));
        kill_between(server, mail, random, &format!("<{to}>"));
        runs.push((id, to, run));
    }
    let (mut twice, mut died) = (0, 0);
    let confirm = |(id, to, run): (String, String, String)| {
        let run = server.finished(&run);
        assert_eq!(run["state"], "completed", "{run:#}");
        twice += copies_of_one_mail(mail, &to, &run) - 1;
        died += run["attempts"].as_array().expect("attempts").len() - 1;
        (id, run)
    };
    let confirmed: Vec<_> = runs.into_iter().map(confirm).collect();
    println!("{} kills, {died} attempts died of them; {twice} mails came twice", confirmed.len());
    assert!(died > 0, "no kill hit an attempt");
    confirmed
}

/// How often this run's mail came, always as the same one, and no more often than it was tried.
fn copies_of_one_mail(mail: &MailServer, to: &str, run: &Value) -> usize {
    let recipient = format!("RCPT TO:<{to}>");
    let copies: Vec<Taken> = mail.taken().into_iter().filter(|copy| copy.envelope[1] == recipient).collect();
    let attempts = run["attempts"].as_array().expect("attempts").len();
    assert!((1..=attempts).contains(&copies.len()), "{} copies: {run:#}", copies.len());
    for name in ["Message-ID", "Date"] {
        assert!(copies.iter().all(|copy| copy.header(name) == copies[0].header(name)), "{copies:#?}");
    }
    copies.len()
}

/// `ORDER_KILLS=200 cargo test -p jobmill-tests --test suite mail_orders` is the whole of it.
#[test]
fn an_order_is_fulfilled_once_and_its_mail_sent_once_over_kills_between_the_two() {
    let mut random = Random::of_this_run("mail and order");
    let mail = MailServer::start();
    let mut server = setting::sends(&mail);
    server.restart();
    let before = std::cell::RefCell::new(Vec::new());
    let runs = confirmed_under_kills(&mut server, &mail, &mut random, |server, id| {
        let put = server.put(&format!("/api/v1/orders/{id}"), &order());
        assert!(put.status < 300, "{put:?}");
        before.borrow_mut().push(server.order(id));
    });
    for ((id, run), before) in runs.iter().zip(before.into_inner()) {
        fulfilled_once(&before, &server.order(id), run);
    }
}

#[test]
fn a_shop_is_asked_to_fulfil_an_order_under_one_key_over_kills_between_mail_and_order() {
    let mut random = Random::of_this_run("mail and shop");
    let (mail, shop) = (MailServer::start(), Shop::start());
    let mut server = setting::prepared(&format!(
        r#"
[mail]
mode = "smtp"
from = "shop@example.com"
smtp = {{ url = "smtp://{}" }}
[orders]
source = "http"
[orders.http]
base_url = "http://{}/orders"
[jobs]
purchase-confirmation = {{ retries = 90, backoff = {{ kind = "fixed", delay = "20ms" }} }}
"#,
        mail.address, shop.address
    ));
    server.restart();
    let runs = confirmed_under_kills(&mut server, &mail, &mut random, |_, _| {});
    let changes = shop.changes.lock().expect("no panic");
    for (id, run) in &runs {
        let asked = changes.get(id).unwrap_or_else(|| panic!("{id} was not fulfilled: {run:#}"));
        assert!(asked.iter().all(|change| *change == asked[0]), "{id} under several keys: {asked:?}");
        assert_eq!(asked[0].body, "{\"status\":\"fulfilled\"}");
    }
    let keys: BTreeSet<&String> = changes.values().map(|asked| &asked[0].idempotency_key).collect();
    assert_eq!((changes.len(), keys.len()), (runs.len(), runs.len()), "orders that share a key");
    let asked: usize = changes.values().map(Vec::len).sum();
    println!("{asked} changes were asked for, of {} orders", runs.len());
}

/// A shop that has every order, paid until it is asked to change it. It keeps what it is asked, by order.
#[derive(Clone)]
struct Shop {
    address: SocketAddr,
    changes: Arc<Mutex<BTreeMap<String, Vec<Change>>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Change {
    idempotency_key: String,
    body: String,
}

impl Shop {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shop = Self { address: listener.local_addr().expect("an address"), changes: Arc::default() };
        let serving = shop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                // A client that breaks off ends its own connection only.
                std::thread::spawn(move || serving.answer(&stream));
            }
        });
        shop
    }

    /// Answers one request.
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut head = Vec::new();
        while head.last().is_none_or(|line| line != "\r\n") {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            head.push(line);
        }
        let header = |name: &str| {
            let named = |line: &String| line.split_once(": ").is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
            head.iter().find(|line| named(line)).and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim())
        };
        let mut body = String::new();
        reader
            .take(header("content-length").map_or(0, |n| n.parse().expect("a length")))
            .read_to_string(&mut body)
            .ok()?;
        let id = head[0].split_whitespace().nth(1)?.rsplit('/').next()?.to_owned();
        let mut changes = self.changes.lock().expect("no panic");
        if head[0].starts_with("PATCH") {
            let idempotency_key = header("idempotency-key").expect("a change has a key").to_owned();
            changes.entry(id.clone()).or_default().push(Change { idempotency_key, body });
        }
        let mut order = order();
        order["created_at"] = json!("2026-03-01T09:00:00Z");
        let asked = changes.get(&id).map_or(0, Vec::len);
        order["revision"] = json!(1 + asked.min(1));
        if asked > 0 {
            order["status"] = json!("fulfilled");
        }
        let body = order.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        (&mut &*stream).write_all(answer.as_bytes()).ok()
    }
}

/// The change was made once, however often it was asked for.
fn fulfilled_once(before: &Value, after: &Value, run: &Value) {
    assert_eq!(after["status"], "fulfilled", "{after:#}");
    let revision = |order: &Value| order["revision"].as_u64().expect("a number");
    assert_eq!(revision(after), revision(before) + 1, "{run:#}");
    let at = after["fulfilled_at"].as_str();
    assert!(at >= run["started_at"].as_str() && at <= run["finished_at"].as_str(), "{after:#}\n{run:#}");
}
