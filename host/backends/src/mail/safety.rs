//! Whatever a job puts into a mail: one mail arrives, to its one recipient, with the expected headers and the same text,
//! or none is sent. The receiver is careless about line ends on purpose; strict ones hide the mistake.

use jobmill_core::mail::{Attachment, Mail, Mailbox};
use mailparse::{MailAddr, MailHeaderMap as _, ParsedMail, parse_mail};
use proptest::prelude::*;

use super::MailError;
use super::mime::tests::mail;
use super::sink::{Sink, Taken};
use super::smtp::Smtp;
use super::smtp::tests::smtp;

/// A mail that has everything.
fn full() -> Mail {
    let mut mail = mail();
    mail.message.reply_to = Some(Mailbox { address: "help@shop.example".to_owned(), name: Some("Help".to_owned()) });
    mail.message.headers = vec![("X-Shop".to_owned(), "1".to_owned())];
    mail.message.attachments = vec![Attachment {
        file_name: "a.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        content: b"MAIL FROM:<evil@example.com>\r\n.\r\n".to_vec(),
    }];
    mail
}

/// A place in a mail that a job, or the operator, can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Subject,
    To,
    ToName,
    ReplyTo,
    ReplyToName,
    Sender,
    SenderName,
    Text,
    Html,
    HeaderName,
    HeaderValue,
    UnsubscribeValue,
    AttachmentName,
    AttachmentType,
    Kind,
}

const FIELDS: [Field; 15] = [
    Field::Subject,
    Field::To,
    Field::ToName,
    Field::ReplyTo,
    Field::ReplyToName,
    Field::Sender,
    Field::SenderName,
    Field::Text,
    Field::Html,
    Field::HeaderName,
    Field::HeaderValue,
    Field::UnsubscribeValue,
    Field::AttachmentName,
    Field::AttachmentType,
    Field::Kind,
];

impl Field {
    fn fill(self, mail: &mut Mail, text: String) {
        let message = &mut mail.message;
        let reply_to = message.reply_to.as_mut().expect("a full mail");
        match self {
            Self::Subject => message.subject = text,
            Self::To => message.to.address = text,
            Self::ToName => message.to.name = Some(text),
            Self::ReplyTo => reply_to.address = text,
            Self::ReplyToName => reply_to.name = Some(text),
            Self::Sender => mail.from.address = text,
            Self::SenderName => mail.from.name = Some(text),
            Self::Text => message.text = text,
            Self::Html => message.html = Some(text),
            Self::HeaderName => message.headers[0].0 = text,
            Self::HeaderValue => message.headers[0].1 = text,
            Self::UnsubscribeValue => message.headers[0] = ("List-Unsubscribe".to_owned(), text),
            Self::AttachmentName => message.attachments[0].file_name = text,
            Self::AttachmentType => message.attachments[0].content_type = text,
            Self::Kind => message.kind = text,
        }
    }
}

/// What people have tried, and what software has fallen for.
const PAYLOADS: &[&str] = &[
    "a\rb",
    "a\nb",
    "a\r\nb",
    "a\0b",
    "a\tb",
    "a\u{b}b\u{c}c\u{1b}[0m\u{7f}",
    "a\u{85}b",
    "a\u{2028}b",
    "a\u{2029}b",
    "a\r\nBcc: evil@example.com",
    "a\nBcc: evil@example.com",
    "a\rBcc: evil@example.com",
    "a\r\n\tBcc: evil@example.com",
    "a\r\n\r\n<p>another body</p>",
    "%0d%0aBcc: evil@example.com",
    "=?utf-8?q?a=0D=0ABcc:_evil@example.com?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5jb20=?=",
    "a?= =?utf-8?q?b",
    "\r\n.\r\n",
    "\n.\n",
    "\r.\r",
    ".",
    "..",
    ".hidden\n..\n...\n.\r\n",
    "=\r\n.=\n=2E\n=0D=0A.=0D=0A",
    "--=_mixed.run_1.abc\r\nContent-Type: text/html\r\n\r\nx\r\n--=_mixed.run_1.abc--",
    "\r\n--=_alternative.run_1.abc--\r\n",
    "MAIL FROM:<evil@example.com>",
    "From evil@example.com",
    "\"a b\"@example.com",
    "\"a@b\"@example.com",
    "\"a\r\nRCPT TO:<evil@example.com>\"@example.com",
    "a@example.com>\r\nRCPT TO:<evil@example.com",
    "a@example.com> SIZE=1 <b@example.com",
    "a@example.com,evil@example.com",
    "a@example.com;evil@example.com",
    "a@example.com evil@example.com",
    "Ada <a@example.com>, Eve <evil@example.com>",
    "group: a@example.com, evil@example.com;",
    "<a@example.com>",
    "a@example.com (comment)",
    "a@[127.0.0.1]",
    "@relay.example:a@example.com",
    "a%evil.example@example.com",
    "evil.example!a@example.com",
    "ä@example.com",
    "a@münchen.example",
    "a@xn--mnchen-3ya.example",
    "-oQ/tmp@example.com",
    "first.last+tag@sub.example.co.uk",
    "Bcc",
    "bcc ",
    "X-A: b",
    "X-A B",
    "X-\r\nBcc",
    "X-Ä",
    "Content-Type",
    "<https://shop.example/u/1>\r\nBcc: evil@example.com",
    "<https://shop.example/u/1>, <mailto:u@shop.example>",
    "a\u{202e}fdp.exe",
    "\u{feff}\u{200b}",
    " leading and  double and trailing ",
    "a.pdf\"; filename=\"evil.exe",
    "a.pdf; filename*=utf-8''evil.exe",
    "../../etc/passwd",
    "..\\evil.exe",
    "text/html; charset=utf-7",
    "multipart/mixed; boundary=x",
    "message/rfc822",
    "application/octet-stream",
    "Grüße 注文 🎉",
    "",
];

