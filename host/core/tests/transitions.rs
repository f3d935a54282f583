//! The state table as a specification, and the law that a run is the fold of its journal.

use std::time::Duration;

use jobmill_core::journal::{Enqueued, Entry, EntryKind, Terms};
use jobmill_core::{
    Backoff, FailureKind, Json, Outcome, Run, RunHead, RunId, RunState, Timestamp, Version, transition,
};
use proptest::prelude::*;

const START: u64 = 1_000_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

fn enqueued(max_attempts: u32, due: Timestamp, expires_at: Option<Timestamp>) -> Entry {
    let enqueued = Enqueued {
        job: "welcome-email".parse().expect("a job id"),
        queue: "default".to_owned(),
        priority: 5,
        payload: Json::empty_object(),
        max_attempts,
        scheduled_at: due,
        event: None,
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        rerun_of: None,
        terms: Some(Box::new(Terms { expires_at, ..Terms::default() })),
    };
    Entry { at: at(0), kind: EntryKind::Enqueued(Box::new(enqueued)) }
}

/// A run that goes through changes while its journal is kept.
struct Life {
    head: RunHead,
    journal: Vec<Entry>,
}

impl Life {
    fn new(max_attempts: u32) -> Self {
        Self::due_at(max_attempts, at(0))
    }

    fn due_at(max_attempts: u32, due: Timestamp) -> Self {
        Self::expiring(max_attempts, due, None)
    }

    fn expiring(max_attempts: u32, due: Timestamp, expires_at: Option<Timestamp>) -> Self {
        let first = enqueued(max_attempts, due, expires_at);
        let head = transition::begin(RunId::from_bytes([1; 16]), &first).expect("begins with an enqueue");
        Self { head, journal: vec![first] }
    }

    fn record(&mut self, now: Timestamp, kind: EntryKind) {
        let entry = Entry { at: now, kind };
        transition::apply(&mut self.head, &entry);
        self.journal.push(entry);
    }

    fn claim(&mut self, now: Timestamp) {
        let kind = transition::claim(&self.head, Version::of(b"component"), None, now).expect("claimable");
        self.record(now, kind);
    }

    fn finish(&mut self, now: Timestamp, outcome: Outcome) {
        let finished = transition::finish(&self.head, outcome, &Backoff::default(), now, 0.5).expect("running");
        self.record(now, EntryKind::Finished(Box::new(finished)));
    }

    fn attempt(&mut self, now: Timestamp, outcome: Outcome) {
        self.claim(now);
        self.finish(now, outcome);
    }
}

fn transient() -> Outcome {
    Outcome::failed(FailureKind::Transient, "not now")
}

#[test]
fn retries_wait_one_then_two_then_four_seconds_and_then_the_run_is_dead() {
    let mut life = Life::new(4);
    let mut now = at(0);
    for seconds in [1, 2, 4] {
        life.attempt(now, transient());
        assert_eq!(life.head.state, RunState::Retryable);
        assert_eq!(life.head.scheduled_at, now.after(Duration::from_secs(seconds)));
        now = life.head.scheduled_at;
    }
    life.attempt(now, transient());
    assert_eq!((life.head.state, life.head.attempt), (RunState::Dead, 4));
    assert_eq!(life.head.finished_at, Some(now));
}

#[test]
fn a_waiting_run_can_be_claimed_only_when_it_is_due() {
    let life = Life::due_at(1, at(500));
    assert_eq!(life.head.state_at(at(499)), RunState::Scheduled);
    assert!(transition::claim(&life.head, Version::of(b""), None, at(499)).is_err());
    assert_eq!(life.head.state_at(at(500)), RunState::Available);
    assert!(transition::claim(&life.head, Version::of(b""), None, at(500)).is_ok());
}

#[test]
fn a_run_that_has_not_begun_by_its_time_expires() {
    let mut life = Life::expiring(1, at(0), Some(at(500)));
    assert!(transition::expire(&life.head, at(499)).is_err());
    assert!(transition::claim(&life.head, Version::of(b""), None, at(500)).is_err());
    life.record(at(500), transition::expire(&life.head, at(500)).expect("is over"));
    assert_eq!(life.head.state, RunState::Cancelled);
    assert!(life.head.cancel_reason.as_deref().is_some_and(|reason| reason.starts_with("expired")));
    life.record(at(600), transition::requeue(&life.head, 1, at(600)).expect("is final"));
    assert!(transition::expire(&life.head, at(9_000)).is_err(), "put back, it waits as long as it takes");
}

#[test]
fn a_run_that_has_begun_does_not_expire() {
    let mut life = Life::expiring(3, at(0), Some(at(500)));
    life.attempt(at(499), transient());
    assert!(transition::expire(&life.head, at(9_000)).is_err());
    assert!(transition::claim(&life.head, Version::of(b""), None, at(9_000)).is_ok());
}

#[test]
fn a_final_failure_skips_the_retries_that_are_left() {
    for kind in [FailureKind::Permanent, FailureKind::Denied, FailureKind::BadPayload] {
        let mut life = Life::new(4);
        life.attempt(at(0), Outcome::failed(kind, "never"));
        assert_eq!((life.head.state, life.head.attempt), (RunState::Dead, 1), "{kind}");
    }
}

