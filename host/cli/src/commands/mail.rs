//! `jobmill mail`: the e-mail log, the development mailbox, and addresses that get no mail.
//! It is a view of what runs recorded; clearing it leaves their journals.

mod suppressions;

use clap::{Subcommand, ValueEnum};
use comfy_table::{Cell, Color};
use jobmill_client::{Mail as MailDocument, MailFilter};
use jobmill_core::{MailId, RunId, Timestamp};

use super::runs::parse_since;
use super::{Context, faults};
use crate::failure::{Exit, Failure};
use crate::output::Column::{Extra, Text, Whole};
use crate::watch::Watch;
use crate::{machine, output};

/// The e-mail log
#[derive(Debug, Subcommand)]
pub(crate) enum Mail {
    /// Mails, newest first
    #[command(after_help = LIST_EXAMPLE)]
    List {
        /// To this address
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
        /// Of this kind, such as purchase-confirmation
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// With this status
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Of this run
        #[arg(long, value_name = "RUN")]
        run: Option<RunId>,
        /// First intended since this time (RFC 3339), or within this span, such as 1h
        #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since)]
        since: Option<Timestamp>,
        /// First intended before this time (RFC 3339), or longer ago than this span
        #[arg(long, value_name = "TIME|SPAN", value_parser = parse_since)]
        until: Option<Timestamp>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[command(flatten)]
        watch: Watch,
    },
    /// One mail with its content
    Show {
        /// The mail's id
        #[arg(value_name = "MAIL")]
        mail: MailId,
        /// The part to show
        #[arg(long, value_enum, default_value_t = Part::Text)]
        part: Part,
    },
    /// Hand a captured mail to the real mail server, as mail.release allows
    Release {
        /// The mail's id
        #[arg(value_name = "MAIL")]
        mail: MailId,
    },
    /// Addresses that get no mail, newest first
    Suppressions {
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Make the next mails fail, over all jobs; in development only
    #[command(after_help = FAIL_EXAMPLE)]
    Fail(faults::Faults),
    /// Send no more mail to an address
    #[command(after_help = SUPPRESS_EXAMPLE)]
    Suppress {
        /// The address, in any case
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// Why; kept with it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let an address get mail again
    Lift {
        /// The address, in any case
        #[arg(value_name = "ADDRESS")]
        address: String,
    },
    /// Empty the e-mail log
    Clear,
}

const LIST_EXAMPLE: &str = "\
Example:
  jobmill mail list --to ada@example.com --since 24h
  jobmill mail list --status failed --watch";

const SUPPRESS_EXAMPLE: &str = "\
Example:
  jobmill mail suppress ada@example.com --reason 'asked for it by phone'";

const FAIL_EXAMPLE: &str = "\
Example:
  jobmill mail fail 2
  jobmill mail fail 1 --kind permanent";

/// A part of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Its headers and its text
    Text,
    /// Its HTML alone
    Html,
    /// The whole message as it goes out
    Raw,
}

impl Mail {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List { to, kind, status, run, since, until, limit, watch } => {
                let (to, kind, status) = (to.as_deref(), kind.as_deref(), status.as_deref());
                list(&MailFilter { to, kind, status, run, since, until }, limit, watch, context)?;
            }
            Self::Show { mail, part } => show(mail, part, context)?,
            Self::Release { mail } => release(mail, context)?,
            Self::Suppressions { limit } => suppressions::list(limit, context)?,
            Self::Suppress { address, reason } => suppressions::suppress(&address, reason.as_deref(), context)?,
            Self::Lift { address } => suppressions::lift(&address, context)?,
            Self::Fail(faults) => {
                let set = context.client()?.fail_mail(faults.fail_next, faults.kind())?;
                faults.tell(&set, "mail", context)?;
            }
            Self::Clear => {
                context.output.confirm("empty the e-mail log?")?;
                let cleared = context.client()?.clear_mail()?;
                if context.output.format == crate::args::Format::Table {
                    context.output.note("the e-mail log is empty");
                } else {
                    context.output.document(cleared.text(), String::new)?;
                }
            }
        }
        Ok(Exit::Done)
    }
}

