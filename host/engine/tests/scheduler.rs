//! The scheduler's decisions as tables: when, what became known, what is to be done.
//! Nothing runs here: no store, no clock, no job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::journal::{Enqueued, Entry, EntryKind};
use jobmill_core::{JobId, Json, RunId, RunState, Timestamp, Version, transition};
use jobmill_engine::scheduler::{Decision, Scheduler, Wake};
use jobmill_store::{Change, Claimed, JobRules, LeaseReference, Room, Rules};

const GRACE: Duration = Duration::from_secs(30);

/// So many milliseconds after the tests began.
fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_772_355_600_000 + millis)
}

fn job() -> (JobId, Version) {
    ("hello".parse().expect("a job id"), Version::of(b"hello"))
}

/// One job, without limits.
fn rules() -> Arc<Rules> {
    let (job, version) = job();
    let unlimited = JobRules::new(version);
    Arc::new(Rules { jobs: BTreeMap::from([(job, unlimited)]), queues: BTreeMap::new() })
}

fn run(number: u8) -> RunId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    RunId::from_bytes(bytes)
}

/// The first lease of a run.
fn lease(number: u8) -> LeaseReference {
    LeaseReference { run: run(number), token: 1 }
}

/// A run as it is after so many claims.
fn claimed_again(number: u8, claims: u64) -> Claimed {
    let (job, version) = job();
    let payload = Json::empty_object();
    let enqueued = Enqueued {
        job,
        queue: "default".to_owned(),
        priority: 4,
        payload: payload.clone(),
        max_attempts: 9,
        scheduled_at: at(0),
        tags: Vec::new(),
        unique_key: None,
        idempotency_key: None,
        request_digest: None,
        event: None,
        rerun_of: None,
        terms: None,
    };
    let mut head = transition::begin(run(number), &entry(EntryKind::Enqueued(Box::new(enqueued)))).expect("an enqueue");
    for _ in 0..claims {
        head.state = RunState::Available;
        let started = transition::claim(&head, version, None, at(0)).expect("available");
        transition::apply(&mut head, &entry(started));
    }
    Claimed { head, payload, journal: Vec::new() }
}

fn entry(kind: EntryKind) -> Entry {
    Entry { at: at(0), kind }
}

fn claimed(numbers: impl IntoIterator<Item = u8>) -> Vec<Claimed> {
    numbers.into_iter().map(|number| claimed_again(number, 1)).collect()
}

/// The answer to a claim, with nothing due later.
fn answered(numbers: impl IntoIterator<Item = u8>) -> Wake {
    Wake::Claimed { runs: claimed(numbers), next_due: None, left: false }
}

fn changed(number: u8, state: RunState, scheduled_at: Timestamp) -> Wake {
    Wake::Changed([Change { run: run(number), state, scheduled_at, cancel_requested: false }].into())
}

fn available() -> Wake {
    changed(99, RunState::Available, at(0))
}

fn cancel_requested(number: u8) -> Wake {
    let change = Change { run: run(number), state: RunState::Running, scheduled_at: at(0), cancel_requested: true };
    Wake::Changed([change].into())
}

fn claim(permits: usize) -> Decision {
    Decision::Claim(Room { permits, rules: rules() })
}

fn start(numbers: impl IntoIterator<Item = u8>) -> Decision {
    Decision::Start(claimed(numbers))
}

/// A line of a table: at so many milliseconds this has become known, and that is to be done.
type Line = (u64, Vec<Wake>, Vec<Decision>);

/// Goes through a table from its start, and answers the scheduler as it is then.
fn check(mut scheduler: Scheduler, table: impl IntoIterator<Item = Line>) -> Scheduler {
    let mut decisions = Vec::new();
    for (line, (millis, mut wakes, wanted)) in table.into_iter().enumerate() {
        scheduler.step(at(millis), &mut wakes, &mut decisions);
        assert!(wakes.is_empty(), "every wake is taken in");
        assert_eq!(decisions, wanted, "line {line}, at {millis} ms");
        decisions.clear();
    }
    scheduler
}

/// A scheduler for four attempts at once, whose first claim was answered with these runs at 0 ms.
fn serving(numbers: impl IntoIterator<Item = u8> + Clone) -> Scheduler {
    let wanted = if numbers.clone().into_iter().next().is_some() { vec![start(numbers.clone())] } else { Vec::new() };
    check(
        Scheduler::new(4, GRACE),
        [(0, vec![Wake::Catalog(rules())], vec![claim(4)]), (0, vec![answered(numbers)], wanted)],
    )
}