#[test]
fn retry_after_overrides_backoff() {
    let mut life = Life::new(4);
    let error = jobmill_core::AttemptError::new(FailureKind::RetryAfter, "slow down");
    life.attempt(at(0), Outcome::Failed { error, retry_after: Some(Duration::from_secs(90)) });
    assert_eq!((life.head.state, life.head.scheduled_at), (RunState::Retryable, at(90_000)));
}

#[test]
fn snoozing_and_interruption_cost_no_attempt() {
    let mut life = Life::new(1);
    life.attempt(at(0), Outcome::Snoozed { delay: Duration::from_secs(5) });
    assert_eq!((life.head.state, life.head.attempt, life.head.scheduled_at), (RunState::Scheduled, 0, at(5_000)));
    life.attempt(at(5_000), Outcome::Interrupted);
    assert_eq!((life.head.state, life.head.attempt), (RunState::Available, 0));
    life.attempt(at(5_000), Outcome::Completed { output: None });
    assert_eq!((life.head.state, life.head.attempt), (RunState::Completed, 1));
}

#[test]
fn what_is_held_back_from_outside_costs_no_attempt_and_says_why_it_waits() {
    let mut life = Life::new(1);
    life.attempt(at(0), held());
    assert_eq!((life.head.state, life.head.attempt, life.head.scheduled_at), (RunState::Scheduled, 0, at(30_000)));
    assert_eq!(life.head.error.as_ref().map(|error| error.message.as_ref()), Some("the mail server refuses us"));
    life.attempt(at(30_000), Outcome::Completed { output: None });
    assert_eq!((life.head.state, life.head.attempt), (RunState::Completed, 1));
}

fn held() -> Outcome {
    let reason = "the mail server refuses us".to_owned();
    Outcome::Held { delay: Duration::from_secs(30), reason, whole_job: true }
}

#[test]
fn a_crash_of_the_engine_counts_and_goes_on_at_once() {
    let mut life = Life::new(2);
    for expected in [RunState::Available, RunState::Dead] {
        life.claim(at(10));
        let finished = transition::rescue(&life.head, at(20)).expect("running");
        life.record(at(20), EntryKind::Finished(Box::new(finished)));
        assert_eq!(life.head.state, expected);
    }
    assert_eq!(life.head.error.as_ref().map(|error| error.kind), Some(FailureKind::Host));
}

#[test]
fn a_running_run_ends_cancelled_once_its_attempt_has_stopped() {
    for outcome in
        [Outcome::Cancelled, Outcome::Interrupted, transient(), Outcome::Snoozed { delay: Duration::ZERO }, held()]
    {
        let mut life = Life::new(3);
        life.claim(at(0));
        let kind = transition::cancel(&life.head, "ordered twice").expect("running");
        life.record(at(1), kind);
        assert_eq!(life.head.state, RunState::Running);
        life.finish(at(2), outcome.clone());
        assert_eq!(life.head.state, RunState::Cancelled, "{outcome:?}");
        assert_eq!(life.head.cancel_reason.as_deref(), Some("ordered twice"));
    }
}

#[test]
fn a_run_that_completes_before_the_cancel_reaches_it_is_completed() {
    let mut life = Life::new(3);
    life.claim(at(0));
    let kind = transition::cancel(&life.head, "late").expect("running");
    life.record(at(1), kind);
    life.finish(at(2), Outcome::Completed { output: None });
    assert_eq!((life.head.state, life.head.cancel_reason), (RunState::Completed, None));
}

