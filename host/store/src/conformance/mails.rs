//! The e-mail log: a view over what runs recorded.
//! Sending is the mail backend's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use std::time::Duration;

use jobmill_core::journal::{EntryKind, Memory};
use jobmill_core::mail::{InDoubtChoice, MailStatus};
use jobmill_core::{FailureKind, MailId, Outcome, RunId, RunState};

use super::Subject;
use super::subject::{at, finished, job, settled, transient};
use crate::mailing::{Doubts, NotReleased, Settlement};
use crate::query::{DeadFilter, MailFilter, MailSummary};
use crate::store::Retention;

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
        self.store().finish(claimed.lease(), entries, Vec::new(), at(2)).await.expect("finishes").id
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
    store.finish(claimed.lease(), end, Vec::new(), at(2)).await.expect("finishes");
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
    let unknown = MailId::from_bytes([9; 16]);
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
    let cases: [(MailFilter, &[RunId]); 11] = [
        (all(), &[second, first]),
        (MailFilter { to: Some("ada@EXAMPLE.com".to_owned()), ..all() }, &[first]),
        (MailFilter { kind: Some("refund-notification".to_owned()), ..all() }, &[second]),
        (MailFilter { status: Some(MailStatus::Captured), ..all() }, &[second]),
        (MailFilter { run: Some(first), ..all() }, &[first]),
        (MailFilter { run: Some(first), status: Some(MailStatus::Captured), ..all() }, &[]),
        (MailFilter { since: Some(at(0)), ..all() }, &[second, first]),
        (MailFilter { since: Some(at(1)), ..all() }, &[]),
        (MailFilter { until: Some(at(1)), ..all() }, &[second, first]),
        (MailFilter { until: Some(at(0)), ..all() }, &[]),
        (MailFilter { run: Some(first), since: Some(at(0)), until: Some(at(0)), ..all() }, &[]),
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

pub async fn a_mail_that_was_kept_long_enough_is_shown_no_more(subject: Subject) {
    let day = Duration::from_hours(24);
    let run = subject.sent("welcome", "welcome", "ada@example.com", MailStatus::Sent).await;
    let retention = Retention { mail: Some(day), ..Retention::default() };
    let prune = async |now| subject.store().prune(retention, now).await.expect("prunes").mails;
    assert_eq!(prune(at(0).after(day)).await, 0);
    assert_eq!(subject.log(&MailFilter::default()).await.len(), 1);
    assert_eq!(prune(at(1).after(day)).await, 1);
    assert_eq!(prune(at(1).after(day)).await, 0);
    let subject = subject.reopened();
    assert_eq!(subject.log(&MailFilter::default()).await, []);
    assert_eq!(subject.journal(run).await.len(), 5, "what it says stays with its run");
}

/// A run that failed for good while this mail of it was on its way.
async fn dead_in_doubt(subject: &Subject, status: Option<MailStatus>) -> RunId {
    let claimed = subject.running("welcome").await;
    let (key, mail) = subject.mail("welcome", "ada@example.com");
    let mut entries = vec![EntryKind::MailIntended { key: key.clone(), mail }];
    entries.extend(status.map(|status| settled(&key, status)));
    entries.push(finished(&claimed.head, Outcome::failed(FailureKind::Permanent, "in doubt"), at(2)));
    subject.store().finish(claimed.lease(), entries, Vec::new(), at(2)).await.expect("finishes").id
}

pub async fn a_mail_is_in_doubt_while_its_end_is_not_known(subject: Subject) {
    for (status, is_doubtful) in [
        (None, true),
        (Some(MailStatus::InDoubt), true),
        (Some(MailStatus::Sent), false),
        (Some(MailStatus::Failed), false),
    ] {
        let run = dead_in_doubt(&subject, status).await;
        let mails = subject.query().mails_in_doubt(run).await.expect("reads");
        assert_eq!(mails.len(), usize::from(is_doubtful), "{status:?}");
        assert!(mails.iter().all(|mail| mail.to == "ada@example.com" && mail.message_id.ends_with("@example.com")));
    }
}

pub async fn what_an_operator_decides_of_a_mail_in_doubt_goes_with_the_requeue(subject: Subject) {
    let cases = [
        (None, MailStatus::InDoubt, None),
        (Some(InDoubtChoice::Sent), MailStatus::Sent, None),
        (Some(InDoubtChoice::Resend), MailStatus::Failed, Some("to be sent again, as an operator decided")),
    ];
    for (choice, status, error) in cases {
        let run = dead_in_doubt(&subject, Some(MailStatus::InDoubt)).await;
        let before = subject.journal(run).await.len();
        let head = subject.store().requeue(run, 2, at(3), choice, at(3)).await.expect("serves").expect("is there");
        assert_eq!(head.expect("is dead").state_at(at(3)), RunState::Available);
        let added: Vec<_> = subject.journal(run).await.split_off(before).into_iter().map(|entry| entry.kind).collect();
        assert_eq!(added.len(), 1 + usize::from(choice.is_some()), "{added:?}");
        assert!(matches!(added.last(), Some(EntryKind::Requeued { .. })), "{added:?}");
        let claimed = subject.claim_one(at(3)).await;
        let memory = Memory::of(&claimed.journal);
        let remembered = memory.mails.values().next().expect("a mail");
        assert_eq!((remembered.status, remembered.error.as_deref()), (status, error), "{choice:?}");
        subject.complete(&claimed, at(4)).await;
    }
}

pub async fn many_runs_with_mails_in_doubt_are_put_back_only_as_decided(subject: Subject) {
    let doubtful = dead_in_doubt(&subject, None).await;
    let clear = subject.dead("refund", "no such order", at(2)).await;
    let all = || DeadFilter { ids: Some(vec![doubtful, clear]), ..DeadFilter::default() };
    let store = subject.store();
    for dry_run in [true, false] {
        let outcome = store.requeue_many(all(), Duration::ZERO, Doubts::Refuse, dry_run, at(3)).await.expect("serves");
        assert_eq!((outcome.changed, outcome.skipped.len()), (vec![clear], 1), "dry: {dry_run}");
        let (skipped, reason) = &outcome.skipped[0];
        assert_eq!(*skipped, doubtful);
        for part in ["ada@example.com", "Message-ID <mail_", "\"sent\"", "\"resend\""] {
            assert!(reason.contains(part), "{part} is missing in {reason}");
        }
    }
    let decided = Doubts::Decide(InDoubtChoice::Sent);
    let outcome = store.requeue_many(all(), Duration::ZERO, decided, false, at(4)).await.expect("serves");
    assert_eq!(outcome.changed, [doubtful]);
    assert_eq!(subject.query().mails_in_doubt(doubtful).await, Ok(Vec::new()));
}

fn sent() -> Settlement {
    Settlement { status: MailStatus::Sent, reply: Some("250 ok".to_owned()), error: None }
}

pub async fn a_captured_mail_leaves_once_and_is_on_the_record(subject: Subject) {
    let run = subject.sent("welcome", "welcome", "ada@example.com", MailStatus::Captured).await;
    let mail = subject.log(&MailFilter::default()).await[0].id;
    let store = subject.store();
    let (one, other) = tokio::join!(store.begin_release(mail, at(5)), store.begin_release(mail, at(5)));
    let (begun, refused): (Vec<_>, Vec<_>) =
        [one, other].map(|it| it.expect("serves")).into_iter().partition(Result::is_ok);
    assert_eq!(refused, [Err(NotReleased::NotCaptured(mail, MailStatus::Sending))]);
    let release = begun.into_iter().next().expect("one wins").expect("begun");
    assert_eq!((release.run, release.mail.id), (run, mail));
    assert_eq!(subject.query().mails_in_doubt(run).await.expect("reads").len(), 1, "until its end is on record");
    store.end_release(release, sent(), at(6)).await.expect("settles");
    let summary = subject.log(&MailFilter::default()).await.remove(0);
    assert_eq!((summary.status, summary.sent_at, summary.attempts), (MailStatus::Sent, Some(at(6)), 2));
    assert_eq!(subject.head(run).await.state, RunState::Completed);
    let again = store.begin_release(mail, at(7)).await;
    assert_eq!(again, Ok(Err(NotReleased::NotCaptured(mail, MailStatus::Sent))));
    let unknown = MailId::from_bytes([9; 16]);
    assert_eq!(store.begin_release(unknown, at(7)).await, Ok(Err(NotReleased::UnknownMail(unknown))));
}

pub async fn no_mail_leaves_while_its_run_is_under_way(subject: Subject) {
    let claimed = subject.running("welcome").await;
    let (key, mail) = subject.mail("welcome", "ada@example.com");
    let entries = vec![EntryKind::MailIntended { key: key.clone(), mail: mail.clone() }];
    let captured = [entries, vec![settled(&key, MailStatus::Captured)]].concat();
    subject.store().record(claimed.lease(), captured, at(1)).await.expect("records");
    let refused = subject.store().begin_release(mail.id, at(2)).await;
    assert_eq!(refused, Ok(Err(NotReleased::UnderWay(claimed.head.id))));
    subject.complete(&claimed, at(3)).await;
    assert!(subject.store().begin_release(mail.id, at(4)).await.is_ok_and(|begun| begun.is_ok()));
}
