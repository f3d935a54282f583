//! Where bars are placed and what rows say, for journals written by hand.
//! How they look on the page is tested with the routes.

use std::sync::Arc;

use jobmill_core::journal::Enqueued;
use jobmill_core::mail::{Mail, Mailbox, Message};
use jobmill_core::order::OrderStatus;
use jobmill_core::{AttemptError, FailureKind, Json, Run, RunId};

use super::*;

/// When everything begins.
const BEGIN: u64 = 1_772_355_600_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + millis)
}

fn entry(millis: u64, kind: EntryKind) -> Entry {
    Entry { at: at(millis), kind }
}

fn enqueued() -> Entry {
    let enqueued = Enqueued {
        job: "shop".parse().expect("a job id"),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::empty_object(),
        max_attempts: 4,
        scheduled_at: at(0),
        event: None,
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        rerun_of: None,
        terms: None,
    };
    entry(0, EntryKind::Enqueued(Box::new(enqueued)))
}

fn started(millis: u64, attempt: u32, component: &str) -> Entry {
    let version = Version::of(component.as_bytes());
    entry(millis, EntryKind::Started(Started { attempt, version, lease: u64::from(attempt), bucket: None }))
}

fn finished(millis: u64, outcome: AttemptOutcome, to: RunState, due: u64) -> Entry {
    let failed = outcome == AttemptOutcome::Failed;
    let finished = Finished {
        outcome,
        error: failed.then(|| AttemptError::new(FailureKind::Transient, "the mail server said 451\nlater")),
        output: None,
        to,
        scheduled_at: at(due),
        counted: true,
        log: Vec::new(),
        log_dropped: 0,
        bill: None,
    };
    entry(millis, EntryKind::Finished(Box::new(finished)))
}

fn mail(millis: u64) -> [Entry; 2] {
    let key = EffectKey::mail("welcome", "ada@example.com", 0);
    let to = Mailbox { address: "ada@example.com".to_owned(), name: None };
    let mail = Mail {
        id: "mail_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id"),
        message_id: "1@shop.example".to_owned(),
        from: to.clone(),
        created_at: at(millis),
        message: Message {
            kind: "welcome".to_owned(),
            to,
            reply_to: None,
            subject: "Hello".to_owned(),
            text: "Hello".to_owned(),
            html: None,
            attachments: Vec::new(),
            headers: Vec::new(),
        },
    };
    let settled = EntryKind::MailSettled { key: key.clone(), status: MailStatus::Sent, reply: None, error: None };
    [entry(millis, EntryKind::MailIntended { key, mail: Arc::new(mail) }), entry(millis + 100, settled)]
}

fn drawn(journal: &[Entry], now: u64) -> Waterfall {
    let id: RunId = "run_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id");
    let run = Run::fold(id, journal).expect("a journal");
    waterfall(&run.head, journal, at(now))
}

fn labels(drawn: &Waterfall) -> Vec<&str> {
    drawn.rows.iter().map(|row| row.label.as_str()).collect()
}

fn bars(row: &Row) -> Vec<(u64, u64, Look)> {
    row.bars.iter().map(|bar| (bar.x, bar.width, bar.look)).collect()
}

#[test]
fn waiting_is_pale_running_is_solid_and_both_are_placed_by_time() {
    let journal =
        [enqueued(), started(250, 1, "a"), finished(1_000, AttemptOutcome::Completed, RunState::Completed, 0)];
    let drawn = drawn(&journal, 9_000);
    assert_eq!(drawn.total, "1 s", "what comes after the end is not shown");
    assert_eq!(bars(&drawn.rows[0]), [(0, 250, Look::Waiting), (250, 750, Look::Running)]);
    assert_eq!((drawn.rows[0].class, drawn.rows[0].told.as_str()), ("completed", "completed after 750 ms"));
    assert_eq!(drawn.rows[0].waited.as_deref(), Some("250 ms"));
}

#[test]
fn the_next_attempt_is_dashed_where_it_is_planned() {
    let journal = [enqueued(), started(0, 1, "a"), finished(500, AttemptOutcome::Failed, RunState::Retryable, 2_000)];
    let drawn = drawn(&journal, 1_000);
    assert_eq!(labels(&drawn), ["Attempt 1", "Attempt 2"]);
    assert_eq!(drawn.rows[0].told, "failed after 500 ms: the mail server said 451…");
    let planned = &drawn.rows[1];
    assert_eq!(planned.told, "planned in 1 s");
    let looks: Vec<Look> = planned.bars.iter().map(|bar| bar.look).collect();
    assert_eq!(looks, [Look::Waiting, Look::Planned]);
    let last = &planned.bars[1];
    assert_eq!(last.x + last.width, WIDTH);
}

#[test]
fn an_attempt_under_way_runs_until_now() {
    let drawn = drawn(&[enqueued(), started(0, 1, "a")], 4_000);
    assert_eq!(bars(&drawn.rows[0]), [(0, WIDTH, Look::Running)]);
    assert_eq!((drawn.rows[0].class, drawn.rows[0].told.as_str()), ("running", "running for 4 s"));
}

