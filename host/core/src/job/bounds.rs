//! Checks what is in force for a job against the bounds of the engine; every refusal names the member and who said it.
//! It changes nothing, and the bounds themselves are in `limits`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::descriptor::check_event_name;
use super::settings::{Setting, Source};
use super::{Job, JobError, refuse};
use crate::cron::CronExpression;
use crate::flow::{BreakerSettings, CancelOn, Concurrency, Debounce, RateLimit};
use crate::id::JobId;
use crate::limits;
use crate::time::format_duration;

/// Checks every setting that somebody could have got wrong.
pub(super) fn check(job: &Job) -> Result<(), JobError> {
    basics(job)?;
    concurrency(&Said::new("concurrency", &job.concurrency), &job.concurrency.value)?;
    if let Some(rate_limit) = &job.rate_limit.value {
        check_rate_limit(&Said::new("rate_limit", &job.rate_limit), rate_limit)?;
    }
    if let Some(debounce) = &job.debounce.value {
        check_debounce(&Said::new("debounce", &job.debounce), debounce)?;
    }
    let said = Said::new("unique_for", &job.unique_for);
    said.span("", job.unique_for.value, limits::SPAN_MIN..=limits::UNIQUE_FOR_MAX)?;
    if let Some(expires) = job.expires.value {
        let said = Said::new("expires", &job.expires);
        said.span("", expires, limits::SPAN_MIN..=limits::EXPIRES_MAX)?;
    }
    cancel_on(&Said::new("cancel_on", &job.cancel_on), &job.cancel_on.value)?;
    if job.max_waiting.value == Some(0) {
        return Said::new("max_waiting", &job.max_waiting).refuse("0 must be at least 1");
    }
    if let Some(breaker) = &job.breaker.value {
        check_breaker(&Said::new("breaker", &job.breaker), breaker)?;
    }
    Said::new("mails_per_run", &job.mails_per_run).number("", job.mails_per_run.value, 1..=limits::MAILS_MAX)?;
    if let Some(mail_limit) = &job.mail_limit.value {
        let said = Said::new("mail_limit", &job.mail_limit);
        check_rate_limit(&said, mail_limit)?;
        if mail_limit.key.is_some() {
            return said.refuse("it takes no key: it counts the mails of the whole job");
        }
    }
    limits_of_sandbox(job)?;
    config(&Said::new("config", &job.config), &job.config.value)?;
    let said = Said::new("allow", &job.allow);
    said.count(job.allow.value.http.len(), limits::ALLOWED_HOSTS)?;
    crons(&Said::new("cron", &job.cron), &job.cron.value)
}

/// A member and who said what is in force for it. Shown as that one spells it.
struct Said {
    member: &'static str,
    source: Source,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who(), self.spell(self.member))
    }
}

impl Said {
    fn new<T>(member: &'static str, setting: &Setting<T>) -> Self {
        Self { member, source: setting.source }
    }

    fn who(&self) -> &'static str {
        match self.source {
            Source::Configuration => "configuration",
            Source::Component | Source::Default => "describe",
        }
    }

    /// The word as it is written where the setting was said: in WIT with hyphens.
    fn spell(&self, word: &str) -> String {
        match self.source {
            Source::Configuration => word.to_owned(),
            Source::Component | Source::Default => word.replace('_', "-"),
        }
    }

    fn refuse<T>(&self, reason: impl fmt::Display) -> Result<T, JobError> {
        refuse(format!("{self} {reason}"))
    }

    /// `part` is a word with a space after it, or nothing.
    fn number(&self, part: &str, value: u32, range: RangeInclusive<u32>) -> Result<(), JobError> {
        if range.contains(&value) {
            return Ok(());
        }
        self.refuse(format_args!("{}{value} must be {} to {}", self.spell(part), range.start(), range.end()))
    }

    /// `part` is a word with a space after it, or nothing.
    fn span(&self, part: &str, value: Duration, range: RangeInclusive<Duration>) -> Result<(), JobError> {
        if range.contains(&value) {
            return Ok(());
        }
        // The API writes whole milliseconds, and rounds up: here that could show a value that is within the range.
        let whole = value.subsec_nanos().is_multiple_of(1_000_000);
        let value = if whole { format_duration(value) } else { format!("{value:?}") };
        let [from, to] = [*range.start(), *range.end()].map(format_duration);
        self.refuse(format_args!("{}{value} must be {from} to {to}", self.spell(part)))
    }

    fn count(&self, count: usize, most: usize) -> Result<(), JobError> {
        if count <= most {
            return Ok(());
        }
        self.refuse(format_args!("has {count} entries and may have {most}"))
    }
}

