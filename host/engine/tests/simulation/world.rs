//! One seed's world: a machine with one process after another on it, clients, a disk, and time.
//! It draws what happens next and does it; what may happen, `checkers` says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;
use jobmill_core::{Clock, Entropy, RunId};
use jobmill_engine::executor::Executor;
use jobmill_store::{Claimed, LeaseReference, LogOpener, LogStore, NewRun, Store, StoreError, WaitingBounds};

use crate::arrivals::{Arrivals, Teller};
use crate::asks::{Ask, Client, Reply};
use crate::chance::Chance;
use crate::clock::SimulatedClock;
use crate::findings::Findings;
use crate::forgets::Cut;
use crate::life::{Fate, Life, Parts, poll};
use crate::planted::{Plant, PlantedOpener};
use crate::planted_store::PlantedStore;
use crate::policies::Policies;
use crate::scenario::Scenario;
use crate::schedule_checkers::Lateness;
use crate::schedules::{Board, Schedules};
use crate::stage::Stage;
use crate::watched_log::WatchedLog;

/// See the module.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) clock: SimulatedClock,
    pub(crate) findings: Findings,
    pub(crate) log: WatchedLog,
    pub(crate) stage: Arc<Stage>,
    pub(crate) scenario: Scenario,
    pub(crate) life: Option<Life>,
    pub(crate) clients: Vec<Client>,
    /// Enqueues that were asked for, answered or not.
    pub(crate) requests: Vec<NewRun>,
    /// Versions of what is loaded, by job.
    pub(crate) versions: BTreeMap<u64, Option<u64>>,
    /// Attempts that ended, or that a crash cut off: they may still try to write.
    pub(crate) gone: Vec<LeaseReference>,
    /// Leases that were handed out in this life.
    pub(crate) handed_out: BTreeSet<(RunId, u64)>,
    /// A write or a sync was made to fail: nobody knows what is on disk, and the process is to end.
    pub(crate) is_failing: bool,
    /// The disk has no room.
    pub(crate) is_full: bool,
    /// The clock was set back in this life.
    pub(crate) clock_went_back: bool,
    /// Per mille of the time that the clock shows.
    pub(crate) clock_rate: u64,
    /// What concerns flow control is drawn from here.
    pub(crate) control: Chance,
    /// What concerns schedules and what is to be forgotten is drawn from here.
    pub(crate) besides: Chance,
    /// What arrives beside the usual requests is drawn from here, and every event's key.
    pub(crate) arrivals: Chance,
    /// Whom nobody lets wait for its time is drawn from here; none where nobody is impatient.
    pub(crate) impatience: Option<Chance>,
    /// Which components are loaded, and put on record, is drawn from here; none where none is.
    pub(crate) loads: Option<Chance>,
    /// Requests to forget something, so far.
    pub(crate) forgets: u64,
    /// For how long schedules have not gone on.
    pub(crate) lateness: Lateness,
    entropy: Chance,
    plant: Option<Plant>,
}

/// The rate of a clock that is neither fast nor slow.
pub(crate) const RIGHT: u64 = 1_000;
/// After one in so many steps a waiting run is asked what it waits for.
const LOOKED_AT: u64 = 3;
/// What is the same in every seed: where the randomness of a planted bug begins anew.
const REPEATED: u64 = 7;
/// What sets the row of what concerns flow control apart from a seed's other row.
const CONTROL: u64 = 0x000c_0472_01f1_0400;
/// The same of schedules and of what is to be forgotten. With this number the seeds of `seeds.txt` have neither, and so draw
/// what they drew when they failed.
const BESIDES: u64 = 0x0000_1d1b_0000_0000;
/// The same of what arrives: seeds that failed before there was any draw what they drew then.
const ARRIVALS: u64 = 0xa991_7a15_3eff_3eff;
/// The same of what is not to wait for its time, which is so in half of the seeds, and in none of `seeds.txt`.
const IMPATIENCE: u64 = 0x0000_d80f_0000_0000;
/// The same of versions that are put on record, which is so in a third of the seeds, and in none of `seeds.txt`.
const LOADS: u64 = 0x0000_10ad_003b_0000;
/// Where there are schedules: after one in so many steps they go on, up to a minute passes, a component changes.
const TENDED: u64 = 3;
const MINUTES: u64 = 60;
const CHANGED: u64 = 250;

