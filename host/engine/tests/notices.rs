//! Whoever is on duty is told of dead runs: once, of all that is news at the same time, and over a restart of what was not
//! finished. The clock stands still between looks.

mod support;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::notice::{News, NoticeDelivery, NoticeMessage};
use jobmill_core::{Clock as _, FailureKind, Outcome, RunId, RunState, Timestamp};
use jobmill_engine::Notifier;
use support::{Mill, watchdog};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Takes messages, or does not, as a script says; without a line left, it takes them.
struct Recording {
    script: Mutex<VecDeque<NoticeDelivery>>,
    heard: mpsc::UnboundedSender<NoticeMessage>,
}

#[async_trait]
impl Notifier for Recording {
    fn name(&self) -> String {
        "the recorder".to_owned()
    }

    async fn deliver(&self, message: &NoticeMessage, _: Timestamp) -> NoticeDelivery {
        let answer = self.script.lock().expect("not poisoned").pop_front();
        self.heard.send(message.clone()).expect("the test listens");
        answer.unwrap_or(NoticeDelivery::Taken)
    }
}

fn not_now() -> NoticeDelivery {
    NoticeDelivery::NotNow { reason: "it is away".to_owned(), delay: None }
}

/// Somebody on duty beside a mill.
struct Duty {
    heard: mpsc::UnboundedReceiver<NoticeMessage>,
    task: JoinHandle<()>,
}

impl Duty {
    fn at(mill: &Mill, spike: usize, script: impl IntoIterator<Item = NoticeDelivery>) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let receiver = Recording { script: Mutex::new(script.into_iter().collect()), heard: sender };
        let task = tokio::spawn(mill.handle.clone().tell_of_dead(vec![Arc::new(receiver)], spike));
        Self { heard, task }
    }

    async fn hears(&mut self) -> NoticeMessage {
        watchdog(self.heard.recv()).await.expect("somebody tells")
    }

    fn heard_nothing(&mut self) -> bool {
        self.heard.try_recv().is_err()
    }
}

/// Until whoever watches has seen something and gathers what happens with it; then lets it look.
async fn let_look(mill: &Mill) {
    mill.clock.until_slept_to(mill.clock.now().after(SECOND)).await;
    mill.clock.advance(SECOND);
}

async fn die(mill: &mut Mill, error: &str) -> RunId {
    mill.script.outcome(Outcome::failed(FailureKind::Permanent, error));
    let run = mill.enqueue().await;
    mill.until(run, RunState::Dead).await;
    run
}

