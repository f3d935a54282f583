//! What can be asked about runs and orders: pages, filters, counts, places in line, and what changes.
//! How answers look outside is the server's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::order::OrderStatus;
use jobmill_core::{Outcome, RunId, RunState, limits};

use super::Subject;
use super::subject::{at, job, order, transient};
use crate::query::{Neighbours, RunFilter};
use crate::store::{Change, NewRun, Retention};

impl Subject {
    async fn named(&self, filter: RunFilter) -> Vec<RunId> {
        let page = self.query().runs(&filter, None, 100, at(0)).await.expect("reads");
        page.items.into_iter().map(|run| run.head.id).collect()
    }
}

pub async fn pages_of_runs_have_no_gap_and_no_repeat(subject: Subject) {
    let runs: Vec<_> = (0..10).map(|_| subject.new_run("welcome")).collect();
    let mut expected: Vec<_> = runs.iter().map(|run| run.id).collect();
    expected.reverse();
    subject.enqueue(runs, at(0)).await;
    for limit in [1, 3, 5, 10, 11] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = subject.query().runs(&RunFilter::default(), after, limit, at(0)).await.expect("reads");
            assert!(page.items.len() <= limit);
            seen.extend(page.items.into_iter().map(|run| run.head.id));
            after = page.next;
            if after.is_none() {
                break;
            }
            // What is new does not push what was there onto the next page.
            if seen.len() == 1 {
                let newer = subject.waiting("refund").await;
                subject.store().cancel(newer, "no".to_owned(), at(0)).await.expect("cancels");
            }
        }
        seen.retain(|run| expected.contains(run));
        assert_eq!(seen, expected, "pages of {limit}");
    }
    let filter = RunFilter { job: Some(job("welcome")), ..RunFilter::default() };
    let page = subject.query().runs(&filter, None, 10, at(0)).await.expect("reads");
    assert_eq!((page.items.len(), page.next), (10, None));
}

pub async fn a_filter_names_runs_by_each_of_its_members(subject: Subject) {
    let dead = subject.dead("welcome", "No such User", at(1)).await;
    let tagged = NewRun { tags: vec!["vip".to_owned(), "eu".to_owned()], ..subject.new_run("refund") };
    let tagged = subject.enqueue(vec![tagged], at(5)).await[0].id;
    let event = subject.new_event("order-42", &["report"]);
    let evented = event.runs[0].id;
    subject.store().publish(vec![event], at(9)).await.expect("publishes");
    let text = |text: &str| Some(text.to_owned());
    let all = RunFilter::default;
    let cases: [(RunFilter, &[RunId]); 14] = [
        (all(), &[evented, tagged, dead]),
        (RunFilter { state: Some(RunState::Dead), ..all() }, &[dead]),
        (RunFilter { state: Some(RunState::Available), ..all() }, &[evented, tagged]),
        (RunFilter { job: Some(job("refund")), ..all() }, &[tagged]),
        (RunFilter { event: text("email/welcome"), ..all() }, &[evented]),
        (RunFilter { event: text("order-42"), ..all() }, &[evented]),
        (RunFilter { tag: text("eu"), ..all() }, &[tagged]),
        (RunFilter { tag: text("e"), ..all() }, &[]),
        (RunFilter { error: text("such user"), ..all() }, &[dead]),
        (RunFilter { error: text("permanent"), ..all() }, &[dead]),
        (RunFilter { since: Some(at(5)), ..all() }, &[evented, tagged]),
        (RunFilter { ids: Some(vec![dead, evented, dead]), ..all() }, &[evented, dead]),
        (RunFilter { ids: Some(Vec::new()), ..all() }, &[]),
        (RunFilter { ids: Some(vec![dead, tagged]), job: Some(job("refund")), ..all() }, &[tagged]),
    ];
    for (filter, expected) in cases {
        assert_eq!(subject.named(filter.clone()).await, expected, "{filter:?}");
        let counts = subject.query().counts_of(&filter, 3, at(9)).await.expect("reads").expect("few");
        let counted = filter.state.map_or_else(|| counts.0.iter().sum(), |state| counts.of(state));
        assert_eq!(counted, expected.len(), "{filter:?}");
    }
    let many = RunFilter { tag: text("eu"), state: Some(RunState::Dead), ..all() };
    assert_eq!(subject.query().counts_of(&many, 0, at(9)).await.expect("reads"), None);
    let elsewhere = subject.query().counts_of(&many, 1, at(9)).await.expect("reads").expect("few");
    assert_eq!(elsewhere.of(RunState::Available), 1, "the state that the filter names is not looked at");
    let ids = RunFilter { ids: Some(vec![dead, tagged, evented]), ..all() };
    let page = subject.query().runs(&ids, Some(evented), 1, at(0)).await.expect("reads");
    assert_eq!((page.items[0].head.id, page.next), (tagged, Some(tagged)));
}

