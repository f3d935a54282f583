//! The Monday morning: what died over the weekend is put back by the pages' own forms, without a script.
//! Whatever is sent stands on a page first: fields, values and choices are read from there.

use serde_json::{Value, json};

use crate::support::server::{Answer, Server};

/// Deaths by the mail server, and by orders that nobody has.
const BY_MAIL: usize = 40;
const BY_ORDER: usize = 20;
/// The shortest that the form offers.
const SPREAD: (&str, i64) = ("30s", 30_000);
/// Milliseconds.
const DAY: i64 = 86_400_000;

fn purchase(order: &str) -> Value {
    json!({ "orderId": order, "customerEmail": "user@example.com" })
}

/// A form as a page has it: where it is sent, and the fields that are filled in.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
    markup: String,
}

impl Form {
    /// The first form of a page that is sent there and of which `wanted` holds.
    fn on(page: &str, action: &str, wanted: impl Fn(&Self) -> bool) -> Self {
        let forms = page.split("<form ").skip(1).filter_map(|rest| rest.split("</form>").next());
        let named = forms.filter(|form| attribute(form, "action") == Some(action)).map(|form| Self {
            action: action.to_owned(),
            fields: form.split("<input type=\"hidden\" ").skip(1).filter_map(hidden).collect(),
            markup: form.to_owned(),
        });
        named.into_iter().find(|form| wanted(form)).unwrap_or_else(|| panic!("no such form to {action}: {page}"))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Picks one of the choices that the form offers.
    fn choose(mut self, name: &str, value: &str) -> Self {
        assert!(self.markup.contains(&format!("<select name=\"{name}\"")), "{}", self.markup);
        assert!(self.markup.contains(&format!("<option value=\"{value}\"")), "{}", self.markup);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its fields as a browser writes them; ids, names and keys need no escaping.
    fn body(&self) -> String {
        self.fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    fn get(&self, server: &Server) -> Answer {
        server.get(&format!("{}?{}", self.action, self.body()))
    }

    fn post(&self, server: &Server) -> Answer {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html"), ("origin", &*server.url)];
        server.send("POST", &self.action, &headers, self.body().as_bytes())
    }
}

fn attribute<'a>(markup: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = markup.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

fn hidden(input: &str) -> Option<(String, String)> {
    Some((attribute(input, "name")?.to_owned(), attribute(input, "value")?.to_owned()))
}

fn page(server: &Server, path: &str) -> String {
    let answer = server.get(path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.text
}

/// Enqueues them all, and waits until they are dead.
fn died(server: &Server, orders: impl Iterator<Item = String>) -> Vec<String> {
    let ids: Vec<String> = orders.map(|order| server.enqueue("purchase-confirmation", &purchase(&order))).collect();
    for id in &ids {
        assert_eq!(server.finished(id)["state"], "dead");
    }
    ids
}

/// Milliseconds since midnight.
fn millis(time: &Value) -> i64 {
    let text = time.as_str().expect("a time");
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
    ((number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23)
}

#[test]
fn a_weekend_of_dead_runs_is_put_back_by_forms_and_spread_over_a_while() {
    let server = Server::dev();
    server.post("/api/v1/mail/faults", &json!({ "fail_next": BY_MAIL, "kind": "permanent" }));
    let by_mail = died(&server, (0..BY_MAIL).map(|_| "order_123".to_owned()));
    let by_order = died(&server, (0..BY_ORDER).map(|number| format!("order_9{number}")));
    server.post("/api/v1/mail/faults", &json!({ "fail_next": 0, "kind": "transient" }));

    let desk = page(&server, "/dead");
    assert!(desk.contains("60 runs, 2 errors"), "{desk}");
    let of_mail = |form: &Form| form.markup.contains(&format!("Requeue {BY_MAIL} runs"));
    let group = Form::on(&desk, "/dead/requeue", of_mail);
    let (job, fingerprint) = (group.value("job").expect("a job"), group.value("fingerprint").expect("a group"));
    let runs = page(&server, &format!("/dead/{fingerprint}?job={job}"));
    assert!(by_mail.iter().all(|id| runs.contains(&format!("value=\"{id}\""))), "{runs}");

    let question = group.get(&server);
    assert!(question.text.contains(&format!("Requeue {BY_MAIL} runs?")), "{question:?}");
    assert_eq!(server.run_of(&by_mail[0])["state"], "dead", "the page changes nothing");
    let form = Form::on(&question.text, "/dead/requeue", |form| form.value("form_key").is_some());
    let done = form.choose("spread", SPREAD.0).post(&server);
    assert_eq!(done.status, 303, "{done:?}");
    let report = page(&server, done.header("location").expect("a way back"));
    assert!(report.contains(&format!("Requeued {BY_MAIL} of {BY_MAIL} runs.")), "{report}");

    let mut due: Vec<i64> = by_mail.iter().map(|id| millis(&server.run_of(id)["scheduled_at"])).collect();
    let first = due.iter().copied().min().expect("runs");
    if due.iter().any(|at| at - first > DAY / 2) {
        // Midnight came between: what is early in the day is due last.
        due.iter_mut().filter(|at| **at < DAY / 2).for_each(|at| *at += DAY);
    }
    due.sort_unstable();
    let step = SPREAD.1 / i64::try_from(BY_MAIL).expect("few");
    let even: Vec<i64> = (0..).map(|position| due[0] + position * step).take(BY_MAIL).collect();
    assert_eq!(due, even, "evenly, from the first to the last");
    for id in &by_mail {
        let run = server.finished(id);
        assert_eq!(run["state"], "completed", "{run:#}");
    }
    let left = page(&server, "/dead");
    assert!(left.contains("20 runs, one error"), "{left}");
    assert!(by_order.iter().all(|id| server.run_of(id)["state"] == "dead"), "the other group is as it was");
    let mails = server.mails();
    assert_eq!(mails.iter().filter(|mail| mail["status"] == "captured").count(), BY_MAIL, "each run sent one mail");
}
