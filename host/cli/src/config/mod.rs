//! The configuration: what it says, read in layers and checked.
//! It opens nothing that it names; `serve` does.

pub(crate) mod arguments;
mod events;
mod job_secrets;
pub(crate) mod keys;
pub(crate) mod layers;
mod limits;
mod mail;
mod notify;
pub(crate) mod orders;
mod retention;
pub(crate) mod secret;
mod sender;
mod tokens;
mod webhooks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use figment::value::{Dict, Value};
use jobmill_core::job::Overrides;
use jobmill_core::mail::{InDoubt, Mailbox};
use jobmill_core::token::Token;
use jobmill_core::{JobId, JobOverrides, Timestamp};
use jobmill_runtime::JobSecrets;
use jobmill_store::Retention;
use jobmill_webhooks::Endpoint;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use events::EventsSection;
use keys::Kind;
use layers::Sources;
use limits::LimitsSection;
pub(crate) use mail::{AllowedAddress, DkimSection, ReleaseSection, SmtpSection};
use notify::NotifySection;
use orders::OrdersSection;
use retention::RetentionSection;
use secret::SecretSource;
use tokens::TokenSection;
use webhooks::WebhookSection;

/// The commented file with every default.
pub(crate) const COMMENTED: &str = include_str!("jobmill.toml");

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The HTTP server.
    pub(crate) server: ServerSection,
    /// The directory of components.
    pub(crate) hopper: HopperSection,
    /// What keeps the runs.
    pub(crate) store: StoreSection,
    /// What runs them.
    pub(crate) engine: EngineSection,
    /// Mail.
    pub(crate) mail: MailSection,
    /// Orders.
    pub(crate) orders: OrdersSection,
    /// Who is told of dead runs.
    pub(crate) notify: NotifySection,
    /// Events.
    events: EventsSection,
    /// How long runs are kept.
    retention: RetentionSection,
    /// How much is taken on.
    limits: LimitsSection,
    /// Who may deliver events, by the end of the address.
    #[serde(default)]
    webhooks: BTreeMap<String, WebhookSection>,
    /// The lanes that runs wait in.
    #[serde(default)]
    queues: BTreeMap<JobId, QueueSection>,
    /// What the host puts into the requests of jobs.
    #[serde(default)]
    secrets: job_secrets::Sections,
    /// Tunables over what the components say.
    #[serde(default)]
    pub(crate) jobs: BTreeMap<JobId, JobOverrides>,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerSection {
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    #[serde(default)]
    tokens: Vec<TokenSection>,
}

/// `[hopper]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HopperSection {
    /// The directory.
    pub(crate) dir: PathBuf,
    /// Milliseconds without a change after which a file counts as whole.
    quiet_ms: u64,
    /// Whether a new version that breaks, where the one before did not, is rolled back by itself.
    pub(crate) auto_rollback: bool,
}

impl HopperSection {
    /// How long a file has to be left alone before it is read.
    pub(crate) fn quiet(&self) -> Duration {
        Duration::from_millis(self.quiet_ms)
    }
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreSection {
    #[serde(rename = "kind")]
    _kind: StoreKind,
    path: Option<PathBuf>,
    /// What the store promises to survive.
    pub(crate) durability: Durability,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoreKind {
    Sled,
}

/// What the store promises to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// A power cut.
    Full,
    /// The end of the process.
    Relaxed,
}

/// `[engine]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngineSection {
    /// Attempts that may be under way at once.
    pub(crate) concurrency: NonZeroUsize,
    /// How long attempts may go on after the engine was asked to stop.
    #[serde(with = "jobmill_core::time::as_text")]
    pub(crate) shutdown_grace: Duration,
}

/// `[mail]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailSection {
    /// What happens to mail.
    pub(crate) mode: Option<MailMode>,
    from: Option<String>,
    /// The mail server.
    pub(crate) smtp: Option<SmtpSection>,
    /// How mails are signed.
    pub(crate) dkim: Option<DkimSection>,
    /// Which captured mails may leave.
    pub(crate) release: Option<ReleaseSection>,
    /// What happens to a mail that may or may not have been sent.
    pub(crate) in_doubt: InDoubt,
}

/// What happens to mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MailMode {
    /// Kept here, sent to nobody.
    Capture,
    /// Handed to a mail server.
    Smtp,
}