#[test]
fn nothing_is_claimed_before_it_is_known_what_is_loaded() {
    let scheduler = Scheduler::new(4, GRACE);
    assert_eq!(scheduler.wake_at(), Timestamp::default(), "it wants to be told the time first");
    check(
        scheduler,
        [
            (0, vec![], vec![]),
            (1, vec![available()], vec![]),
            (6_000, vec![], vec![]),
            (6_001, vec![Wake::Catalog(rules())], vec![claim(4)]),
        ],
    );
}

#[test]
fn a_claim_takes_no_more_than_there_are_permits() {
    check(
        serving([1, 2, 3]),
        [
            (1, vec![available()], vec![claim(1)]),
            (2, vec![answered([4])], vec![start([4])]),
            (3, vec![available()], vec![]),
            (4, vec![Wake::Executed(lease(1)), Wake::Executed(lease(2))], vec![claim(2)]),
        ],
    );
}

#[test]
fn an_attempt_whose_end_is_being_recorded_holds_no_permit() {
    check(
        serving([1, 2, 3, 4]),
        [
            (1, vec![Wake::Executed(lease(1))], vec![claim(1)]),
            (2, vec![Wake::Recorded(lease(1))], vec![]),
            (3, vec![answered([5])], vec![start([5])]),
            (4, vec![Wake::Recorded(lease(1)), Wake::Executed(lease(1))], vec![]),
            // Its task ended without telling that its code had.
            (5, vec![Wake::Recorded(lease(2))], vec![claim(1)]),
        ],
    );
}

#[test]
fn ends_that_wait_for_the_disk_are_bounded() {
    let numbers = 0..=4_095_u16;
    let leases = numbers.clone().map(|number| {
        let mut bytes = [0; 16];
        bytes[14..].copy_from_slice(&number.to_be_bytes());
        LeaseReference { run: RunId::from_bytes(bytes), token: 1 }
    });
    let runs: Vec<_> = leases
        .clone()
        .map(|lease| {
            let mut run = claimed_again(0, 1);
            run.head.id = lease.run;
            run
        })
        .collect();
    let scheduler = check(Scheduler::new(5_000, GRACE), [(0, vec![Wake::Catalog(rules())], vec![claim(5_000)])]);
    check(
        scheduler,
        [
            (0, vec![Wake::Claimed { runs: runs.clone(), next_due: None, left: false }], vec![Decision::Start(runs)]),
            (1, leases.map(Wake::Executed).chain([available()]).collect(), vec![]),
            (2, vec![Wake::Recorded(lease(7))], vec![claim(5_000)]),
        ],
    );
}

#[test]
fn a_full_claim_is_followed_by_another_and_a_short_one_is_not() {
    check(
        serving([1, 2]),
        [
            (1, vec![Wake::Executed(lease(1))], vec![]),
            (2, vec![available()], vec![claim(3)]),
            (3, vec![available()], vec![]),
            (4, vec![answered([3])], vec![start([3]), claim(2)]),
            (5, vec![answered([4, 5])], vec![start([4, 5])]),
            (6, vec![Wake::Executed(lease(2))], vec![claim(1)]),
        ],
    );
}

#[test]
fn an_end_that_becomes_known_while_a_claim_is_under_way_is_not_forgotten() {
    let left = Wake::Claimed { runs: vec![], next_due: None, left: true };
    check(
        serving([1, 2]),
        [
            (2, vec![Wake::Executed(lease(1)), available()], vec![claim(3)]),
            // The claim may have looked before this, and found everything held.
            (3, vec![Wake::Recorded(lease(1))], vec![]),
            (4, vec![left], vec![claim(3)]),
        ],
    );
}

#[test]
fn runs_that_a_claim_left_behind_are_asked_for_again_when_an_attempt_has_ended() {
    let left = || Wake::Claimed { runs: claimed([3]), next_due: None, left: true };
    check(
        serving([1, 2]),
        [
            (1, vec![Wake::Executed(lease(1)), Wake::Recorded(lease(1))], vec![]),
            (2, vec![available()], vec![claim(3)]),
            (3, vec![left()], vec![start([3])]),
            (4, vec![Wake::Executed(lease(2))], vec![]),
            (5, vec![Wake::Recorded(lease(2))], vec![claim(3)]),
            (6, vec![answered([])], vec![]),
            (7, vec![Wake::Executed(lease(3)), Wake::Recorded(lease(3))], vec![]),
        ],
    );
}

