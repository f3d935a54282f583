//! What each reply means at each stage of a delivery, class by class.
//! It says nothing of what follows from it: the outlet and the pace have tests of their own.

use std::time::Duration;

use super::super::mime::tests::mail;
use super::super::sink::{Act, At, Sink};
use super::super::{Credentials, MailError, Security, SmtpSettings};
use super::tests::smtp;
use super::tls::Certified;
use crate::secret::Secret;

/// What becomes of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// To be tried again.
    Later,
    /// To be tried again, more slowly.
    Slower,
    /// For the operator to mend.
    Operator,
    /// Refused for good.
    Refused,
    /// Refused for good: nobody has this address.
    Nobody,
    /// It may have been sent.
    Doubt,
}

use Class::{Doubt, Later, Nobody, Operator, Refused, Slower};

const STAGES: [At; 8] =
    [At::Greeting, At::Ehlo, At::StartTls, At::Auth, At::From, At::Recipient, At::Data, At::Content];

/// What the server does, and what that is before the mail is known, at the sender, the recipient, `DATA` and the end.
const TABLE: &[(Act, [Class; 5])] = &[
    (Act::Say("421 4.3.2 shutting down"), [Later, Later, Later, Later, Later]),
    (Act::Say("421 closing"), [Later, Later, Later, Later, Later]),
    (Act::Say("450 4.2.1 mailbox busy"), [Later, Later, Later, Later, Later]),
    (Act::Say("450 4.2.0 greylisted, come back in 300 seconds"), [Later, Later, Later, Later, Later]),
    (Act::Say("451 4.3.0 try again"), [Later, Later, Later, Later, Later]),
    (Act::Say("452 4.2.2 over quota"), [Later, Later, Later, Later, Later]),
    (Act::Say("454 4.7.0 temporary authentication failure"), [Later, Later, Later, Later, Later]),
    (Act::Say("421 4.7.28 unusual rate"), [Slower, Slower, Slower, Slower, Slower]),
    (Act::Say("451 4.7.500 server busy"), [Slower, Slower, Slower, Slower, Slower]),
    (Act::Say("450 4.7.1 Error: too much mail from 192.0.2.1"), [Slower, Slower, Slower, Slower, Slower]),
    (Act::Say("454 Throttling failure: Maximum sending rate exceeded."), [Later, Slower, Slower, Slower, Slower]),
    (Act::Say("500 5.5.1 what?"), [Operator, Operator, Refused, Refused, Refused]),
    (Act::Say("530 5.7.0 sign in first"), [Operator, Operator, Operator, Operator, Operator]),
    (Act::Say("535 5.7.8 bad credentials"), [Operator, Operator, Operator, Operator, Operator]),
    (Act::Say("550 5.1.1 no such user"), [Operator, Operator, Nobody, Refused, Refused]),
    (Act::Say("550 5.1.10 recipient not found"), [Operator, Operator, Nobody, Refused, Refused]),
    (Act::Say("550 no such user"), [Operator, Operator, Refused, Refused, Refused]),
    (Act::Say("550 5.7.1 not from you"), [Operator, Operator, Refused, Refused, Refused]),
    (Act::Say("551 5.1.6 moved away"), [Operator, Operator, Refused, Refused, Refused]),
    (Act::Say("552 5.2.2 mailbox full"), [Operator, Operator, Later, Later, Later]),
    (Act::Say("552 5.3.4 too large"), [Operator, Operator, Refused, Refused, Refused]),
    (Act::Say("552 storage exceeded"), [Operator, Operator, Later, Refused, Refused]),
    (Act::Say("553 5.1.3 no address"), [Operator, Operator, Refused, Refused, Refused]),
    (Act::Say("554 5.7.1 looks like spam"), [Operator, Operator, Refused, Refused, Refused]),
    (Act::Say("nonsense"), [Later, Later, Later, Later, Doubt]),
    (Act::Say("999 9.9.9 nonsense"), [Later, Later, Later, Later, Doubt]),
    (Act::Cut, [Later, Later, Later, Later, Doubt]),
    (Act::Silence, [Later, Later, Later, Later, Doubt]),
    (Act::Drip("250 2.0.0 very well"), [Later, Later, Later, Later, Doubt]),
];