#[test]
fn what_an_attempt_did_has_rows_and_a_later_attempt_says_what_was_kept() {
    let step = EntryKind::StepCompleted { name: "fetch-order".to_owned(), value: Json::empty_object() };
    let patch = OrderPatch { status: Some(OrderStatus::Fulfilled), ..OrderPatch::default() };
    let key = EffectKey::order("A-1", &patch, 0);
    let [intended, settled] = mail(200);
    let journal = [
        enqueued(),
        started(0, 1, "a"),
        entry(100, step),
        intended,
        settled,
        finished(400, AttemptOutcome::Failed, RunState::Retryable, 400),
        started(500, 2, "b"),
        entry(600, EntryKind::OrderUpdated { key, order: "A-1".to_owned(), patch }),
        finished(1_000, AttemptOutcome::Completed, RunState::Completed, 0),
    ];
    let drawn = drawn(&journal, 1_000);
    assert_eq!(
        labels(&drawn),
        [
            "Attempt 1",
            "step fetch-order",
            "mail welcome to ada@example.com",
            "Attempt 2",
            "kept",
            "order A-1 to fulfilled",
        ]
    );
    assert_eq!(bars(&drawn.rows[2]), [(200, 100, Look::Running)]);
    assert!(drawn.rows[2].mail.is_some());
    assert!(drawn.rows[4].told.ends_with("fetch-order, mail welcome to ada@example.com"), "{}", drawn.rows[4].told);
    let changed: Vec<bool> = drawn.rows.iter().filter_map(|row| row.version.map(|(_, changed)| changed)).collect();
    assert_eq!(changed, [false, true]);
}

#[test]
fn an_attempt_says_what_it_used_and_its_host_calls_are_bars_within_it() {
    let call = |name: &'static str, at: u64, took: u64, failed: bool| HostCall {
        name: name.into(),
        at_micros: at * 1_000,
        took_micros: took * 1_000,
        failed,
    };
    let mut end = finished(1_000, AttemptOutcome::Completed, RunState::Completed, 0);
    if let EntryKind::Finished(finished) = &mut end.kind {
        finished.bill = Some(Box::new(Bill {
            wall_micros: 750_000,
            cpu_micros: 3_100,
            memory: 2_228_224,
            host_calls: 9,
            calls: vec![
                call("fetch-order", 50, 100, false),
                call("GET shop.example", 200, 50, true),
                call("fetch-order", 350, 150, false),
            ],
        }));
    }
    let drawn = drawn(&[enqueued(), started(250, 1, "a"), end], 1_000);
    assert_eq!(labels(&drawn), ["Attempt 1", "fetch-order", "GET shop.example"]);
    assert_eq!(drawn.rows[0].usage.as_deref(), Some("750 ms · 3.1 ms processor · 2.1 MiB · 9 host calls"));
    assert_eq!(bars(&drawn.rows[1]), [(300, 100, Look::Running), (600, 150, Look::Running)]);
    assert_eq!((drawn.rows[1].class, drawn.rows[1].told.as_str()), ("completed", "2 calls in 250 ms"));
    assert_eq!((drawn.rows[2].class, drawn.rows[2].told.as_str()), ("retryable", "failed after 50.0 ms"));
}

#[test]
fn an_effect_without_an_end_says_so() {
    let [intended, _] = mail(100);
    let journal = [enqueued(), started(0, 1, "a"), intended];
    let drawn = drawn(&journal, 200);
    assert_eq!((drawn.rows[1].class, drawn.rows[1].told.as_str()), ("retryable", "its end is not on record"));
}

#[test]
fn every_bar_stays_inside_however_short_or_late_it_is() {
    for (begun, ended) in [(0, 0), (604_800_000, 604_800_000), (604_799_999, 604_800_000)] {
        let journal =
            [enqueued(), started(begun, 1, "a"), finished(ended, AttemptOutcome::Completed, RunState::Completed, 0)];
        for bar in &drawn(&journal, ended).rows[0].bars {
            assert!(bar.width >= NARROWEST && bar.x + bar.width <= WIDTH, "{} {}", bar.x, bar.width);
        }
    }
}

#[test]
fn a_run_with_very_many_attempts_shows_the_newest() {
    let mut journal = vec![enqueued()];
    for round in 0..300 {
        journal.push(started(round * 10, 1, "a"));
        journal.push(finished(round * 10 + 5, AttemptOutcome::Snoozed, RunState::Scheduled, round * 10 + 9));
    }
    let drawn = drawn(&journal, 3_000);
    assert_eq!((drawn.rows.len(), drawn.earlier), (ROWS, 101));
}

#[test]
fn a_row_shows_the_beginning_of_a_long_text_only() {
    let long = "é".repeat(2_000);
    let journal = [enqueued(), entry(5, EntryKind::Cancelled { reason: long })];
    let told = &drawn(&journal, 5).rows[0].told;
    assert!(told.len() < 130 && told.ends_with("é…"), "{told}");
    assert_eq!(short("sold out"), "sold out");
}
