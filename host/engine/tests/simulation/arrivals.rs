//! What comes from outside beside the usual requests, drawn: ids that are given again, under other names and late, webhook
//! deliveries that are repeated, and events that tell of the ends of runs.
//! It judges nothing.

use std::time::Duration;

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::journal::EventReference;
use jobmill_core::{Clock as _, DeliveryId, EventId, EventKey, JobId, Json, RunId, RunState, Timestamp};
use jobmill_engine::announcements::{Announcer, Ending};
use jobmill_store::{NewDelivery, NewEvent, NewRun, RunFlow};
use serde_json::{Value, json};

use crate::asks::Ask;
use crate::chance::Chance;
use crate::clients::RUNS_MAX;
use crate::happenings::TOLD;
use crate::policies::{EVENT_NAMES, event_name};
use crate::scenario::Scenario;
use crate::script::document;
use crate::watched_log::WatchedLog;
use crate::world::World;

/// How long ids are remembered in one seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals {
    /// Those of events.
    pub(crate) id_window: Duration,
    /// Those that senders give their deliveries.
    pub(crate) sender_window: Duration,
}

/// As long as a seed lasts: where nothing arrives, an id stays what it was.
const FOR_EVER: Duration = Duration::from_hours(24 * 10_000);
/// What is not given back for longer than deliveries are kept.
const WEEK: Duration = Duration::from_hours(8 * 24);

impl Arrivals {
    /// Nothing of it in every second seed.
    pub(crate) fn draw(chance: &Chance) -> Option<Self> {
        if !chance.one_in(2) {
            return None;
        }
        let windows = [2, 30, 600, 26 * 3_600].map(Duration::from_secs);
        let window = || chance.one_of(&windows).unwrap_or(FOR_EVER);
        Some(Self { id_window: window(), sender_window: window() })
    }

    /// How long ids of events and of senders are remembered.
    pub(crate) fn windows(arrivals: Option<Self>) -> (Duration, Duration) {
        arrivals.map_or((FOR_EVER, FOR_EVER), |it| (it.id_window, it.sender_window))
    }
}

impl World {
    /// A delivery comes, or comes again; now and then a week is over.
    pub(crate) fn arrive(&mut self) -> Option<Ask> {
        self.scenario.arrivals?;
        if self.scenario.crons.is_none() && self.arrivals.one_in(400) {
            self.clock.pass(WEEK, crate::world::RIGHT);
        }
        self.arrivals.one_in(3).then(|| Ask::Deliver(Box::new(self.delivery())))
    }

    fn delivery(&self) -> NewDelivery {
        let (chance, now) = (&self.arrivals, self.clock.now());
        let known: Vec<Delivery> = self.log.watch().durable.happenings.deliveries.values().cloned().collect();
        let before = chance.one_of(&known).filter(|_| chance.one_in(6));
        let plan = chance.below(100_000);
        let sender_id = format!("sent-{}", chance.below(self.scenario.names));
        let data = marked(plan, "delivery", &json!(sender_id));
        let has_event = !chance.one_in(4) && self.log.watch().written.runs.len() < RUNS_MAX;
        let event = has_event.then(|| self.event(chance.below(self.scenario.names), plan, data.clone()));
        let replay = before.is_some();
        let delivery = before.unwrap_or_else(|| Delivery {
            id: DeliveryId::generate(now, chance),
            endpoint: if chance.one_in(2) { "stripe" } else { "shop" }.to_owned(),
            sender_id,
            kind: "changed".to_owned(),
            received_at: now,
            body: data.as_str().to_owned(),
            outcome: DeliveryOutcome::Ignored,
            replays: 0,
        });
        // What it came to before it comes to again, unless there is an event.
        let window = Arrivals::windows(self.scenario.arrivals).1;
        NewDelivery { delivery, event, suppressions: Vec::new(), window, replay }
    }

