//! A store under test, with the runs, mails and orders that the tests are made of.
//! Its ids count up and its times are given: a test reads no clock and no chance.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::flow::{FlowKey, Pointer};
use jobmill_core::journal::{EffectKey, Entry, EntryKind, EventReference};
use jobmill_core::mail::{Mail, MailStatus, Mailbox, Message};
use jobmill_core::order::{Money, Order, OrderPatch, OrderStatus};
use jobmill_core::{
    Backoff, DeliveryId, Entropy, EventKey, FailureKind, JobId, Json, MailId, Outcome, RunHead, RunId, Timestamp,
    Version, transition,
};

use crate::flow::{JobRules, Rules};
use crate::query::{Query, WaitingFor};
use crate::store::{Claimed, Enqueued, NewDelivery, NewEvent, NewRun, Room, RunFlow, Store};

/// The jobs of the tests; each is loaded with the version of its own name.
pub(super) const JOBS: [&str; 3] = ["welcome", "refund", "report"];

/// How long the id of an event is remembered.
pub(super) const ID_WINDOW: Duration = Duration::from_mins(1);

/// So many milliseconds after the tests began.
pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_772_355_600_000 + millis)
}

pub(super) fn job(name: &str) -> JobId {
    name.parse().expect("a job id")
}

pub(super) fn pointer(text: &str) -> Pointer {
    Pointer::try_from(text.to_owned()).expect("a pointer")
}

pub(super) fn version(name: &str) -> Version {
    Version::of(name.as_bytes())
}

/// A store under test.
pub struct Subject {
    pub(super) store: Arc<dyn Store>,
    open: Opener,
    ids: Counting,
    /// Dropped after the store.
    keep: Box<dyn Any + Send>,
}

type Opener = Box<dyn Fn() -> Arc<dyn Store> + Send>;

