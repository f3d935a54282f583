//! What becomes of a run that waits for its time or its next attempt when it is asked to begin now: it is due, and all else
//! stays as it was.
//! Runs that are put back once they have ended are in `operations`.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::flow::BreakerSettings;
use jobmill_core::journal::EntryKind;
use jobmill_core::mail::{InDoubtChoice, MailStatus};
use jobmill_core::{FailureKind, Outcome, RunHead, RunId, RunState, Timestamp};

use super::Subject;
use super::subject::{at, job, rules_of, settled, transient};
use crate::flow::{Blocker, Hold};
use crate::query::WaitingCause;
use crate::store::{Change, NewRun, RunDebounce, RunFlow};

impl Subject {
    async fn made_due(&self, run: RunId, now: Timestamp) -> RunHead {
        let answer = self.store().make_due(run, None, now).await.expect("answers");
        answer.expect("is there").expect("it waits for its time")
    }

    fn later(&self, millis: u64) -> NewRun {
        NewRun { scheduled_at: at(millis), ..self.new_run("welcome") }
    }
}

pub async fn it_is_due_and_keeps_what_it_had(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let run = claimed.head.id;
    let waits = subject.end(&claimed, transient(), at(1)).await;
    assert_eq!((waits.state, waits.scheduled_at), (RunState::Retryable, at(1_001)));
    let mut changes = subject.store().changes();
    let head = subject.made_due(run, at(500)).await;
    assert_eq!(head, RunHead { state: RunState::Available, scheduled_at: at(500), ..waits.clone() });
    assert_eq!(subject.head(run).await, head);
    let change = Change { run, state: RunState::Available, scheduled_at: at(500), cancel_requested: false };
    let is_told = async { while !changes.recv().await.expect("none was missed").contains(&change) {} };
    tokio::time::timeout(Duration::from_secs(10), is_told).await.expect("the engine hears of it");
    let last = subject.journal(run).await.pop().map(|entry| (entry.at, entry.kind));
    assert_eq!(last, Some((at(500), EntryKind::MadeDue { instead_of: at(1_001) })));
    assert_eq!(subject.query().next_due(at(500)).await, Ok(None));
    let claimed = subject.claim_one(at(500)).await;
    assert_eq!((claimed.head.id, claimed.head.attempt, claimed.head.max_attempts), (run, 2, waits.max_attempts));
    assert_eq!(claimed.journal.len(), 5, "it is told what the first attempt did");
}

pub async fn it_stands_in_line_as_of_now(subject: Subject) {
    let runs = vec![subject.later(9_000), subject.later(100), subject.later(8_000), subject.later(300)];
    let ids = subject.enqueued(runs).await;
    subject.claim(0, at(0)).await;
    subject.made_due(ids[0], at(200)).await;
    let claimed = subject.claim(9, at(300)).await;
    let order: Vec<RunId> = claimed.iter().map(|claimed| claimed.head.id).collect();
    assert_eq!(order, [ids[1], ids[0], ids[3]], "behind what was due before, and before what was due later");
    assert_eq!(subject.claim_one(at(8_000)).await.head.id, ids[2], "the others wait for their time");
}

pub async fn it_is_so_after_a_restart(subject: Subject) {
    let ids = subject.enqueued(vec![subject.later(9_000)]).await;
    let head = subject.made_due(ids[0], at(5)).await;
    let subject = subject.reopened();
    assert_eq!(subject.head(ids[0]).await, head);
    // A clock that is set back does not make it wait again.
    assert_eq!(subject.claim_one(at(4)).await.head.id, ids[0]);
}

pub async fn what_is_due_or_runs_or_has_ended_is_refused(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let completed = subject.completed("welcome").await;
    let dead = subject.dead("welcome", "no such user", at(1)).await;
    let ids = subject.enqueued(vec![subject.later(100)]).await;
    for (run, state) in [
        (ids[0], RunState::Available),
        (claimed.head.id, RunState::Running),
        (completed, RunState::Completed),
        (dead, RunState::Dead),
    ] {
        let before = subject.journal(run).await;
        let refused = subject.store().make_due(run, None, at(100)).await.expect("answers").expect("is there");
        let refused = refused.expect_err("it does not wait for its time");
        assert_eq!((refused.run, refused.state), (run, state));
        assert_eq!(refused.to_string().contains("due already"), state == RunState::Available, "{refused}");
        assert_eq!(subject.journal(run).await, before);
    }
    assert_eq!(subject.store().make_due(RunId::from_bytes([9; 16]), None, at(100)).await, Ok(None));
}