pub async fn runs_that_repeat_one_are_found_by_it(subject: Subject) {
    let first = subject.completed("welcome").await;
    let rerun = |first| NewRun { rerun_of: Some(first), ..subject.new_run("welcome") };
    let (early, other, late) = (rerun(first), subject.new_run("welcome"), rerun(first));
    let (early, late) = (early.id, subject.enqueue(vec![early, other, late], at(1)).await[2].id);
    let of = |run| RunFilter { rerun_of: Some(run), ..RunFilter::default() };
    assert_eq!(subject.named(of(first)).await, [late, early]);
    assert_eq!(subject.named(of(early)).await, []);
    let dead = RunFilter { state: Some(RunState::Dead), ..of(first) };
    assert_eq!(subject.named(dead).await, []);
    assert_eq!(subject.named(RunFilter { job: Some(job("refund")), ..of(first) }).await, []);
    // A repeat of a repeat is one of that, and what is pruned is none.
    let third = subject.enqueue(vec![rerun(late)], at(2)).await[0].id;
    assert_eq!(subject.named(of(late)).await, [third]);
    for run in [early, late] {
        subject.store().cancel(run, "no".to_owned(), at(3)).await.expect("cancels");
    }
    let day = at(3).after(limits::UNIQUE_WINDOW);
    let retention = Retention { cancelled: Some(Duration::ZERO), ..Retention::default() };
    subject.store().prune(retention, day).await.expect("prunes");
    assert_eq!(subject.named(of(first)).await, []);
    let subject = subject.reopened();
    assert_eq!(subject.named(of(late)).await, [third], "the run that it repeats is gone, and it still says so");
}

pub async fn the_runs_of_a_job_next_to_one_are_known(subject: Subject) {
    let runs = ["welcome", "refund", "welcome", "welcome"].map(|name| subject.new_run(name));
    let ids = subject.enqueued(runs.into()).await;
    // Whatever state they are in.
    subject.store().cancel(ids[2], "no".to_owned(), at(1)).await.expect("cancels");
    let next_to = async |run| subject.query().neighbours(run).await.expect("reads");
    let expected = |previous, next| Neighbours { previous, next };
    assert_eq!(next_to(ids[0]).await, expected(None, Some(ids[2])));
    assert_eq!(next_to(ids[2]).await, expected(Some(ids[0]), Some(ids[3])));
    assert_eq!(next_to(ids[3]).await, expected(Some(ids[2]), None));
    assert_eq!(next_to(ids[1]).await, expected(None, None), "of another job");
    assert_eq!(next_to(RunId::from_bytes([9; 16])).await, expected(None, None));
}

pub async fn counts_show_what_is_due_as_available(subject: Subject) {
    subject.dead("welcome", "no such user", at(1)).await;
    let claimed = subject.running("welcome").await;
    subject.end(&claimed, transient(), at(0)).await;
    let later = |job: &str| NewRun { scheduled_at: at(500), ..subject.new_run(job) };
    subject.enqueue(vec![later("welcome"), later("refund")], at(0)).await;
    let expected = |scheduled: usize, available: usize, retryable: usize| {
        move |state| match state {
            RunState::Scheduled => scheduled,
            RunState::Available => available,
            RunState::Retryable => retryable,
            RunState::Dead => 1,
            _ => 0,
        }
    };
    // With and without a claim that looked in between.
    for looks in [false, true] {
        let counts = subject.query().counts(None, at(499)).await.expect("reads");
        for state in RunState::ALL {
            assert_eq!(counts.of(state), expected(2, 0, 1)(state), "{state} before it is due");
        }
        if looks {
            subject.store().claim(super::subject::room(9, &[]), at(2_000)).await.expect("claims");
        }
        let counts = subject.query().counts(None, at(2_000)).await.expect("reads");
        for state in RunState::ALL {
            assert_eq!(counts.of(state), expected(0, 3, 0)(state), "{state} when it is due");
        }
    }
    let counts = subject.query().counts(Some(&job("refund")), at(2_000)).await.expect("reads");
    assert_eq!(counts.0.iter().sum::<usize>(), 1);
    assert_eq!(subject.claim(9, at(2_000)).await.len(), 3);
    let counts = subject.query().counts(None, at(2_000)).await.expect("reads");
    assert_eq!((counts.of(RunState::Running), counts.of(RunState::Available)), (3, 0));
}

