//! The process's side of schedules: the production timetable over the production store, the counterpart of the engine's
//! shell. It decides nothing; what may come of it, `schedule_checkers` says.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use jobmill_core::{Clock as _, Entropy, Json, RunId, Timestamp};
use jobmill_engine::LoadedJob;
use jobmill_engine::timetable::{Advance, JobSchedules, Timetable};
use jobmill_store::{Firing, NewRun, RunFlow, Store, StoreError};
use serde_json::json;

use crate::clock::SimulatedClock;
use crate::findings::Findings;
use crate::life::{Flaw, Jobs};
use crate::policies::Policies;
use crate::watched_log::WatchedLog;

/// As in the engine's shell.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_secs(1);

/// What is loaded, for whoever looks.
#[derive(Default)]
pub(crate) struct Board(Mutex<(u64, Jobs)>);

impl Board {
    pub(crate) fn post(&self, jobs: Jobs) {
        let mut board = self.0.lock().expect("not poisoned");
        *board = (board.0 + 1, jobs);
    }

    fn number(&self) -> u64 {
        self.0.lock().expect("not poisoned").0
    }

    fn read(&self) -> (u64, Jobs) {
        self.0.lock().expect("not poisoned").clone()
    }
}

/// See the module.
pub(crate) struct Schedules {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) board: Arc<Board>,
    pub(crate) clock: SimulatedClock,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) findings: Findings,
    pub(crate) log: WatchedLog,
    pub(crate) policies: Policies,
    pub(crate) flaw: Option<Flaw>,
}

/// How a round went.
#[derive(Default)]
struct Round {
    refused: bool,
    outdated: bool,
}

impl Schedules {
    /// Fires whatever is due, as long as the store serves.
    pub(crate) async fn follow(self) -> Result<(), StoreError> {
        let mut timetable = Timetable::default();
        let mut outdated = true;
        loop {
            if outdated {
                timetable.reach(self.reached().await?);
            }
            let (number, jobs) = self.board.read();
            timetable.load(jobs.values().map(|loaded| schedules_of(loaded)));
            let round = self.advance(&jobs, &mut timetable).await?;
            outdated = round.outdated;
            if !outdated {
                self.sleep(&timetable, round.refused, number).await;
            }
        }
    }

    async fn reached(&self) -> Result<Vec<jobmill_store::Schedule>, StoreError> {
        loop {
            match self.store.schedules().await {
                Err(StoreError::Full(_) | StoreError::Unavailable(_)) => self.clock.sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    /// Until something is due, or something else is loaded.
    async fn sleep(&self, timetable: &Timetable, refused: bool, number: u64) {
        let mut wake = match timetable.wake_at() {
            _ if refused => self.clock.sleep(PAUSE),
            Some(at) => self.clock.sleep_until(at),
            None => Box::pin(std::future::pending()),
        };
        let is_changed = || self.board.number() != number;
        poll_fn(|context| if is_changed() { Poll::Ready(()) } else { wake.as_mut().poll(context) }).await;
    }

    async fn advance(&self, jobs: &Jobs, timetable: &mut Timetable) -> Result<Round, StoreError> {
        let advances = timetable.step(self.clock.now());
        let commits = advances.into_iter().map(|advance| async move {
            let answer = self.commit(jobs, &advance).await;
            (advance, answer)
        });
        let mut answers = stream::iter(commits).buffer_unordered(AT_ONCE);
        let mut round = Round::default();
        while let Some((advance, answer)) = answers.next().await {
            self.findings.note(|| format!("  answers {advance:?} with {answer:?}"));
            match answer {
                Ok(true) => timetable.record(advance),
                Ok(false) => round.outdated = true,
                Err(StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Crowded { .. }) => {
                    round.refused = true;
                    if self.flaw == Some(Flaw::Hasty) {
                        timetable.record(advance);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(round)
    }

    async fn commit(&self, jobs: &Jobs, advance: &Advance) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let loaded = jobs.get(&advance.job);
        let run = advance.due.zip(loaded).map(|(due, loaded)| self.new_run(loaded, due, now));
        let is_named = |loaded: &&Arc<LoadedJob>| loaded.crons.iter().any(|cron| cron.to_string() == advance.cron);
        let catch_up = loaded.filter(is_named).map(|loaded| loaded.job.cron_catch_up.value);
        self.findings.note(|| format!("asks for {advance:?}, {catch_up:?}, with {:?}", run.as_ref().map(|run| run.id)));
        self.log.watch().decides(advance, catch_up, run.as_ref());
        let bounds = run.as_ref().map(|run| run.flow.waiting);
        let Advance { job, cron, from, up_to, ended, .. } = advance.clone();
        let answer = self.store.fire(Firing { job, cron, from, up_to, run, ended }, now).await;
        self.log.watch().judge_fire(advance, bounds, &answer, &self.findings);
        answer
    }

    /// As `intake` makes it.
    fn new_run(&self, loaded: &LoadedJob, due: Timestamp, now: Timestamp) -> NewRun {
        let job = &loaded.job;
        let run = NewRun {
            id: RunId::generate(now, &*self.entropy),
            job: job.id.clone(),
            queue: job.queue.value.to_string(),
            priority: job.priority.value,
            payload: Json::empty_object(),
            max_attempts: job.max_attempts(),
            scheduled_at: due,
            tags: Vec::new(),
            unique_key: None,
            idempotency_key: None,
            request_digest: None,
            rerun_of: None,
            flow: RunFlow::default(),
        };
        self.policies.controlled(run, &json!({}), job, now)
    }
}

fn schedules_of(loaded: &LoadedJob) -> JobSchedules {
    JobSchedules { job: loaded.job.id.clone(), crons: loaded.crons.clone(), catch_up: loaded.job.cron_catch_up.value }
}