fn class(error: &MailError) -> Class {
    match error {
        MailError::Unavailable { .. } => Later,
        MailError::RateLimited { .. } => Slower,
        MailError::Misconfigured { .. } => Operator,
        MailError::Rejected { unknown_recipient, .. } => {
            if *unknown_recipient {
                Nobody
            } else {
                Refused
            }
        }
        MailError::InDoubt { .. } => Doubt,
        MailError::Invalid(_) => panic!("the mail is a good one"),
    }
}

#[tokio::test]
async fn every_reply_has_its_meaning_at_every_stage() {
    let certified = Certified::new(["127.0.0.1"]);
    for (act, classes) in TABLE {
        for at in STAGES {
            let column = match at {
                At::From => 1,
                At::Recipient => 2,
                At::Data => 3,
                At::Content => 4,
                _ => 0,
            };
            let sink = match at {
                At::StartTls => Sink::start_secure([(at, *act)], Security::StartTls, certified.server()).await,
                _ => Sink::start([(at, *act)]).await,
            };
            let settings = SmtpSettings {
                credentials: (at == At::Auth)
                    .then(|| Credentials { user: "shop".to_owned(), password: Secret::new("hunter2") }),
                authority: Some(certified.authority()),
                command_timeout: match act {
                    Act::Silence | Act::Drip(_) => Duration::from_millis(250),
                    _ => Duration::from_secs(10),
                },
                ..sink.settings()
            };
            let smtp = smtp(settings);
            let error = smtp.deliver(&mail()).await.expect_err("not delivered").error;
            assert_eq!(class(&error), classes[column], "{act:?} at {at:?}: {error:?}");
            if let Act::Say(reply) = act
                && !reply.ends_with("nonsense")
            {
                assert_eq!(error.reply(), Some(*reply), "{at:?}");
            }
            assert_eq!(sink.taken().len(), usize::from(at == At::Content), "{act:?} at {at:?}");

            // Whatever happened, the next mail gets through, to its recipient alone.
            smtp.deliver(&mail()).await.unwrap_or_else(|refusal| panic!("after {act:?} at {at:?}: {refusal:?}"));
            let taken = sink.taken().pop().expect("taken");
            assert_eq!(taken.to, ["RCPT TO:<ada@example.com>"], "after {act:?} at {at:?}");
        }
    }
}

#[tokio::test]
async fn replies_that_ask_to_slow_down_are_told_from_their_like() {
    let asks = [
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
        "450-4.2.1 The user you are trying to contact is receiving mail at a\r\n450 4.2.1 rate that prevents more",
        "450 4.2.1 Peak SMTP relay limit exceeded for customer.",
        "421 4.7.0 Our system has detected an unusual rate of unsolicited mail",
        "421 4.7.0 Try again later, closing connection. - gsmtp",
        "421 4.7.0 mx.example Error: too many connections from 192.0.2.1",
        "421 4.3.2 Connection rate limit exceeded.",
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume",
        "451 4.7.651 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
        "454 4.7.0 Throttling failure: Daily message quota exceeded.",
        "421 Too many connections",
    ];
    let others = [
        "421 4.7.0 Temporary System Problem. Try again later.",
        "421 4.7.0 TLS required for RCPT domain, closing connection.",
        "450 4.7.1 Client host rejected: cannot find your hostname",
        "450 4.7.1 <ada@example.com>: Recipient address rejected: Greylisted",
        "451 4.7.1 Greylisting in action, please come back later",
        "452 4.2.2 The email account that you tried to reach is over quota",
        "451 4.7.24 SPF validation error",
        "451 4.7.05 rate",
    ];
    for (replies, expected) in [(asks.as_slice(), Slower), (others.as_slice(), Later)] {
        for reply in replies {
            let sink = Sink::start([(At::Recipient, Act::Say(reply))]).await;
            let error = smtp(sink.settings()).deliver(&mail()).await.expect_err(reply).error;
            assert_eq!(class(&error), expected, "{reply}");
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_in_the_middle_of_the_content_has_neither_taken_nor_refused_the_mail() {
    for _ in 0..20 {
        let sink = Sink::start([(At::InContent, Act::Cut)]).await;
        let error = smtp(sink.settings()).deliver(&mail()).await.expect_err("cut").error;
        // Whether the end of the content was on its way by then is a matter of luck.
        assert!(matches!(class(&error), Later | Doubt), "{error:?}");
        assert!(sink.taken().is_empty());
    }
}
