//! Notices of dead runs: how groups stand lately, what was told of them, and that it goes with them.
//! What is news is the engine's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::NoticeId;
use jobmill_core::notice::{News, Notice};

use super::Subject;
use super::subject::at;
use crate::control::Control;
use crate::log::Record;
use crate::notices::DeadPulse;

const MINUTE: u64 = 60_000;

impl Subject {
    async fn pulses(&self, most: usize, now: u64) -> Vec<DeadPulse> {
        self.store().dead_pulses(most, at(now)).await.expect("reads")
    }

    async fn noticed(&self) -> Vec<Notice> {
        self.store().notices().await.expect("reads")
    }

    async fn notice_of(&self, group: usize) -> Notice {
        let group = self.query().dead_groups().await.expect("reads").swap_remove(group);
        Notice {
            job: group.job,
            fingerprint: group.fingerprint,
            message: NoticeId::from_bytes([1; 16]),
            news: News::Appeared,
            begun_at: at(1),
            ended_at: None,
            told_at: None,
            emptied: false,
        }
    }
}

pub async fn a_group_s_pulse_tells_of_its_last_ten_minutes(subject: Subject) {
    for minute in [0, 30, 35, 39] {
        subject.dead("welcome", "no user 17", at(minute * MINUTE)).await;
    }
    let [pulse]: [DeadPulse; 1] = subject.pulses(50, 41 * MINUTE).await.try_into().expect("one group");
    let group = subject.query().dead_groups().await.expect("reads").remove(0);
    assert_eq!(pulse.group(), (group.job, group.fingerprint));
    assert_eq!((pulse.lately_since, pulse.before), (at(30 * MINUTE), Some(at(0))));
    assert_eq!(pulse.recent, 2, "until now, not until the last");
    assert_eq!(subject.pulses(50, 40 * MINUTE).await[0].recent, 3);
    assert_eq!(subject.pulses(1, 40 * MINUTE).await[0].recent, 1, "no more are counted than were asked for");
    assert_eq!(subject.pulses(50, 400 * MINUTE).await[0].recent, 0);
}

pub async fn the_newest_notice_of_a_group_is_kept(subject: Subject) {
    subject.dead("welcome", "no such user", at(1)).await;
    subject.dead("refund", "no such order", at(2)).await;
    let (refund, welcome) = (subject.notice_of(0).await, subject.notice_of(1).await);
    subject.store().note(vec![refund.clone(), welcome.clone()], Vec::new()).await.expect("keeps");
    assert_eq!(subject.query().dead_groups().await.expect("reads")[1].notified_at, None, "nobody has it yet");
    let told = Notice { ended_at: Some(at(5)), told_at: Some(at(5)), ..welcome };
    subject.store().note(vec![told.clone()], Vec::new()).await.expect("keeps");
    let subject = subject.reopened();
    assert_eq!(subject.noticed().await, [refund, told]);
    let groups = subject.query().dead_groups().await.expect("reads");
    assert_eq!(groups.iter().map(|group| group.notified_at).collect::<Vec<_>>(), [None, Some(at(5))]);
}

pub async fn a_notice_that_is_dropped_is_gone_for_good(subject: Subject) {
    subject.dead("welcome", "no such user", at(1)).await;
    let notice = subject.notice_of(0).await;
    subject.store().note(vec![notice.clone()], Vec::new()).await.expect("keeps");
    subject.store().note(Vec::new(), vec![notice.group()]).await.expect("drops");
    subject.store().note(Vec::new(), vec![notice.group()]).await.expect("has nothing to drop");
    assert_eq!(subject.noticed().await, []);
    let subject = subject.reopened();
    assert_eq!(subject.noticed().await, []);
}

pub async fn notices_go_along_to_another_store(subject: Subject) {
    subject.dead("welcome", "no such user", at(1)).await;
    let notice = subject.notice_of(0).await;
    subject.store().note(vec![notice.clone()], Vec::new()).await.expect("keeps");
    let export = subject.query().export().await.expect("exports");
    let kept = Record::Control(Control::Notice(Box::new(notice.clone())));
    let controls: Vec<Record> =
        export.map(|record| record.expect("reads")).filter(|record| matches!(record, Record::Control(_))).collect();
    assert_eq!(controls, std::slice::from_ref(&kept));
    assert_eq!(subject.store().import(vec![kept.clone()]).await, Ok(0), "it is here already");
    subject.store().note(Vec::new(), vec![notice.group()]).await.expect("drops");
    assert_eq!(subject.store().import(vec![kept]).await, Ok(1));
    assert_eq!(subject.noticed().await, [notice]);
}
