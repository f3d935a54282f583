//! The law that holds after any sequence of commands: a run is the fold of its journal, and everything else follows.
//! It plays no commands itself; `play` does.

use std::collections::{BTreeMap, BTreeSet};

use jobmill_core::delivery::Delivery;
use jobmill_core::journal::Memory;
use jobmill_core::mail::MailStatus;
use jobmill_core::order::Order;
use jobmill_core::suppression::Suppression;
use jobmill_core::token::Token;
use jobmill_core::{JobId, Run, RunId, RunState, Timestamp};

use super::Subject;
use super::play::{DIGEST, NAMES, event_id, limited, play};
use super::subject::{ID_WINDOW, JOBS, job};
use crate::control::Schedule;
use crate::query::{
    Counts, DeadGroup, DeliveryFilter, DeliverySummary, EventFilter, EventRecord, MailFilter, MailView, QueueView,
    RunFilter, RunRecord, WaitingFor,
};
use crate::store::{Enqueued, NewRun, Room, RunFlow, Store};

/// After every sequence of commands each run is the fold of its journal, and lists, counts, groups and logs follow.
pub async fn every_run_is_the_fold_of_its_journal(subject: Subject) {
    let (_, now) = play(&subject, 1, 400).await;
    check(subject.store(), now).await;
}

/// Everything that can be asked of a store, in the hands of one who was there when it was played.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    runs: Vec<RunRecord>,
    events: Vec<EventRecord>,
    mails: Vec<MailView>,
    orders: Vec<Order>,
    counts: Counts,
    groups: Vec<DeadGroup>,
    next_due: Option<Timestamp>,
    waiting_for: Vec<Option<WaitingFor>>,
    queues: Vec<QueueView>,
    schedules: Vec<Schedule>,
    suppressions: Vec<Suppression>,
    deliveries: Vec<Delivery>,
    tokens: Vec<Token>,
}

/// Asks everything.
pub async fn observe(store: &dyn Store, now: Timestamp) -> Observed {
    // The rules are not kept: a claim brings them.
    store.claim(Room { permits: 0, rules: limited(&JOBS) }, now).await.expect("claims");
    let mut observed = Observed {
        runs: Vec::new(),
        events: Vec::new(),
        mails: Vec::new(),
        orders: store.orders(None, usize::MAX - 1).await.expect("reads").items,
        counts: store.counts(None, now).await.expect("reads"),
        groups: store.dead_groups().await.expect("reads"),
        next_due: store.next_due(now).await.expect("reads"),
        waiting_for: Vec::new(),
        queues: store.queues(now).await.expect("reads"),
        schedules: store.schedules().await.expect("reads"),
        suppressions: store.suppressions(None, usize::MAX - 1).await.expect("reads").items,
        deliveries: Vec::new(),
        tokens: store.tokens().await.expect("reads").to_vec(),
    };
    for run in all_runs(store, now).await {
        observed.runs.push(store.run(run.head.id).await.expect("reads").expect("is there"));
        observed.waiting_for.push(store.waiting_for(run.head.id, now).await.expect("reads"));
    }
    for number in 0..NAMES {
        // By its id the newest, and by the list every one.
        observed.events.extend(store.event(&event_id(number)).await.expect("reads"));
    }
    observed.events.extend(store.events(&EventFilter::default(), None, usize::MAX - 1).await.expect("reads").items);
    for summary in store.deliveries(&DeliveryFilter::default(), None, usize::MAX - 1).await.expect("reads").items {
        let delivery = store.delivery(summary.id).await.expect("reads").expect("is there");
        assert_eq!(DeliverySummary::from(&delivery), summary, "what lists show is what there is");
        observed.deliveries.push(delivery);
    }
    for mail in store.mails(&MailFilter::default(), None, usize::MAX - 1).await.expect("reads").items {
        observed.mails.push(store.mail(mail.id).await.expect("reads").expect("has its content"));
    }
    observed
}

async fn all_runs(store: &dyn Store, now: Timestamp) -> Vec<Run> {
    let (mut runs, mut after) = (Vec::new(), None);
    loop {
        let page = store.runs(&RunFilter::default(), after, 7, now).await.expect("reads");
        runs.extend(page.items);
        after = page.next;
        if after.is_none() {
            return runs;
        }
    }
}

