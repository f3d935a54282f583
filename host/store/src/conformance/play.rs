//! Sequences of commands that follow from a seed, as mixed as an engine and its operators would make them.
//! It judges no answer; it gives a trace, so that the answers of two stores can be compared.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::flow::{Concurrency, FlowKey};
use jobmill_core::journal::{EffectKey, EntryKind};
use jobmill_core::mail::{InDoubtChoice, Mail, MailStatus};
use jobmill_core::order::{Order, OrderPatch, OrderStatus};
use jobmill_core::suppression::{Suppression, SuppressionSource};
use jobmill_core::token::{Scope, SecretDigest, Token};
use jobmill_core::{EventId, FailureKind, Json, Outcome, RunId, Timestamp, TokenId};

use super::Subject;
use super::subject::{JOBS, at, finished, job, order, order_updated, pointer, room, settled, step, to_status};
use crate::flow::{Pause, Rules};
use crate::mailing::Doubts;
use crate::query::{DeadFilter, DeliveryFilter, RunFilter};
use crate::store::{Claimed, Firing, NewDelivery, NewEvent, NewRun, QueueChange, Room, RunDebounce, RunFlow};

/// Events and orders of a play: few, so that commands meet on them.
pub(super) const NAMES: u64 = 8;
/// What the keys of a play's runs must equal to name them.
pub(super) const DIGEST: Option<[u8; 32]> = Some([3; 32]);

/// The queues of a play.
const QUEUES: [&str; 2] = ["default", "bulk"];

/// What is decided of mails in doubt.
const CHOICES: [Option<InDoubtChoice>; 3] = [None, Some(InDoubtChoice::Resend), Some(InDoubtChoice::Sent)];

/// These jobs loaded, under the limits of a play. None of them changes by itself as time goes on.
pub(super) fn limited(jobs: &[&str]) -> Arc<Rules> {
    let mut rules = (*room(0, jobs).rules).clone();
    if let Some(refund) = rules.jobs.get_mut(&job("refund")) {
        refund.concurrency = vec![Concurrency { limit: 2, key: Some(pointer("/user")) }];
    }
    if let Some(report) = rules.jobs.get_mut(&job("report")) {
        report.concurrency = vec![Concurrency { limit: 3, key: None }];
    }
    rules.queues.insert("bulk".to_owned(), 6);
    Arc::new(rules)
}

/// Plays so many commands that follow from `seed`; answers what each of them was answered, and the time at the end.
pub async fn play(subject: &Subject, seed: u64, commands: usize) -> (Vec<String>, Timestamp) {
    Play::begin(subject, seed).play(commands).await
}

pub(super) fn event_id(number: u64) -> EventId {
    format!("event-{number}").parse().expect("an event id")
}

/// A sequence of commands under way.
struct Play<'subject> {
    subject: &'subject Subject,
    chance: u64,
    now: Timestamp,
    runs: Vec<RunId>,
    /// Attempts under way, and some that are no longer.
    claimed: Vec<Claimed>,
    mails: BTreeMap<RunId, (EffectKey, Arc<Mail>)>,
    trace: Vec<String>,
}

