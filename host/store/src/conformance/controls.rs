//! What operators say of queues and jobs: it holds at once, it stays, and it goes before the configuration.
//! Who may say it is the server's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::sync::Arc;

use jobmill_core::Timestamp;

use super::Subject;
use super::subject::{JOBS, at, job, room};
use crate::control::Control;
use crate::flow::{JobControl, Pause, QueueControl, Rules};
use crate::log::Record;
use crate::portable;
use crate::query::QueueView;
use crate::store::{NewRun, QueueChange};

fn pause(by: &str, at: Timestamp) -> Pause {
    Pause { by: by.to_owned(), at }
}

fn loaded() -> Arc<Rules> {
    room(0, &JOBS).rules
}

impl Subject {
    async fn control_queue(&self, change: QueueChange, now: Timestamp) -> QueueControl {
        self.store().control_queue("bulk".to_owned(), change, now).await.expect("controls")
    }

    async fn pause_queue(&self, by: Option<&str>, now: Timestamp) -> QueueControl {
        let change = QueueChange { paused: Some(by.map(str::to_owned)), ..QueueChange::default() };
        self.control_queue(change, now).await
    }

    async fn limit_queue(&self, limit: Option<u32>) -> QueueControl {
        self.control_queue(QueueChange { concurrency: Some(limit), ..QueueChange::default() }, at(0)).await
    }

    async fn pause_job(&self, paused: Option<Pause>) -> JobControl {
        self.store().control_job(job("welcome"), paused).await.expect("controls")
    }

    async fn bulk(&self) -> QueueView {
        let queues = self.query().queues(at(9)).await.expect("reads");
        queues.into_iter().find(|queue| queue.name == "bulk").expect("is there")
    }

    fn in_bulk(&self) -> NewRun {
        NewRun { queue: "bulk".to_owned(), ..self.new_run("welcome") }
    }
}

pub async fn a_paused_queue_begins_nothing_until_it_is_let_go_on(subject: Subject) {
    let ids = subject.enqueued(vec![subject.in_bulk(), subject.new_run("welcome")]).await;
    let control = subject.pause_queue(Some("ada"), at(3)).await;
    assert_eq!(control.paused, Some(pause("ada", at(3))));
    assert_eq!(subject.claim_under(&loaded(), 9, at(4)).await, ids[1..], "other queues go on");
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&loaded(), 9, at(5)).await, []);
    assert_eq!(subject.bulk().await.paused, Some(pause("ada", at(3))), "who and when is kept");
    assert_eq!(subject.pause_queue(None, at(6)).await.paused, None);
    assert_eq!(subject.claim_under(&loaded(), 9, at(7)).await, ids[..1]);
}

pub async fn a_paused_job_begins_nothing_until_it_is_let_go_on(subject: Subject) {
    let ids = subject.enqueued(vec![subject.new_run("welcome"), subject.new_run("refund")]).await;
    let control = subject.pause_job(Some(pause("ada", at(3)))).await;
    assert_eq!(control.paused, Some(pause("ada", at(3))));
    assert_eq!(subject.claim_under(&loaded(), 9, at(4)).await, ids[1..], "other jobs go on");
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&loaded(), 9, at(5)).await, []);
    let view = subject.query().job_flow(&job("welcome"), at(5)).await.expect("reads");
    assert_eq!(view.paused, Some(pause("ada", at(3))), "who and when is kept");
    assert_eq!(subject.pause_job(None).await.paused, None);
    assert_eq!(subject.claim_under(&loaded(), 9, at(7)).await, ids[..1]);
}

pub async fn who_paused_first_is_who_is_asked_why(subject: Subject) {
    subject.pause_queue(Some("ada"), at(3)).await;
    assert_eq!(subject.pause_queue(Some("bob"), at(4)).await.paused, Some(pause("ada", at(3))));
    subject.pause_job(Some(pause("ada", at(3)))).await;
    assert_eq!(subject.pause_job(Some(pause("bob", at(4)))).await.paused, Some(pause("ada", at(3))));
    subject.pause_queue(None, at(5)).await;
    assert_eq!(subject.pause_queue(Some("bob"), at(6)).await.paused, Some(pause("bob", at(6))));
}

