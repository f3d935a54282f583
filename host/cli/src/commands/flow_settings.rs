//! Flow-control settings of a job in words, for people.
//! It shows only what somebody said; what the values mean to a run is the engine's.

use std::collections::BTreeMap;

use jobmill_client::Setting;
use jobmill_core::flow::{BreakerSettings, CancelOn, Concurrency, Debounce, Pointer, RateLimit};
use jobmill_core::time::format_duration;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::output;

/// The name of a setting, its label, and its words.
type Line = (&'static str, &'static str, fn(&Value) -> Option<String>);

const LINES: [Line; 14] = [
    ("concurrency", "concurrency", |value| listed(value, concurrency)),
    ("rate_limit", "rate limit", |value| read(value).as_ref().map(rate_limit)),
    ("debounce", "debounce", |value| read(value).as_ref().map(debounce)),
    ("unique_key", "unique key", read),
    ("unique_for", "unique for", read),
    ("unique_states", "unique states", read),
    ("cron", "cron", |value| listed(value, String::clone)),
    ("cron_catch_up", "cron catch-up", read),
    ("expires", "expires after", read),
    ("cancel_on", "cancel on", |value| listed(value, cancel_on)),
    ("max_waiting", "max waiting", |value| read::<u32>(value).map(|runs| runs.to_string())),
    ("breaker", "breaker", |value| read(value).as_ref().map(breaker)),
    ("mails_per_run", "mails of a run", |value| read::<u32>(value).map(|mails| mails.to_string())),
    ("mail_limit", "mail limit", |value| read(value).as_ref().map(rate_limit)),
];

/// The settings that are not the default, each with its label, its words and who said it.
pub(super) fn lines(settings: &BTreeMap<String, Setting>) -> Vec<(&'static str, Option<String>)> {
    let said = LINES.iter().filter_map(|(name, label, words)| {
        let setting = settings.get(*name).filter(|setting| setting.source != "default")?;
        let off = setting.value.is_null() || setting.value.as_array().is_some_and(Vec::is_empty);
        let text = match words(&setting.value) {
            _ if off => "off".to_owned(),
            Some(text) => output::visible(&text),
            // A server of another version may say what is not known here.
            None => output::visible(&setting.value.to_string()),
        };
        Some((*label, Some(format!("{text}  ({})", setting.source))))
    });
    said.collect()
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn listed<T: DeserializeOwned>(value: &Value, words: fn(&T) -> String) -> Option<String> {
    let items: Vec<T> = read(value)?;
    Some(items.iter().map(words).collect::<Vec<_>>().join(", "))
}

fn for_each(key: Option<&Pointer>) -> String {
    key.map(|key| format!(" for each {key}")).unwrap_or_default()
}

fn concurrency(limit: &Concurrency) -> String {
    format!("{} at once{}", limit.limit, for_each(limit.key.as_ref()))
}

fn rate_limit(rate: &RateLimit) -> String {
    format!("{} in {}{}", rate.limit, format_duration(rate.period), for_each(rate.key.as_ref()))
}

fn debounce(debounce: &Debounce) -> String {
    let latest = debounce.max_wait.map(|wait| format!(", at the latest after {}", format_duration(wait)));
    let quiet = format_duration(debounce.period);
    format!("once quiet for {quiet}{}{}", for_each(debounce.key.as_ref()), latest.unwrap_or_default())
}

fn cancel_on(event: &CancelOn) -> String {
    format!("{} with the same {}", event.event, event.pointer)
}

fn breaker(breaker: &BreakerSettings) -> String {
    let (share, attempts) = (breaker.failures * 100.0, breaker.min_attempts);
    let (window, pause) = (format_duration(breaker.window), format_duration(breaker.pause));
    format!("{share:.0}% of at least {attempts} attempts in {window} fail: pauses for {pause}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(name: &str, value: Value, source: &str) -> Option<String> {
        let setting = Setting { value, source: source.to_owned() };
        lines(&BTreeMap::from([(name.to_owned(), setting)])).pop()?.1
    }

    #[test]
    fn settings_are_shown_in_words_with_who_said_them() {
        let cases = [
            (
                "concurrency",
                json!([{ "limit": 1, "key": "/customer/id" }, { "limit": 10 }]),
                "1 at once for each /customer/id, 10 at once",
            ),
            ("rate_limit", json!({ "limit": 100, "period": "1m", "key": "/id" }), "100 in 1m for each /id"),
            (
                "debounce",
                json!({ "period": "10s", "max_wait": "1m", "key": "/id" }),
                "once quiet for 10s for each /id, at the latest after 1m",
            ),
            ("unique_key", json!("/id"), "/id"),
            ("cron", json!(["0 9 * * 1", "0 9 * * 5"]), "0 9 * * 1, 0 9 * * 5"),
            ("cancel_on", json!([{ "event": "order/gone", "match": "/id" }]), "order/gone with the same /id"),
            ("max_waiting", json!(500), "500"),
            (
                "breaker",
                json!({ "failures": 0.5, "window": "1m", "min_attempts": 20, "pause": "30s" }),
                "50% of at least 20 attempts in 1m fail: pauses for 30s",
            ),
            ("expires", json!({ "new": 1 }), "{\"new\":1}"),
        ];
        for (name, value, words) in cases {
            assert_eq!(shown(name, value, "component"), Some(format!("{words}  (component)")));
        }
    }

    #[test]
    fn what_was_switched_off_is_shown_and_defaults_are_not() {
        for (name, value) in [("concurrency", json!([])), ("rate_limit", Value::Null), ("cron", json!([]))] {
            assert_eq!(shown(name, value, "configuration").as_deref(), Some("off  (configuration)"));
        }
        assert_eq!(shown("unique_for", json!("24h"), "default"), None);
        assert_eq!(shown("concurrency", json!([]), "default"), None);
    }
}
