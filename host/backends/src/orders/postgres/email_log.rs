//! The e-mail log in a table of the shop's own, such as Prisma's `"EmailLog"`: one row a mail, by the mail's id.
//! It follows our own log, whoever writes it when; a row that the shop adds or changes is the shop's business.

use jobmill_core::MailId;
use jobmill_store::MailSummary;
use tokio_postgres::IsolationLevel;

use super::columns::{Named, quoted, quoted_table};
use super::database::{Database, PostgresSettings, Trouble, TroubleKind};
use super::parameter::Parameter;
use crate::orders::OrderSettingsError;

/// The columns of the shop's table; none for one that is not to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailLogColumns {
    /// The table; `schema.table` for one outside of the search path.
    pub table: String,
    /// A text with a unique index: the mail's id.
    pub id: String,
    /// A text: the run that sent it.
    pub run: Option<String>,
    /// A text: that run's job.
    pub job: Option<String>,
    /// A text: what the mail is.
    pub kind: Option<String>,
    /// A text: the recipient's address.
    pub to: Option<String>,
    /// A text.
    pub subject: Option<String>,
    /// A text or an enum: `sending`, `sent`, `captured`, `failed`, `suppressed` or `in-doubt`.
    pub status: Option<String>,
    /// A text: `Message-ID` without the angle brackets.
    pub message_id: Option<String>,
    /// A text: why it was not sent.
    pub error: Option<String>,
    /// A whole number: how often it was handed over.
    pub attempts: Option<String>,
    /// A timestamp: when it was first intended.
    pub created_at: Option<String>,
    /// A timestamp: when it was sent or captured.
    pub sent_at: Option<String>,
}

impl EmailLogColumns {
    /// The columns of a row, the id first.
    fn written(&self) -> [Option<&String>; 12] {
        [
            Some(&self.id),
            self.run.as_ref(),
            self.job.as_ref(),
            self.kind.as_ref(),
            self.to.as_ref(),
            self.subject.as_ref(),
            self.status.as_ref(),
            self.message_id.as_ref(),
            self.error.as_ref(),
            self.attempts.as_ref(),
            self.created_at.as_ref(),
            self.sent_at.as_ref(),
        ]
    }

    fn names(&self) -> Vec<Named> {
        let keys = [
            "id",
            "run",
            "job",
            "kind",
            "to",
            "subject",
            "status",
            "message_id",
            "error",
            "attempts",
            "created_at",
            "sent_at",
        ];
        let table = [("table", Some(&self.table))];
        Named::list("orders.postgres.email_log", table.into_iter().chain(keys.into_iter().zip(self.written())))
    }
}

/// The shop's table of mails.
pub struct EmailLog {
    database: Database,
    upsert: String,
    columns: EmailLogColumns,
}

/// The table can't be written just now, or not at all as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EmailLogError(String);

/// A mail that the table does not take, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedMail {
    /// The mail.
    pub mail: MailId,
    /// What the database says.
    pub reason: String,
}

impl EmailLog {
    /// Checks the settings; connects to nothing.
    pub fn new(settings: &PostgresSettings, columns: EmailLogColumns) -> Result<Self, OrderSettingsError> {
        // One writer writes, one mail after the other.
        let settings = PostgresSettings { connections: 1, ..settings.clone() };
        let database = Database::new(&settings, columns.names())?;
        let upsert = upsert(&columns, database.schema.as_deref());
        Ok(Self { database, upsert, columns })
    }

    /// Writes these mails as they stand now, in one transaction. A mail that the table does not take keeps none of the
    /// others back: it is left out and named.
    pub async fn write(&self, mails: &[MailSummary]) -> Result<Vec<RefusedMail>, EmailLogError> {
        match self.together(mails).await {
            Ok(()) => Ok(Vec::new()),
            Err(Trouble { kind: TroubleKind::Refused | TroubleKind::Mistyped, .. }) => self.one_by_one(mails).await,
            Err(trouble) => Err(EmailLogError(trouble.text)),
        }
    }

    async fn one_by_one(&self, mails: &[MailSummary]) -> Result<Vec<RefusedMail>, EmailLogError> {
        let mut refused = Vec::new();
        for mail in mails {
            match self.together(std::slice::from_ref(mail)).await {
                Ok(()) => {}
                Err(Trouble { kind: TroubleKind::Refused | TroubleKind::Mistyped, text }) => {
                    refused.push(RefusedMail { mail: mail.id, reason: text });
                }
                Err(trouble) => return Err(EmailLogError(trouble.text)),
            }
        }
        Ok(refused)
    }

    async fn together(&self, mails: &[MailSummary]) -> Result<(), Trouble> {
        self.database
            .within(async {
                let mut connection = self.database.connection().await?;
                let statements = self.database.begin(&mut connection, IsolationLevel::ReadCommitted).await?;
                let mut written = Ok(());
                for mail in mails {
                    let row = self.row(mail);
                    written = statements.rows(&self.upsert, &row).await.map(drop);
                    if written.is_err() {
                        break;
                    }
                }
                let written = statements.end(written).await;
                connection.give_back();
                written
            })
            .await
    }

    /// The mail's values, in the order of `EmailLogColumns::written`.
    fn row(&self, mail: &MailSummary) -> Vec<Parameter> {
        let values = [
            Some(mail.id.to_string()),
            Some(mail.run.to_string()),
            Some(mail.job.to_string()),
            Some(mail.kind.clone()),
            Some(mail.to.clone()),
            Some(mail.subject.clone()),
            Some(mail.status.as_str().to_owned()),
            Some(mail.message_id.clone()),
            mail.error.clone(),
            Some(mail.attempts.to_string()),
            Some(mail.created_at.to_string()),
            mail.sent_at.map(|at| at.to_string()),
        ];
        let columns = self.columns.written();
        values
            .into_iter()
            .zip(columns)
            .filter(|(_, column)| column.is_some())
            .map(|(value, _)| Parameter(value))
            .collect()
    }
}

/// Inserts a mail, or brings its row up to date if anything differs.
fn upsert(columns: &EmailLogColumns, schema: Option<&str>) -> String {
    let written: Vec<String> = columns.written().into_iter().flatten().map(|name| quoted(name)).collect();
    let places: Vec<String> = (1..=written.len()).map(|place| format!("${place}")).collect();
    let (id, rest) = (&written[0], &written[1..]);
    let of = |row: &str| rest.iter().map(|column| format!("{row}.{column}")).collect::<Vec<_>>().join(", ");
    let set: Vec<String> = rest.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let update = match rest {
        [] => "NOTHING".to_owned(),
        _ => format!("UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})", set.join(", "), of("kept"), of("excluded")),
    };
    let (table, columns, places) = (quoted_table(&columns.table, schema), written.join(", "), places.join(", "));
    format!("INSERT INTO {table} AS kept ({columns}) VALUES ({places}) ON CONFLICT ({id}) DO {update}")
}