/// Those, and those that are long.
fn payloads() -> Vec<String> {
    let conversation = |end: &str| {
        let lines = [
            "a",
            ".",
            "MAIL FROM:<evil@example.com>",
            "RCPT TO:<evil@example.com>",
            "DATA",
            "Subject: x",
            "",
            "x",
            ".",
        ];
        lines.join(end) + end
    };
    let mut payloads: Vec<String> = PAYLOADS.iter().copied().map(str::to_owned).collect();
    payloads.extend(["\r\n", "\n", "\r"].map(conversation));
    payloads.extend([
        "S".repeat(5_000),
        "x".repeat(10_000),
        "ä".repeat(10_000),
        "x ".repeat(490),
        ".\n".repeat(1_000),
        format!("{}@example.com", "a".repeat(64)),
        format!("{}@example.com", "a".repeat(250)),
        format!("a@{}.com", "b.".repeat(120)),
    ]);
    payloads
}

fn header(read: &ParsedMail<'_>, name: &str) -> String {
    read.headers.get_first_value(name).unwrap_or_default()
}

/// The one mailbox of a header: its name and its address.
fn mailbox(read: &ParsedMail<'_>, name: &str) -> (String, String) {
    let header = read.headers.get_first_header(name).expect("the header");
    let mailboxes = mailparse::addrparse_header(header).expect("addresses");
    let [MailAddr::Single(single)] = mailboxes.as_slice() else { panic!("one mailbox in {name}: {mailboxes:?}") };
    (single.display_name.clone().unwrap_or_default().trim().to_owned(), single.addr.clone())
}

fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end_matches('\n').to_owned()
}

/// Compares what arrived with what was sent, field by field.
fn compare(mail: &Mail, taken: &Taken) {
    let message = &mail.message;
    assert_eq!(taken.from, format!("MAIL FROM:<{}>", mail.from.address));
    assert_eq!(taken.to, [format!("RCPT TO:<{}>", message.to.address)]);
    let (head, _) = taken.content.split_once("\r\n\r\n").expect("a body");
    let mut names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split(':').next().expect("a name"))
        .collect();
    names.sort_unstable();
    let extra = message.headers[0].0.as_str();
    let mut expected =
        vec!["Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Reply-To", "Subject", "To", extra];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(taken.content.is_ascii() && taken.content.split("\r\n").all(|line| line.len() <= 998));

    let read = parse_mail(taken.content.as_bytes()).expect("a mail");
    assert_eq!(header(&read, "Message-ID"), format!("<{}>", mail.message_id));
    assert_eq!(header(&read, "Subject"), message.subject);
    let words = |text: &str| {
        text.split([' ', '\r', '\n']).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    // Folding is white space to a reader.
    let value = if extra.to_ascii_lowercase().starts_with("list-") {
        let raw = read.headers.get_first_header(extra).expect("the header").get_value_raw();
        String::from_utf8_lossy(raw).into_owned()
    } else {
        header(&read, extra)
    };
    assert_eq!(words(&value), words(&message.headers[0].1));
    // So is what stands around a name.
    let name = |mailbox: &Mailbox| mailbox.name.clone().unwrap_or_default().trim().to_owned();
    let of = |mailbox: &Mailbox| (name(mailbox), mailbox.address.clone());
    assert_eq!(mailbox(&read, "From"), of(&mail.from));
    assert_eq!(mailbox(&read, "To"), of(&message.to));
    assert_eq!(mailbox(&read, "Reply-To"), of(message.reply_to.as_ref().expect("a full mail")));

    let [bodies, attachment] = read.subparts.as_slice() else { panic!("two parts: {}", taken.content) };
    let mut sent = vec![("text/html", message.html.as_deref().unwrap_or_default())];
    if !message.text.is_empty() {
        sent.insert(0, ("text/plain", &message.text));
    }
    let bodies = if sent.len() == 1 { std::slice::from_ref(bodies) } else { &bodies.subparts };
    // The decoder of text takes away a byte order mark, the raw one doesn't.
    let text = |part: &ParsedMail<'_>| String::from_utf8(part.get_body_raw().expect("decodes")).expect("UTF-8");
    let arrived: Vec<(&str, String)> =
        bodies.iter().map(|part| (part.ctype.mimetype.as_str(), lines(&text(part)))).collect();
    assert_eq!(arrived, sent.into_iter().map(|(kind, text)| (kind, lines(text))).collect::<Vec<_>>());
    let file = &message.attachments[0];
    assert_eq!(attachment.ctype.mimetype, file.content_type.to_lowercase());
    assert_eq!(attachment.get_content_disposition().params.get("filename"), Some(&file.file_name));
    assert_eq!(attachment.get_body_raw().expect("decodes"), file.content);
}

