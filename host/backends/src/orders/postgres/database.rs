//! The shop's PostgreSQL: its connections, and what it answers when it does not do what it was asked.
//! It knows no table; whoever asks brings the statements and the names in them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Transaction};
use jobmill_core::time::format_duration;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::error::SqlState;
use tokio_postgres::{IsolationLevel, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::columns::Named;
use super::parameter::Parameter;
use super::url::{Address, address};
use crate::orders::{OrderSettingsError, with_causes};
use crate::secret::Secret;

/// How the shop's database is reached.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgresql://user:password@host:5432/shop`, as libpq and Prisma write it. Another machine is reached by TLS
    /// only, unless it says `sslmode=disable`.
    pub url: Secret,
    /// How long one reading or one change may take, with connecting and waiting for locks.
    pub timeout: Duration,
    /// Connections at most.
    pub connections: usize,
}

/// See the module.
pub(super) struct Database {
    pool: Pool,
    timeout: Duration,
    /// Where tables are that name no schema.
    pub(super) schema: Option<String>,
    /// Every name that the statements hold, with its key.
    names: Vec<Named>,
}

/// Why the database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: TroubleKind,
    /// A sentence without its full stop.
    pub(super) text: String,
}

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// It does not answer, or not just now.
    Away,
    /// Its tables are not what the configuration says.
    Unlike,
    /// The user may not do this.
    Forbidden,
    /// A value is none of its column's type: no uuid, no word of the enum.
    Mistyped,
    /// It does not take this value: by its size, a constraint, or a trigger.
    Refused,
}

impl Database {
    /// Checks the settings; connects to nothing.
    pub(super) fn new(settings: &PostgresSettings, names: Vec<Named>) -> Result<Self, OrderSettingsError> {
        let refuse = |key: &str, reason: String| OrderSettingsError::new(format!("orders.postgres.{key}"), reason);
        names.iter().try_for_each(Named::check)?;
        let address = address(&settings.url).map_err(|reason| refuse("url", reason))?;
        if settings.timeout.is_zero() {
            return Err(refuse("timeout", "is no time at all; write it like \"5s\"".to_owned()));
        }
        let Address { mut config, schema, root_certificate } = address;
        config.application_name("jobmill").connect_timeout(settings.timeout);
        let tls = tls(root_certificate.as_deref()).map_err(|reason| refuse("url", reason))?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, MakeRustlsConnect::new(tls), recycling))
            .max_size(settings.connections)
            .build()
            .map_err(|error| refuse("connections", error.to_string()))?;
        Ok(Self { pool, timeout: settings.timeout, schema, names })
    }

    /// A connection, for one reading or one change.
    pub(super) async fn connection(&self) -> Result<Connection, Trouble> {
        let object = self.pool.get().await.map_err(|error| self.unreached(&error))?;
        Ok(Connection { object: Some(object) })
    }

    /// Begins a transaction. The server gives up a little before we do, so that it does not go on for nobody; that is
    /// said in the transaction, since a pooler between us and the server does not know settings of a session.
    pub(super) async fn begin<'connection>(
        &'connection self,
        connection: &'connection mut Connection,
        isolation: IsolationLevel,
    ) -> Result<Statements<'connection>, Trouble> {
        let lost = || Trouble { kind: TroubleKind::Away, text: "the connection was given back".to_owned() };
        let client = connection.object.as_mut().ok_or_else(lost)?;
        let begun = client.build_transaction().isolation_level(isolation).start().await;
        let statements = Statements { database: self, transaction: begun.map_err(|error| self.trouble(&error))? };
        let millis = (self.timeout.as_millis().saturating_mul(9) / 10).max(1);
        let limits = format!("SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {millis}");
        statements.transaction.batch_execute(&limits).await.map_err(|error| self.trouble(&error))?;
        Ok(statements)
    }

    /// What `work` comes to, if it does within the timeout.
    pub(super) async fn within<T, E: From<Trouble>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| {
            let text = format!("the shop's database did not answer within {}", format_duration(self.timeout));
            Err(Trouble { kind: TroubleKind::Away, text }.into())
        })
    }

    fn unreached(&self, error: &PoolError) -> Trouble {
        match error {
            PoolError::Backend(error) => self.trouble(error),
            _ => Trouble { kind: TroubleKind::Away, text: with_causes("the shop's database can't be reached", error) },
        }
    }

    fn trouble(&self, error: &tokio_postgres::Error) -> Trouble {
        let Some(said) = error.as_db_error() else {
            return Trouble {
                kind: TroubleKind::Away,
                text: with_causes("the shop's database can't be reached", error),
            };
        };
        let (code, message) = (said.code(), said.message());
        let text = format!("the shop's database says: {message} ({})", code.code());
        let unlike = |text| Trouble { kind: TroubleKind::Unlike, text };
        match code.code() {
            "42P01" | "42703" | "3F000" => {
                let key = self.named_in(message, *code == SqlState::UNDEFINED_TABLE);
                unlike(format!("{text}: check {key}"))
            }
            "42P10" => unlike(format!("{text}: the column of orders.postgres.email_log.id needs a unique index")),
            "42501" => Trouble {
                kind: TroubleKind::Forbidden,
                text: format!("{text}: grant it to the user in orders.postgres.url"),
            },
            "22P02" => Trouble { kind: TroubleKind::Mistyped, text },
            "P0001" => Trouble { kind: TroubleKind::Refused, text },
            code if code.starts_with("42") => unlike(format!("{text}: check the names in orders.postgres")),
            code if code.starts_with("28") || code.starts_with("3D") => {
                Trouble { kind: TroubleKind::Away, text: format!("{text}: check orders.postgres.url") }
            }
            code if code.starts_with("22") || code.starts_with("23") => Trouble { kind: TroubleKind::Refused, text },
            _ => Trouble { kind: TroubleKind::Away, text },
        }
    }

    /// The keys whose names a message of the database repeats.
    fn named_in(&self, message: &str, table: bool) -> String {
        let of_kind = self.names.iter().filter(|named| (named.key.rsplit('.').next() == Some("table")) == table);
        let keys: Vec<&str> = of_kind
            .filter(|named| {
                let name = &named.name;
                ["\"", "."].iter().any(|before| message.contains(&format!("{before}{name}\"")))
            })
            .map(|named| named.key.as_str())
            .collect();
        if keys.is_empty() { "the names in orders.postgres".to_owned() } else { keys.join(", ") }
    }
}