#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Subject {
    /// What opens a store that is empty at first, and what has to stay for as long as the store, such as its directory.
    pub fn new<S: Store + 'static>(open: impl Fn() -> S + Send + 'static, keep: impl Any + Send) -> Self {
        let open: Opener = Box::new(move || Arc::new(open()));
        Self { store: open(), open, ids: Counting::default(), keep: Box::new(keep) }
    }

    /// The same after its process ended and another opened the store.
    pub(super) fn reopened(self) -> Self {
        let Self { store, open, ids, keep } = self;
        drop(store);
        Self { store: open(), open, ids, keep }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The store's questions.
    pub(super) fn query(&self) -> &dyn Query {
        &*self.store
    }

    /// A run that is due at once; the next one has the next id.
    pub(super) fn new_run(&self, name: &str) -> NewRun {
        NewRun {
            id: RunId::generate(at(0), &self.ids),
            job: job(name),
            queue: "default".to_owned(),
            priority: 5,
            payload: Json::parse("{ \"user\": 1.0 }").expect("a document"),
            max_attempts: 2,
            scheduled_at: at(0),
            tags: Vec::new(),
            unique_key: None,
            idempotency_key: None,
            request_digest: None,
            rerun_of: None,
            flow: RunFlow::default(),
        }
    }

    /// An event with a run of each of these jobs.
    pub(super) fn new_event(&self, id: &str, jobs: &[&str]) -> NewEvent {
        let key = EventKey::generate(at(0), &self.ids);
        let id = id.parse().expect("an event id");
        let reference = EventReference { key, id, name: "email/welcome".into(), ts: at(0) };
        let data = Json::parse("{\"user\": 1}").expect("a document");
        let runs = jobs.iter().map(|name| NewRun { payload: data.clone(), ..self.new_run(name) }).collect();
        NewEvent { reference, id_window: ID_WINDOW, data, runs, cancels: Vec::new() }
    }

    /// A delivery by the endpoint `stripe` that comes to nothing, with this id of its sender's.
    pub(super) fn new_delivery(&self, sender_id: &str, now: Timestamp) -> NewDelivery {
        let delivery = Delivery {
            id: DeliveryId::generate(now, &self.ids),
            endpoint: "stripe".to_owned(),
            sender_id: sender_id.to_owned(),
            kind: "charge.refunded".to_owned(),
            received_at: now,
            body: format!("{{ \"id\": \"{sender_id}\" }}"),
            outcome: DeliveryOutcome::Ignored,
            replays: 0,
        };
        NewDelivery { delivery, event: None, suppressions: Vec::new(), window: ID_WINDOW, replay: false }
    }

    /// Enqueues runs of which each is new.
    pub(super) async fn enqueue(&self, runs: Vec<NewRun>, now: Timestamp) -> Vec<RunHead> {
        let answers = self.store.enqueue(runs, now).await.expect("enqueues");
        let created = answers.into_iter().map(|answer| match answer {
            Enqueued::Created(head) => head,
            other => panic!("not new: {other:?}"),
        });
        created.collect()
    }

    /// A run with these values at these pointers of its payload.
    pub(super) fn with_keys(&self, name: &str, keys: &[(&str, &str)]) -> NewRun {
        let key = |(at, value): &(&str, &str)| FlowKey { pointer: pointer(at), value: (*value).to_owned() };
        let flow = RunFlow { keys: keys.iter().map(key).collect(), ..RunFlow::default() };
        NewRun { flow, ..self.new_run(name) }
    }

    /// Enqueues runs of which each is new; answers their ids.
    pub(super) async fn enqueued(&self, runs: Vec<NewRun>) -> Vec<RunId> {
        self.enqueue(runs, at(0)).await.into_iter().map(|head| head.id).collect()
    }

    /// Enqueues a run that is due at once.
    pub(super) async fn waiting(&self, name: &str) -> RunId {
        self.enqueue(vec![self.new_run(name)], at(0)).await[0].id
    }

    /// A run whose first attempt is under way; no other run may be due.
    pub(super) async fn running(&self, name: &str) -> Claimed {
        let run = self.waiting(name).await;
        let claimed = self.claim_one(at(0)).await;
        assert_eq!(claimed.head.id, run);
        claimed
    }

    /// A run that failed for good with this message; no other run may be due.
    pub(super) async fn dead(&self, name: &str, message: &str, now: Timestamp) -> RunId {
        let claimed = self.running(name).await;
        self.end(&claimed, Outcome::failed(FailureKind::Permanent, message), now).await.id
    }

    /// A run that completed; no other run may be due.
    pub(super) async fn completed(&self, name: &str) -> RunId {
        let claimed = self.running(name).await;
        self.end(&claimed, Outcome::Completed { output: None }, at(1)).await.id
    }

    /// Claims with every job loaded.
    pub(super) async fn claim(&self, permits: usize, now: Timestamp) -> Vec<Claimed> {
        self.store.claim(room(permits, &JOBS), now).await.expect("claims").runs
    }

    /// Claims under these rules; answers the runs' ids, so that orders can be compared.
    pub(super) async fn claim_under(&self, rules: &Arc<Rules>, permits: usize, now: Timestamp) -> Vec<RunId> {
        self.attempts_under(rules, permits, now).await.into_iter().map(|claimed| claimed.head.id).collect()
    }

    /// Claims under these rules.
    pub(super) async fn attempts_under(&self, rules: &Arc<Rules>, permits: usize, now: Timestamp) -> Vec<Claimed> {
        let room = Room { permits, rules: Arc::clone(rules) };
        self.store.claim(room, now).await.expect("claims").runs
    }

    pub(super) async fn waiting_for(&self, run: RunId, now: Timestamp) -> Option<WaitingFor> {
        self.store.waiting_for(run, now).await.expect("reads")
    }

    /// Claims the one run that is next.
    pub(super) async fn claim_one(&self, now: Timestamp) -> Claimed {
        let mut claimed = self.claim(1, now).await;
        claimed.pop().expect("a run is due")
    }

    /// Ends an attempt as it should.
    pub(super) async fn complete(&self, claimed: &Claimed, now: Timestamp) {
        self.end(claimed, Outcome::Completed { output: None }, now).await;
    }

    /// Ends an attempt.
    pub(super) async fn end(&self, claimed: &Claimed, outcome: Outcome, now: Timestamp) -> RunHead {
        let entries = vec![finished(&claimed.head, outcome, now)];
        self.store.finish(claimed.lease(), entries, Vec::new(), now).await.expect("finishes")
    }

    pub(super) async fn head(&self, run: RunId) -> RunHead {
        self.store.run(run).await.expect("reads").expect("is there").run.head
    }

    pub(super) async fn journal(&self, run: RunId) -> Vec<Entry> {
        self.store.run(run).await.expect("reads").expect("is there").journal
    }

    pub(super) async fn order(&self, id: &str) -> Order {
        self.store.order(id).await.expect("reads").expect("is there")
    }

    /// A mail with the next id, and the key of its effect.
    pub(super) fn mail(&self, kind: &str, to: &str) -> (EffectKey, Arc<Mail>) {
        let mailbox = |address: &str| Mailbox { address: address.to_owned(), name: None };
        let id = MailId::generate(at(0), &self.ids);
        let message = Message {
            kind: kind.to_owned(),
            to: mailbox(to),
            reply_to: None,
            subject: format!("{kind} for {to}"),
            text: "Hello".to_owned(),
            html: Some("<p>Hello</p>".to_owned()),
            attachments: Vec::new(),
            headers: Vec::new(),
        };
        let from = mailbox("shop@example.com");
        let mail = Mail { id, message_id: format!("{id}@example.com"), from, created_at: at(0), message };
        (EffectKey::mail(kind, to, 0), Arc::new(mail))
    }
}

