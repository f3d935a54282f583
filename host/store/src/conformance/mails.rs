//! The e-mail log: a view over what runs recorded.
//! Sending is the mail backend's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::journal::EntryKind;
use jobmill_core::mail::MailStatus;
use jobmill_core::{Outcome, RunId};

use super::Subject;
use super::subject::{at, finished, job, settled, transient};
use crate::query::{MailFilter, MailSummary};

impl Subject {
    async fn log(&self, filter: &MailFilter) -> Vec<MailSummary> {
        self.query().mails(filter, None, 100).await.expect("reads").items
    }

    /// A run of `job` that completed and sent this mail; no other run may be due.
    async fn sent(&self, job: &str, kind: &str, to: &str, status: MailStatus) -> RunId {
        let claimed = self.running(job).await;
        let (key, mail) = self.mail(kind, to);
        let end = finished(&claimed.head, Outcome::Completed { output: None }, at(2));
        let entries = vec![EntryKind::MailIntended { key: key.clone(), mail }, settled(&key, status), end];
        self.store().finish(claimed.lease(), entries, at(2)).await.expect("finishes").id
    }
}

pub async fn the_log_shows_each_mail_once_with_its_attempts(subject: Subject) {
    let store = subject.store();
    let claimed = subject.running("welcome").await;
    let (key, mail) = subject.mail("welcome", "ada@example.com");
    let intended = EntryKind::MailIntended { key: key.clone(), mail: mail.clone() };
    store.record(claimed.lease(), vec![intended.clone()], at(1)).await.expect("records");
    let log = subject.log(&MailFilter::default()).await;
    assert_eq!((log[0].status, log[0].attempts, log[0].sent_at), (MailStatus::Sending, 1, None));
    let failed = EntryKind::MailSettled {
        key: key.clone(),
        status: MailStatus::Failed,
        reply: Some("451 later".to_owned()),
        error: Some("the mail server is busy".to_owned()),
    };
    let end = vec![failed, finished(&claimed.head, transient(), at(2))];
    store.finish(claimed.lease(), end, at(2)).await.expect("finishes");
    let log = subject.log(&MailFilter::default()).await;
    assert_eq!((log[0].status, log[0].reply.as_deref()), (MailStatus::Failed, Some("451 later")));
    assert_eq!(log[0].error.as_deref(), Some("the mail server is busy"));
    let claimed = subject.claim_one(at(5_000)).await;
    store.record(claimed.lease(), vec![intended, settled(&key, MailStatus::Sent)], at(5_001)).await.expect("records");
    let expected = MailSummary {
        id: mail.id,
        run: claimed.head.id,
        job: job("welcome"),
        kind: "welcome".to_owned(),
        to: "ada@example.com".to_owned(),
        subject: mail.message.subject.clone(),
        status: MailStatus::Sent,
        message_id: mail.message_id.clone(),
        attempts: 2,
        created_at: mail.created_at,
        sent_at: Some(at(5_001)),
        error: None,
        reply: Some("250 ok".to_owned()),
    };
    assert_eq!(subject.log(&MailFilter::default()).await, [expected]);
}

pub async fn a_mail_shows_its_content(subject: Subject) {
    subject.sent("welcome", "welcome", "ada@example.com", MailStatus::Captured).await;
    let summary = subject.log(&MailFilter::default()).await.pop().expect("a mail");
    let view = subject.query().mail(summary.id).await.expect("reads").expect("is there");
    assert_eq!(view.summary, summary);
    assert_eq!((view.mail.id, view.mail.message.html.as_deref()), (summary.id, Some("<p>Hello</p>")));
    let unknown = jobmill_core::MailId::from_bytes([9; 16]);
    assert_eq!(subject.query().mail(unknown).await, Ok(None));
}

pub async fn pages_of_mails_have_no_gap_and_no_repeat(subject: Subject) {
    for number in 0..7 {
        subject.sent("welcome", "welcome", &format!("user{number}@example.com"), MailStatus::Sent).await;
    }
    for limit in [1, 3, 7, 8] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = subject.query().mails(&MailFilter::default(), after, limit).await.expect("reads");
            seen.extend(page.items.into_iter().map(|mail| mail.to));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..7).rev().map(|number| format!("user{number}@example.com")).collect();
        assert_eq!(seen, expected, "pages of {limit}");
    }
}

pub async fn a_filter_names_mails_by_each_of_its_members(subject: Subject) {
    let first = subject.sent("welcome", "welcome", "Ada@example.com", MailStatus::Sent).await;
    let second = subject.sent("refund", "refund-notification", "bob@example.com", MailStatus::Captured).await;
    let all = MailFilter::default;
    let cases: [(MailFilter, &[RunId]); 6] = [
        (all(), &[second, first]),
        (MailFilter { to: Some("ada@EXAMPLE.com".to_owned()), ..all() }, &[first]),
        (MailFilter { kind: Some("refund-notification".to_owned()), ..all() }, &[second]),
        (MailFilter { status: Some(MailStatus::Captured), ..all() }, &[second]),
        (MailFilter { run: Some(first), ..all() }, &[first]),
        (MailFilter { run: Some(first), status: Some(MailStatus::Captured), ..all() }, &[]),
    ];
    for (filter, expected) in cases {
        let named: Vec<_> = subject.log(&filter).await.into_iter().map(|mail| mail.run).collect();
        assert_eq!(named, expected, "{filter:?}");
    }
}

pub async fn a_cleared_log_is_empty_and_fills_again(subject: Subject) {
    assert_eq!(subject.store().clear_mail().await, Ok(0));
    let first = subject.sent("welcome", "welcome", "ada@example.com", MailStatus::Sent).await;
    subject.sent("refund", "refund", "bob@example.com", MailStatus::Sent).await;
    let cleared = subject.log(&MailFilter::default()).await[0].id;
    assert_eq!(subject.store().clear_mail().await, Ok(2));
    assert_eq!(subject.log(&MailFilter::default()).await, []);
    assert_eq!(subject.query().mail(cleared).await, Ok(None));
    // The runs keep what they did.
    assert_eq!(subject.journal(first).await.len(), 5);
    let third = subject.sent("welcome", "welcome", "eve@example.com", MailStatus::Sent).await;
    let shown: Vec<_> = subject.log(&MailFilter::default()).await.into_iter().map(|mail| mail.run).collect();
    assert_eq!(shown, [third]);
    assert_eq!(subject.store().clear_mail().await, Ok(1));
}