pub async fn the_next_due_time_is_known(subject: Subject) {
    let next = async |now| subject.query().next_due(now).await.expect("reads");
    assert_eq!(next(at(0)).await, None);
    let later = |millis| NewRun { scheduled_at: at(millis), ..subject.new_run("welcome") };
    let runs = vec![later(300), later(100), later(200), later(0)];
    let first = runs[1].id;
    subject.enqueue(runs, at(0)).await;
    assert_eq!(next(at(0)).await, Some(at(100)));
    // What is due waits for room, not for its time.
    assert_eq!(next(at(100)).await, Some(at(200)));
    assert_eq!(next(at(300)).await, None);
    subject.store().cancel(first, "no".to_owned(), at(0)).await.expect("cancels");
    assert_eq!(next(at(0)).await, Some(at(200)));
    let claimed = subject.claim_one(at(0)).await;
    subject.end(&claimed, Outcome::Snoozed { delay: Duration::from_millis(150) }, at(0)).await;
    assert_eq!(next(at(0)).await, Some(at(150)));
}

pub async fn the_position_counts_what_goes_before(subject: Subject) {
    let run = |job: &str, priority, due| NewRun { priority, scheduled_at: at(due), ..subject.new_run(job) };
    let runs = vec![run("welcome", 5, 0), run("refund", 0, 0), run("welcome", 5, 9), run("welcome", 1, 9)];
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    subject.enqueue(runs, at(0)).await;
    let position = async |run, now| subject.waiting_for(run, now).await.and_then(|it| it.position);
    assert_eq!(position(ids[2], at(8)).await, None);
    for looked in [false, true] {
        assert_eq!(position(ids[3], at(9)).await, Some(0), "a claim looked: {looked}");
        assert_eq!(position(ids[0], at(9)).await, Some(1), "a claim looked: {looked}");
        assert_eq!(position(ids[2], at(9)).await, Some(2), "a claim looked: {looked}");
        assert_eq!(position(ids[1], at(9)).await, Some(0), "a claim looked: {looked}");
        subject.claim(0, at(9)).await;
    }
    let claimed = subject.claim_one(at(9)).await;
    assert_eq!(claimed.head.id, ids[1]);
    assert_eq!(position(ids[1], at(9)).await, None);
    assert_eq!(position(RunId::from_bytes([9; 16]), at(9)).await, None);
}

pub async fn pages_of_orders_go_by_id(subject: Subject) {
    for id in ["b", "a\u{1}", "d", "a", "c"] {
        subject.store().put_order(order(id, OrderStatus::Paid)).await.expect("puts");
    }
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = subject.query().orders(after.as_deref(), 2).await.expect("reads");
        seen.extend(page.items.into_iter().map(|order| order.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "a\u{1}", "b", "c", "d"]);
}

pub async fn changes_are_told(subject: Subject) {
    let mut changes = subject.store().changes();
    let mut next = async || {
        let change = tokio::time::timeout(Duration::from_secs(10), changes.recv()).await;
        let batch = change.expect("a change is told").expect("none was missed");
        let [change] = *batch else { panic!("one change: {batch:?}") };
        change
    };
    let later = NewRun { scheduled_at: at(5), ..subject.new_run("welcome") };
    let run = subject.enqueue(vec![later], at(0)).await[0].id;
    assert_eq!(next().await, Change { run, state: RunState::Scheduled, scheduled_at: at(5), cancel_requested: false });
    let claimed = subject.claim_one(at(5)).await;
    assert_eq!(next().await.state, RunState::Running);
    subject.end(&claimed, transient(), at(6)).await;
    assert_eq!(
        next().await,
        Change { run, state: RunState::Retryable, scheduled_at: at(1_006), cancel_requested: false }
    );
    subject.store().cancel(run, "no".to_owned(), at(7)).await.expect("cancels");
    assert_eq!(next().await.state, RunState::Cancelled);
}