/// Room for so many runs of these jobs.
pub(super) fn room(permits: usize, jobs: &[&str]) -> Room {
    let jobs = jobs.iter().map(|name| (job(name), JobRules::new(version(name)))).collect();
    Room { permits, rules: Arc::new(Rules { jobs, ..Rules::default() }) }
}

/// Every job loaded, and of one of them what is said here.
pub(super) fn rules_of(name: &str, change: impl FnOnce(&mut JobRules)) -> Arc<Rules> {
    let mut rules = (*room(0, &JOBS).rules).clone();
    change(rules.jobs.get_mut(&job(name)).expect("a job of the tests"));
    Arc::new(rules)
}

/// How an attempt ends, decided as the engine does.
pub(super) fn finished(head: &RunHead, outcome: Outcome, now: Timestamp) -> EntryKind {
    let finished = transition::finish(head, outcome, &Backoff::default(), now, 0.0).expect("is running");
    EntryKind::Finished(Box::new(finished))
}

pub(super) fn transient() -> Outcome {
    Outcome::failed(FailureKind::Transient, "the mail server is away")
}

pub(super) fn step(name: &str) -> EntryKind {
    EntryKind::StepCompleted { name: name.to_owned(), value: Json::empty_object() }
}

pub(super) fn settled(key: &EffectKey, status: MailStatus) -> EntryKind {
    EntryKind::MailSettled { key: key.clone(), status, reply: Some("250 ok".to_owned()), error: None }
}

pub(super) fn order(id: &str, status: OrderStatus) -> Order {
    Order {
        id: id.to_owned(),
        status,
        customer_email: "ada@example.com".to_owned(),
        customer_name: Some("Ada".to_owned()),
        items: Vec::new(),
        total: Money { minor: 1250, currency: "EUR".to_owned() },
        created_at: at(0),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::empty_object(),
        revision: 0,
    }
}

pub(super) fn order_updated(id: &str, patch: &OrderPatch) -> EntryKind {
    EntryKind::OrderUpdated { key: EffectKey::order(id, patch, 0), order: id.to_owned(), patch: patch.clone() }
}

pub(super) fn to_status(status: OrderStatus) -> OrderPatch {
    OrderPatch { status: Some(status), ..OrderPatch::default() }
}
