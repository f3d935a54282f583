//! How far a schedule has come: it moves on together with the run that it makes, or not at all.
//! Which minutes an expression names is the core's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::{RunState, Timestamp};

use super::Subject;
use super::subject::{at, job};
use crate::control::{Control, Schedule};
use crate::log::Record;
use crate::store::{Firing, NewRun, RunFlow, StoreError, WaitingBounds};

const CRON: &str = "0 9 * * *";

fn firing(from: Option<Timestamp>, up_to: Timestamp, run: Option<NewRun>) -> Firing {
    Firing { job: job("report"), cron: CRON.to_owned(), from, up_to, run, ended: false }
}

fn schedule(up_to: Timestamp, run: Option<&NewRun>) -> Schedule {
    let last_run = run.map(|run| run.id);
    Schedule { job: job("report"), cron: CRON.to_owned(), up_to, last_run, ended: false }
}

impl Subject {
    async fn schedules(&self) -> Vec<Schedule> {
        self.query().schedules().await.expect("reads")
    }

    async fn fire(&self, firing: Firing) -> bool {
        self.store().fire(firing, at(0)).await.expect("serves")
    }
}

pub async fn a_schedule_moves_on_with_the_run_that_it_makes(subject: Subject) {
    assert!(subject.fire(firing(None, at(0), None)).await, "it is taken on");
    assert_eq!(subject.schedules().await, [schedule(at(0), None)]);
    let run = NewRun { scheduled_at: at(60), ..subject.new_run("report") };
    assert!(subject.fire(firing(Some(at(0)), at(60), Some(run.clone()))).await);
    assert_eq!(subject.schedules().await, [schedule(at(60), Some(&run))]);
    assert_eq!(subject.head(run.id).await.scheduled_at, at(60));
    assert!(subject.fire(firing(Some(at(60)), at(120), None)).await, "it goes on without a run");
    assert_eq!(subject.schedules().await, [schedule(at(120), Some(&run))], "and remembers the last one");
}

pub async fn a_schedule_that_has_come_elsewhere_makes_nothing(subject: Subject) {
    assert!(subject.fire(firing(None, at(60), None)).await);
    for from in [None, Some(at(0)), Some(at(61))] {
        let run = subject.new_run("report");
        assert!(!subject.fire(firing(from, at(120), Some(run.clone()))).await, "from {from:?}");
        assert_eq!(subject.query().run(run.id).await, Ok(None));
    }
    assert_eq!(subject.schedules().await, [schedule(at(60), None)]);
}

pub async fn concurrent_firings_make_one_run(subject: Subject) {
    assert!(subject.fire(firing(None, at(0), None)).await);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let store = std::sync::Arc::clone(&subject.store);
        let firing = firing(Some(at(0)), at(60), Some(subject.new_run("report")));
        tasks.push(tokio::spawn(async move { store.fire(firing, at(0)).await }));
    }
    let mut fired = 0;
    for task in tasks {
        fired += usize::from(task.await.expect("ends").expect("serves"));
    }
    let counts = subject.query().counts(None, at(0)).await.expect("reads");
    assert_eq!((fired, counts.of(RunState::Available)), (1, 1));
}

pub async fn a_run_that_may_not_wait_keeps_its_schedule_where_it_is(subject: Subject) {
    assert!(subject.fire(firing(None, at(0), None)).await);
    let waiting = WaitingBounds { of_job: Some(0), in_all: None };
    let run = NewRun { flow: RunFlow { waiting, ..RunFlow::default() }, ..subject.new_run("report") };
    let refused = subject.store().fire(firing(Some(at(0)), at(60), Some(run)), at(0)).await;
    assert_eq!(refused, Err(StoreError::Crowded { job: Some(job("report")), limit: 0 }));
    assert_eq!(subject.schedules().await, [schedule(at(0), None)]);
}

pub async fn schedules_are_kept(subject: Subject) {
    let run = subject.new_run("report");
    assert!(subject.fire(firing(None, at(60), Some(run.clone()))).await);
    let subject = subject.reopened();
    assert_eq!(subject.schedules().await, [schedule(at(60), Some(&run))]);
    assert!(!subject.fire(firing(Some(at(0)), at(60), Some(subject.new_run("report")))).await);
    assert!(subject.fire(firing(Some(at(60)), at(120), None)).await);
    let export = subject.query().export().await.expect("exports").collect::<Result<Vec<_>, _>>().expect("reads");
    let kept = Record::Control(Control::Schedule(schedule(at(120), Some(&run))));
    assert!(export.contains(&kept), "they go along to another store");
}

pub async fn a_schedule_that_ended_begins_anew(subject: Subject) {
    assert!(subject.fire(firing(None, at(60), None)).await);
    assert!(subject.fire(Firing { ended: true, ..firing(Some(at(60)), at(70), None) }).await);
    assert!(subject.schedules().await[0].ended);
    assert!(!subject.fire(firing(Some(at(70)), at(120), None)).await, "it is not in force");
    assert!(subject.fire(firing(None, at(500), None)).await);
    assert_eq!(subject.schedules().await, [schedule(at(500), None)]);
}