pub async fn it_waits_for_whatever_holds_its_job_back(subject: Subject) {
    let ids = subject.enqueued(vec![subject.later(9_000)]).await;
    let hold = Hold { reason: "the mail server is away".to_owned(), since: at(0), until: at(5_000) };
    let kept_back = rules_of("welcome", |rules| rules.held = Some(hold.clone()));
    subject.claim_under(&kept_back, 9, at(0)).await;
    subject.made_due(ids[0], at(10)).await;
    let cause = async |millis| subject.waiting_for(ids[0], at(millis)).await.map(|it| it.cause);
    assert_eq!(cause(10).await, Some(WaitingCause::Blocked(Blocker::Held(hold), Vec::new())));
    assert_eq!(subject.claim_under(&kept_back, 9, at(10)).await, []);
    // Nor does a breaker let it go before the others.
    let settings = BreakerSettings {
        failures: 0.5,
        window: Duration::from_mins(1),
        min_attempts: 1,
        pause: Duration::from_secs(30),
    };
    let guarded = rules_of("welcome", |rules| rules.breaker = Some(settings));
    let failing = subject.waiting("welcome").await;
    subject.claim_under(&guarded, 0, at(20)).await;
    let cancelled = subject.store().cancel(ids[0], "first the other".to_owned(), at(20)).await;
    assert!(cancelled.is_ok_and(|answer| answer.is_some_and(|it| it.is_ok())));
    let claimed = subject.attempts_under(&guarded, 9, at(20)).await.remove(0);
    assert_eq!(claimed.head.id, failing);
    subject.end(&claimed, Outcome::failed(FailureKind::Permanent, "the shop is closed"), at(21)).await;
    let second = subject.enqueued(vec![subject.later(90_000)]).await[0];
    subject.made_due(second, at(22)).await;
    let waits = subject.waiting_for(second, at(22)).await.map(|it| it.cause);
    assert_eq!(waits, Some(WaitingCause::Blocked(Blocker::Breaker(Some(at(30_021))), Vec::new())));
    assert_eq!(subject.claim_under(&guarded, 9, at(30_020)).await, []);
    assert_eq!(subject.claim_under(&guarded, 9, at(30_021)).await, [second]);
}

pub async fn it_keeps_its_time_to_expire(subject: Subject) {
    let flow = RunFlow { expires: Some(Duration::from_secs(1)), ..RunFlow::default() };
    let ids = subject.enqueued(vec![NewRun { flow, ..subject.later(4_000) }]).await;
    let head = subject.made_due(ids[0], at(1)).await;
    assert_eq!(head.expires_at, Some(at(5_000)));
    assert_eq!(subject.query().next_due(at(1)).await, Ok(Some(at(5_000))));
    subject.store().expire(at(5_000)).await.expect("expires");
    assert_eq!(subject.head(ids[0]).await.state, RunState::Cancelled);
}

pub async fn a_debounced_one_takes_nothing_more_in(subject: Subject) {
    let debounced = |millis| {
        let debounce = RunDebounce { value: None, max_wait: None };
        NewRun { flow: RunFlow { debounce: Some(debounce), ..RunFlow::default() }, ..subject.later(millis) }
    };
    let first = subject.enqueued(vec![debounced(1_000)]).await[0];
    subject.made_due(first, at(10)).await;
    let second = subject.enqueue(vec![debounced(1_020)], at(20)).await.remove(0);
    assert_ne!(second.id, first, "what comes later waits for itself");
    let third = subject.store().enqueue(vec![debounced(1_030)], at(30)).await.expect("enqueues").remove(0);
    let crate::store::Enqueued::Debounced(third) = third else { panic!("not debounced: {third:?}") };
    assert_eq!(third.id, second.id);
    assert_eq!(subject.claim_one(at(30)).await.head.id, first);
}

pub async fn it_still_holds_its_unique_key(subject: Subject) {
    let keyed = || NewRun { unique_key: Some("order-42".to_owned()), ..subject.later(9_000) };
    let first = subject.enqueue(vec![keyed()], at(0)).await.remove(0).id;
    subject.made_due(first, at(10)).await;
    let again = subject.store().enqueue(vec![keyed()], at(20)).await.expect("answers").remove(0);
    let crate::store::Enqueued::Existing(head) = again else { panic!("another run: {again:?}") };
    assert_eq!((head.id, head.scheduled_at), (first, at(10)));
}

pub async fn what_was_decided_about_its_mails_is_on_record(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let run = claimed.head.id;
    let (key, mail) = subject.mail("welcome", "ada@example.com");
    let entries = vec![EntryKind::MailIntended { key: key.clone(), mail }, settled(&key, MailStatus::InDoubt)];
    subject.store().record(claimed.lease(), entries, at(1)).await.expect("records");
    subject.end(&claimed, transient(), at(2)).await;
    assert_eq!(subject.query().mails_in_doubt(run).await.expect("reads").len(), 1);
    let answer = subject.store().make_due(run, Some(InDoubtChoice::Sent), at(3)).await.expect("answers");
    assert!(answer.is_some_and(|it| it.is_ok()));
    assert_eq!(subject.query().mails_in_doubt(run).await, Ok(Vec::new()));
    assert!(matches!(subject.journal(run).await.pop().map(|entry| entry.kind), Some(EntryKind::MadeDue { .. })));
}

pub async fn it_is_cancelled_and_counted_like_any_other(subject: Subject) {
    let ids = subject.enqueued(vec![subject.later(9_000), subject.later(9_000)]).await;
    for looks in [false, true] {
        let run = ids[usize::from(looks)];
        subject.made_due(run, at(10)).await;
        if looks {
            subject.claim(0, at(10)).await;
        }
        let counts = subject.query().counts(Some(&job("welcome")), at(10)).await.expect("reads");
        let expected = if looks { (0, 1) } else { (1, 1) };
        assert_eq!((counts.of(RunState::Scheduled), counts.of(RunState::Available)), expected);
        subject.store().cancel(run, "no".to_owned(), at(11)).await.expect("cancels");
    }
    assert_eq!(subject.claim(9, at(10_000)).await, Vec::new());
}
