//! What clients and operators ask for, drawn: enqueues and their repeats, events, changes of one run and of many.
//! It judges no answer.

use std::time::Duration;

use jobmill_core::job::JobVersion;
use jobmill_core::journal::{EntryKind, Finished};
use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::run::AttemptOutcome;
use jobmill_core::{Clock as _, Descriptor, EventKey, Json, RunId, RunState, Timestamp, Version};
use jobmill_store::{Control, DeadFilter, Forget, NewRun, Pause, QueueChange, Retention, RunFilter, RunFlow};

use crate::arrivals::telling;
use crate::asks::{Ask, Client};
use crate::forgets::Cut;
use crate::policies::{Kind, pointer};
use crate::scenario::Scenario;
use crate::script::{ORDERS, READERS, document, payload, reader};
use crate::truth::Told;
use crate::world::World;

/// Runs of one seed: enough to meet each other, few enough to look at.
pub(crate) const RUNS_MAX: usize = 250;
/// Where anything is: one in so many requests comes with one to forget something.
const FORGETS: u64 = 25;
/// Where anybody is impatient: one in so many requests comes with one to begin at once.
const IMPATIENT: u64 = 3;
/// Where versions are put on record: one in so many requests comes with one, of so many of a job.
const LOADED: u64 = 4;
const VERSIONS: u64 = 5;

impl World {
    /// Somebody asks for something.
    pub(crate) fn ask(&mut self) {
        let ask = match self.chance.below(22) {
            20 | 21 | 0..7 => self.enqueue(),
            7 => self.repeat(),
            8 | 9 => Some(self.publish()),
            10 | 11 => self.known_run().map(|run| Ask::Cancel(run, self.reason())),
            12 | 13 => self.known_run().map(|run| Ask::Requeue(run, self.due())),
            14 => Some(Ask::CancelMany(self.filter(), self.reason())),
            15 => Some(Ask::RequeueMany(self.dead(), Duration::from_millis(self.chance.below(5_000)))),
            16 => Some(Ask::DiscardMany(self.dead(), self.reason())),
            17 => Some(Ask::PutOrder(Box::new(self.order()))),
            18 => Some(Ask::Prune(self.retention())),
            _ => Some(Ask::ClearMail),
        };
        if let Some(ask) = ask {
            self.put(ask);
        }
        if self.scenario.policies.has(Kind::Operators) && self.control.one_in(5) {
            let ask = self.control();
            self.put(ask);
        }
        if let Some(ask) = self.arrive() {
            self.put(ask);
        }
        if let Some(run) = self.impatient() {
            self.log.watch().made_due.insert(run);
            self.put(Ask::MakeDue(run));
        }
        if let Some(ask) = self.loaded() {
            self.put(ask);
        }
        if self.scenario.forgets && self.besides.one_in(FORGETS) {
            let ask = self.forget();
            self.put(ask);
        }
    }

    /// Somebody is to be forgotten; sometimes the power goes in the middle of it.
    fn forget(&mut self) -> Ask {
        let chance = &self.besides;
        let value = match chance.below(4) {
            0 => Some(("/a", format!("a-{}", chance.below(4)))),
            1 | 2 => Some(("/c", chance.below(11).to_string())),
            _ => None,
        };
        let value = value.map(|(at, value)| (pointer(at), value));
        let email = (value.is_none() || chance.one_in(4)).then(|| reader(chance.below(READERS)));
        let email = email.map(|email| if chance.one_in(2) { email.to_uppercase() } else { email });
        let cuts = [None, None, None, Some(Cut::Before), Some(Cut::After)];
        self.log.watch().cut = chance.one_of(&cuts).flatten();
        self.forgets += 1;
        Ask::Forget(self.forgets, Forget { email, value })
    }

    /// A run that somebody does not want to wait for its time: mostly one that does, and sometimes any.
    fn impatient(&self) -> Option<RunId> {
        let chance = self.impatience.as_ref().filter(|chance| chance.one_in(IMPATIENT))?;
        let watch = self.log.watch();
        let any = chance.one_in(5);
        let waits = |told: &Told| told.standing.shown(self.clock.now()) != RunState::Available;
        let runs = watch.durable.runs.iter();
        let runs = runs.filter(|(_, told)| any || (told.standing.state.is_waiting() && waits(told)));
        chance.one_of(&runs.map(|(run, _)| *run).collect::<Vec<_>>())
    }

    /// A version of a job is loaded, for the first time or again.
    fn loaded(&self) -> Option<Ask> {
        let chance = self.loads.as_ref().filter(|chance| chance.one_in(LOADED))?;
        let (job, number, now) = (chance.below(self.scenario.jobs), chance.below(VERSIONS), self.clock.now());
        let component = format!("job {job} version {number}");
        Some(Ask::Load(Box::new(JobVersion {
            job: Scenario::job(job),
            version: Version::of(component.as_bytes()),
            file: format!("job-{job}.wasm"),
            descriptor: Descriptor { title: component, ..Descriptor::default() },
            imports: Vec::new(),
            size: number,
            first_loaded_at: now,
            last_loaded_at: now,
        })))
    }