/// `[queues.NAME]`. A queue is named as a job is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueSection {
    concurrency: Option<NonZeroU32>,
}

/// A configuration with where its values are from.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What holds.
    pub(crate) config: Config,
    layers: Figment,
}

/// A line of `config show`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    /// The key.
    pub(crate) key: String,
    /// The value as the file would say it; none when nothing is set.
    pub(crate) value: Option<String>,
    /// Where it is from.
    pub(crate) source: String,
}

impl Loaded {
    /// Reads the layers and checks what they say together.
    pub(crate) fn read(sources: &Sources) -> Result<Self, Failure> {
        let layers = sources.read()?;
        let config: Config = layers.extract().map_err(explain)?;
        config.check()?;
        Ok(Self { config, layers })
    }

    /// Every key with its value and its source.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let mut shown = Vec::new();
        for key in keys::KEYS.iter().filter(|key| !key.path.contains('*')) {
            shown.push(self.line(key.path, key.kind));
        }
        for section in ["orders.http.statuses", "orders.postgres.statuses", "queues", "jobs"] {
            if let Ok(Value::Dict(_, named)) = self.layers.find_value(section) {
                let mut paths = Vec::new();
                leaves(&named, section, &mut paths);
                shown.extend(paths.iter().map(|path| self.line(path, Kind::Text)));
            }
        }
        for name in self.config.webhooks.keys() {
            for (member, kind) in [("kind", Kind::Text), ("secrets", Kind::SecretList), ("map", Kind::Table)] {
                shown.push(self.line(&format!("webhooks.{name}.{member}"), kind));
            }
        }
        for (job, secrets) in &self.config.secrets {
            let lines = secrets.keys().map(|name| self.line(&format!("secrets.{job}.{name}"), Kind::Secret));
            shown.extend(lines);
        }
        shown
    }

    fn line(&self, path: &str, kind: Kind) -> Shown {
        let value = self.layers.find_value(path).ok();
        let source = match (&value, self.layers.find_metadata(path)) {
            (Some(_), Some(metadata)) => metadata.name.to_string(),
            _ if path == "store.path" => "default, in the data directory".to_owned(),
            _ => "not set".to_owned(),
        };
        let value = match value {
            Some(value) if kind == Kind::SecretList => Some(written(&secret::masked(&value))),
            Some(value) if kind == Kind::Secret => {
                value.deserialize::<SecretSource>().ok().map(|source| source.to_string())
            }
            Some(value) => Some(written(&value)),
            None if path == "store.path" => Some(format!("{:?}", self.config.store_path().display().to_string())),
            None => None,
        };
        Shown { key: path.to_owned(), value, source }
    }
}

fn leaves(values: &Dict, path: &str, found: &mut Vec<String>) {
    for (name, value) in values {
        let path = format!("{path}.{name}");
        match value {
            Value::Dict(_, inner) => leaves(inner, &path, found),
            _ => found.push(path),
        }
    }
}

/// A value as the file would say it.
fn written(value: &Value) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}