#[test]
fn what_becomes_due_is_claimed_on_time() {
    let scheduler = check(
        serving([]),
        [
            (1, vec![available()], vec![claim(4)]),
            (2, vec![Wake::Claimed { runs: vec![], next_due: Some(at(3_000)), left: false }], vec![]),
            (3, vec![changed(1, RunState::Retryable, at(1_000))], vec![]),
            (4, vec![changed(2, RunState::Scheduled, at(2_000))], vec![]),
        ],
    );
    assert_eq!(scheduler.wake_at(), at(1_000));
    let scheduler = check(scheduler, [(999, vec![], vec![]), (1_000, vec![], vec![claim(4)])]);
    assert_eq!(scheduler.wake_at(), at(5_000), "what else is due, the answer tells");
    check(scheduler, [(1_001, vec![Wake::Claimed { runs: vec![], next_due: Some(at(2_000)), left: false }], vec![])]);
}

#[test]
fn a_due_time_that_is_heard_during_a_claim_is_not_lost() {
    let scheduler = check(
        serving([]),
        [
            (1, vec![available()], vec![claim(4)]),
            (2, vec![changed(1, RunState::Scheduled, at(70))], vec![]),
            (3, vec![Wake::Claimed { runs: vec![], next_due: Some(at(90)), left: false }], vec![]),
        ],
    );
    assert_eq!(scheduler.wake_at(), at(70));
}

#[test]
fn a_due_time_that_no_longer_holds_is_forgotten() {
    let scheduler = check(
        serving([]),
        [
            (1, vec![changed(1, RunState::Scheduled, at(70))], vec![]),
            (2, vec![available()], vec![claim(4)]),
            (3, vec![answered([])], vec![]),
        ],
    );
    assert_eq!(scheduler.wake_at(), at(5_000));
}

#[test]
fn due_runs_that_find_no_room_do_not_turn_the_loop() {
    let scheduler = check(
        serving([1, 2, 3, 4]),
        [(1, vec![changed(5, RunState::Scheduled, at(100))], vec![]), (100, vec![], vec![])],
    );
    assert_eq!(scheduler.wake_at(), at(5_000));
    check(scheduler, [(101, vec![Wake::Executed(lease(3))], vec![claim(1)])]);
}

#[test]
fn a_lost_wake_costs_five_seconds() {
    let scheduler = check(
        serving([]),
        [(4_999, vec![], vec![]), (5_000, vec![], vec![claim(4)]), (5_001, vec![answered([])], vec![])],
    );
    assert_eq!(scheduler.wake_at(), at(10_000));
}

#[test]
fn a_store_that_can_not_be_asked_is_asked_again_after_a_pause() {
    let scheduler = check(
        serving([]),
        [
            (1, vec![available()], vec![claim(4)]),
            (2, vec![Wake::ClaimFailed], vec![]),
            (3, vec![available(), Wake::Missed], vec![]),
        ],
    );
    assert_eq!(scheduler.wake_at(), at(1_002));
    check(
        scheduler,
        [(1_001, vec![], vec![]), (1_002, vec![], vec![claim(4)]), (1_003, vec![answered([1])], vec![start([1])])],
    );
}

#[test]
fn a_clock_that_is_set_back_delays_no_pause_and_no_poll() {
    let scheduler = check(
        serving([]),
        [
            (100_000, vec![], vec![claim(4)]),
            (100_001, vec![Wake::ClaimFailed], vec![]),
            (50_000, vec![], vec![]),
            (51_000, vec![], vec![claim(4)]),
            (51_001, vec![answered([])], vec![]),
        ],
    );
    assert_eq!(scheduler.wake_at(), at(55_000));
}

#[test]
fn an_attempt_is_cancelled_once_the_record_says_so() {
    check(
        serving([1, 2]),
        [
            (1, vec![cancel_requested(1), cancel_requested(9)], vec![Decision::LookAt(vec![lease(1)])]),
            (2, vec![Wake::Looked(vec![lease(1)])], vec![Decision::Cancel(lease(1))]),
            (3, vec![cancel_requested(9)], vec![]),
            (4, vec![cancel_requested(2)], vec![Decision::LookAt(vec![lease(2)])]),
            // Its code ended while the record was read.
            (5, vec![Wake::Executed(lease(2)), Wake::Looked(vec![lease(2)])], vec![]),
        ],
    );
}

