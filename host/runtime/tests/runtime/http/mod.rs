//! Requests of jobs: where they may go, what they carry, and that what changes something is done once for the run.
//! What stands on the line and how answers are bounded is tested where requests are sent.

mod web;

use std::collections::BTreeMap;

use jobmill_core::job::allow::Allow;
use jobmill_core::job::{Limit, Sandbox, SandboxLimits};
use jobmill_core::journal::{EntryKind, LogLine};
use jobmill_core::{FailureKind, Outcome};
use jobmill_engine::Stop;

use crate::ask::{Ask, Method};
use crate::bench::{Bench, TIMEOUT};
use crate::guest::Guest;
pub(crate) use web::{Names, SECRET};
use web::{Server, answer, header};

/// Asks, and fails its first two attempts all the same.
const ASK_AND_FAIL_TWICE: &str = "(drop (call $answer))
    (if (i32.lt_u (local.get $attempt) (i32.const 3))
      (then (return (call $fail (i32.const 0) (i32.const 2048) (i32.const 2)))))
    (call $answer_again)";

fn allowing(hosts: &[&str]) -> Sandbox {
    let http = hosts.iter().map(|host| host.parse().expect("a host")).collect();
    Sandbox { allow: Allow { http, ..Allow::default() }, ..Sandbox::default() }
}

fn bench(server: &Server) -> Bench {
    Bench::in_sandbox(allowing(&[&format!("http://{}", server.authority)]))
}