pub async fn what_is_under_way_goes_on_while_its_queue_is_paused(subject: Subject) {
    subject.enqueued(vec![subject.in_bulk()]).await;
    let begun = subject.attempts_under(&loaded(), 9, at(0)).await;
    subject.pause_queue(Some("ada"), at(1)).await;
    assert_eq!((subject.bulk().await.running, subject.bulk().await.waiting), (1, 0));
    subject.complete(&begun[0], at(2)).await;
    assert_eq!(subject.bulk().await.running, 0);
}

pub async fn an_operators_limit_goes_before_the_configurations(subject: Subject) {
    let mut rules = (*loaded()).clone();
    rules.queues.insert("bulk".to_owned(), 1);
    let rules = Arc::new(rules);
    let ids = subject.enqueued((0..4).map(|_| subject.in_bulk()).collect()).await;
    assert_eq!(subject.claim_under(&rules, 9, at(0)).await, ids[..1]);
    assert_eq!(subject.limit_queue(Some(3)).await.concurrency, Some(3));
    assert_eq!(subject.claim_under(&rules, 9, at(1)).await, ids[1..3]);
    let subject = subject.reopened();
    assert_eq!(subject.claim_under(&rules, 9, at(2)).await, [], "it is kept");
    assert_eq!(subject.bulk().await.concurrency, Some(3));
    assert_eq!(subject.limit_queue(None).await.concurrency, None, "taken back");
    assert_eq!((subject.bulk().await.concurrency, subject.bulk().await.running), (Some(1), 3));
    assert_eq!(subject.claim_under(&rules, 9, at(3)).await, []);
}

pub async fn a_limit_and_a_pause_leave_each_other_alone(subject: Subject) {
    subject.limit_queue(Some(3)).await;
    let control = subject.pause_queue(Some("ada"), at(1)).await;
    assert_eq!((control.concurrency, control.paused), (Some(3), Some(pause("ada", at(1)))));
    assert_eq!(subject.limit_queue(None).await, QueueControl { concurrency: None, paused: Some(pause("ada", at(1))) });
}

pub async fn whoever_listens_is_told_to_look_again(subject: Subject) {
    let mut changes = subject.store().changes();
    let mut is_told = async || {
        let told = tokio::time::timeout(std::time::Duration::from_secs(10), changes.recv()).await;
        told.expect("something is told").expect("none was missed").is_empty()
    };
    subject.pause_queue(Some("ada"), at(1)).await;
    assert!(is_told().await);
    subject.pause_job(None).await;
    assert!(is_told().await);
}

pub async fn what_operators_said_goes_along_to_another_store(subject: Subject) {
    subject.limit_queue(Some(3)).await;
    subject.pause_queue(Some("ada"), at(1)).await;
    subject.pause_job(Some(pause("bob", at(2)))).await;
    let export = subject.query().export().await.expect("exports");
    let records = export.collect::<Result<Vec<Record>, _>>().expect("reads");
    let queue = QueueControl { concurrency: Some(3), paused: Some(pause("ada", at(1))) };
    let paused = JobControl { paused: Some(pause("bob", at(2))) };
    let queue = Control::Queue { name: "bulk".to_owned(), control: queue };
    let expected = [queue, Control::Job { job: job("welcome"), control: paused }].map(Record::Control);
    assert_eq!(records, expected);
    let mut reading = portable::Reading::default();
    for line in portable::lines(subject.query().export().await.expect("exports"), at(9)) {
        let record = reading.take(&line.expect("reads")).expect("is a record");
        assert!(record.is_none_or(|record| expected.contains(&record)), "as lines too");
    }
    assert_eq!(reading.finish(), Ok(()));
    // What is said here already stays.
    subject.limit_queue(Some(7)).await;
    subject.pause_job(None).await;
    assert_eq!(subject.store().import(records).await, Ok(0));
    assert_eq!(subject.bulk().await.concurrency, Some(7));
    let unknown = Control::Queue { name: "slow".to_owned(), control: QueueControl::default() };
    assert_eq!(subject.store().import(vec![Record::Control(unknown)]).await, Ok(1));
}
