//! The bound of the development mailbox, and which mails are in doubt.

use jobmill_core::Timestamp;
use jobmill_core::mail::{Mailbox, Message};

use super::*;

fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

fn mail(number: u64) -> Mail {
    let mailbox = |address: &str| Mailbox { address: address.to_owned(), name: None };
    let message = Message {
        kind: "welcome".to_owned(),
        to: mailbox("ada@example.com"),
        reply_to: None,
        subject: "Hello".to_owned(),
        text: "Hello".to_owned(),
        html: None,
        attachments: Vec::new(),
        headers: Vec::new(),
    };
    let id = MailId::first_at(Timestamp::from_millis(number));
    let created_at = Timestamp::from_millis(number);
    Mail { id, message_id: format!("{number}@x"), from: mailbox("shop@example.com"), created_at, message }
}

fn key() -> EffectKey {
    EffectKey::mail("welcome", "ada@example.com", 0)
}

impl Mails {
    fn sent(&mut self, number: u8, status: MailStatus) {
        let mail = mail(u64::from(number));
        self.intend(run(number), &key(), &mail);
        if let Some(mail) = self.settle(run(number), &key(), status) {
            self.set_status(mail, status);
        }
    }

    fn shown(&self, filter: &MailFilter) -> Vec<RunId> {
        self.matching(filter, None).map(|(_, row)| row.run).collect()
    }
}

#[test]
fn only_the_newest_captured_mails_are_shown_and_sent_ones_do_not_count() {
    let mut mails = Mails::default();
    mails.keep_captured(Some(2));
    mails.sent(1, MailStatus::Sent);
    for number in 2..=5 {
        mails.sent(number, MailStatus::Captured);
    }
    assert_eq!(mails.shown(&MailFilter::default()), [run(5), run(4), run(1)]);
    let of_run = MailFilter { run: Some(run(2)), ..MailFilter::default() };
    assert_eq!(mails.shown(&of_run), [run(2)], "its run still shows it");
    assert_eq!(mails.row(mail(2).id).map(|row| row.status), Some(MailStatus::Captured));
    mails.remove(run(2));
    assert_eq!(mails.shown(&of_run), []);
    mails.clear(mail(4).id, Place::new(0, 0));
    assert_eq!(mails.shown(&MailFilter::default()), [run(5)]);
    assert!(mails.row(mail(3).id).is_none(), "what was pushed out is cleared too");
}

#[test]
fn a_bound_that_is_set_late_counts_for_what_is_there() {
    let mut mails = Mails::default();
    (1..=4).for_each(|number| mails.sent(number, MailStatus::Captured));
    mails.keep_captured(Some(3));
    assert_eq!(mails.shown(&MailFilter::default()), [run(4), run(3), run(2)]);
    assert_eq!(mails.log().0, 3);
}

#[test]
fn a_mail_that_leaves_the_mailbox_does_not_count_against_its_bound() {
    let mut mails = Mails::default();
    mails.keep_captured(Some(2));
    (1..=2).for_each(|number| mails.sent(number, MailStatus::Captured));
    mails.sent(1, MailStatus::Sent);
    mails.sent(3, MailStatus::Captured);
    assert_eq!(mails.shown(&MailFilter::default()), [run(3), run(2), run(1)]);
}

#[test]
fn a_mail_is_in_doubt_until_its_end_is_known() {
    let mut mails = Mails::default();
    let doubtful = |mails: &Mails| mails.doubtful(run(1)).map(|(_, mail)| mail.message_id.clone()).collect::<Vec<_>>();
    mails.intend(run(1), &key(), &mail(1));
    assert_eq!(doubtful(&mails), ["1@x"]);
    mails.settle(run(1), &key(), MailStatus::InDoubt);
    assert_eq!(doubtful(&mails), ["1@x"]);
    mails.intend(run(1), &key(), &mail(1));
    mails.settle(run(1), &key(), MailStatus::Failed);
    assert!(doubtful(&mails).is_empty() && mails.doubtful.is_empty());
}