fn basics(job: &Job) -> Result<(), JobError> {
    if let Err(error) = job.queue.value.parse::<JobId>() {
        return Said::new("queue", &job.queue).refuse(error);
    }
    Said::new("priority", &job.priority).number("", u32::from(job.priority.value), 0..=9)?;
    Said::new("retries", &job.retries).number("", job.retries.value, 0..=limits::RETRIES)?;
    if let Err(error) = job.backoff.value.check() {
        return refuse(format!("{}: {error}", Said::new("backoff", &job.backoff).who()));
    }
    Said::new("timeout", &job.timeout).span("", job.timeout.value, limits::SPAN_MIN..=limits::TIMEOUT_MAX)
}

fn concurrency(said: &Said, all: &[Concurrency]) -> Result<(), JobError> {
    said.count(all.len(), limits::CONCURRENCY_LIMITS)?;
    for (at, one) in all.iter().enumerate() {
        said.number("limit ", one.limit, 1..=limits::CONCURRENCY)?;
        if all[..at].iter().any(|other| other.key == one.key) {
            return match &one.key {
                Some(key) => said.refuse(format_args!("limits {key} twice; keep the smaller limit")),
                None => said.refuse("limits the whole job twice; keep the smaller limit"),
            };
        }
    }
    Ok(())
}

fn check_rate_limit(said: &Said, rate_limit: &RateLimit) -> Result<(), JobError> {
    said.number("limit ", rate_limit.limit, 1..=limits::RATE)?;
    said.span("period ", rate_limit.period, limits::SPAN_MIN..=limits::RATE_PERIOD_MAX)
}

fn check_debounce(said: &Said, debounce: &Debounce) -> Result<(), JobError> {
    said.span("period ", debounce.period, limits::SPAN_MIN..=limits::DEBOUNCE_MAX)?;
    match debounce.max_wait {
        // A run could never become quiet before it has waited for too long.
        Some(max_wait) => said.span("max_wait ", max_wait, debounce.period..=limits::DEBOUNCE_WAIT_MAX),
        None => Ok(()),
    }
}

fn cancel_on(said: &Said, events: &[CancelOn]) -> Result<(), JobError> {
    said.count(events.len(), limits::CANCEL_ON)?;
    for cancel_on in events {
        if let Err(reason) = check_event_name(&cancel_on.event) {
            return refuse(format!("{said}: {reason}"));
        }
    }
    Ok(())
}

fn check_breaker(said: &Said, breaker: &BreakerSettings) -> Result<(), JobError> {
    if !(f64::MIN_POSITIVE..=1.0).contains(&breaker.failures) {
        return said.refuse(format_args!("failures {} must be above 0 and at most 1", breaker.failures));
    }
    said.span("window ", breaker.window, limits::BREAKER_SPAN_MIN..=limits::BREAKER_SPAN_MAX)?;
    said.number("min_attempts ", breaker.min_attempts, 1..=limits::BREAKER_ATTEMPTS)?;
    said.span("pause ", breaker.pause, limits::BREAKER_SPAN_MIN..=limits::BREAKER_SPAN_MAX)
}

fn limits_of_sandbox(job: &Job) -> Result<(), JobError> {
    let Some((limit, setting)) = job.limits.wrong() else { return Ok(()) };
    let [value, least, most] = [setting.value, limit.least(), limit.most()].map(|value| limit.shown(value));
    Said::new("limits", &setting).refuse(format_args!("{limit} {value} must be {least} to {most}"))
}

fn config(said: &Said, config: &BTreeMap<String, String>) -> Result<(), JobError> {
    said.count(config.len(), limits::JOB_SETTINGS)?;
    match config.iter().find(|(name, value)| name.len() + value.len() > limits::JOB_SETTING_BYTES) {
        Some((name, _)) => {
            let name = limits::truncate(name, limits::KEY_BYTES);
            said.refuse(format_args!("{name} has more than {} bytes", limits::JOB_SETTING_BYTES))
        }
        None => Ok(()),
    }
}

fn crons(said: &Said, expressions: &[String]) -> Result<(), JobError> {
    said.count(expressions.len(), limits::CRONS)?;
    for expression in expressions {
        if let Err(reason) = check_cron(expression) {
            return refuse(format!("{said}: {reason}"));
        }
    }
    Ok(())
}

/// Cron expressions are kept as text: here it is decided which texts may be.
fn check_cron(expression: &str) -> Result<(), String> {
    expression.parse::<CronExpression>().map(drop).map_err(|error| error.to_string())
}
