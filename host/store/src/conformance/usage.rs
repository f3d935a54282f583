//! What attempts used: of each version apart, once, however often a record is written, and not of those that were cut off.
//! How numbers are kept is the index's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::bill::Bill;
use jobmill_core::journal::EntryKind;
use jobmill_core::{FailureKind, Outcome, Timestamp};

use super::Subject;
use super::subject::{at, finished, job, transient, version};
use crate::forgetting::Forget;
use crate::store::Claimed;
use crate::usage::{Spread, VersionUsage};

impl Subject {
    async fn usage(&self, name: &str) -> Vec<VersionUsage> {
        self.query().usage(&job(name)).await.expect("reads")
    }

    /// Ends an attempt that took so many milliseconds.
    async fn end_with_bill(&self, claimed: &Claimed, outcome: Outcome, took: u64, now: Timestamp) -> Timestamp {
        let mut end = finished(&claimed.head, outcome, now);
        if let EntryKind::Finished(finished) = &mut end {
            let bill =
                Bill { wall_micros: took * 1_000, cpu_micros: took, memory: 65_536, host_calls: 2, calls: Vec::new() };
            finished.bill = Some(Box::new(bill));
        }
        let head = self.store().finish(claimed.lease(), vec![end], Vec::new(), now).await.expect("finishes");
        head.scheduled_at
    }

    /// An attempt that completed, one that trapped, one that took too long, and one of another job.
    async fn used(&self) {
        let claimed = self.running("welcome").await;
        let due = self.end_with_bill(&claimed, Outcome::failed(FailureKind::Trap, "unreachable"), 10, at(100)).await;
        let claimed = self.claim_one(due).await;
        self.end_with_bill(&claimed, Outcome::Completed { output: None }, 20, due).await;
        let claimed = self.running("welcome").await;
        self.end_with_bill(&claimed, Outcome::failed(FailureKind::Timeout, "too long"), 30, at(300)).await;
        let claimed = self.running("refund").await;
        self.end_with_bill(&claimed, transient(), 5, at(400)).await;
    }
}

pub async fn what_attempts_used_is_told_of_each_version(subject: Subject) {
    assert_eq!(subject.usage("welcome").await, []);
    subject.used().await;
    let expected = VersionUsage {
        version: version("welcome"),
        attempts: 3,
        failed: 2,
        trapped: 1,
        timeouts: 1,
        wall_micros: Spread { p50: 20_000, p95: 30_000, max: 30_000 },
        cpu_micros: Spread { p50: 20, p95: 30, max: 30 },
        memory: Spread { p50: 65_536, p95: 65_536, max: 65_536 },
        host_calls: Spread { p50: 2, p95: 2, max: 2 },
    };
    assert_eq!(subject.usage("welcome").await, [expected]);
    let other = subject.usage("refund").await;
    assert_eq!((other[0].version, other[0].attempts, other[0].failed), (version("refund"), 1, 1));
}

pub async fn an_attempt_without_a_bill_or_that_was_cut_off_is_not_counted(subject: Subject) {
    let claimed = subject.running("welcome").await;
    subject.end_with_bill(&claimed, Outcome::Interrupted, 7, at(1)).await;
    let claimed = subject.claim_one(at(1)).await;
    subject.end_with_bill(&claimed, Outcome::Cancelled, 7, at(2)).await;
    subject.completed("welcome").await;
    assert_eq!(subject.usage("welcome").await, []);
}

pub async fn a_restart_and_a_log_that_is_written_anew_change_nothing_of_it(subject: Subject) {
    subject.used().await;
    let before = subject.usage("welcome").await;
    let nobody = Forget { email: Some("nobody@example.com".to_owned()), value: None };
    subject.store().forget(nobody, false).await.expect("forgets");
    assert_eq!(subject.usage("welcome").await, before);
    let subject = subject.reopened();
    assert_eq!(subject.usage("welcome").await, before);
}
