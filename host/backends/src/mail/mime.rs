//! A mail as the bytes that go over the wire.
//! The same mail always gives the same bytes: date, `Message-ID` and boundaries come from the mail, not from a clock.

use std::error::Error;
use std::time::{Duration, SystemTime};

use jobmill_core::mail::{Attachment, Mail, Mailbox, Message};
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue, MessageId};
use lettre::message::{MessageBuilder, MultiPart, MultiPartKind, SinglePart};

use super::{MailError, address, header_text};

/// The mail in MIME (RFC 5322, 2045 and following), every line ended by CRLF.
///
/// Checks the message first: a mail that could break out of a header or a body is refused.
pub fn mime(mail: &Mail) -> Result<Vec<u8>, MailError> {
    let message = &mail.message;
    message.check().map_err(|error| MailError::Invalid(error.to_string()))?;
    mail.from.check("the sender").map_err(|error| MailError::Invalid(error.to_string()))?;
    let mut builder = lettre::Message::builder()
        .envelope(envelope(mail)?)
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(mail.created_at.as_millis()))
        .from(address::header(&mail.from)?)
        .to(address::header(&message.to)?)
        .header(MessageId::from(format!("<{}>", mail.message_id)));
    builder = named(builder, "From", &mail.from);
    builder = named(builder, "To", &message.to);
    if let Some(reply_to) = &message.reply_to {
        builder = named(builder.reply_to(address::header(reply_to)?), "Reply-To", reply_to);
    }
    builder = builder.subject(&message.subject);
    if let Some(encoded) = header_text::encoded(&message.subject) {
        builder = builder.raw_header(pre_encoded("Subject", &message.subject, encoded));
    }
    for (name, value) in &message.headers {
        let name = HeaderName::new_from_ascii(name.clone())
            .map_err(|error| MailError::Invalid(format!("header {name:?}: {error}")))?;
        // A reader would decode what reads like an encoded word. Unsubscribe headers are addresses, which none does.
        let decoded = value.contains("=?") && name.starts_with(['X', 'x']);
        let encoded = if decoded { header_text::encoded(value) } else { None };
        builder = builder.raw_header(match encoded {
            Some(encoded) => HeaderValue::dangerous_new_pre_encoded(name, value.clone(), encoded),
            None => HeaderValue::new(name, value.clone()),
        });
    }
    let built = body(builder, message, &boundary_stem(&mail.message_id))?;
    let bytes = built.formatted();
    if has_bare_line_end(&bytes) {
        return Err(MailError::Invalid("the mail has a line that does not end with CRLF".to_owned()));
    }
    Ok(bytes)
}

/// Writes the name of a mailbox in encoded words of our own, where it needs any.
fn named(builder: MessageBuilder, header: &'static str, mailbox: &Mailbox) -> MessageBuilder {
    let Some(encoded) = mailbox.name.as_deref().and_then(header_text::encoded) else { return builder };
    builder.raw_header(pre_encoded(header, &mailbox.address, format!("{encoded}\r\n <{}>", mailbox.address)))
}

fn pre_encoded(header: &'static str, text: &str, encoded: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(header), text.to_owned(), encoded)
}

/// Sender and recipient as the mail server hears them.
pub(super) fn envelope(mail: &Mail) -> Result<Envelope, MailError> {
    let (from, to) = (address::envelope(&mail.from)?, address::envelope(&mail.message.to)?);
    Envelope::new(Some(from), vec![to]).map_err(|error| MailError::Invalid(error.to_string()))
}

fn body(builder: MessageBuilder, message: &Message, stem: &str) -> Result<lettre::Message, MailError> {
    let text = (!message.text.is_empty()).then(|| part(ContentType::TEXT_PLAIN, &message.text));
    let html = message.html.as_ref().map(|html| part(ContentType::TEXT_HTML, html));
    let multi = |kind, name: &str| MultiPart::builder().kind(kind).boundary(format!("=_{name}.{stem}"));
    let alternative = || multi(MultiPartKind::Alternative, "alternative");
    let built = if message.attachments.is_empty() {
        match (text, html) {
            (Some(text), Some(html)) => builder.multipart(alternative().singlepart(text).singlepart(html)),
            (text, html) => builder.singlepart(either(text, html)),
        }
    } else {
        let mixed = multi(MultiPartKind::Mixed, "mixed");
        let mut mixed = match (text, html) {
            (Some(text), Some(html)) => mixed.multipart(alternative().singlepart(text).singlepart(html)),
            (text, html) => mixed.singlepart(either(text, html)),
        };
        for file in &message.attachments {
            mixed = mixed.singlepart(attachment(file)?);
        }
        builder.multipart(mixed)
    };
    built.map_err(|error| MailError::Invalid(format!("the mail can't be built: {error}")))
}

/// A message that has passed its check has a text or an HTML part.
fn either(text: Option<SinglePart>, html: Option<SinglePart>) -> SinglePart {
    text.or(html).unwrap_or_else(|| part(ContentType::TEXT_PLAIN, ""))
}