#[test]
fn a_cancel_that_is_heard_before_the_claim_is_answered_is_not_lost() {
    check(
        serving([1]),
        [
            (1, vec![available()], vec![claim(3)]),
            (2, vec![cancel_requested(2)], vec![]),
            (3, vec![answered([2])], vec![start([2]), Decision::LookAt(vec![lease(2)])]),
        ],
    );
}

#[test]
fn after_missed_changes_every_executing_attempt_is_looked_at() {
    check(
        serving([1, 2, 3]),
        [
            (1, vec![Wake::Executed(lease(1))], vec![]),
            (2, vec![Wake::Missed], vec![Decision::LookAt(vec![lease(2), lease(3)]), claim(2)]),
            // What was missed may be about a run of the claim under way.
            (3, vec![Wake::Missed, Wake::Looked(vec![])], vec![]),
            (4, vec![answered([4])], vec![start([4]), Decision::LookAt(vec![lease(2), lease(3), lease(4)]), claim(1)]),
        ],
    );
}

#[test]
fn a_run_can_be_claimed_anew_before_its_last_end_is_heard_of() {
    let again = claimed_again(1, 2);
    let second = again.lease();
    assert_eq!(second, LeaseReference { run: run(1), token: 2 });
    check(
        serving([1, 2, 3]),
        [
            (1, vec![Wake::Executed(lease(1)), available()], vec![claim(2)]),
            (
                2,
                vec![Wake::Claimed { runs: vec![again.clone()], next_due: None, left: false }],
                vec![Decision::Start(vec![again])],
            ),
            (3, vec![Wake::Recorded(lease(1)), available()], vec![claim(1)]),
            (4, vec![answered([])], vec![]),
            (5, vec![cancel_requested(1)], vec![Decision::LookAt(vec![second])]),
            (6, vec![Wake::Executed(second), available()], vec![claim(2)]),
        ],
    );
}

#[test]
fn an_idle_engine_stops_at_once() {
    check(serving([]), [(1, vec![Wake::Shutdown], vec![Decision::Stop])]);
}

#[test]
fn a_stopping_engine_claims_nothing_and_waits_for_its_attempts() {
    let scheduler = check(
        serving([1, 2]),
        [
            (1, vec![Wake::Shutdown, available()], vec![]),
            (2, vec![Wake::Shutdown, Wake::Executed(lease(1)), Wake::Catalog(rules())], vec![]),
            (6_000, vec![Wake::Recorded(lease(1))], vec![]),
        ],
    );
    assert_eq!(scheduler.wake_at(), at(1).after(GRACE));
    check(scheduler, [(6_001, vec![Wake::Executed(lease(2)), Wake::Recorded(lease(2))], vec![Decision::Stop])]);
}

#[test]
fn a_claim_under_way_is_waited_for_and_its_attempts_are_begun() {
    check(
        serving([]),
        [
            (1, vec![available()], vec![claim(4)]),
            (2, vec![Wake::Shutdown], vec![]),
            (3, vec![answered([1])], vec![start([1])]),
            (4, vec![Wake::Executed(lease(1)), Wake::Recorded(lease(1))], vec![Decision::Stop]),
        ],
    );
    check(
        serving([]),
        [
            (1, vec![available()], vec![claim(4)]),
            (2, vec![Wake::Shutdown], vec![]),
            (3, vec![Wake::ClaimFailed], vec![Decision::Stop]),
        ],
    );
}

#[test]
fn attempts_are_interrupted_after_the_grace_and_abandoned_five_seconds_later() {
    let scheduler = check(
        serving([1]),
        [
            (1_000, vec![Wake::Shutdown], vec![]),
            (30_999, vec![], vec![]),
            (31_000, vec![], vec![Decision::Interrupt]),
            (31_001, vec![], vec![]),
        ],
    );
    assert_eq!(scheduler.wake_at(), at(36_000));
    check(scheduler, [(35_999, vec![], vec![]), (36_000, vec![], vec![Decision::Abandon, Decision::Stop])]);
}

#[test]
fn a_clock_that_is_set_back_does_not_prolong_the_grace() {
    let scheduler = check(
        serving([1]),
        [(1_000_000, vec![], vec![claim(3)]), (1_000_001, vec![answered([]), Wake::Shutdown], vec![])],
    );
    let scheduler = check(scheduler, [(0, vec![], vec![])]);
    assert_eq!(scheduler.wake_at(), at(0).after(GRACE));
}