impl Config {
    /// Where the store lies.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.store.path.clone().unwrap_or_else(|| self.data.join("store"))
    }

    /// How long final runs are kept.
    pub(crate) fn retention(&self) -> Retention {
        self.retention.into()
    }

    /// Captured mails that the e-mail log shows.
    pub(crate) fn captured_mails(&self) -> usize {
        self.retention.captured()
    }

    /// Runs that may wait, over all jobs.
    pub(crate) fn waiting(&self) -> u32 {
        self.limits.waiting.get()
    }

    /// What is said of jobs: of each, and of all of them.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides { jobs: self.jobs.clone(), limits: self.limits.of_attempts.clone() }
    }

    /// How long a second event under the same id is the first one.
    pub(crate) fn event_id_window(&self) -> Duration {
        self.events.id_window
    }

    /// The API tokens that are declared, made at `now`; their secrets are read.
    pub(crate) fn tokens(&self, now: Timestamp) -> Result<Vec<Token>, Failure> {
        tokens::tokens(&self.server.tokens, now)
    }

    /// What the host puts into the requests of jobs, read.
    pub(crate) fn job_secrets(&self) -> Result<JobSecrets, Failure> {
        job_secrets::read(&self.secrets)
    }

    /// The webhooks; their secrets are read.
    pub(crate) fn webhooks(&self) -> Result<Vec<Endpoint>, Failure> {
        webhooks::endpoints(&self.webhooks)
    }

    /// Attempts of a queue that may be under way at once; queues that are not named here have no limit of their own.
    pub(crate) fn queue_limits(&self) -> BTreeMap<String, u32> {
        let limit = |(name, queue): (&JobId, &QueueSection)| Some((name.to_string(), queue.concurrency?.get()));
        self.queues.iter().filter_map(limit).collect()
    }

    /// The same, with everything that it writes in `directory`, mail that does not leave it, no orders of a shop, no hosts that jobs
    /// may ask, and nobody who is told of dead runs.
    pub(crate) fn confined_to(mut self, directory: PathBuf) -> Self {
        self.data = directory;
        self.store.path = None;
        self.mail.mode = Some(MailMode::Capture);
        self.mail.release = None;
        self.orders = self.orders.embedded();
        self.notify = self.notify.silent();
        self.secrets.clear();
        for allow in self.jobs.values_mut().filter_map(|of_job| of_job.allow.as_mut()) {
            allow.http.clear();
        }
        self
    }

    /// What happens to mail and who sends it; both have to be said.
    pub(crate) fn mail_said(&self) -> Result<(MailMode, Mailbox), Failure> {
        let (Some(mode), Some(from)) = (self.mail.mode, &self.mail.from) else {
            return Err(Failure::usage("mail-not-said", "mail.mode and mail.from have to be said: no mail is sent or swallowed by surprise")
                .advise("add to jobmill.toml:")
                .advise("  [mail]")
                .advise("  mode = \"smtp\"      # or \"capture\", which keeps mails here and sends none")
                .advise("  from = \"My Shop <shop@example.com>\"")
                .advise("  smtp = { url = \"smtps://mail.example.com\", username = \"shop\", password = { env = \"SMTP_PASSWORD\" } }"));
        };
        let from = sender::mailbox(from).map_err(|error| {
            Failure::usage("configuration", format!("mail.from: {error}"))
                .advise("write it like \"My Shop <shop@example.com>\"")
        })?;
        Ok((mode, from))
    }

    fn check(&self) -> Result<(), Failure> {
        tokens::check(&self.server.tokens)?;
        job_secrets::check(&self.secrets)?;
        limits::check("limits", &self.limits.of_attempts)?;
        for (id, of_job) in &self.jobs {
            limits::check(&format!("jobs.{id}.limits"), &of_job.limits)?;
        }
        self.events.check(&self.retention())?;
        if self.mail.mode == Some(MailMode::Smtp) && self.mail.smtp.is_none() {
            return Err(Failure::usage("configuration", "mail.mode is \"smtp\", and mail.smtp.url is not set")
                .advise("add: smtp = { url = \"smtps://mail.example.com\" }"));
        }
        if self.mail.release.is_some() && self.mail.smtp.is_none() {
            return Err(Failure::usage(
                "configuration",
                "mail.release lets captured mails leave, and mail.smtp.url is not set",
            )
            .advise("add: smtp = { url = \"smtps://mail.example.com\" }"));
        }
        self.mail.smtp.as_ref().map_or(Ok(()), SmtpSection::check)?;
        self.orders.check()
    }
}

/// What is wrong with a value, where it is said.
fn explain(error: figment::Error) -> Failure {
    use figment::error::Kind;
    let path = error.path.join(".");
    let secret = keys::is_secret(&error.path);
    let reason = match error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if secret => format!("expected {expected}"),
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("expected {expected}, found {actual}")
        }
        Kind::UnknownVariant(actual, known) => {
            let known: Vec<String> = known.iter().map(|word| format!("{word:?}")).collect();
            format!("{actual:?} is not available; it can be {}", known.join(" or "))
        }
        Kind::UnknownField(field, known) => format!("there is no {field:?} here, only {}", known.join(", ")),
        Kind::MissingField(field) => format!("{field:?} is missing"),
        other => other.to_string(),
    };
    let place = error.metadata.map(|metadata| format!(" ({})", metadata.name)).unwrap_or_default();
    Failure::usage("configuration", format!("{path}{place}: {reason}"))
}