/// A connection that is given back when its work has ended, and closed when it was cut off: nobody knows then in which
/// state it is.
pub(super) struct Connection {
    object: Option<Object>,
}

impl Connection {
    /// Gives it back.
    pub(super) fn give_back(mut self) {
        self.object = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// A transaction under way.
pub(super) struct Statements<'client> {
    database: &'client Database,
    transaction: Transaction<'client>,
}

impl Statements<'_> {
    /// Commits when the work was done, else takes back what there was of it.
    pub(super) async fn end<T, E: From<Trouble>>(self, work: Result<T, E>) -> Result<T, E> {
        let ended = if work.is_ok() { self.transaction.commit().await } else { self.transaction.rollback().await };
        match (work, ended) {
            (Ok(_), Err(error)) => Err(self.database.trouble(&error).into()),
            (work, _) => work,
        }
    }

    /// The rows that a statement answers with. It is parsed anew each time, which poolers ask for.
    pub(super) async fn rows(&self, statement: &str, parameters: &[Parameter]) -> Result<Vec<Row>, Trouble> {
        let rows = self.transaction.query_typed(statement, &Parameter::typed(parameters)).await;
        rows.map_err(|error| self.database.trouble(&error))
    }
}

/// The text of a column that was selected as one.
pub(super) fn text(row: &Row, at: usize) -> Result<Option<String>, Trouble> {
    row.try_get(at)
        .map_err(|error| Trouble { kind: TroubleKind::Unlike, text: with_causes("a column can't be read", &error) })
}

/// Trust in the certificates of this file, or in the usual authorities. The error is the end of a sentence.
fn tls(root_certificate: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match root_certificate {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let name = path.display();
            let pem = fs::read(path)
                .map_err(|error| format!("names the sslrootcert {name}, which can't be read: {error}"))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate =
                    certificate.map_err(|error| format!("names the sslrootcert {name}, which is no PEM: {error}"))?;
                roots
                    .add(certificate)
                    .map_err(|error| format!("names the sslrootcert {name}, which can't be trusted: {error}"))?;
            }
            if roots.is_empty() {
                return Err(format!("names the sslrootcert {name}, which holds no certificate"));
            }
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let versions = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| format!("can't be reached by TLS: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