/// Quoted-printable, always: it keeps lines short and leaves no bare line end, and people can still read the source.
fn part(content_type: ContentType, text: &str) -> SinglePart {
    SinglePart::builder().header(content_type).header(ContentTransferEncoding::QuotedPrintable).body(text.to_owned())
}

fn attachment(attachment: &Attachment) -> Result<SinglePart, MailError> {
    let content_type = ContentType::parse(&attachment.content_type)
        .map_err(|error| MailError::Invalid(format!("attachment {}: {error}", attachment.file_name)))?;
    Ok(SinglePart::builder()
        .header(content_type)
        .header(Disposition(attachment.file_name.clone()))
        .header(ContentTransferEncoding::Base64)
        .body(attachment.content.clone()))
}

/// `Content-Disposition` of a file that goes along, by its name.
#[derive(Clone)]
struct Disposition(String);

impl Header for Disposition {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Content-Disposition")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        let parameter = header_text::parameter("filename", &self.0);
        pre_encoded("Content-Disposition", &self.0, format!("attachment;{parameter}"))
    }
}

/// What makes the boundaries of this mail its own. With `=_` before it a boundary can't occur in a part: in
/// quoted-printable a `=` is followed by a hex digit or a line end, and base64 has no `_`.
fn boundary_stem(message_id: &str) -> String {
    let local = message_id.split('@').next().unwrap_or_default();
    local.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(50).collect()
}

/// Whether a CR or LF stands alone: some mail servers take it for the end of a line, and what follows for a command.
fn has_bare_line_end(bytes: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in bytes {
        if (byte == b'\n') != (previous == b'\r') {
            return true;
        }
        previous = byte;
    }
    previous == b'\r'
}

#[cfg(test)]
pub(super) mod tests {
    use jobmill_core::{MailId, Timestamp};
    use mailparse::{MailAddr, MailHeaderMap as _, ParsedMail, parse_mail};
    use proptest::prelude::*;

    use super::*;

    fn mailbox(address: &str, name: Option<&str>) -> Mailbox {
        Mailbox { address: address.to_owned(), name: name.map(str::to_owned) }
    }

    pub(crate) fn mail() -> Mail {
        Mail {
            id: MailId::from_bytes([1; 16]),
            message_id: "run_1.abc@shop.example".to_owned(),
            from: mailbox("shop@shop.example", Some("The Shop")),
            created_at: Timestamp::from_millis(1_772_355_600_007),
            message: Message {
                kind: "welcome".to_owned(),
                to: mailbox("ada@example.com", Some("Ada Lovelace")),
                reply_to: None,
                subject: "Welcome".to_owned(),
                text: "Hello Ada,\nwelcome.\n".to_owned(),
                html: Some("<p>Hello Ada</p>".to_owned()),
                attachments: Vec::new(),
                headers: Vec::new(),
            },
        }
    }

    fn written(mail: &Mail) -> String {
        String::from_utf8(mime(mail).expect("can be written")).expect("ASCII")
    }