/// Fails unless the law holds.
pub async fn check(store: &dyn Store, now: Timestamp) {
    let runs = all_runs(store, now).await;
    assert!(runs.windows(2).all(|pair| pair[0].head.id > pair[1].head.id), "newest first, each once");
    let mut memories = BTreeMap::new();
    for run in &runs {
        let id = run.head.id;
        let record = store.run(id).await.expect("reads").expect("is there");
        assert_eq!(Run::fold(id, &record.journal).as_ref(), Ok(run), "the run is the fold of its journal");
        // A repeat of its enqueue is answered from what the store knows without its journal.
        let repeat = NewRun { id: RunId::from_bytes([0; 16]), ..repeatable(run) };
        let answer = store.enqueue(vec![repeat], now).await.expect("answers").pop();
        assert_eq!(answer, Some(Enqueued::Existing(run.head.clone())), "the row is the fold of its journal");
        let memory = Memory::of(&record.journal);
        let doubtful =
            memory.mails.values().filter(|it| matches!(it.status, MailStatus::Sending | MailStatus::InDoubt));
        let doubtful: BTreeSet<_> = doubtful.map(|it| it.mail.id).collect();
        let told = store.mails_in_doubt(id).await.expect("reads");
        assert_eq!(told.iter().map(|mail| mail.id).collect::<BTreeSet<_>>(), doubtful, "mails in doubt of {id}");
        memories.insert(id, memory);
    }
    check_given_ids(store, &runs).await;
    let counts = store.counts(None, now).await.expect("reads");
    for state in RunState::ALL {
        let expected: Vec<_> =
            runs.iter().filter(|run| run.head.state_at(now) == state).map(|run| run.head.id).collect();
        assert_eq!(counts.of(state), expected.len(), "runs that are {state}");
        let filter = RunFilter { state: Some(state), ..RunFilter::default() };
        let named = store.runs(&filter, None, usize::MAX - 1, now).await.expect("reads").items;
        assert_eq!(named.iter().map(|run| run.head.id).collect::<Vec<_>>(), expected, "runs that are {state}");
    }
    let groups = store.dead_groups().await.expect("reads");
    assert_eq!(groups.iter().map(|group| group.count).sum::<usize>(), counts.of(RunState::Dead));
    let waiting = runs.iter().map(|run| &run.head).filter(|head| head.state.is_waiting());
    let times = waiting.flat_map(|head| [Some(head.scheduled_at), head.expires_at]).flatten();
    assert_eq!(store.next_due(now).await, Ok(times.filter(|time| *time > now).min()));
    for summary in store.mails(&MailFilter::default(), None, usize::MAX - 1).await.expect("reads").items {
        let remembered = memories[&summary.run].mail(summary.id).expect("the run knows its mail");
        assert_eq!((summary.status, summary.attempts), (remembered.status, remembered.attempts));
    }
}

/// Under one given id and name there is one event for as long as the id is remembered, and a job that ran for the id does
/// not run again for another name.
async fn check_given_ids(store: &dyn Store, runs: &[Run]) {
    let events = store.events(&EventFilter::default(), None, usize::MAX - 1).await.expect("reads").items;
    assert!(events.windows(2).all(|pair| pair[0].reference.key > pair[1].reference.key), "newest first, each once");
    let given: Vec<&EventRecord> = events.iter().filter(|event| event.reference.has_given_id()).collect();
    let jobs: BTreeMap<RunId, &JobId> = runs.iter().map(|run| (run.head.id, &run.head.job)).collect();
    let of_job = |event: &EventRecord, job: &JobId| -> BTreeSet<RunId> {
        event.runs.iter().filter(|run| jobs.get(*run).is_some_and(|it| *it == job)).copied().collect()
    };
    for (at, later) in given.iter().enumerate() {
        let meant = given[at + 1..]
            .iter()
            .filter(|it| it.reference.id == later.reference.id && later.received_at.since(it.received_at) < ID_WINDOW);
        for earlier in meant {
            assert_ne!(earlier.reference.name, later.reference.name, "{} was published twice", later.reference.id);
            for job in JOBS.map(job) {
                let before = of_job(earlier, &job);
                let is_same = before.is_empty() || of_job(later, &job).is_subset(&before);
                assert!(is_same, "{job} ran again for {}", later.reference.id);
            }
        }
    }
}

/// An enqueue that the run's own key answers.
fn repeatable(run: &Run) -> NewRun {
    let key = run.head.unique_key.as_deref().map(str::to_owned);
    NewRun {
        id: run.head.id,
        job: run.head.job.clone(),
        queue: run.head.queue.to_string(),
        priority: run.head.priority,
        payload: run.payload.clone(),
        max_attempts: run.head.max_attempts,
        scheduled_at: run.head.scheduled_at,
        tags: Vec::new(),
        unique_key: key,
        idempotency_key: None,
        request_digest: DIGEST,
        rerun_of: None,
        flow: RunFlow::default(),
    }
}