#[test]
fn dead_and_cancelled_runs_are_put_back_with_attempts_anew() {
    let mut life = Life::new(1);
    life.attempt(at(0), transient());
    let kind = transition::requeue(&life.head, 3, at(50)).expect("dead");
    life.record(at(10), kind);
    assert_eq!((life.head.state, life.head.attempt, life.head.max_attempts), (RunState::Scheduled, 0, 3));
    life.attempt(at(50), Outcome::Completed { output: None });
    let run = Run::fold(life.head.id, &life.journal).expect("folds");
    assert_eq!(run.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_waiting_run_is_made_due_and_keeps_what_it_had() {
    let mut life = Life::new(3);
    life.attempt(at(0), transient());
    let before = life.head.clone();
    assert_eq!((before.state, before.attempt), (RunState::Retryable, 1));
    life.record(at(10), transition::make_due(&life.head, at(10)).expect("it waits"));
    let expected = RunHead { state: RunState::Available, scheduled_at: at(10), ..before.clone() };
    assert_eq!(life.head, expected);
    assert_eq!(life.journal[3].kind, EntryKind::MadeDue { instead_of: before.scheduled_at });
    let run = Run::fold(life.head.id, &life.journal).expect("folds");
    assert_eq!(run.attempts[0].next_at, Some(at(10)), "what the attempt said of the next one is over");
    // A clock that is set back does not take it back.
    assert!(transition::claim(&life.head, Version::of(b""), None, at(5)).is_ok());
    life.attempt(at(11), transient());
    assert_eq!((life.head.state, life.head.attempt), (RunState::Retryable, 2));

    let mut life = Life::expiring(1, at(500), Some(at(900)));
    life.record(at(10), transition::make_due(&life.head, at(10)).expect("it is scheduled"));
    assert_eq!((life.head.state, life.head.expires_at), (RunState::Available, Some(at(900))));
}

#[test]
fn what_is_due_runs_or_has_ended_is_not_made_due() {
    let mut life = Life::due_at(1, at(500));
    let refused = transition::make_due(&life.head, at(500)).expect_err("it is due").to_string();
    assert!(refused.contains("is available") && refused.contains("due already"), "{refused}");
    life.claim(at(500));
    let refused = transition::make_due(&life.head, at(501)).expect_err("it runs").to_string();
    assert!(refused.ends_with("is running, so it can't be made due"), "{refused}");
    life.finish(at(502), Outcome::Completed { output: None });
    assert!(transition::make_due(&life.head, at(503)).is_err());
}

#[test]
fn a_discarded_run_stays_on_record_as_cancelled() {
    let mut life = Life::new(1);
    assert!(transition::discard(&life.head, "x").is_err());
    life.attempt(at(0), transient());
    let kind = transition::discard(&life.head, "shop closed").expect("dead");
    life.record(at(1), kind);
    assert_eq!((life.head.state, life.head.cancel_reason.as_deref()), (RunState::Cancelled, Some("shop closed")));
}

#[test]
fn what_the_state_does_not_allow_is_refused_naming_it() {
    let mut life = Life::new(1);
    life.attempt(at(0), Outcome::Completed { output: None });
    let refusals = [
        transition::claim(&life.head, Version::of(b""), None, at(9)).map(|_| ()),
        transition::finish(&life.head, transient(), &Backoff::default(), at(9), 0.0).map(|_| ()),
        transition::cancel(&life.head, "").map(|_| ()),
        transition::requeue(&life.head, 1, at(9)).map(|_| ()),
        transition::discard(&life.head, "").map(|_| ()),
    ];
    for refusal in refusals {
        let refused = refusal.expect_err("completed is final");
        assert!(refused.to_string().contains("is completed"), "{refused}");
    }
}

#[test]
fn a_journal_begins_with_its_one_enqueue() {
    let id = RunId::from_bytes([1; 16]);
    let first = enqueued(1, at(0), None);
    assert!(Run::fold(id, &[]).is_err());
    assert!(Run::fold(id, &[first.clone(), first.clone()]).is_err());
    let stray = Entry { at: at(0), kind: EntryKind::Cancelled { reason: String::new() } };
    assert!(Run::fold(id, &[stray]).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Claim,
    Finish(u8),
    Cancel,
    Requeue,
    MakeDue,
    Discard,
    Rescue,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => Just(Step::Claim),
        4 => (0u8..6).prop_map(Step::Finish),
        1 => Just(Step::Cancel),
        1 => Just(Step::Requeue),
        1 => Just(Step::MakeDue),
        1 => Just(Step::Discard),
        1 => Just(Step::Rescue),
    ];
    prop::collection::vec((0u64..5_000, step), 0..60)
}

fn outcome(choice: u8) -> Outcome {
    match choice {
        0 => Outcome::Completed { output: Some(Json::empty_object()) },
        1 => Outcome::failed(FailureKind::Permanent, "never"),
        2 => Outcome::Snoozed { delay: Duration::from_millis(700) },
        3 => Outcome::Interrupted,
        4 => Outcome::Cancelled,
        5 => held(),
        _ => transient(),
    }
}

proptest! {
    #[test]
    fn the_row_is_the_fold_of_the_journal_and_attempts_keep_their_bound(max in 1u32..5, steps in steps()) {
        let mut life = Life::new(max);
        let mut now = at(0);
        for (wait, step) in steps {
            now = now.after(Duration::from_millis(wait));
            let change = match step {
                Step::Claim => transition::claim(&life.head, Version::of(b"c"), None, now),
                Step::Finish(choice) => {
                    transition::finish(&life.head, outcome(choice), &Backoff::default(), now, 0.3)
                        .map(|finished| EntryKind::Finished(Box::new(finished)))
                }
                Step::Cancel => transition::cancel(&life.head, "why"),
                Step::Requeue => transition::requeue(&life.head, max, now),
                Step::MakeDue => transition::make_due(&life.head, now),
                Step::Discard => transition::discard(&life.head, "why"),
                Step::Rescue => {
                    transition::rescue(&life.head, now).map(|finished| EntryKind::Finished(Box::new(finished)))
                }
            };
            if let Ok(kind) = change {
                life.record(now, kind);
            }
            prop_assert!(life.head.attempt <= life.head.max_attempts);
            prop_assert_eq!(life.head.state.is_final(), life.head.finished_at.is_some());
        }
        let run = Run::fold(life.head.id, &life.journal).expect("folds");
        prop_assert_eq!(&run.head, &life.head);
        prop_assert!(run.attempts.iter().all(|attempt| attempt.number <= max));
    }
}
