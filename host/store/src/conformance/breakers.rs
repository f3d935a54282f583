//! A job whose attempts fail too often is paused by itself, tries one run, and goes by how that one ends.
//! How failures are counted is the core's; how long a pause lasts is the configuration's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::sync::Arc;
use std::time::Duration;

use jobmill_core::breaker::BreakerState;
use jobmill_core::flow::BreakerSettings;
use jobmill_core::{FailureKind, Outcome, RunId, Timestamp};

use super::Subject;
use super::subject::{at, job, room, rules_of};
use crate::flow::{Blocker, Rules};
use crate::query::WaitingCause;
use crate::store::Claimed;

const SETTINGS: BreakerSettings =
    BreakerSettings { failures: 0.5, window: Duration::from_mins(1), min_attempts: 2, pause: Duration::from_secs(30) };

fn guarded() -> Arc<Rules> {
    rules_of("welcome", |rules| rules.breaker = Some(SETTINGS))
}

impl Subject {
    async fn fail(&self, claimed: &Claimed, millis: u64) {
        self.end(claimed, Outcome::failed(FailureKind::Permanent, "the shop is closed"), at(millis)).await;
    }

    async fn stands(&self, millis: u64) -> Option<BreakerState> {
        self.query().job_flow(&job("welcome"), at(millis)).await.expect("reads").breaker
    }

    /// Five runs wait, two attempts have failed, and the breaker is open for 30 seconds; answers those that wait.
    async fn opened(&self, rules: &Arc<Rules>) -> Vec<RunId> {
        let ids = self.enqueued((0..7).map(|_| self.new_run("welcome")).collect()).await;
        for claimed in self.attempts_under(rules, 2, at(0)).await {
            self.fail(&claimed, 0).await;
        }
        assert_eq!(self.stands(0).await, Some(BreakerState::Open { until: at(30_000) }));
        ids[2..].to_vec()
    }
}

pub async fn it_pauses_its_job_and_nobody_elses(subject: Subject) {
    let rules = guarded();
    let waiting = subject.opened(&rules).await;
    let other = subject.waiting("refund").await;
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, [other]);
    assert_eq!(subject.claim_under(&rules, 9, at(29_999)).await, []);
    assert_eq!(subject.query().next_due(at(1)).await, Ok(Some(at(30_000))), "the engine is told when to look");
    let blocked = |until| Some(WaitingCause::Blocked(Blocker::Breaker(until), Vec::new()));
    let cause = async |millis| subject.waiting_for(waiting[0], at(millis)).await.map(|it| it.cause);
    assert_eq!(cause(1).await, blocked(Some(at(30_000))));
    assert_eq!(subject.claim_under(&rules, 9, at(30_000)).await, waiting[..1], "one is tried");
    assert_eq!(subject.waiting_for(waiting[1], at(30_000)).await.map(|it| it.cause), blocked(None));
}

pub async fn it_closes_when_the_run_that_is_tried_completes(subject: Subject) {
    let rules = guarded();
    let waiting = subject.opened(&rules).await;
    let tried = subject.attempts_under(&rules, 9, at(30_000)).await.remove(0);
    assert_eq!(subject.stands(30_000).await, Some(BreakerState::Trying(tried.head.id)));
    assert_eq!(subject.claim_under(&rules, 9, at(30_001)).await, []);
    subject.complete(&tried, at(30_002)).await;
    assert_eq!(subject.stands(30_002).await, Some(BreakerState::Closed));
    assert_eq!(subject.claim_under(&rules, 9, at(30_002)).await, waiting[1..]);
}

pub async fn it_stays_open_when_the_run_that_is_tried_fails(subject: Subject) {
    let rules = guarded();
    let waiting = subject.opened(&rules).await;
    let tried = subject.attempts_under(&rules, 9, at(30_000)).await.remove(0);
    subject.fail(&tried, 31_000).await;
    assert_eq!(subject.claim_under(&rules, 9, at(60_999)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, at(61_000)).await, waiting[1..2]);
}

pub async fn an_end_that_says_nothing_of_the_job_lets_it_try_another(subject: Subject) {
    let rules = guarded();
    subject.opened(&rules).await;
    let tried = subject.attempts_under(&rules, 9, at(30_000)).await.remove(0);
    subject.end(&tried, Outcome::Interrupted, at(31_000)).await;
    assert_eq!(subject.claim_under(&rules, 9, at(31_000)).await.len(), 1);
}

pub async fn a_run_that_is_tried_while_its_component_goes_does_not_hold_the_job_up(subject: Subject) {
    let rules = guarded();
    let waiting = subject.opened(&rules).await;
    let tried = subject.attempts_under(&rules, 9, at(30_000)).await.remove(0);
    assert_eq!(subject.claim_under(&room(0, &["refund"]).rules, 9, at(30_001)).await, []);
    subject.fail(&tried, 30_002).await;
    assert_eq!(subject.claim_under(&rules, 9, at(30_003)).await, waiting[1..2], "it is back, and another is tried");
}

pub async fn an_operator_who_lets_the_job_go_on_closes_it(subject: Subject) {
    let rules = guarded();
    let waiting = subject.opened(&rules).await;
    subject.store().control_job(job("welcome"), None).await.expect("controls");
    assert_eq!(subject.stands(1).await, Some(BreakerState::Closed));
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, waiting);
}

pub async fn a_clock_set_back_does_not_prolong_its_pause(subject: Subject) {
    let rules = guarded();
    let waiting = subject.opened(&rules).await;
    let an_hour_before = |millis: u64| Timestamp::from_millis(at(millis).as_millis() - 3_600_000);
    assert_eq!(subject.claim_under(&rules, 9, an_hour_before(0)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, an_hour_before(29_999)).await, []);
    assert_eq!(subject.claim_under(&rules, 9, an_hour_before(30_000)).await, waiting[..1]);
}

pub async fn it_begins_closed_after_a_restart(subject: Subject) {
    let rules = guarded();
    let waiting = subject.opened(&rules).await;
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, waiting);
    assert_eq!(subject.stands(1).await, Some(BreakerState::Closed));
}