    /// An operator says something of a queue or a job.
    fn control(&self) -> Ask {
        let chance = &self.control;
        let job = chance.below(self.scenario.jobs);
        let by = chance.one_in(2).then(|| format!("operator-{}", chance.below(3)));
        if chance.one_in(2) {
            let paused = by.map(|by| Pause { by, at: self.clock.now() });
            return Ask::ControlJob(Scenario::job(job), paused);
        }
        let limit = u32::try_from(1 + chance.below(3)).unwrap_or(1);
        let concurrency = chance.one_in(2).then(|| chance.one_in(2).then_some(limit));
        let paused = chance.one_in(2).then_some(by);
        Ask::ControlQueue(self.scenario.policies.queue_of(job), QueueChange { concurrency, paused })
    }

    /// Operators let everything go on that they stopped.
    pub(crate) fn resume_all(&mut self) {
        if !self.clients.is_empty() {
            return;
        }
        let asks: Vec<Ask> = self.log.watch().durable.controls.all().filter_map(resumes).collect();
        for ask in asks {
            self.put(ask);
        }
    }

    fn put(&mut self, ask: Ask) {
        let Some(life) = self.life.as_ref().filter(|life| life.is_serving()) else { return };
        self.findings.note(|| format!("asks {ask:?}"));
        self.log.watch().bounds.extend(ask.runs().map(|run| (run.id, run.flow.waiting)));
        let events = ask.events().iter();
        let cancels = events.map(|event| (event.reference.key, (event.reference.clone(), event.cancels.clone())));
        self.log.watch().cancels.extend(cancels);
        if let Ask::Forget(number, what) = &ask {
            self.log.watch().forgets(*number, what);
        }
        self.clients.push(Client::new(ask, life.store().clone(), self.clock.now()));
        // It is in the store's queue from now on.
        self.poll_client(self.clients.len() - 1);
    }

    fn enqueue(&mut self) -> Option<Ask> {
        if self.requests.len() >= RUNS_MAX {
            return self.repeat();
        }
        let runs: Vec<NewRun> = (0..=self.chance.below(3)).map(|_| self.new_run()).collect();
        self.requests.extend(runs.iter().cloned());
        Some(Ask::Enqueue(runs))
    }

    /// The same request once more, or another one under the same key.
    fn repeat(&mut self) -> Option<Ask> {
        let run = self.chance.one_of(&self.requests)?;
        let watch = self.log.watch();
        let is_ending = watch.written.runs.get(&run.id).is_some_and(|told| told.standing.state.is_final());
        // Once it is pruned or forgotten its id names nothing: whoever comes that late gets a new run, and does what it did
        // again.
        let is_going = !watch.forgetting.is_empty();
        let is_late = is_ending || is_going || watch.written.pruned.contains(&run.id);
        drop(watch);
        let run = if is_late || self.chance.one_in(2) { NewRun { id: self.run_id(), ..run } } else { run };
        Some(Ask::Enqueue(vec![run]))
    }

    fn run_id(&self) -> RunId {
        RunId::generate(self.clock.now(), &*self.entropy())
    }

    pub(crate) fn new_run(&self) -> NewRun {
        let job = self.chance.below(self.scenario.jobs);
        let unique_key = self.chance.one_in(3).then(|| format!("key-{}", self.chance.below(self.scenario.names)));
        let idempotency_key = self.chance.one_in(6).then(|| format!("once-{}", self.chance.below(self.scenario.names)));
        // Requests under one key are mostly the same, and sometimes not.
        let digest = [u8::from(self.chance.one_in(5)); 32];
        let (id, priority, plan) = (self.run_id(), self.chance.below(10), self.chance.below(100_000));
        let run = NewRun {
            id,
            job: Scenario::job(job),
            queue: "default".to_owned(),
            priority: u8::try_from(priority).unwrap_or(5),
            payload: payload(plan),
            max_attempts: Scenario::retries(job) + 1,
            scheduled_at: if self.chance.one_in(3) { self.due() } else { self.clock.now() },
            tags: if self.chance.one_in(4) { vec!["marked".to_owned()] } else { Vec::new() },
            request_digest: (unique_key.is_some() || idempotency_key.is_some()).then_some(digest),
            unique_key,
            idempotency_key,
            rerun_of: None,
            flow: RunFlow::default(),
        };
        self.controlled(run, job, plan)
    }

    /// The same request as the version of the job that is loaded, or was, makes it.
    pub(crate) fn controlled(&self, run: NewRun, job: u64, plan: u64) -> NewRun {
        let version = self.versions.get(&job).copied().flatten().unwrap_or(0);
        let (described, _) = &*self.scenario.described(job, version);
        self.scenario.policies.controlled(run, &document(plan), described, self.clock.now())
    }