impl<'subject> Play<'subject> {
    fn begin(subject: &'subject Subject, seed: u64) -> Self {
        Self {
            subject,
            chance: seed,
            now: at(0),
            runs: Vec::new(),
            claimed: Vec::new(),
            mails: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    async fn play(mut self, commands: usize) -> (Vec<String>, Timestamp) {
        for _ in 0..commands {
            self.now = self.now.after(Duration::from_millis(self.below(1_000)));
            match self.below(21) {
                0..4 => self.enqueue().await,
                4 => self.publish().await,
                5..9 => self.claim().await,
                9..16 => self.attempt().await,
                16 => self.operate_on_one().await,
                17 => self.operate_on_many().await,
                18 => self.put_order().await,
                19 => self.deliver().await,
                _ => self.seldom().await,
            }
        }
        (self.trace, self.now)
    }

    /// The next number below `bound` that follows from the seed (`SplitMix64`).
    fn below(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let count = u64::try_from(things.len()).expect("few").max(1);
        let position = usize::try_from(self.below(count)).expect("few");
        things.get(position).cloned()
    }

    fn answered(&mut self, answer: &impl Debug) {
        self.trace.push(format!("{answer:?}"));
    }

    fn new_run(&mut self) -> NewRun {
        let job = self.one_of(&JOBS).expect("there are jobs");
        let run = self.subject.new_run(job);
        self.runs.push(run.id);
        let bytes = if self.below(10) == 0 { 20_000 } else { 10 };
        let user = self.one_of(&["ada", "bob"]).expect("there are users");
        let key = FlowKey { pointer: pointer("/user"), value: user.to_owned() };
        let debounce = RunDebounce { value: Some(user.to_owned()), max_wait: Some(Duration::from_secs(4)) };
        let flow = RunFlow {
            keys: vec![key],
            expires: Some(Duration::from_millis(self.below(20_000))).filter(|_| self.below(6) == 0),
            debounce: Some(debounce).filter(|_| self.below(8) == 0),
            ..RunFlow::default()
        };
        NewRun {
            queue: self.one_of(&QUEUES).expect("there are queues").to_owned(),
            flow,
            priority: u8::try_from(self.below(10)).expect("below 10"),
            payload: Json::of(&"x".repeat(bytes)).expect("a document"),
            scheduled_at: self.now.after(Duration::from_millis(self.below(2) * self.below(5_000))),
            unique_key: Some(run.id.to_string()),
            request_digest: DIGEST,
            ..run
        }
    }

    async fn enqueue(&mut self) {
        let batch: Vec<_> = (0..=self.below(3)).map(|_| self.new_run()).collect();
        let answer = self.subject.store().enqueue(batch, self.now).await;
        self.answered(&answer);
    }

    async fn publish(&mut self) {
        let event = self.event();
        let answer = self.subject.store().publish(vec![event], self.now).await;
        self.answered(&answer);
    }

    /// An event whose id is mostly known, at times under another name.
    fn event(&mut self) -> NewEvent {
        let id = event_id(self.below(NAMES));
        let mut event = self.subject.new_event(id.as_str(), &[]);
        if self.below(3) == 0 {
            event.reference.name = format!("name-{}", self.below(3)).into();
        }
        event.runs = (0..self.below(3)).map(|_| self.new_run()).collect();
        event.runs.iter_mut().for_each(|run| run.payload = event.data.clone());
        event
    }

    async fn deliver(&mut self) {
        let sender_id = format!("sent-{}", self.below(NAMES));
        let new = self.subject.new_delivery(&sender_id, self.now);
        let known = self.subject.query().deliveries(&DeliveryFilter::default(), None, 100).await.expect("reads").items;
        let before = self.one_of(&known).filter(|_| self.below(4) == 0).map(|summary| summary.id);
        let before = match before {
            Some(id) => self.subject.query().delivery(id).await.expect("reads"),
            None => None,
        };
        let event = Some(self.event()).filter(|_| self.below(2) == 0);
        let address = format!("user{}@example.com", self.below(NAMES));
        let source = SuppressionSource::Webhook(new.delivery.endpoint.clone());
        let suppression = Suppression::new(&address, None, source, self.now).expect("an address");
        let suppressions = Some(suppression).filter(|_| self.below(4) == 0).into_iter().collect();
        let replay = before.is_some();
        let delivery = before.unwrap_or_else(|| new.delivery.clone());
        let new = NewDelivery { delivery, event, suppressions, replay, ..new };
        let answer = self.subject.store().receive(new, self.now).await;
        self.answered(&answer);
    }

    async fn change_token(&mut self) {
        let id = TokenId::from_bytes([u8::try_from(self.below(3)).expect("few"); 16]);
        match self.below(3) {
            0 => {
                let token = Token {
                    id,
                    name: "a token".to_owned(),
                    scope: Scope::Read,
                    digest: SecretDigest([7; 32]),
                    created_at: self.now,
                    expires_at: None,
                    revoked_at: None,
                    last_used_at: None,
                    rate_limit: None,
                    max_waiting: None,
                };
                let answer = self.subject.store().put_token(token).await;
                self.answered(&answer);
            }
            1 => {
                let answer = self.subject.store().touch_token(id, self.now).await;
                self.answered(&answer);
            }
            _ => {
                let answer = self.subject.store().revoke_token(id, self.now).await;
                self.answered(&answer);
            }
        }
    }

    async fn claim(&mut self) {
        let permits = usize::try_from(self.below(4)).expect("few");
        let jobs = if self.below(2) == 0 { &JOBS[..] } else { &JOBS[1..] };
        let room = Room { permits, rules: limited(jobs) };
        let claimed = self.subject.store().claim(room, self.now).await;
        self.answered(&claimed);
        self.claimed.extend(claimed.expect("claims").runs);
    }

    /// Something of an attempt that is, or once was, under way.
    async fn attempt(&mut self) {
        let Some(claimed) = self.one_of(&self.claimed.clone()) else { return };
        let run = claimed.head.id;
        let entries = match self.below(4) {
            0 => vec![step(&format!("step {}", self.below(3)))],
            1 => {
                let mail = self.subject.mail("welcome", "ada@example.com");
                let (key, mail) = self.mails.entry(run).or_insert(mail).clone();
                vec![EntryKind::MailIntended { key, mail }]
            }
            2 => match self.mails.get(&run).cloned() {
                Some((key, _)) => {
                    vec![settled(&key, if self.below(2) == 0 { MailStatus::Sent } else { MailStatus::Failed })]
                }
                None => return,
            },
            _ => return self.finish(&claimed).await,
        };
        let answer = self.subject.store().record(claimed.lease(), entries, self.now).await;
        self.answered(&answer);
    }

    async fn finish(&mut self, claimed: &Claimed) {
        let outcome = match self.below(9) {
            0..3 => Outcome::Completed { output: Some(Json::empty_object()) },
            3 => Outcome::failed(FailureKind::Transient, format!("away since {}", self.below(9))),
            4 => Outcome::failed(FailureKind::Permanent, format!("no user {}", self.below(9))),
            5 => Outcome::Snoozed { delay: Duration::from_millis(self.below(3_000)) },
            6 => Outcome::Cancelled,
            7 => {
                let delay = Duration::from_millis(self.below(3_000));
                Outcome::Held { delay, reason: "closed".to_owned(), whole_job: false }
            }
            _ => Outcome::Interrupted,
        };
        let mut entries = vec![finished(&claimed.head, outcome, self.now)];
        if self.below(3) == 0 {
            let statuses = [OrderStatus::Paid, OrderStatus::Fulfilled, OrderStatus::Refunded];
            let status = self.one_of(&statuses).expect("there are statuses");
            let revision = Some(self.below(3)).filter(|revision| *revision > 0);
            let patch = OrderPatch { expected_revision: revision, ..to_status(status) };
            entries.insert(0, order_updated(&format!("order-{}", self.below(NAMES)), &patch));
        }
        let told = Some(self.event()).filter(|_| self.below(4) == 0).into_iter().collect();
        let answer = self.subject.store().finish(claimed.lease(), entries, told, self.now).await;
        self.answered(&answer);
    }

    async fn operate_on_one(&mut self) {
        let Some(run) = self.one_of(&self.runs.clone()) else { return };
        let choice = self.one_of(&CHOICES).flatten();
        let answer = match self.below(3) {
            0 => self.subject.store().cancel(run, "not needed".to_owned(), self.now).await,
            1 => self.subject.store().make_due(run, choice, self.now).await,
            _ => {
                let due = self.now.after(Duration::from_millis(self.below(1_000)));
                self.subject.store().requeue(run, 2, due, choice, self.now).await
            }
        };
        self.answered(&answer);
    }

    async fn operate_on_many(&mut self) {
        let (store, dry, now) = (self.subject.store(), self.below(3) == 0, self.now);
        let job = self.one_of(&JOBS).map(|name| name.parse().expect("a job id"));
        let ids = self.one_of(&self.runs.clone()).into_iter().chain(self.one_of(&self.runs.clone())).collect();
        let ids = Some(ids).filter(|_| self.below(2) == 0);
        let doubts = self.one_of(&CHOICES).flatten().map_or(Doubts::Refuse, Doubts::Decide);
        let answer = match self.below(3) {
            0 => {
                let filter = RunFilter { job, ids: Some(ids.unwrap_or_default()), ..RunFilter::default() };
                store.cancel_many(filter, "not needed".to_owned(), dry, now).await
            }
            1 => {
                let filter = DeadFilter { job, fingerprint: None, ids };
                store.requeue_many(filter, Duration::from_secs(3), doubts, dry, now).await
            }
            _ => store.discard_many(DeadFilter { job, fingerprint: None, ids }, "gone".to_owned(), dry, now).await,
        };
        self.answered(&answer);
    }

    async fn control(&mut self) {
        let pause = Pause { by: "ada".to_owned(), at: self.now };
        let paused = Some(pause).filter(|_| self.below(3) == 0);
        if self.below(3) == 0 {
            self.suppress_or_lift().await;
        } else if self.below(2) == 0 {
            let job = self.one_of(&JOBS).expect("there are jobs").parse().expect("a job id");
            let answer = self.subject.store().control_job(job, paused).await;
            self.answered(&answer);
        } else {
            let queue = self.one_of(&QUEUES).expect("there are queues").to_owned();
            let concurrency = Some(3).filter(|_| self.below(2) == 0);
            let change = QueueChange { concurrency: Some(concurrency), paused: Some(paused.map(|pause| pause.by)) };
            let answer = self.subject.store().control_queue(queue, change, self.now).await;
            self.answered(&answer);
        }
    }

    async fn suppress_or_lift(&mut self) {
        let address = format!("user{}@example.com", self.below(NAMES));
        if self.below(2) == 0 {
            let suppression =
                Suppression::new(&address, None, SuppressionSource::Bounce, self.now).expect("an address");
            let answer = self.subject.store().suppress(suppression).await;
            self.answered(&answer);
        } else {
            let answer = self.subject.store().lift_suppression(address).await;
            self.answered(&answer);
        }
    }

    async fn fire(&mut self) {
        let run = self.new_run();
        let cron = "* * * * *".to_owned();
        let schedules = self.subject.query().schedules().await.expect("reads");
        let known = schedules.iter().find(|schedule| schedule.job == run.job);
        let from = known.map(|schedule| schedule.up_to);
        let firing = Firing { job: run.job.clone(), cron, from, up_to: self.now, run: Some(run), ended: false };
        let answer = self.subject.store().fire(firing, self.now).await;
        self.answered(&answer);
    }

    async fn put_order(&mut self) {
        let order = order(&format!("order-{}", self.below(NAMES)), OrderStatus::Paid);
        let bytes = usize::try_from(self.below(3) * 6_000).expect("few");
        let metadata = Json::parse(&format!("{{\"note\":\"{}\"}}", "x".repeat(bytes))).expect("a document");
        let answer = self.subject.store().put_order(Order { metadata, ..order }).await;
        self.answered(&answer);
    }

    async fn seldom(&mut self) {
        match self.below(10) {
            8 | 9 => self.change_token().await,
            0..2 => {
                let answer = self.subject.store().rescue(self.now).await;
                self.answered(&answer);
            }
            2 => {
                let answer = self.subject.store().clear_mail().await;
                self.answered(&answer);
            }
            3..5 => {
                let answer = self.subject.store().expire(self.now).await;
                self.answered(&answer);
            }
            5 => self.fire().await,
            _ => self.control().await,
        }
    }
}