    /// An event by the number of its id, with the runs of whoever listens to it.
    pub(crate) fn event(&self, number: u64, plan: u64, data: Json) -> NewEvent {
        let (chance, now) = (&self.arrivals, self.clock.now());
        let key = EventKey::generate(now, chance);
        let is_drawn = self.scenario.arrivals.is_some();
        // Mostly an id has one name.
        let shift = if is_drawn && chance.one_in(3) { chance.below(EVENT_NAMES) } else { 0 };
        let id = if is_drawn && chance.one_in(5) {
            EventId::of(key)
        } else {
            format!("event-{number}").parse().expect("an event id")
        };
        let name = number + shift;
        let jobs: Vec<JobId> = (0..self.scenario.jobs).map(Scenario::job).collect();
        let listening = (0..self.scenario.jobs).filter(|job| Scenario::listens(*job, name % EVENT_NAMES));
        let runs = listening.map(|job| {
            let run = NewRun {
                job: Scenario::job(job),
                payload: data.clone(),
                max_attempts: Scenario::retries(job) + 1,
                unique_key: None,
                idempotency_key: None,
                request_digest: None,
                ..self.new_run()
            };
            self.controlled(run, job, plan)
        });
        NewEvent {
            runs: runs.collect(),
            reference: EventReference { key, id, name: event_name(name).into(), ts: now },
            id_window: Arrivals::windows(self.scenario.arrivals).0,
            data,
            cancels: self.scenario.policies.cancels(&jobs, &event_name(name), plan),
        }
    }
}

/// The document of a plan, with one more member.
fn marked(plan: u64, name: &str, value: &Value) -> Json {
    let mut document = document(plan);
    document[name] = value.clone();
    Json::of(&document).expect("a document")
}

/// An event that tells of the end of a run, with these runs of its own.
pub(crate) fn telling(of: RunId, plan: u64, key: EventKey, now: Timestamp, runs: Vec<NewRun>) -> NewEvent {
    let reference = EventReference { key, id: EventId::of(key), name: format!("{TOLD}run.ended").into(), ts: now };
    let data = marked(plan, "run", &json!(of));
    let runs = runs.into_iter().map(|run| NewRun { payload: data.clone(), ..run }).collect();
    NewEvent { reference, id_window: FOR_EVER, data, runs, cancels: Vec::new() }
}

/// Tells of ends, to jobs that are drawn anew each time.
pub(crate) struct Teller {
    pub(crate) chance: Chance,
    pub(crate) scenario: Scenario,
    pub(crate) log: WatchedLog,
}

impl Announcer for Teller {
    fn announce(&self, ending: Ending<'_>, now: Timestamp) -> Vec<NewEvent> {
        let Self { chance, scenario, log } = self;
        let is_told = ending.head.event.as_ref().is_some_and(|event| event.name.starts_with(TOLD));
        let is_end = matches!(ending.state, RunState::Completed | RunState::Dead);
        if scenario.arrivals.is_none() || is_told || !is_end || chance.one_in(2) {
            return Vec::new();
        }
        let plan = chance.below(100_000);
        let has_room = log.watch().written.runs.len() < RUNS_MAX;
        let jobs = (0..scenario.jobs).filter(|_| has_room && chance.one_in(2));
        let runs: Vec<NewRun> = jobs.map(|job| self.run(job, plan, now)).collect();
        log.watch().bounds.extend(runs.iter().map(|run| (run.id, run.flow.waiting)));
        vec![telling(ending.head.id, plan, EventKey::generate(now, chance), now, runs)]
    }
}

impl Teller {
    fn run(&self, job: u64, plan: u64, now: Timestamp) -> NewRun {
        let run = NewRun {
            id: RunId::generate(now, &self.chance),
            job: Scenario::job(job),
            queue: "default".to_owned(),
            priority: 5,
            payload: Json::empty_object(),
            max_attempts: Scenario::retries(job) + 1,
            scheduled_at: now,
            tags: Vec::new(),
            unique_key: None,
            idempotency_key: None,
            request_digest: None,
            rerun_of: None,
            flow: RunFlow::default(),
        };
        let (described, _) = &*self.scenario.described(job, 0);
        self.scenario.policies.controlled(run, &document(plan), described, now)
    }
}