    fn publish(&self) -> Ask {
        let events = (0..=self.chance.below(2)).map(|_| {
            let number = self.chance.below(self.scenario.names);
            let plan = number * 7 + 1;
            self.event(number, plan, payload(plan))
        });
        Ask::Publish(events.collect())
    }

    /// A run that is durable.
    fn known_run(&self) -> Option<RunId> {
        let runs: Vec<RunId> = self.log.watch().durable.runs.keys().copied().collect();
        self.chance.one_of(&runs)
    }

    fn due(&self) -> Timestamp {
        let farthest = if self.chance.one_in(4) { 600_000 } else { 5_000 };
        self.clock.now().after(Duration::from_millis(self.chance.below(farthest)))
    }

    /// No two are the same.
    fn reason(&self) -> String {
        format!("because {:x}", self.chance.next())
    }

    fn filter(&self) -> RunFilter {
        match self.chance.below(3) {
            0 => RunFilter { tag: Some("marked".to_owned()), ..RunFilter::default() },
            1 => RunFilter { state: Some(RunState::Retryable), ..RunFilter::default() },
            _ => RunFilter { ids: Some(self.known_run().into_iter().collect()), ..RunFilter::default() },
        }
    }

    fn dead(&self) -> DeadFilter {
        let job = Some(Scenario::job(self.chance.below(self.scenario.jobs)));
        match self.chance.below(3) {
            0 => DeadFilter { job, ..DeadFilter::default() },
            1 => DeadFilter { ids: Some(self.known_run().into_iter().collect()), ..DeadFilter::default() },
            _ => DeadFilter::default(),
        }
    }

    /// What is old goes.
    pub(crate) fn prune(&mut self) {
        let retention = self.retention();
        self.put(Ask::Prune(retention));
    }

    fn retention(&self) -> Retention {
        let age = |one_in| self.chance.one_in(one_in).then(|| Duration::from_hours(self.chance.below(30)));
        let deliveries = self.scenario.arrivals.map(|_| Duration::ZERO);
        let (cancelled, dead) = (age(2), age(2));
        Retention { completed: Some(Duration::ZERO), cancelled, dead, mail: None, deliveries, audit: None }
    }

    fn order(&self) -> Order {
        let statuses = [OrderStatus::Pending, OrderStatus::Paid];
        let number = self.chance.below(ORDERS);
        Order {
            id: format!("order-{number}"),
            status: self.chance.one_of(&statuses).unwrap_or(OrderStatus::Pending),
            customer_email: reader(number),
            customer_name: None,
            items: Vec::new(),
            total: Money { minor: 1_250, currency: "EUR".to_owned() },
            created_at: self.clock.now(),
            fulfilled_at: None,
            refunded_at: None,
            metadata: Json::empty_object(),
            revision: 0,
        }
    }

    /// An attempt that has lost its lease writes its end all the same.
    pub(crate) fn write_late(&mut self) {
        let Some(lease) = self.chance.one_of(&self.gone) else { return };
        let is_lost = self.log.watch().durable.runs.get(&lease.run).is_some_and(|told| {
            let standing = told.standing;
            standing.lease > lease.token || (standing.lease == lease.token && standing.state != RunState::Running)
        });
        if is_lost {
            let finished = Finished {
                outcome: AttemptOutcome::Completed,
                error: None,
                output: None,
                to: RunState::Completed,
                scheduled_at: self.clock.now(),
                counted: true,
                log: Vec::new(),
                log_dropped: 0,
                bill: None,
            };
            let (chance, now) = (&self.arrivals, self.clock.now());
            let told = self
                .scenario
                .arrivals
                .map(|_| telling(lease.run, chance.below(100), EventKey::generate(now, chance), now, Vec::new()));
            let end = vec![EntryKind::Finished(Box::new(finished))];
            self.put(Ask::Late(lease, end, told.into_iter().collect()));
        }
    }
}

/// What takes an operator's pause back.
fn resumes(control: &Control) -> Option<Ask> {
    match control {
        Control::Queue { name, control } => {
            let change = QueueChange { concurrency: None, paused: Some(None) };
            control.paused.is_some().then(|| Ask::ControlQueue(name.clone(), change))
        }
        Control::Job { job, control } => control.paused.is_some().then(|| Ask::ControlJob(job.clone(), None)),
        Control::Schedule(_)
        | Control::Suppression(_)
        | Control::SuppressionLifted(_)
        | Control::Token(_)
        | Control::Audit(_)
        | Control::AuditGone(_)
        | Control::Notice(_)
        | Control::NoticeGone { .. }
        | Control::Version(_)
        | Control::Pinned(_)
        | Control::Unpinned(_) => None,
    }
}
