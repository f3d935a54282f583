//! The suppression list: an address that is on it stays there, by its digest alone once it was forgotten.
//! That no mail is sent to it is the runtime's.
#![expect(missing_docs, reason = "a test's name says what it shows")]

use jobmill_core::Timestamp;
use jobmill_core::suppression::{Suppression, SuppressionSource};

use super::Subject;
use super::subject::at;
use crate::control::Control;
use crate::forgetting::{Forget, Forgotten};
use crate::log::Record;
use crate::mailing::Suppressed;
use crate::portable;

const ADA: &str = "ada@example.com";

fn of(address: &str, reason: Option<&str>, now: Timestamp) -> Suppression {
    let source = SuppressionSource::Operator("ops".to_owned());
    Suppression::new(address, reason.map(str::to_owned), source, now).expect("an address")
}

fn bounced(address: &str, now: Timestamp) -> Suppression {
    let reason = format!("550 5.1.1 <{address}>: no such user");
    Suppression::new(address, Some(reason), SuppressionSource::Bounce, now).expect("an address")
}

impl Subject {
    async fn suppress(&self, suppression: Suppression) -> Suppressed {
        self.store().suppress(suppression).await.expect("serves")
    }

    async fn lift(&self, address: &str) -> Option<Suppression> {
        self.store().lift_suppression(address.to_owned()).await.expect("serves")
    }

    async fn suppression(&self, address: &str) -> Option<Suppression> {
        self.query().suppression(address).await.expect("reads")
    }

    async fn suppressed(&self) -> Vec<Suppression> {
        self.query().suppressions(None, 100).await.expect("reads").items
    }

    async fn forget_ada(&self, dry_run: bool) -> Forgotten {
        let what = Forget { email: Some("Ada@Example.com".to_owned()), value: None };
        self.store().forget(what, dry_run).await.expect("forgets")
    }
}

pub async fn an_address_gets_no_mail_until_it_is_lifted(subject: Subject) {
    assert_eq!(subject.suppression(ADA).await, None);
    let suppression = of("Ada@example.com", Some("asked for it"), at(1));
    let answer = subject.suppress(suppression.clone()).await;
    assert_eq!(answer, Suppressed { suppression: suppression.clone(), is_new: true });
    let subject = subject.reopened();
    assert_eq!(subject.suppression("ADA@EXAMPLE.COM").await, Some(suppression.clone()), "in any case, after a restart");
    assert_eq!(subject.suppression("bob@example.com").await, None);
    assert_eq!(subject.lift("ADA@example.com").await, Some(suppression));
    let subject = subject.reopened();
    assert_eq!((subject.suppression(ADA).await, subject.suppressed().await), (None, Vec::new()));
    assert_eq!(subject.lift(ADA).await, None);
    assert!(subject.suppress(of(ADA, None, at(2))).await.is_new);
}

pub async fn who_said_it_first_stays_and_a_later_reason_counts(subject: Subject) {
    let first = of(ADA, Some("asked for it"), at(1));
    subject.suppress(first.clone()).await;
    assert_eq!(subject.suppress(of(ADA, None, at(2))).await, Suppressed { suppression: first.clone(), is_new: false });
    let better = Suppression { reason: Some("left the company".to_owned()), ..first };
    let answer = subject.suppress(of(ADA, better.reason.as_deref(), at(3))).await;
    assert_eq!(answer, Suppressed { suppression: better.clone(), is_new: false });
    assert_eq!(subject.suppress(bounced(ADA, at(4))).await.suppression, better, "a mail was still on its way");
    assert_eq!(subject.suppressed().await, [better]);
}

pub async fn pages_of_suppressions_have_no_gap_and_no_repeat(subject: Subject) {
    for number in 0..7 {
        // Two at a time are equally old.
        subject.suppress(of(&format!("user{number}@example.com"), None, at(number / 2))).await;
    }
    for limit in [1, 3, 7, 8] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = subject.query().suppressions(after, limit).await.expect("reads");
            seen.extend(page.items);
            after = page.next.map(|cursor| cursor.to_string().parse().expect("a cursor"));
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, subject.suppressed().await, "pages of {limit}");
        assert_eq!(seen.len(), 7);
        assert!(seen.windows(2).all(|pair| pair[0].at >= pair[1].at), "newest first");
    }
}

pub async fn a_forgotten_address_still_gets_no_mail(subject: Subject) {
    subject.suppress(bounced(ADA, at(1))).await;
    let other = of("bob@example.com", Some("asked for it"), at(2));
    subject.suppress(other.clone()).await;
    let expected = Forgotten { suppressions: 1, ..Forgotten::default() };
    assert_eq!(subject.forget_ada(true).await, expected, "a dry run tells");
    assert_eq!(subject.suppression(ADA).await, Some(bounced(ADA, at(1))), "and changes nothing");
    assert_eq!(subject.forget_ada(false).await, expected);
    assert_eq!(subject.forget_ada(false).await, Forgotten::default());
    let subject = subject.reopened();
    let kept = Suppression { address: None, reason: None, ..bounced(ADA, at(1)) };
    assert_eq!(subject.suppressed().await, [other, kept.clone()]);
    assert_eq!(subject.suppression("Ada@example.com").await, Some(kept.clone()));
    assert_eq!(subject.lift("Ada@example.com").await, Some(kept), "whoever knows the address lifts it");
    assert_eq!(subject.suppression(ADA).await, None);
}

pub async fn a_suppression_goes_along_to_another_store(subject: Subject) {
    let suppression = of(ADA, Some("asked for it"), at(1));
    subject.suppress(suppression.clone()).await;
    subject.suppress(of("bob@example.com", None, at(2))).await;
    subject.lift("bob@example.com").await;
    let expected = Record::Control(Control::Suppression(suppression.clone()));
    let mut reading = portable::Reading::default();
    let mut records = Vec::new();
    for line in portable::lines(subject.query().export().await.expect("exports"), at(9)) {
        records.extend(reading.take(&line.expect("reads")).expect("is a record"));
    }
    assert_eq!((records, reading.finish()), (vec![expected.clone()], Ok(())));
    assert_eq!(subject.store().import(vec![expected.clone()]).await, Ok(0), "it is here already");
    subject.lift(ADA).await;
    assert_eq!(subject.store().import(vec![expected]).await, Ok(1));
    assert_eq!(subject.suppression(ADA).await, Some(suppression));
}
