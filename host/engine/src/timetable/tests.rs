//! What fires, when, and what does not: over stops, clocks that are set, newer components, and a year of a thousand schedules.
//! Stops are simulated by a new timetable that is told what the store was told.

use std::time::Duration;

use jobmill_core::{Descriptor, JobOverrides, Json};
use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn at(text: &str) -> Timestamp {
    let text = text.trim_matches(['*', ' ']);
    let seconds = if text.len() == "2026-03-01 09:00".len() { ":00" } else { "" };
    format!("{text}{seconds}Z").parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn cron(text: &str) -> CronExpression {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn job(name: &str) -> JobId {
    name.parse().expect("a job id")
}

fn schedules(name: &str, crons: &[&str], catch_up: CatchUp) -> JobSchedules {
    JobSchedules { job: job(name), crons: crons.iter().map(|text| cron(text)).collect(), catch_up }
}

/// A timetable with what a store would keep of it.
#[derive(Default)]
struct World {
    loaded: Vec<JobSchedules>,
    timetable: Timetable,
    kept: BTreeMap<Key, Schedule>,
    /// What fired, by schedule.
    fired: BTreeMap<Key, Vec<Timestamp>>,
}

impl World {
    /// `report` with one expression, begun at a time.
    fn begun(expression: &str, catch_up: CatchUp, begin: &str) -> Self {
        let mut world = Self::default();
        world.load(vec![schedules("report", &[expression], catch_up)]);
        assert_eq!(world.turn(at(begin)), vec![], "nothing fires when a schedule begins");
        world
    }

    fn load(&mut self, loaded: Vec<JobSchedules>) {
        self.timetable.load(loaded.clone());
        self.loaded = loaded;
    }

    /// The engine stops and starts.
    fn restart(&mut self) {
        self.timetable = Timetable::default();
        self.timetable.reach(self.kept.values().cloned().collect());
        self.timetable.load(self.loaded.clone());
    }

    /// One step, of which the store has everything; answers what fired.
    fn turn(&mut self, now: Timestamp) -> Vec<Timestamp> {
        let advances = self.timetable.step(now);
        let mut fired = Vec::new();
        for advance in advances {
            let key = (advance.job.clone(), advance.cron.clone());
            let before = self.kept.get(&key).filter(|schedule| !schedule.ended).map(|schedule| schedule.up_to);
            assert_eq!(before, advance.from, "{advance:?} is decided on what is kept");
            assert!(before.is_none_or(|before| before <= advance.up_to), "{advance:?} goes forward");
            fired.extend(advance.due);
            self.fired.entry(key.clone()).or_default().extend(advance.due);
            let Advance { job, cron, up_to, ended, .. } = advance.clone();
            self.kept.insert(key, Schedule { job, cron, up_to, last_run: None, ended });
            self.timetable.record(advance);
        }
        assert_eq!(self.timetable.step(now), vec![], "one step decides everything");
        fired
    }

    /// What fires as the clock goes from minute to minute, with a restart after each that `restarts` names.
    fn walk(&mut self, from: Timestamp, to: Timestamp, restarts: impl Fn(usize) -> bool) -> Vec<Timestamp> {
        let minutes = std::iter::successors(Some(from), |now| Some(now.after(MINUTE))).take_while(|now| *now <= to);
        let mut fired = Vec::new();
        for (number, now) in minutes.enumerate() {
            fired.extend(self.turn(now));
            if restarts(number) {
                self.restart();
            }
        }
        fired
    }
}

#[test]
fn a_schedule_begins_when_it_is_first_seen_and_fires_from_then_on() {
    let mut world = World::begun("0 9 * * *", CatchUp::Once, "2026-03-01 09:00");
    assert_eq!(world.turn(at("2026-03-02 08:59:59.999")), vec![]);
    assert_eq!(world.turn(at("2026-03-02 09:00:00.003")), [at("2026-03-02 09:00")]);
    assert_eq!(world.turn(at("2026-03-02 09:00:00.004")), vec![]);
    assert_eq!(world.turn(at("2026-03-03 09:00")), [at("2026-03-03 09:00")]);
}

#[test]
fn a_timetable_wants_to_be_woken_at_the_earliest_due_time_and_at_once_when_something_begins_or_ends() {
    let mut world = World::default();
    assert_eq!(world.timetable.wake_at(), None, "there is nothing to wait for");
    world.load(vec![schedules("report", &["0 9 * * *", "30 8 * * *"], CatchUp::Once)]);
    let at_once = Some(Timestamp::from_millis(0));
    assert_eq!(world.timetable.wake_at(), at_once);
    world.turn(at("2026-03-01 12:00"));
    assert_eq!(world.timetable.wake_at(), Some(at("2026-03-02 08:30")));
    world.turn(at("2026-03-02 08:30"));
    assert_eq!(world.timetable.wake_at(), Some(at("2026-03-02 09:00")));
    world.load(vec![schedules("report", &["30 8 * * *"], CatchUp::Once)]);
    assert_eq!(world.timetable.wake_at(), at_once);
    world.turn(at("2026-03-02 08:31"));
    assert_eq!(world.timetable.wake_at(), Some(at("2026-03-03 08:30")));
    world.load(vec![]);
    assert_eq!(world.timetable.wake_at(), None);
}

#[test]
fn of_missed_times_only_the_latest_is_made_up_for() {
    for restart in [false, true] {
        let mut world = World::begun("0 * * * *", CatchUp::Once, "2026-03-01 09:30");
        if restart {
            world.restart();
        }
        assert_eq!(world.turn(at("2026-03-04 17:20")), [at("2026-03-04 17:00")], "restart: {restart}");
        assert_eq!(world.turn(at("2026-03-04 18:00")), [at("2026-03-04 18:00")], "restart: {restart}");
    }
}

#[test]
fn a_schedule_that_skips_fires_only_what_is_at_most_a_minute_late() {
    let mut world = World::begun("0 * * * *", CatchUp::Skip, "2026-03-01 09:30");
    world.restart();
    assert_eq!(world.turn(at("2026-03-01 10:01")), [at("2026-03-01 10:00")]);
    world.restart();
    assert_eq!(world.turn(at("2026-03-01 11:01:00.001")), vec![]);
    assert_eq!(world.turn(at("2026-03-01 11:30")), vec![], "what was skipped stays so");
    assert_eq!(world.turn(at("2026-03-01 12:00")), [at("2026-03-01 12:00")], "and the next one fires");
    assert_eq!(world.turn(at("2026-03-01 15:00:30")), [at("2026-03-01 15:00")], "only the latest is looked at");
}

#[test]
fn a_clock_that_is_set_back_fires_nothing_twice() {
    for catch_up in [CatchUp::Once, CatchUp::Skip] {
        let mut world = World::begun("0 * * * *", catch_up, "2026-03-01 09:30");
        assert_eq!(world.turn(at("2026-03-01 10:00")), [at("2026-03-01 10:00")]);
        let again = world.walk(at("2026-03-01 07:45"), at("2026-03-01 10:59"), |minute| minute == 100);
        assert_eq!(again, vec![], "{catch_up:?}");
        assert_eq!(world.turn(at("2026-03-01 11:00")), [at("2026-03-01 11:00")], "{catch_up:?}");
    }
}

#[test]
fn a_clock_that_is_set_forward_has_missed_what_lies_between() {
    let mut once = World::begun("*/10 * * * *", CatchUp::Once, "2026-03-01 09:05");
    assert_eq!(once.turn(at("2026-03-01 13:25")), [at("2026-03-01 13:20")]);
    let mut skip = World::begun("*/10 * * * *", CatchUp::Skip, "2026-03-01 09:05");
    assert_eq!(skip.turn(at("2026-03-01 13:25")), vec![]);
    assert_eq!(skip.turn(at("2026-03-01 13:30")), [at("2026-03-01 13:30")]);
}

#[test]
fn what_the_store_did_not_take_is_decided_anew() {
    let mut world = World::begun("0 9 * * *", CatchUp::Once, "2026-03-01 12:00");
    let first = world.timetable.step(at("2026-03-02 09:00"));
    assert_eq!(first.iter().map(|advance| advance.due).collect::<Vec<_>>(), [Some(at("2026-03-02 09:00"))]);
    assert_eq!(world.timetable.step(at("2026-03-02 09:00")), first);
    assert_eq!(world.turn(at("2026-03-02 09:07")), [at("2026-03-02 09:00")]);
}

#[test]
fn a_newer_component_with_the_same_expression_goes_on_and_another_expression_begins_anew() {
    let mut world = World::begun("0 9 * * *", CatchUp::Once, "2026-03-01 12:00");
    world.load(vec![schedules("report", &["0 9 * * *"], CatchUp::Skip)]);
    assert_eq!(world.turn(at("2026-03-02 09:00")), [at("2026-03-02 09:00")]);
    world.load(vec![schedules("report", &["0 8 * * *"], CatchUp::Once)]);
    assert_eq!(world.turn(at("2026-03-03 08:30")), vec![]);
    let ended: Vec<bool> = world.kept.values().map(|schedule| schedule.ended).collect();
    assert_eq!(ended, [false, true], "by expression: the one at 8 began and the one at 9 ended");
    assert_eq!(world.turn(at("2026-03-03 09:00")), vec![]);
    assert_eq!(world.turn(at("2026-03-04 08:00")), [at("2026-03-04 08:00")]);
}

#[test]
fn an_expression_that_was_taken_away_and_comes_back_begins_anew() {
    let mut world = World::begun("0 9 * * *", CatchUp::Once, "2026-03-01 12:00");
    world.load(vec![schedules("report", &[], CatchUp::Once)]);
    assert_eq!(world.turn(at("2026-03-02 08:00")), vec![]);
    world.restart();
    world.load(vec![schedules("report", &["0 9 * * *"], CatchUp::Once)]);
    assert_eq!(world.turn(at("2026-03-05 12:00")), vec![]);
    assert_eq!(world.turn(at("2026-03-06 09:00")), [at("2026-03-06 09:00")]);
}

#[test]
fn a_job_that_is_absent_keeps_its_schedule_and_catches_up_when_it_is_back() {
    for (catch_up, caught_up) in [(CatchUp::Once, vec![at("2026-03-03 09:00")]), (CatchUp::Skip, vec![])] {
        let mut world = World::begun("0 9 * * *", catch_up, "2026-03-01 12:00");
        let before = world.kept.clone();
        world.load(vec![schedules("other", &[], CatchUp::Once)]);
        assert_eq!(world.walk(at("2026-03-01 12:00"), at("2026-03-03 14:00"), |minute| minute == 1_000), vec![]);
        assert_eq!(world.kept, before);
        world.load(vec![schedules("report", &["0 9 * * *"], catch_up)]);
        assert_eq!(world.turn(at("2026-03-03 14:01")), caught_up, "{catch_up:?}");
        assert_eq!(world.turn(at("2026-03-04 09:00")), [at("2026-03-04 09:00")], "{catch_up:?}");
    }
}

#[test]
fn expressions_of_a_job_fire_each_for_itself_and_one_that_is_named_twice_once() {
    let mut world = World::default();
    world.load(vec![schedules("report", &["0 9 * * *", "0 9 * * *", "0 9 * * MON"], CatchUp::Once)]);
    world.turn(at("2026-03-01 12:00"));
    assert_eq!(world.turn(at("2026-03-02 09:00")), [at("2026-03-02 09:00"); 2], "it is a Monday");
    assert_eq!(world.turn(at("2026-03-03 09:00")), [at("2026-03-03 09:00")]);
}

#[test]
fn daylight_saving_fires_as_the_page_about_schedules_says_however_often_the_engine_starts() {
    let mut rows = 0;
    let page = include_str!("../../../../docs/schedules.md");
    let zones = ["| `TZ=Europe/Berlin", "| `TZ=America/New_York"];
    for line in page.lines().filter(|line| zones.iter().any(|zone| line.starts_with(zone))) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let listed: Vec<Timestamp> = cells[2].split(',').map(at).collect();
        let begin = at(cells[1]);
        let end = *listed.last().expect("a time");
        for catch_up in [CatchUp::Once, CatchUp::Skip] {
            for restarts in [1, 7, 30] {
                let mut world = World::begun(cells[0].trim_matches('`'), catch_up, cells[1]);
                let fired = world.walk(begin, end, |minute| minute % restarts == 0);
                assert_eq!(fired, listed, "{line}, {catch_up:?}, a restart every {restarts} minutes");
            }
        }
        rows += 1;
    }
    assert_eq!(rows, 21);
}

/// The `number`th of very many expressions: four times a day to once a year, in zones north and south of the equator and in none.
fn any_expression(number: usize) -> String {
    let zones = ["", "TZ=Europe/Berlin ", "TZ=America/New_York ", "TZ=Australia/Lord_Howe ", "TZ=Asia/Beirut "];
    let (zone, minute, hour) = (zones[number % zones.len()], number * 7 % 60, number * 5 % 24);
    let (day, month, weekday) = (number % 28 + 1, number % 12 + 1, number % 7);
    match number % 50 {
        0 => format!("{zone}{minute} */6 * * *"),
        1..5 => format!("{zone}{minute} {hour} * * *"),
        5..15 => format!("{zone}{minute} {hour} * * {weekday}"),
        15..25 => format!("{zone}{minute} {hour} {day} * *"),
        25..30 => format!("{zone}{minute} {hour} L * *"),
        30..35 => format!("{zone}{minute} 2 * * SUN"),
        35..40 => format!("{zone}{minute} {hour} {day} {month} *"),
        _ => format!("{zone}{minute} {hour} * * {weekday}#2"),
    }
}

#[test]
fn a_thousand_schedules_over_a_year_fire_exactly_what_their_expressions_say() {
    let (begin, end) = (at("2026-01-01 00:00"), at("2027-01-01 00:00"));
    let mut world = World::default();
    let expressions: Vec<String> = (0..1_000).map(any_expression).collect();
    let crons = expressions.chunks(10).enumerate().map(|(number, crons)| {
        let crons: Vec<&str> = crons.iter().map(String::as_str).collect();
        schedules(&format!("job-{number}"), &crons, CatchUp::Once)
    });
    world.load(crons.collect());
    world.turn(begin);
    let mut steps = 0;
    while let Some(now) = world.timetable.wake_at().filter(|now| *now <= end) {
        assert!(!world.turn(now).is_empty(), "it is woken for nothing at {now}");
        steps += 1;
        if steps % 500 == 0 {
            world.restart();
        }
    }
    let mut runs = 0;
    for JobSchedules { job, crons, .. } in &world.loaded {
        for expression in crons {
            let said = std::iter::successors(expression.next_after(begin), |last| expression.next_after(*last));
            let said: Vec<Timestamp> = said.take_while(|due| *due <= end).collect();
            let fired = &world.fired[&(job.clone(), expression.to_string())];
            assert_eq!(*fired, said, "{job} {expression}");
            runs += fired.len();
        }
    }
    assert_eq!(world.fired.len(), 1_000);
    assert!(runs > 70_000, "{runs} runs in {steps} steps are no year of a thousand schedules");
}

proptest! {
    /// Clocks go where they like, engines stop when they like: each minute fires at most once, in order, and never
    /// before its time.
    #[test]
    fn whatever_the_clock_does_no_minute_fires_twice(
        moves in prop::collection::vec((-5_000_i64..20_000, any::<bool>()), 1..60),
        number in 0_usize..50,
        skips in any::<bool>(),
    ) {
        let catch_up = if skips { CatchUp::Skip } else { CatchUp::Once };
        let mut world = World::begun(&any_expression(number), catch_up, "2026-03-01 00:00");
        let mut now = at("2026-03-01 00:00");
        let mut last = now;
        for (minutes, restart) in moves {
            let span = Duration::from_secs(minutes.unsigned_abs() * 60);
            now = if minutes < 0 { now.before(span).unwrap_or(now) } else { now.after(span) };
            if restart {
                world.restart();
            }
            for due in world.turn(now) {
                prop_assert!(last < due && due <= now, "{due} fired at {now}, after {last}");
                last = due;
            }
        }
    }
}

#[test]
fn a_cron_whose_runs_could_not_have_their_payload_is_refused() {
    let descriptor = Descriptor { id: "report".to_owned(), title: "Report".to_owned(), ..Descriptor::default() };
    let crons = |crons: &[&str]| {
        let cron = Some(crons.iter().map(ToString::to_string).collect());
        Job::new(descriptor.clone(), &JobOverrides { cron, ..JobOverrides::default() }).expect("a job")
    };
    let schema = |text: &str| PayloadSchema::compile(&Json::parse(text).expect("JSON")).expect("a schema");
    let strict = schema(r#"{ "type": "object", "required": ["email"] }"#);
    let open = schema(r#"{ "type": "object" }"#);
    let daily = crons(&["@daily"]);
    assert_eq!(crons_of(&daily, None), Ok(vec![cron("@daily")]));
    assert_eq!(crons_of(&daily, Some(&open)), Ok(vec![cron("@daily")]));
    assert_eq!(crons_of(&crons(&[]), Some(&strict)), Ok(vec![]), "a job without any may be as strict as it likes");
    let error = "cron: runs of \"@daily\" have the payload {}, which the payload-schema refuses (/email is required); \
                 take the cron away, or let the schema accept {}";
    assert_eq!(crons_of(&daily, Some(&strict)), Err(error.to_owned()));
}