    fn read(text: &str) -> ParsedMail<'_> {
        parse_mail(text.as_bytes()).expect("a mail")
    }

    /// The body of the part of this media type, with `\n` as its line end and none at its end.
    pub(crate) fn body(text: &str, media_type: &str) -> String {
        let read = read(text);
        let part = read.parts().find(|part| part.ctype.mimetype == media_type).expect("the part");
        part.get_body().expect("decodes").replace("\r\n", "\n").trim_end().to_owned()
    }

    fn header_names(text: &str) -> Vec<&str> {
        let head = text.split("\r\n\r\n").next().expect("headers");
        let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        lines.map(|line| line.split(':').next().expect("a name")).collect()
    }

    #[test]
    fn the_headers_are_exactly_the_expected_ones() {
        let mut mail = mail();
        let expected = ["Date", "From", "To", "Message-ID", "Subject", "MIME-Version", "Content-Type"];
        assert_eq!(header_names(&written(&mail)), expected);
        mail.message.reply_to = Some(mailbox("help@shop.example", None));
        mail.message.headers = vec![
            ("List-Unsubscribe".to_owned(), "<https://shop.example/u/1>".to_owned()),
            ("X-Shop".to_owned(), "1".to_owned()),
        ];
        let text = written(&mail);
        let mut names = header_names(&text);
        names.retain(|name| !expected.contains(name));
        assert_eq!(names, ["Reply-To", "List-Unsubscribe", "X-Shop"]);
    }

    #[test]
    fn date_and_message_id_are_the_mails_own_and_the_bytes_always_the_same() {
        let text = written(&mail());
        assert!(text.contains("Date: Sun, 01 Mar 2026 09:00:00 +0000\r\n"), "{text}");
        assert!(text.contains("Message-ID: <run_1.abc@shop.example>\r\n"), "{text}");
        assert_eq!(text, written(&mail()));
    }

    #[test]
    fn text_and_html_are_alternatives_and_one_of_them_may_stand_alone() {
        let both = written(&mail());
        assert!(both.contains("Content-Type: multipart/alternative;"), "{both}");
        assert_eq!(body(&both, "text/plain"), "Hello Ada,\nwelcome.");
        assert_eq!(body(&both, "text/html"), "<p>Hello Ada</p>");
        let mut mail = mail();
        mail.message.text = String::new();
        assert!(written(&mail).contains("Content-Type: text/html; charset=utf-8\r\n"));
        mail.message.text = "Hello".to_owned();
        mail.message.html = None;
        assert!(written(&mail).contains("Content-Type: text/plain; charset=utf-8\r\n"));
    }

    #[test]
    fn subject_and_names_come_through_in_any_script() {
        for words in ["Grüße aus Köln", "注文の確認 #42", "\"quoted\", <angled> & (bracketed)", "🎉 & more", "a;b@c\\d"]
        {
            let mut mail = mail();
            mail.message.subject = words.to_owned();
            mail.message.to.name = Some(words.to_owned());
            let text = written(&mail);
            let read = read(&text);
            assert_eq!(read.headers.get_first_value("Subject").as_deref(), Some(words), "{text}");
            let to = read.headers.get_first_header("To").expect("a recipient");
            let to = mailparse::addrparse_header(to).expect("an address");
            let [MailAddr::Single(to)] = to.as_slice() else { panic!("one recipient in {text}") };
            assert_eq!((to.display_name.as_deref(), to.addr.as_str()), (Some(words), "ada@example.com"), "{text}");
        }
    }

    #[test]
    fn attachments_are_mixed_with_the_alternatives_and_come_through_byte_for_byte() {
        let mut mail = mail();
        let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        mail.message.attachments = vec![Attachment {
            file_name: "Rechnung \"März\".pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            content: content.clone(),
        }];
        let text = written(&mail);
        assert!(text.contains("Content-Type: multipart/mixed;"), "{text}");
        let read = read(&text);
        let attachment = read.parts().find(|part| part.ctype.mimetype == "application/pdf").expect("an attachment");
        let name = attachment.get_content_disposition().params.get("filename").cloned();
        assert_eq!(name.as_deref(), Some("Rechnung \"März\".pdf"), "{text}");
        assert!(attachment.get_body_raw().expect("decodes") == content, "{text}");
        assert_eq!(body(&text, "text/html"), "<p>Hello Ada</p>");
    }

    #[test]
    fn long_lines_are_broken_and_lone_dots_stay() {
        let mut mail = mail();
        mail.message.html = None;
        mail.message.text = format!("{}\n.\n{}\n", "x".repeat(10_000), "ä".repeat(10_000));
        let text = written(&mail);
        assert!(text.split("\r\n").all(|line| line.len() <= 78), "{text}");
        assert_eq!(body(&text, "text/plain"), mail.message.text.trim_end());
    }

    #[test]
    fn what_breaks_out_of_a_header_or_a_body_is_refused() {
        let refused = |change: fn(&mut Mail)| {
            let mut mail = mail();
            change(&mut mail);
            matches!(mime(&mail), Err(MailError::Invalid(_)))
        };
        assert!(refused(|mail| mail.message.subject = "a\r\nBcc: x@y.z".to_owned()));
        assert!(refused(|mail| mail.message.to.name = Some("a\nb".to_owned())));
        assert!(refused(|mail| mail.from.name = Some("a\nb".to_owned())));
        assert!(refused(|mail| mail.message.text = "a\r.\rb".to_owned()));
        assert!(refused(|mail| mail.message.to.address = "a@b.c,d@e.f".to_owned()));
        assert!(refused(|mail| mail.message.headers = vec![("Bcc".to_owned(), "x@y.z".to_owned())]));
    }

    #[test]
    fn a_line_end_that_stands_alone_is_seen() {
        for bytes in ["a\rb", "a\nb", "\r", "\n", "\r\n\n", "\n\r\n", "\r\r\n"] {
            assert!(has_bare_line_end(bytes.as_bytes()), "{bytes:?}");
        }
        for bytes in ["", "a", "\r\n", "a\r\n\r\nb\r\n"] {
            assert!(!has_bare_line_end(bytes.as_bytes()), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_the_check_can_be_written_and_read_back(
            subject in "\\PC{0,200}", name in "\\PC{0,60}", text in "(\\PC|\n|\t){1,400}", header in "[ -~]{0,300}",
        ) {
            let mut mail = mail();
            mail.message.subject = subject;
            mail.message.to.name = Some(name);
            mail.message.text = text;
            mail.message.headers = vec![("X-Shop".to_owned(), header)];
            prop_assume!(mail.message.check().is_ok());
            let written = written(&mail);
            prop_assert!(written.split("\r\n").all(|line| line.len() <= 998));
            let read = read(&written);
            let to = mailparse::addrparse_header(read.headers.get_first_header("To").expect("a recipient"));
            prop_assert_eq!(to.expect("an address").count_addrs(), 1);
            let subject = read.headers.get_first_value("Subject").unwrap_or_default();
            prop_assert_eq!(subject, mail.message.subject);
            let sent = mail.message.text.replace("\r\n", "\n");
            prop_assert_eq!(body(&written, "text/plain"), sent.trim_end());
            prop_assert!(header_names(&written).iter().all(|name| *name != "Bcc" && *name != "Cc"));
        }
    }
}