fn list(filter: &MailFilter<'_>, limit: u32, watch: Watch, context: &Context) -> Result<(), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    watch.show(context, "no such mail", |client| Ok(client.mails(filter, limit)?.into()), table)
}

fn table(mails: &[MailDocument]) -> String {
    let now = machine::now();
    let rows = mails.iter().map(|mail| {
        vec![
            Cell::new(mail.id),
            status_cell(&mail.status),
            output::text_cell(&mail.to),
            output::text_cell(&mail.subject),
            Cell::new(&mail.kind),
            output::number_cell(mail.attempts),
            output::number_cell(output::relative(mail.created_at, now)),
            Cell::new(mail.run),
            Cell::new(mail.reply.as_deref().map(output::first_line).unwrap_or_default()),
        ]
    });
    let columns = [
        Whole("MAIL"),
        Whole("STATUS"),
        Text("TO"),
        Text("SUBJECT"),
        Extra("KIND"),
        Extra("ATTEMPTS"),
        Extra("CREATED"),
        Extra("RUN"),
        Extra("REPLY"),
    ];
    output::table(&columns, rows.collect())
}

fn status_cell(status: &str) -> Cell {
    let (icon, color) = match status {
        "sent" | "captured" => ("✓", Color::Green),
        "sending" => ("●", Color::Blue),
        "failed" => ("✗", Color::Red),
        "in-doubt" => ("?", Color::Yellow),
        _ => ("⊘", Color::DarkGrey),
    };
    Cell::new(format!("{icon} {status}")).fg(color)
}

/// `Name <address>`, or the address alone.
fn mailbox(address: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => output::visible(&format!("{name} <{address}>")),
        None => output::visible(address),
    }
}

fn show(mail: MailId, part: Part, context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    if part == Part::Raw {
        return output::data(client.raw_mail(mail)?.trim_end());
    }
    let shown = client.mail(mail)?;
    if part == Part::Html {
        let html = shown.html.as_deref();
        return output::data(html.ok_or_else(|| Failure::not_found("no-html", format!("{mail} has no HTML part")))?);
    }
    context.output.document(shown.text(), || described(&shown))
}

fn release(mail: MailId, context: &Context) -> Result<(), Failure> {
    let released = context.client()?.release_mail(mail)?;
    context.output.document(released.text(), || described(&released))
}

fn described(mail: &MailDocument) -> String {
    let now = machine::now();
    let attachments = mail.attachments.iter().map(|attached| {
        let (name, media_type) = (output::visible(&attached.name), output::visible(&attached.media_type));
        format!("{name} ({media_type}, {})", output::size(attached.size))
    });
    let attachments: Vec<String> = attachments.collect();
    let head = output::pairs(&[
        ("mail", Some(mail.id.to_string())),
        ("run", Some(format!("{} of {}", mail.run, mail.job))),
        ("kind", Some(output::visible(&mail.kind))),
        ("status", Some(mail.status.clone())),
        ("error", mail.error.as_deref().map(output::visible)),
        ("reply", mail.reply.as_deref().map(output::visible)),
        ("handed over", Some(output::count(mail.attempts as usize, "time"))),
        ("created", Some(output::exact(mail.created_at, now))),
        ("sent", mail.sent_at.map(|at| output::exact(at, now))),
        ("message id", Some(format!("<{}>", output::visible(&mail.message_id)))),
        ("from", mail.from.as_ref().map(|from| mailbox(&from.address, from.name.as_deref()))),
        ("to", Some(mailbox(&mail.to, mail.to_name.as_deref()))),
        ("subject", Some(output::visible(&mail.subject))),
        ("attached", (!attachments.is_empty()).then(|| attachments.join(", "))),
    ]);
    match &mail.text {
        Some(text) => format!("{head}\n\n{}", output::visible(text.trim_end())),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_with_its_name() {
        assert_eq!(mailbox("ada@example.com", None), "ada@example.com");
        assert_eq!(mailbox("shop@example.com", Some("Demo\u{1b} Shop")), "Demo\\u{1b} Shop <shop@example.com>");
    }
}