/// The output of a run's one attempt.
async fn output(bench: &Bench, guest: &Guest) -> String {
    match bench.first_attempt(guest).await {
        Outcome::Completed { output: Some(output) } => output.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The same, and what the run's log says.
async fn logged(bench: &Bench, guest: &Guest) -> (Outcome, String) {
    let loaded = bench.load(guest).await;
    bench.enqueue("{}").await;
    let (outcome, context) = loaded.runner.run(bench.claim().await, TIMEOUT, Stop::default()).await;
    let lines: Vec<String> = context.into_remainder().log.into_iter().map(|LogLine { message, .. }| message).collect();
    (outcome, lines.join("\n"))
}

/// What an error of `wasi:http` comes to in the guest.
fn error(code: u32) -> String {
    (1000 + code).to_string()
}

const IP_PROHIBITED: u32 = 4;
const DNS_ERROR: u32 = 1;
const REFUSED: u32 = 6;
const DENIED: u32 = 15;
const METHOD_INVALID: u32 = 18;
const URI_INVALID: u32 = 19;
const RESPONSE_BODY_SIZE: u32 = 28;

#[tokio::test]
async fn a_request_to_an_allowed_host_is_answered() {
    let server = Server::answering(&[&answer(200, "", r#"{"open":2}"#)]).await;
    let ask = Ask { path: "/orders?open=1", header: Some(("x-a", "b")), ..Ask::get(&server.authority) };
    assert_eq!(output(&bench(&server), &ask.guest("(call $answer)")).await, r#"{"open":2}"#);
    let requests = server.requests();
    assert!(requests[0].starts_with("GET /orders?open=1 HTTP/1.1\r\n"), "{requests:?}");
    assert_eq!(header(&requests[0], "x-a"), Some("b"));
    assert!(header(&requests[0], "user-agent").is_some_and(|name| name.starts_with("jobmill/")));
    assert_eq!(header(&requests[0], "idempotency-key"), None);
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_denied_with_the_line_that_would_allow_it() {
    let server = Server::answering(&[]).await;
    let guest = Ask::get(&server.authority)
        .guest("(drop (call $ask)) (call $fail (i32.const 1) (i32.const 2048) (i32.const 2))");
    let (outcome, log) = logged(&Bench::new(), &guest).await;
    let line = format!("[jobs.guest.allow] http = [\"http://{}\"]", server.authority);
    let Outcome::Failed { error, retry_after: None } = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.kind, FailureKind::Denied);
    assert!(error.message.contains(&line) && log.contains(&line), "{error:?} {log}");
    assert!(server.requests().is_empty());
    assert_eq!(output(&Bench::new(), &Ask::get(&server.authority).guest("(call $answer)")).await, self::error(DENIED));
}

#[tokio::test]
async fn names_that_lead_into_private_networks_are_denied() {
    for host in ["private.example", "mixed.example"] {
        let bench = Bench::in_sandbox(allowing(&["*.example"]));
        let guest = Ask { is_tls: true, ..Ask::get(host) }.guest("(call $answer)");
        let (outcome, log) = logged(&bench, &guest).await;
        let Outcome::Completed { output: Some(output) } = outcome else { panic!("{outcome:?}") };
        assert_eq!(output.as_str(), error(IP_PROHIBITED));
        assert!(log.contains("is not allowed for guest") && log.contains(host), "{log}");
    }
}

#[tokio::test]
async fn what_gets_no_answer_is_told() {
    let bench = Bench::in_sandbox(allowing(&["nowhere.example", "http://127.0.0.1:9"]));
    let (_, log) = logged(&bench, &Ask { is_tls: true, ..Ask::get("nowhere.example") }.guest("(call $answer)")).await;
    assert!(log.contains("nowhere.example is not found"), "{log}");
    let unknown = Ask { is_tls: true, ..Ask::get("nowhere.example") }.guest("(call $answer)");
    assert_eq!(output(&bench, &unknown).await, error(DNS_ERROR));
    assert_eq!(output(&bench, &Ask::get("127.0.0.1:9").guest("(call $answer)")).await, error(REFUSED));
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let bench = Bench::in_sandbox(allowing(&["http://127.0.0.1:9"]));
    let user = Ask::get("user:password@127.0.0.1:9").guest("(call $answer)");
    assert_eq!(output(&bench, &user).await, error(URI_INVALID));
    let trace = Ask { method: Method::Trace, ..Ask::get("127.0.0.1:9") }.guest("(call $answer)");
    assert_eq!(output(&bench, &trace).await, error(METHOD_INVALID));
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    let server = Server::answering(&[&answer(302, "location: /other\r\n", "")]).await;
    assert_eq!(output(&bench(&server), &Ask::get(&server.authority).guest("(call $answer)")).await, "302");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn answers_and_requests_keep_within_the_limits_of_the_job() {
    let server = Server::answering(&[&answer(200, "", &"1".repeat(101))]).await;
    let limits = SandboxLimits::default().with(Limit::HttpResponse, 100).with(Limit::HttpRequests, 1);
    let sandbox = Sandbox { limits, ..allowing(&[&format!("http://{}", server.authority)]) };
    let bench = Bench::in_sandbox(sandbox);
    let ask = Ask::get(&server.authority);
    assert_eq!(output(&bench, &ask.guest("(call $answer)")).await, error(RESPONSE_BODY_SIZE));
    let outcome = bench.first_attempt(&ask.guest("(drop (call $ask)) (call $answer)")).await;
    let Outcome::Failed { error, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.kind, FailureKind::Limit);
    assert!(error.message.contains("more than 1 HTTP requests (limits.http_requests)"), "{error:?}");
}

#[tokio::test]
async fn a_secret_is_put_in_on_the_way_out_and_nowhere_else() {
    let echo = format!("\"you are {SECRET}\"");
    let server = Server::answering(&[&answer(200, "", &echo)]).await;
    let ask = Ask { header: Some(("authorization", "Bearer {{secret:token}}")), ..Ask::post(&server.authority, "{}") };
    let bench = bench(&server);
    let loaded = bench.load(&ask.guest("(call $answer)")).await;
    let run = bench.enqueue("{}").await;
    // What the host answers repeats it, and the job gets the placeholder.
    assert_eq!(crate::bench::output(&bench.attempt(&loaded).await), "\"you are {{secret:token}}\"");
    assert_eq!(header(&server.requests()[0], "authorization"), Some(format!("Bearer {SECRET}").as_str()));
    let journal = bench.record(run).await.journal;
    let kept = journal.iter().find_map(|entry| match &entry.kind {
        EntryKind::HttpSettled { answer: Some(answer), .. } => Some(answer.body.clone()),
        _ => None,
    });
    assert_eq!(kept.expect("kept"), b"\"you are {{secret:token}}\"");
    assert!(!format!("{journal:?}").contains(SECRET));
}

#[tokio::test]
async fn unknown_secrets_and_secrets_in_the_clear_are_denied() {
    let server = Server::answering(&[]).await;
    let unknown = Ask { header: Some(("authorization", "{{secret:other}}")), ..Ask::get(&server.authority) };
    let (_, log) = logged(&bench(&server), &unknown.guest("(call $answer)")).await;
    assert!(log.contains("[secrets.guest] \"other\" = "), "{log}");
    assert!(server.requests().is_empty());
    let bench = Bench::in_sandbox(allowing(&["http://open.example"]));
    let open = Ask { header: Some(("authorization", "{{secret:token}}")), ..Ask::get("open.example") };
    let (outcome, log) = logged(&bench, &open.guest("(call $answer)")).await;
    let Outcome::Completed { output: Some(output) } = outcome else { panic!("{outcome:?}") };
    assert_eq!(output.as_str(), error(DENIED));
    assert!(log.contains("https") && !log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn what_changes_something_is_sent_once_for_the_run() {
    let server =
        Server::answering(&[&answer(201, "location: /orders/7\r\n", r#""first""#), &answer(200, "", r#""second""#)])
            .await;
    let guest = Ask::post(&server.authority, r#"{"a":1}"#)
        .guest(ASK_AND_FAIL_TWICE)
        .item("(func $answer_again (result i32) (call $answer))");
    let bench = bench(&server);
    let loaded = bench.load(&guest).await;
    let run = bench.enqueue("{}").await;
    for _ in 0..2 {
        assert!(matches!(bench.attempt(&loaded).await, Outcome::Failed { .. }));
    }
    // The first of an attempt is the first of every attempt; its second is another request.
    let Outcome::Completed { output: Some(output) } = bench.attempt(&loaded).await else { panic!("completed") };
    assert_eq!(output.as_str(), r#""second""#);
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    let keys: Vec<_> = requests.iter().map(|request| header(request, "idempotency-key").expect("a key")).collect();
    assert_ne!(keys[0], keys[1]);
    let journal = bench.record(run).await.journal;
    let told: Vec<String> = journal.iter().filter_map(|entry| http_entry(&entry.kind)).collect();
    let url = format!("intended POST http://{}/", server.authority);
    assert_eq!(told, [&url, "settled Some(201) None", &url, "settled Some(200) None"]);
}

fn http_entry(kind: &EntryKind) -> Option<String> {
    match kind {
        EntryKind::HttpIntended { method, url, .. } => Some(format!("intended {method} {url}")),
        EntryKind::HttpSettled { status, error, .. } => Some(format!("settled {status:?} {error:?}")),
        _ => None,
    }
}

#[tokio::test]
async fn an_answer_is_kept_for_later_attempts() {
    let server = Server::answering(&[&answer(201, "", r#""first""#)]).await;
    let guest = Ask::post(&server.authority, "{}").guest(
        "(local $made i32)
         (local.set $made (call $answer))
         (if (i32.eq (local.get $attempt) (i32.const 1))
           (then (return (call $fail (i32.const 0) (i32.const 2048) (i32.const 2)))))
         (local.get $made)",
    );
    let bench = bench(&server);
    let loaded = bench.load(&guest).await;
    bench.enqueue("{}").await;
    assert!(matches!(bench.attempt(&loaded).await, Outcome::Failed { .. }));
    let Outcome::Completed { output: Some(output) } = bench.attempt(&loaded).await else { panic!("completed") };
    assert_eq!(output.as_str(), r#""first""#);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_was_refused_or_is_in_doubt_is_sent_again_under_the_same_key() {
    for (first, in_doubt) in [(answer(503, "", ""), false), (answer(404, "", ""), false), (String::new(), true)] {
        let server = Server::answering(&[&first, &answer(200, "", r#""done""#)]).await;
        let guest = Ask::post(&server.authority, "{}").guest(
            "(local $made i32)
             (local.set $made (call $answer))
             (if (i32.eq (local.get $attempt) (i32.const 1))
               (then (return (call $fail (i32.const 0) (i32.const 2048) (i32.const 2)))))
             (local.get $made)",
        );
        let bench = bench(&server);
        let loaded = bench.load(&guest).await;
        let run = bench.enqueue("{}").await;
        assert!(matches!(bench.attempt(&loaded).await, Outcome::Failed { .. }));
        let Outcome::Completed { output: Some(output) } = bench.attempt(&loaded).await else { panic!("completed") };
        assert_eq!(output.as_str(), r#""done""#);
        let requests = server.requests();
        let keys: Vec<_> = requests.iter().map(|request| header(request, "idempotency-key").expect("a key")).collect();
        assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
        let journal = format!("{:?}", bench.record(run).await.journal);
        assert_eq!(journal.contains("may have been sent before"), in_doubt, "{journal}");
    }
}

#[tokio::test]
async fn a_trial_sends_what_only_reads_and_rehearses_the_rest() {
    let server = Server::answering(&[&answer(200, "", r#""read""#)]).await;
    let bench = bench(&server);
    let loaded = bench.load(&Ask::post(&server.authority, "{}").guest("(call $answer)")).await;
    bench.enqueue("{}").await;
    let (outcome, entries) = bench.trial(&loaded).await;
    let Outcome::Completed { output: Some(output) } = outcome else { panic!("{outcome:?}") };
    assert_eq!((output.as_str(), server.requests().len()), ("200", 0));
    assert_eq!(entries.iter().filter_map(http_entry).count(), 2);
    let loaded = bench.load(&Ask::get(&server.authority).guest("(call $answer)")).await;
    bench.enqueue("{}").await;
    let (outcome, _) = bench.trial(&loaded).await;
    let Outcome::Completed { output: Some(output) } = outcome else { panic!("{outcome:?}") };
    assert_eq!((output.as_str(), server.requests().len()), (r#""read""#, 1));
}

#[tokio::test]
async fn a_job_reads_its_settings() {
    let guest = Guest::new(
        "(call $get (i32.const 2048) (i32.const 4) (i32.const 4096))
         (if (i32.eqz (i32.load8_u (i32.const 4100))) (then (return (call $done))))
         (call $output (i32.load (i32.const 4104)) (i32.load (i32.const 4108)))",
    )
    .data(2048, "size")
    .import_from("wasi:config/store@0.2.0-rc.1", "get", "$get", "(param i32 i32 i32)");
    let config = BTreeMap::from([("size".to_owned(), "50".to_owned())]);
    assert_eq!(output(&Bench::in_sandbox(Sandbox { config, ..Sandbox::default() }), &guest).await, "50");
    assert_eq!(Bench::new().first_attempt(&guest).await, Outcome::Completed { output: None });
}

#[tokio::test]
async fn describe_sends_nothing() {
    let server = Server::answering(&[]).await;
    let guest = Ask::get(&server.authority).guest("(call $answer)").describing("(drop (call $ask)) (i32.const 256)");
    let refusal = bench(&server).refusal(guest.component()).await;
    assert!(refusal.contains("not available to describe"), "{refusal}");
    assert!(server.requests().is_empty());
}