impl World {
    pub(crate) fn new(seed: u64, plant: Option<Plant>, findings: Findings) -> Self {
        let chance = Chance::new(seed);
        // A row of its own, so that a seed without flow control draws what it draws without this.
        let control = Chance::new(seed ^ CONTROL);
        let besides = Chance::new(seed ^ BESIDES);
        let arrivals = Chance::new(seed ^ ARRIVALS);
        let impatience = Chance::new(seed ^ IMPATIENCE);
        let loads = Chance::new(seed ^ LOADS);
        let scenario = Scenario::draw(&chance.fork(), Policies::draw(seed, &control), &besides, &arrivals);
        let clock = SimulatedClock::new();
        let log = WatchedLog::new(clock.clone(), findings.clone(), Arrivals::windows(scenario.arrivals));
        let stage = Stage::new(chance.fork(), findings.clone(), log.clone(), scenario.poison);
        let versions = (0..scenario.jobs).map(|job| (job, Some(0))).collect();
        findings.note(|| format!("seed {seed}: {scenario:?}"));
        Self {
            entropy: chance.fork(),
            chance,
            control,
            besides,
            arrivals,
            impatience: impatience.one_in(2).then_some(impatience),
            loads: loads.one_in(3).then_some(loads),
            forgets: 0,
            lateness: Lateness::default(),
            clock,
            findings,
            log,
            stage: Arc::new(stage),
            scenario,
            life: None,
            clients: Vec::new(),
            requests: Vec::new(),
            versions,
            gone: Vec::new(),
            handed_out: BTreeSet::new(),
            is_failing: false,
            is_full: false,
            clock_went_back: false,
            clock_rate: RIGHT,
            plant,
        }
    }

