//! `Flow` against a model that knows nothing of lanes and gates: a list of runs, looked through from end to end.
//! Whatever is done in whatever order, limits hold, nothing that may begin is passed over, and every cause is exact.

use jobmill_core::Version;
use jobmill_core::flow::BreakerSettings;

use super::*;

const JOBS: [&str; 3] = ["a", "b", "c"];
const QUEUES: [&str; 3] = ["first", "second", "third"];
const POINTERS: [&str; 2] = ["/x", "/y"];

/// A run as the model sees it.
#[derive(Debug, Clone)]
struct Run {
    job: JobId,
    queue: Arc<str>,
    keys: Arc<[FlowKey]>,
    place: Place,
    lane: LaneId,
    is_due: bool,
    is_under_way: bool,
}

/// A `Flow`, and what it should know.
struct World {
    flow: Flow,
    rules: Arc<Rules>,
    runs: BTreeMap<RunId, Run>,
    queues: BTreeMap<Arc<str>, QueueControl>,
    jobs: BTreeMap<JobId, JobControl>,
    breakers: BTreeMap<JobId, Breaker>,
    buckets: BTreeMap<(JobId, Arc<[FlowKey]>), FullAt>,
    now: Timestamp,
    /// When it last heard of the time; none before it was first chosen.
    chosen_at: Option<Timestamp>,
    chance: u64,
    made: u64,
    /// Runs that were chosen.
    begun: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            flow: Flow::default(),
            rules: Arc::default(),
            runs: BTreeMap::new(),
            queues: BTreeMap::new(),
            jobs: BTreeMap::new(),
            breakers: BTreeMap::new(),
            buckets: BTreeMap::new(),
            now: Timestamp::from_millis(1_000_000_000),
            chosen_at: None,
            chance: seed,
            made: 0,
            begun: 0,
        };
        world.change_rules();
        world
    }

    /// The next number below `bound` that follows from the seed (`SplitMix64`).
    fn below(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn small(&mut self, bound: u64) -> u32 {
        u32::try_from(self.below(bound)).expect("small")
    }

    fn one_of<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let position = self.below(things.len().max(1) as u64);
        things.get(usize::try_from(position).expect("small")).cloned()
    }

    fn a_job(&mut self) -> JobId {
        self.one_of(&JOBS).expect("some").parse().expect("a job id")
    }

    fn a_pointer(&mut self) -> Option<Pointer> {
        let pointer = self.one_of(&["", POINTERS[0], POINTERS[1]]).expect("some");
        Pointer::try_from(pointer.to_owned()).ok()
    }

    fn a_run(&mut self, wanted: impl Fn(&Run) -> bool) -> Option<RunId> {
        let ids: Vec<RunId> = self.runs.iter().filter(|(_, run)| wanted(run)).map(|(id, _)| *id).collect();
        self.one_of(&ids)
    }

    fn step(&mut self) {
        match self.below(100) {
            0..28 => self.enqueue(),
            28..32 => self.become_due(),
            32..38 => self.cancel(),
            38..58 => self.end(),
            58..60 => self.begin_elsewhere(),
            60..63 => self.change_rules(),
            63..68 => self.control(),
            68..76 => self.pass_time(),
            _ => self.choose(),
        }
        self.check();
    }

    fn enqueue(&mut self) {
        let (job, queue) = (self.a_job(), Arc::from(self.one_of(&QUEUES).expect("some")));
        let mut keys = Vec::new();
        for pointer in POINTERS {
            let value = self.below(3);
            if value > 0 {
                let pointer = Pointer::try_from(pointer.to_owned()).expect("a pointer");
                keys.push(FlowKey { pointer, value: value.to_string() });
            }
        }
        self.made += 1;
        let id = RunId::from_bytes(u128::from(self.made).to_be_bytes());
        let (lane, keys) = self.flow.join(&job, &queue, &keys.into());
        self.queues.entry(Arc::clone(&queue)).or_default();
        self.jobs.entry(job.clone()).or_default();
        let place = (Timestamp::from_millis(self.below(1_000)), id);
        let is_due = self.below(8) > 0;
        self.runs.insert(id, Run { job, queue, keys, place, lane, is_due, is_under_way: false });
        if is_due {
            self.flow.add(lane, place);
        }
    }

    fn become_due(&mut self) {
        let Some(id) = self.a_run(|run| !run.is_due && !run.is_under_way) else { return };
        let run = self.runs.get_mut(&id).expect("is there");
        run.is_due = true;
        self.flow.add(run.lane, run.place);
    }

    fn cancel(&mut self) {
        let Some(id) = self.a_run(|run| !run.is_under_way) else { return };
        let run = self.runs.remove(&id).expect("is there");
        if run.is_due {
            self.flow.remove(run.lane, run.place);
        }
        self.flow.leave(run.lane);
    }

    /// An attempt ends, and its run with it, or to be tried again.
    fn end(&mut self) {
        let Some(id) = self.a_run(|run| run.is_under_way) else { return };
        let failed = self.one_of(&[Some(true), Some(true), Some(false), None]).expect("some");
        let mut run = self.runs.remove(&id).expect("is there");
        self.flow.release(run.lane);
        self.flow.ended(&run.job, id, failed, self.now);
        self.chosen_at = self.chosen_at.map(|chosen_at| chosen_at.max(self.now));
        self.chosen_at = self.chosen_at.map(|chosen_at| chosen_at.max(self.now));
        self.breaker_ended(&run.job, id, failed);
        if self.below(3) > 0 {
            self.flow.leave(run.lane);
            return;
        }
        (run.is_under_way, run.is_due) = (false, self.below(2) == 0);
        run.place.0 = Timestamp::from_millis(self.below(2_000));
        if run.is_due {
            self.flow.add(run.lane, run.place);
        }
        self.runs.insert(id, run);
    }

    fn breaker_ended(&mut self, job: &JobId, run: RunId, failed: Option<bool>) {
        let settings = self.rules.jobs.get(job).and_then(|rules| rules.breaker);
        let breaker = self.breakers.entry(job.clone()).or_default();
        if let (Some(settings), Some(failed)) = (settings, failed) {
            breaker.ended(&settings, run, failed, self.now);
        } else {
            breaker.abandoned(run, self.now);
        }
    }

    /// A run is found to be under way already, as from the notes of a process that ended.
    fn begin_elsewhere(&mut self) {
        let Some(id) = self.a_run(|run| run.is_due) else { return };
        let run = self.runs.get_mut(&id).expect("is there");
        self.flow.remove(run.lane, run.place);
        self.flow.hold(run.lane);
        (run.is_due, run.is_under_way) = (false, true);
    }

    fn change_rules(&mut self) {
        let mut rules = Rules::default();
        for job in JOBS {
            if self.below(8) == 0 {
                continue;
            }
            let mut of_job = JobRules::new(Version::of(job.as_bytes()));
            for key in [None, self.a_pointer()] {
                let is_there = of_job.concurrency.iter().any(|limit| limit.key == key);
                if self.below(2) == 0 && !is_there {
                    of_job.concurrency.push(Concurrency { limit: 1 + self.small(3), key });
                }
            }
            if self.below(2) == 0 {
                let (limit, period) = (1 + self.small(3), Duration::from_secs(1 + self.below(9)));
                of_job.rate_limit = Some(RateLimit { limit, period, key: self.a_pointer() });
            }
            if self.below(3) == 0 {
                let (min_attempts, pause) = (1 + self.small(3), Duration::from_secs(1 + self.below(5)));
                let window = Duration::from_secs(10);
                of_job.breaker = Some(BreakerSettings { failures: 0.5, window, min_attempts, pause });
            }
            if self.below(4) == 0 {
                let until = self.now.after(Duration::from_secs(1 + self.below(5)));
                of_job.held = Some(Hold { since: self.now, until, reason: "closed".to_owned() });
            }
            rules.jobs.insert(job.parse().expect("a job id"), of_job);
        }
        for queue in QUEUES {
            if self.below(3) == 0 {
                rules.queues.insert(queue.to_owned(), 1 + self.small(3));
            }
        }
        self.rules = Arc::new(rules);
        self.flow.set_rules(&self.rules);
        if let Some(chosen_at) = self.chosen_at {
            self.settle(chosen_at);
        }
    }

    fn control(&mut self) {
        let pause = Pause { by: "ada".to_owned(), at: self.now };
        match self.below(5) {
            0..2 => {
                let name: Arc<str> = Arc::from(self.one_of(&QUEUES).expect("some"));
                let concurrency = Some(self.small(3)).filter(|limit| *limit > 0);
                let paused = Some(pause).filter(|_| self.below(2) == 0);
                let control = QueueControl { concurrency, paused };
                self.queues.insert(Arc::clone(&name), control.clone());
                self.flow.set_queue(&name, control);
            }
            2..4 => {
                let (job, paused) = (self.a_job(), Some(pause).filter(|_| self.below(2) == 0));
                self.jobs.insert(job.clone(), JobControl { paused: paused.clone() });
                self.flow.set_job(&job, JobControl { paused });
            }
            _ => {
                let job = self.a_job();
                self.breakers.remove(&job);
                self.flow.close_breaker(&job);
            }
        }
    }

    fn pass_time(&mut self) {
        let forward = Duration::from_millis(self.below(4_000));
        self.now = match self.below(20) {
            0 => self.now.before(Duration::from_mins(self.below(60))).expect("is after the epoch"),
            1 => self.now.after(Duration::from_mins(self.below(60))),
            _ => self.now.after(forward),
        };
        self.drop_holds_from_later();
    }

    /// What is to hold since a time that has not come was ended by a clock that was set back: the engine drops it.
    fn drop_holds_from_later(&mut self) {
        let is_later = |rules: &JobRules| rules.held.as_ref().is_some_and(|hold| hold.since > self.now);
        if self.rules.jobs.values().any(is_later) {
            let mut rules = (*self.rules).clone();
            rules.jobs.values_mut().filter(|rules| is_later(rules)).for_each(|rules| rules.held = None);
            self.rules = Arc::new(rules);
            self.flow.set_rules(&self.rules);
        }
    }

    /// No bucket lacks more than it holds, and no pause is longer than it is.
    fn settle(&mut self, now: Timestamp) {
        for ((job, _), bucket) in &mut self.buckets {
            if let Some(rate) = self.rules.jobs.get(job).and_then(|rules| rules.rate_limit.as_ref()) {
                *bucket = rate.settle(*bucket, now);
            }
        }
        for (job, breaker) in &mut self.breakers {
            if let Some(settings) = self.rules.jobs.get(job).and_then(|rules| rules.breaker) {
                breaker.settle(&settings, now);
            }
        }
    }

    fn choose(&mut self) {
        let most = usize::try_from(self.below(6)).expect("small");
        let locked = Some(self.below(4)).filter(|_| self.below(3) == 0);
        let is_eligible =
            |id: RunId| locked.is_none_or(|locked| id.to_bytes()[15] % 4 != u8::try_from(locked).expect("small"));
        let chosen = self.flow.choose(self.now, most, is_eligible);
        if self.chosen_at.is_none_or(|chosen_at| self.now < chosen_at) {
            self.settle(self.now);
        }
        self.chosen_at = Some(self.now);
        self.begun += chosen.len();
        let before = self.buckets.clone();
        for chosen in &chosen {
            assert!(is_eligible(chosen.run));
            self.take(chosen, &is_eligible);
        }
        if chosen.len() < most {
            self.check_that_none_is_passed_over(&is_eligible, locked.is_some());
        }
        if self.below(12) == 0 {
            chosen.iter().rev().for_each(|chosen| self.put_back(chosen));
            self.buckets = before;
        }
    }

    fn take(&mut self, chosen: &Chosen, is_eligible: &impl Fn(RunId) -> bool) {
        let run = self.runs[&chosen.run].clone();
        assert!(run.is_due, "{run:?} is not due");
        assert_eq!(self.blocker(&run), None, "{run:?} was chosen");
        let is_before = |other: &Run| other.is_due && other.lane == run.lane && other.place < run.place;
        let before = self.runs.values().find(|other| is_before(other) && is_eligible(other.place.1));
        assert!(before.is_none(), "{before:?} goes before {run:?}");
        let rate = self.rules.jobs[&run.job].rate_limit.as_ref();
        let bucket = rate.map(|rate| rate.take(self.bucket(&run, rate), self.now));
        assert_eq!(chosen.bucket, bucket);
        if let Some(bucket) = bucket {
            self.buckets.insert((run.job.clone(), Arc::clone(&run.keys)), bucket);
        }
        self.breakers.entry(run.job).or_default().started(chosen.run);
        let run = self.runs.get_mut(&chosen.run).expect("is there");
        (run.is_due, run.is_under_way) = (false, true);
    }

    fn put_back(&mut self, chosen: &Chosen) {
        self.flow.put_back(chosen, self.now);
        let run = self.runs.get_mut(&chosen.run).expect("is there");
        (run.is_due, run.is_under_way) = (true, false);
        self.breakers.entry(run.job.clone()).or_default().abandoned(chosen.run, self.now);
    }

    fn check_that_none_is_passed_over(&self, is_eligible: &impl Fn(RunId) -> bool, some_are_locked: bool) {
        for run in self.runs.values().filter(|run| run.is_due && is_eligible(run.place.1)) {
            let blockers = self.blockers(run);
            assert!(!blockers.is_empty(), "{run:?} was passed over");
            let times = blockers.iter().map(|blocker| match blocker {
                Blocker::RateLimit(_, _, until) => Some(*until),
                Blocker::Breaker(until) => *until,
                Blocker::Held(hold) => Some(hold.until),
                _ => None,
            });
            // Whoever waits for time alone is told when to look again.
            let until = times.collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().max());
            if let Some(until) = until.filter(|_| !some_are_locked) {
                let next = self.flow.next_time(self.now);
                assert!(next.is_some_and(|next| next <= until), "{run:?} waits until {until}, not {next:?}");
            }
        }
    }

    /// The bucket that the run takes from.
    fn bucket(&self, run: &Run, rate: &RateLimit) -> FullAt {
        let value = value_at(&run.keys, rate.key.as_ref());
        let same = self
            .buckets
            .iter()
            .filter(|((job, keys), _)| *job == run.job && value_at(keys, rate.key.as_ref()) == value);
        same.map(|(_, bucket)| *bucket).max().unwrap_or_default()
    }

    fn blocker(&self, run: &Run) -> Option<Blocker> {
        self.blockers(run).into_iter().next()
    }

    /// All that stops a run, as it follows from looking at every other; what is told first comes first.
    fn blockers(&self, run: &Run) -> Vec<Blocker> {
        let Some(rules) = self.rules.jobs.get(&run.job) else { return vec![Blocker::NoComponent] };
        let mut blockers: Vec<Blocker> =
            self.jobs[&run.job].paused.clone().map(Blocker::JobPaused).into_iter().collect();
        blockers.extend(rules.held.clone().filter(|hold| hold.holds(self.now)).map(Blocker::Held));
        if let (Some(settings), Some(breaker)) = (&rules.breaker, self.breakers.get(&run.job))
            && !breaker.admits(settings, self.now)
        {
            blockers.push(Blocker::Breaker(match breaker.state(settings, self.now) {
                BreakerState::Open { until } => Some(until),
                _ => None,
            }));
        }
        blockers.extend(self.blocker_of_queue(run));
        for limit in &rules.concurrency {
            let value = value_at(&run.keys, limit.key.as_ref());
            let same = |other: &&Run| other.job == run.job && value_at(&other.keys, limit.key.as_ref()) == value;
            if self.under_way().filter(same).count() >= limit.limit as usize {
                blockers.push(Blocker::Concurrency(limit.clone(), value));
            }
        }
        if let Some(rate) = &rules.rate_limit {
            let bucket = self.bucket(run, rate);
            if rate.tokens(bucket, self.now) == 0 {
                let value = value_at(&run.keys, rate.key.as_ref());
                blockers.push(Blocker::RateLimit(rate.clone(), value, rate.next(bucket, self.now)));
            }
        }
        blockers
    }

    fn blocker_of_queue(&self, run: &Run) -> Option<Blocker> {
        let control = &self.queues[&run.queue];
        if let Some(pause) = &control.paused {
            return Some(Blocker::QueuePaused(pause.clone()));
        }
        let held = self.under_way().filter(|other| other.queue == run.queue).count();
        let limit = control.concurrency.or_else(|| self.rules.queues.get(&*run.queue).copied());
        limit.filter(|limit| held >= *limit as usize).map(Blocker::QueueFull)
    }

    fn under_way(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| run.is_under_way)
    }

    fn check(&self) {
        let mut lanes = BTreeSet::new();
        for run in self.runs.values().filter(|run| lanes.insert(run.lane)) {
            assert_eq!(self.flow.blocker(run.lane, self.now), self.blocker(run), "{run:?}");
        }
        assert_eq!(self.flow.has_ready(), self.runs.values().any(|run| run.is_due));
        for (name, control, _, held, ready) in self.flow.queues() {
            let count = |wanted: &dyn Fn(&Run) -> bool| {
                self.runs.values().filter(|run| run.queue == *name && wanted(run)).count()
            };
            assert_eq!(control, &self.queues[name]);
            assert_eq!((held as usize, ready), (count(&|run| run.is_under_way), count(&|run| run.is_due)), "{name}");
        }
    }

    /// Everything ends: no place is held, and no lane or gate is left.
    fn end_all(mut self) {
        for run in std::mem::take(&mut self.runs).into_values() {
            if run.is_under_way {
                self.flow.release(run.lane);
            } else if run.is_due {
                self.flow.remove(run.lane, run.place);
            }
            self.flow.leave(run.lane);
        }
        assert!(self.flow.lanes.is_empty() && self.flow.lane_ids.is_empty(), "lanes are left");
        assert!(self.flow.gates.is_empty() && self.flow.gate_ids.is_empty(), "gates are left");
        assert!(self.flow.queues.values().all(|queue| queue.held == 0 && queue.ready == 0 && queue.open.is_empty()));
    }
}

#[test]
fn it_does_what_looking_at_every_run_would_do() {
    let mut begun = 0;
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..500 {
            world.step();
        }
        begun += world.begun;
        world.end_all();
    }
    assert!(begun > 3_000, "only {begun} runs began: little was tried");
}
