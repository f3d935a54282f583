//! A scripted job whose mail says what its payload says, word for word.
//! Nothing is checked on the way, so that pages are tried with what no sane job writes.

use std::time::Duration;

use async_trait::async_trait;
use jobmill_core::journal::EffectKey;
use jobmill_core::mail::{Attachment, Mail, MailStatus, Mailbox, Message, message_id};
use jobmill_core::{MailId, Outcome};
use jobmill_engine::{AttemptContext, Runner, Stop};

/// Captures one mail with the texts of its payload.
pub(crate) struct Letter;

#[async_trait]
impl Runner for Letter {
    async fn run(&self, mut context: AttemptContext, _: Duration, _: Stop) -> (Outcome, AttemptContext) {
        let payload = context.payload().to_value().expect("a payload");
        let text = |name: &str| payload[name].as_str().map(str::to_owned);
        let word = |name: &str| text(name).unwrap_or_default();
        let mailbox = |address: String| Mailbox { address, name: text("name") };
        let key = EffectKey::mail("letter", &word("to"), 0);
        let mail = Mail {
            id: MailId::generate(context.now(), &**context.entropy()),
            message_id: message_id(context.run().id, &key, "shop.example"),
            from: mailbox("shop@shop.example".to_owned()),
            created_at: context.now(),
            message: Message {
                kind: text("kind").unwrap_or_else(|| "letter".to_owned()),
                to: mailbox(word("to")),
                reply_to: text("reply_to").map(mailbox),
                subject: word("subject"),
                text: word("text"),
                html: text("html"),
                attachments: text("file")
                    .map(|name| Attachment {
                        file_name: name,
                        content_type: word("type"),
                        content: b"seven b".to_vec(),
                    })
                    .into_iter()
                    .collect(),
                headers: text("header").map(|value| (word("header_name"), value)).into_iter().collect(),
            },
        };
        context.keep_mail(key, mail.into(), MailStatus::Captured, None).expect("there is room");
        (Outcome::Completed { output: None }, context)
    }
}