    /// So many steps with faults, then until everything has ended without any.
    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
            if !self.findings.is_clean() {
                return;
            }
        }
        self.end_well();
    }

    fn step(&mut self) {
        self.make_room();
        if self.life.is_none() && !self.is_full {
            self.begin_life();
        }
        let weights = self.scenario.weights.clone();
        let all = [weights.poll, weights.turn, weights.commit, weights.ask, weights.pass, weights.strike];
        let mut drawn = self.chance.below(all.iter().sum());
        let what = all.iter().position(|weight| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        match what {
            Some(0) => self.poll_one(),
            Some(1) => self.turn(),
            Some(2) => self.commit(),
            Some(3) => self.ask(),
            Some(4) => self.pass_time(),
            _ => self.strike(),
        }
        self.bury();
        if self.control.one_in(LOOKED_AT) {
            self.check_waiting_for(&self.control);
        }
        if self.scenario.crons.is_some() {
            self.follow_schedules();
        }
    }

    /// Schedules go on, in a time in which some of them are due, and what is loaded says otherwise now and then.
    fn follow_schedules(&mut self) {
        if self.besides.one_in(TENDED) {
            self.tend();
        }
        if self.besides.one_in(MINUTES) {
            self.clock.pass(Duration::from_millis(self.besides.below(60_000)), self.clock_rate);
        }
        if self.besides.one_in(CHANGED) {
            self.change_components(&self.besides.clone());
        }
    }

    /// Starts a process, if the disk lets it.
    pub(crate) fn begin_life(&mut self) {
        self.findings.note(|| "a process starts".to_owned());
        self.log.watch().flow.begin();
        let opened = match self.plant {
            Some(plant) => self.open(PlantedOpener(self.log.clone(), plant)),
            None => self.open(self.log.clone()),
        };
        let (store, committer) = match opened {
            Ok(opened) => opened,
            Err(StoreError::Unavailable(_)) => return,
            Err(error) => return self.findings.report(|| format!("the store can't be opened: {error}")),
        };
        let store: Arc<dyn Store> = match self.plant {
            Some(plant) => Arc::new(PlantedStore::new(store, plant)),
            None => Arc::new(store),
        };
        self.stage.begin_life();
        self.handed_out.clear();
        self.clock_went_back = false;
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let (log, scenario) = (self.log.clone(), self.scenario.clone());
        let teller = Arc::new(Teller { chance: self.arrivals.clone(), scenario, log });
        let executor = Arc::new(Executor::new(Arc::clone(&store), clock, self.entropy()).announcing(teller));
        let board = Arc::new(Board::default());
        let flaw = self.plant.and_then(Plant::flaw);
        let schedules = self.scenario.crons.is_some().then(|| Schedules {
            store: Arc::clone(&store),
            board: Arc::clone(&board),
            clock: self.clock.clone(),
            entropy: self.entropy(),
            findings: self.findings.clone(),
            log: self.log.clone(),
            policies: self.scenario.policies.clone(),
            flaw,
        });
        let parts = Parts {
            store,
            schedules,
            board,
            committer,
            executor,
            clock: self.clock.clone(),
            findings: self.findings.clone(),
            concurrency: self.scenario.concurrency,
            log: self.log.clone(),
            queues: self.scenario.policies.queues.clone(),
            jobs: self.scenario.load(&self.versions, &self.stage, self.clock.now()),
            flaw,
        };
        self.life = Some(Life::begin(parts, self.scenario.grace));
        if self.plant == Some(Plant::RepeatedEntropy) {
            self.entropy = Chance::new(REPEATED);
        }
        self.check_all();
        self.check_controls();
    }

    fn open(&self, opener: impl LogOpener) -> Result<(LogStore, jobmill_store::Committer), StoreError> {
        let (store, committer) = LogStore::by_hand(opener)?;
        Ok((store, committer.cleaning_from(self.scenario.cleaned_from)))
    }

    /// Where ids and jitter come from.
    pub(crate) fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::new(self.entropy.clone())
    }

    /// Polls an errand, an attempt or a client.
    fn poll_one(&mut self) {
        let Some(life) = &mut self.life else { return };
        let futures = life.futures();
        let position = self.chance.index(futures + self.clients.len());
        if position >= futures {
            return self.poll_client(position - futures);
        }
        self.poll_life(position);
    }

    fn poll_life(&mut self, position: usize) {
        let Some(life) = &mut self.life else { return };
        let mut claimed = Vec::new();
        let fate = life.poll(position, &mut claimed);
        let ended = life.take_ended();
        self.check_claimed(&claimed);
        if !claimed.is_empty() {
            self.findings.note(|| format!("claimed {:?}", claimed.iter().map(Claimed::lease).collect::<Vec<_>>()));
            self.check_counts();
        }
        for lease in ended {
            self.findings.note(|| format!("recorded {lease:?}"));
            self.check_ended(lease);
            self.gone.push(lease);
        }
        self.meet(fate);
    }

    fn meet(&mut self, fate: Fate) {
        match fate {
            Fate::Alive => {}
            Fate::Closed => self.close(),
            Fate::Failed(error) => {
                self.findings.note(|| format!("the process ends: {error}"));
                self.check_error(&error);
                self.die(true);
            }
        }
    }

    pub(crate) fn poll_client(&mut self, position: usize) {
        let Poll::Ready(answer) = poll(&mut self.clients[position].reply) else { return };
        let client = self.clients.swap_remove(position);
        self.findings.note(|| format!("answers {:?} with {answer:?}", client.ask));
        if let Ask::Forget(number, _) = client.ask {
            self.judge_forget(number, &answer);
        }
        match answer {
            Ok(reply) => {
                client.ask.judge(&reply, &self.log.watch(), &self.findings);
            }
            Err(StoreError::Crowded { job, limit }) => {
                let bounds = |run: &NewRun| (Some(run.job.clone()) == job || job.is_none(), run.flow.waiting);
                let is_asked = client.ask.runs().any(|run| match bounds(run) {
                    (true, WaitingBounds { of_job, in_all }) => {
                        Some(limit) == if job.is_some() { of_job } else { in_all }
                    }
                    _ => false,
                });
                self.findings.require(is_asked, || format!("{:?} was refused for {limit} of {job:?}", client.ask));
            }
            Err(StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Closed) => {}
            Err(error) => self.check_error(&error),
        }
    }

    fn judge_forget(&self, number: u64, answer: &Result<Reply, StoreError>) {
        let Some(forgetting) = self.log.watch().forgot(number) else { return };
        let Ok(Reply::Forgotten(forgotten)) = answer else { return };
        match self.log.memory().clone().open() {
            Ok(mut log) => self.log.watch().judge_forget(&forgetting, forgotten, &mut *log, &self.findings),
            Err(error) => self.findings.note(|| format!("the log can't be looked through: {error}")),
        }
    }

    pub(crate) fn turn(&mut self) {
        if let Some(life) = &mut self.life {
            life.turn();
        }
    }

    /// Commits what waits; sometimes a claim comes in between.
    pub(crate) fn commit(&mut self) {
        let Some(life) = &mut self.life else { return };
        if self.chance.one_in(3)
            && let Some(meanwhile) = life.claim_meanwhile()
        {
            self.log.meanwhile(meanwhile);
        }
        life.commit();
        self.lateness.committed();
        self.log.stop_meanwhile();
        if self.log.watch().cut == Some(Cut::Done) {
            return self.die(self.besides.one_in(2));
        }
        self.check_touched();
        self.check_counts();
    }

    fn pass_time(&mut self) {
        let span = match self.chance.below(8) {
            0 => 0,
            1..5 => self.chance.below(50),
            5 | 6 => self.chance.below(1_000),
            _ => self.chance.below(8_000),
        };
        self.clock.pass(Duration::from_millis(span), self.clock_rate);
    }

    /// An attempt may have taken the process down.
    fn bury(&mut self) {
        if self.stage.is_killed() && self.life.is_some() {
            self.findings.note(|| "an attempt takes the process down".to_owned());
            self.die(true);
        }
    }

    /// The process ends in order.
    fn close(&mut self) {
        self.findings.note(|| "the process ends in order".to_owned());
        let Some(life) = self.life.take() else { return };
        if !life.has_abandoned() {
            self.check_closed();
        }
        self.clients.clear();
    }

    /// Everything goes on without faults until every run is final; then the machine is cut off and started once more.
    fn end_well(&mut self) {
        self.findings.note(|| "faults are over".to_owned());
        self.heal();
        let mut waits = Waits::default();
        for _ in 0..4_000 {
            if self.life.is_none() {
                self.begin_life();
            }
            if !self.findings.is_clean() {
                return;
            }
            if self.round() && self.is_over() {
                return self.restart();
            }
            let beginners = self.beginners();
            let has_room = self.life.as_ref().is_some_and(Life::is_idle);
            let most = if self.clock_went_back { Waits::ROUNDS_UNTOLD } else { Waits::ROUNDS };
            if let Some(run) = waits.watch(&beginners, has_room, self.handed_out.len(), most) {
                let said = self.life.as_ref().map(|life| Self::now(life.store().waiting_for(run, self.clock.now())));
                self.findings
                    .report(|| format!("{run} could begin, and nobody looks; it is said to wait for {said:?}"));
            }
            let span = if self.is_busy() || !beginners.is_empty() { 400 } else { 20_000 };
            self.clock.pass(Duration::from_millis(span), RIGHT);
        }
        self.report_unfinished();
    }

    fn is_busy(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.leases().next().is_some() || !life.is_serving())
    }

    /// Lets everything go on by one; answers whether the process lived through it.
    fn round(&mut self) -> bool {
        self.resume_all();
        let futures = self.life.as_ref().map_or(0, Life::futures);
        for position in (0..futures).rev() {
            if self.life.as_ref().is_some_and(|life| position < life.futures()) {
                self.poll_life(position);
                self.bury();
            }
        }
        for position in (0..self.clients.len()).rev() {
            self.poll_client(position);
        }
        self.turn();
        self.commit();
        if self.scenario.crons.is_some() {
            self.tend();
        }
        self.life.is_some()
    }

    fn is_over(&self) -> bool {
        let watch = self.log.watch();
        self.clients.is_empty() && watch.written.runs.values().all(|told| told.standing.state.is_final())
    }

    fn restart(&mut self) {
        self.die(false);
        self.begin_life();
        self.findings.require(self.life.is_some(), || "the store can't be opened after the end".to_owned());
        self.check_export();
        self.turn();
        self.commit();
    }

    /// What a store answers without waiting.
    pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("a read never waits")
    }
}

/// For how many rounds each run could have begun, while there was room for it and none began.
#[derive(Default)]
struct Waits {
    rounds: BTreeMap<RunId, u32>,
    begun: usize,
}

impl Waits {
    /// As many rounds as a claim may take to come once a run could begin; fewer than it takes to look again without
    /// having been told.
    const ROUNDS: u32 = 6;
    /// The same where only looking again helps: a run was found due, and the clock was set back to before that.
    const ROUNDS_UNTOLD: u32 = 20;

    /// A run that has waited for so many rounds; `begun` is how many have begun in all.
    fn watch(&mut self, beginners: &BTreeSet<RunId>, has_room: bool, begun: usize, most: u32) -> Option<RunId> {
        let goes_on = std::mem::replace(&mut self.begun, begun) != begun;
        self.rounds.retain(|run, _| has_room && !goes_on && beginners.contains(run));
        for run in beginners.iter().filter(|_| has_room) {
            let rounds = self.rounds.entry(*run).or_default();
            *rounds += 1;
        }
        self.rounds.iter().find(|(_, rounds)| **rounds >= most).map(|(run, _)| *run)
    }
}