/// Until the store says that somebody was told of as many groups.
async fn until_told(mill: &Mill, groups: usize) -> Vec<Timestamp> {
    watchdog(async {
        loop {
            let told = mill.handle.query().dead_groups().await.expect("readable");
            let told: Vec<Timestamp> = told.iter().filter_map(|group| group.notified_at).collect();
            if told.len() == groups {
                return told;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn told(message: &NoticeMessage) -> (News, Vec<(&str, usize)>) {
    (message.news, message.groups.iter().map(|group| (group.error.as_str(), group.count)).collect())
}

#[tokio::test]
async fn groups_that_appear_at_the_same_time_are_one_message() {
    let mut mill = Mill::start();
    mill.ready().await;
    let mut duty = Duty::at(&mill, 50, []);
    let first = die(&mut mill, "no such user\nin detail").await;
    let second = die(&mut mill, "the shop is closed").await;
    let_look(&mill).await;
    let message = duty.hears().await;
    let mut groups = told(&message).1;
    groups.sort_unstable();
    assert_eq!((message.news, groups), (News::Appeared, vec![("no such user", 1), ("the shop is closed", 1)]));
    let mut examples: Vec<RunId> = message.groups.iter().map(|group| group.example).collect();
    examples.sort_unstable();
    assert_eq!(examples, [first, second]);
    assert_eq!(until_told(&mill, 2).await, [mill.clock.now(); 2]);
    assert!(duty.heard_nothing());
}

#[tokio::test]
async fn a_known_group_is_told_of_again_when_it_spikes_and_not_within_the_hour() {
    let mut mill = Mill::start();
    mill.ready().await;
    let mut duty = Duty::at(&mill, 3, []);
    die(&mut mill, "no such user").await;
    let_look(&mill).await;
    assert_eq!(told(&duty.hears().await), (News::Appeared, vec![("no such user", 1)]));
    until_told(&mill, 1).await;
    let told_at = mill.clock.now();
    // A minute before the hour is over: it is seen, and kept for the end of the hour.
    mill.clock.advance(Duration::from_mins(59));
    for _ in 0..3 {
        die(&mut mill, "no such user").await;
    }
    let_look(&mill).await;
    mill.clock.until_slept_to(told_at.after(HOUR)).await;
    assert!(duty.heard_nothing(), "the hour is not over");
    mill.clock.advance(told_at.after(HOUR).since(mill.clock.now()));
    let_look(&mill).await;
    assert_eq!(told(&duty.hears().await), (News::Spiked, vec![("no such user", 4)]));
}

#[tokio::test]
async fn a_group_that_was_empty_is_new_when_it_comes_back() {
    let mut mill = Mill::start();
    mill.ready().await;
    let mut duty = Duty::at(&mill, 50, []);
    let run = die(&mut mill, "no such user").await;
    let_look(&mill).await;
    let first = duty.hears().await;
    until_told(&mill, 1).await;
    mill.handle.retry(run, None).await.expect("is put back");
    mill.until(run, RunState::Completed).await;
    let_look(&mill).await;
    let notices = watchdog(async {
        loop {
            let notices = mill.store.notices().await.expect("readable");
            if notices.iter().all(|notice| notice.emptied) {
                return notices;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(notices.await.len(), 1, "it keeps quiet for its hour");
    mill.clock.advance(HOUR);
    die(&mut mill, "no such user").await;
    let_look(&mill).await;
    let second = duty.hears().await;
    assert_eq!(told(&second), (News::Appeared, vec![("no such user", 1)]));
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn a_receiver_that_is_down_hears_the_same_message_when_it_is_up() {
    let mut mill = Mill::start();
    mill.ready().await;
    let mut duty = Duty::at(&mill, 50, [not_now(), not_now()]);
    die(&mut mill, "no such user").await;
    let_look(&mill).await;
    let first = duty.hears().await;
    assert_eq!(mill.handle.query().dead_groups().await.expect("readable")[0].notified_at, None, "nobody took it");
    for delay in [1, 2] {
        let next = mill.clock.now().after(Duration::from_secs(delay));
        mill.clock.until_slept_to(next).await;
        mill.clock.advance(Duration::from_secs(delay));
        assert_eq!(duty.hears().await, first);
    }
    assert_eq!(until_told(&mill, 1).await, [mill.clock.now()]);
}

#[tokio::test]
async fn a_restart_tells_again_under_the_same_id_what_was_not_finished() {
    let mut mill = Mill::start();
    mill.ready().await;
    let mut duty = Duty::at(&mill, 50, [not_now()]);
    die(&mut mill, "no such user").await;
    let_look(&mill).await;
    let first = duty.hears().await;
    duty.task.abort();
    let (hopper, log, clock, ended) = mill.stop().await;
    ended.expect("in order");

    let mill = Mill::open(hopper, log, clock, 4);
    let mut duty = Duty::at(&mill, 50, []);
    mill.ready().await;
    assert_eq!(duty.hears().await, first);
    until_told(&mill, 1).await;
    duty.task.abort();
    let (hopper, log, clock, ended) = mill.stop().await;
    ended.expect("in order");

    // What was finished is told to nobody: the first news are those of another group.
    let mut mill = Mill::open(hopper, log, clock, 4);
    let mut duty = Duty::at(&mill, 50, []);
    mill.ready().await;
    die(&mut mill, "the shop is closed").await;
    let_look(&mill).await;
    assert_eq!(told(&duty.hears().await), (News::Appeared, vec![("the shop is closed", 1)]));
}

#[tokio::test]
async fn who_refuses_a_message_is_not_asked_again_and_was_not_told() {
    let mut mill = Mill::start();
    mill.ready().await;
    let mut duty = Duty::at(&mill, 50, [NoticeDelivery::Refused("it is gone".to_owned())]);
    die(&mut mill, "no such user").await;
    let_look(&mill).await;
    duty.hears().await;
    let notices = watchdog(async {
        loop {
            let notices = mill.store.notices().await.expect("readable");
            if notices.iter().all(|notice| notice.ended_at.is_some()) {
                return notices;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(notices.await.iter().map(|notice| notice.told_at).collect::<Vec<_>>(), [None]);
    assert!(duty.heard_nothing());
}