/// Sends it; whether it was sent.
async fn attempt(smtp: &Smtp, sink: &Sink, mail: &Mail) -> bool {
    let (mails, commands) = (sink.taken().len(), sink.commands().len());
    match smtp.deliver(mail).await.map_err(|refusal| refusal.error) {
        Ok(_) => {
            let taken = sink.taken();
            assert_eq!(taken.len(), mails + 1);
            compare(mail, &taken[mails]);
            true
        }
        Err(MailError::Invalid(_)) => {
            assert_eq!(sink.commands().len(), commands, "something was said");
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_payload_in_every_field_arrives_as_text_or_is_refused_before_anything_is_sent() {
    let sink = Sink::start([]).await;
    let smtp = smtp(sink.settings());
    let (mut sent, mut refused) = (0, 0);
    for payload in payloads() {
        for field in FIELDS {
            for text in [payload.clone(), format!("before{payload}after")] {
                let mut mail = full();
                field.fill(&mut mail, text.clone());
                // Shown by the test's output when it fails.
                println!("{field:?}: {:?}", text.chars().take(80).collect::<String>());
                if attempt(&smtp, &sink, &mail).await { sent += 1 } else { refused += 1 }
            }
        }
    }
    // The table is about both.
    assert!(sent > 500 && refused > 500, "{sent} sent, {refused} refused");
}

#[tokio::test]
async fn a_mail_that_is_delivered_twice_is_the_same_mail_byte_for_byte() {
    let sink = Sink::start([]).await;
    for _ in 0..2 {
        smtp(sink.settings()).deliver(&full()).await.expect("taken");
    }
    let taken = sink.taken();
    assert_eq!(taken[0], taken[1]);
    let read = parse_mail(taken[0].content.as_bytes()).expect("a mail");
    assert_eq!(header(&read, "Date"), "Sun, 01 Mar 2026 09:00:00 +0000");
}

/// Text full of what mail servers and mail readers stumble over.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -~]{0,12}",
        2 => "\\PC{0,6}",
        2 => prop::sample::select(vec![
            "\r", "\n", "\r\n", "\0", "\t", "\u{85}", "\u{2028}", ".", "\n.\n", "\r\n.\r\n", "\r.\r", "=?", "?=", "=?utf-8?q?",
            "\"", "\\", "<", ">", "@", ",", ";", ":", "(", ")", "--=_mixed.run_1.abc", "MAIL FROM:<e@x.y>", "Bcc: e@x.y",
            "=0D=0A", "=", "\u{202e}", "a@example.com", "X-A",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn hostile_text_in_any_fields_at_once_arrives_as_text_or_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sink = runtime.block_on(Sink::start([]));
    let smtp = smtp(sink.settings());
    let filled = prop::collection::vec((prop::sample::select(FIELDS.to_vec()), hostile()), 1..4);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(filled in filled)| {
        let mut mail = full();
        for (field, text) in filled {
            field.fill(&mut mail, text);
        }
        runtime.block_on(attempt(&smtp, &sink, &mail));
    });
}
