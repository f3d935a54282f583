//! What the operator says of a job, over the component's own words.
//! It is not checked here: a job checks what is in force, whoever said it.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::allow::Allow;
use super::sandbox::{LimitOverrides, SandboxLimits, settings_of_job};
use crate::backoff::Backoff;
use crate::flow::{BreakerSettings, CancelOn, CatchUp, Concurrency, Debounce, Pointer, RateLimit, UniqueStates};
use crate::id::JobId;

/// What the operator sets over a component's own words. An empty list, or [`Switch::Off`], takes away what it asks for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobOverrides {
    /// The lane its runs wait in.
    pub queue: Option<String>,
    /// 0 (first) to 9 (last).
    pub priority: Option<u8>,
    /// Retries after the first attempt.
    pub retries: Option<u32>,
    /// How the delay grows.
    pub backoff: Option<Backoff>,
    /// Wall-clock budget of one attempt.
    #[serde(default, deserialize_with = "optional_duration")]
    pub timeout: Option<Duration>,
    /// How many runs may go on at once.
    pub concurrency: Option<Vec<Concurrency>>,
    /// How many attempts may begin in a period.
    pub rate_limit: Option<Switch<RateLimit>>,
    /// Start once enqueues have been quiet.
    pub debounce: Option<Switch<Debounce>>,
    /// Where the value stands that makes two runs the same.
    pub unique_key: Option<Switch<Pointer>>,
    /// How long a unique key is remembered.
    #[serde(default, deserialize_with = "optional_duration")]
    pub unique_for: Option<Duration>,
    /// Which runs hold a unique key.
    pub unique_states: Option<UniqueStates>,
    /// Cron expressions, instead of the component's.
    pub cron: Option<Vec<String>>,
    /// What happens to the minutes that were missed.
    pub cron_catch_up: Option<CatchUp>,
    /// How long after it was due a run may still start.
    #[serde(default, deserialize_with = "optional_duration")]
    pub expires: Option<Duration>,
    /// Events that take waiting runs back.
    pub cancel_on: Option<Vec<CancelOn>>,
    /// Runs that may wait.
    pub max_waiting: Option<u32>,
    /// When the job is paused by itself.
    pub breaker: Option<BreakerSettings>,
    /// Mails that one run may send.
    pub mails_per_run: Option<u32>,
    /// Mails that all its runs may send in a period; without a key.
    pub mail_limit: Option<RateLimit>,
    /// How much an attempt may take.
    #[serde(default)]
    pub limits: LimitOverrides,
    /// What its code may reach.
    pub allow: Option<Allow>,
    /// Its settings.
    #[serde(default, deserialize_with = "settings_of_job")]
    pub config: Option<BTreeMap<String, String>>,
}

/// What the operator says of jobs: of each, and of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Of each.
    pub jobs: BTreeMap<JobId, JobOverrides>,
    /// How much an attempt may take where its job's own entry says nothing.
    pub limits: LimitOverrides,
}

impl Overrides {
    /// What is said of the job of this id, with what is said of all.
    pub fn of(&self, id: &str) -> JobOverrides {
        let of_job: Option<&JobOverrides> = id.parse().ok().and_then(|id: JobId| self.jobs.get(&id));
        let of_job = of_job.cloned().unwrap_or_default();
        JobOverrides { limits: of_job.limits.or(&self.limits), ..of_job }
    }

    /// The most that any job may have.
    pub fn largest_limits(&self) -> SandboxLimits {
        SandboxLimits::largest(self.jobs.values().map(|of_job| &of_job.limits).chain([&self.limits]))
    }
}

fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    crate::time::as_text::deserialize(deserializer).map(Some)
}

/// A value, or `"off"`: none, whatever the component says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch<T> {
    /// This value.
    On(T),
    /// None.
    Off,
}

impl<T> Switch<T> {
    /// The value, if it is on.
    pub fn value(self) -> Option<T> {
        match self {
            Self::On(value) => Some(value),
            Self::Off => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or \"off\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Switch<T>, E> {
        if text == "off" {
            return Ok(Switch::Off);
        }
        let value: Result<T, E> = T::deserialize(StrDeserializer::new(text));
        value.map(Switch::On).map_err(|error| E::custom(format!("{error}, or \"off\"")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn overrides(value: Value) -> Result<JobOverrides, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn every_member_is_read() {
        let read = overrides(json!({
            "concurrency": [{ "limit": 1, "key": "/customer/id" }, { "limit": 8 }],
            "rate_limit": { "limit": 100, "period": "1m" },
            "debounce": { "period": "10s", "max_wait": "1m", "key": "/id" },
            "unique_key": "/id", "unique_for": "1h", "unique_states": "unfinished",
            "cron": ["0 9 * * *"], "cron_catch_up": "skip",
            "expires": "2h", "cancel_on": [{ "event": "order/refunded", "match": "/id" }], "max_waiting": 9,
            "breaker": { "failures": 0.5, "window": "1m", "min_attempts": 20, "pause": "30s" },
            "mails_per_run": 3, "mail_limit": { "limit": 1000, "period": "1h" },
        }));
        let id = Pointer::try_from("/id".to_owned()).expect("a pointer");
        let customer = Pointer::try_from("/customer/id".to_owned()).expect("a pointer");
        let seconds = Duration::from_secs;
        let expected = JobOverrides {
            concurrency: Some(vec![Concurrency { limit: 1, key: Some(customer) }, Concurrency { limit: 8, key: None }]),
            rate_limit: Some(Switch::On(RateLimit { limit: 100, period: seconds(60), key: None })),
            debounce: Some(Switch::On(Debounce {
                period: seconds(10),
                max_wait: Some(seconds(60)),
                key: Some(id.clone()),
            })),
            unique_key: Some(Switch::On(id.clone())),
            unique_for: Some(seconds(3_600)),
            unique_states: Some(UniqueStates::Unfinished),
            cron: Some(vec!["0 9 * * *".to_owned()]),
            cron_catch_up: Some(CatchUp::Skip),
            expires: Some(seconds(7_200)),
            cancel_on: Some(vec![CancelOn { event: "order/refunded".to_owned(), pointer: id }]),
            max_waiting: Some(9),
            breaker: Some(BreakerSettings { failures: 0.5, window: seconds(60), min_attempts: 20, pause: seconds(30) }),
            mails_per_run: Some(3),
            mail_limit: Some(RateLimit { limit: 1000, period: seconds(3_600), key: None }),
            ..JobOverrides::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn off_is_said_in_one_word() {
        let read = overrides(json!({ "rate_limit": "off", "debounce": "off", "unique_key": "off" })).expect("valid");
        assert_eq!((read.rate_limit, read.debounce), (Some(Switch::Off), Some(Switch::Off)));
        assert_eq!(read.unique_key, Some(Switch::Off));
    }

    #[test]
    fn another_word_is_told_what_there_is() {
        for (value, named) in [
            (json!({ "rate_limit": "none" }), "a table such as { limit = 100, period = \"1m\" }, or \"off\""),
            (json!({ "debounce": "none" }), "a table such as { period = \"10s\" }, or \"off\""),
            (json!({ "unique_key": "id" }), "\"/customer/id\", or \"off\""),
            (json!({ "rate_limit": 3 }), "a value, or \"off\""),
            (json!({ "rate_limit": { "limit": 1, "per": "1m" } }), "unknown field `per`"),
            (json!({ "unique_states": "some" }), "`unfinished`"),
        ] {
            let error = overrides(value).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
    }
}
