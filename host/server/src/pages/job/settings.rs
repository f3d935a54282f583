//! The settings of a job in words, each with who said so, and its backoff as the times that a failed run waits.
//! It decides nothing; the job did when it was loaded.

use std::time::Duration;

use jobmill_core::flow::{BreakerSettings, CancelOn, CatchUp, Concurrency, Debounce, Pointer, RateLimit, UniqueStates};
use jobmill_core::job::{Limit, Setting};
use jobmill_core::{Backoff, Job, Source};

/// Waits that are told one by one; of the others only their sum.
const WAITS: u32 = 8;

/// A setting in words.
pub(super) struct SettingRow {
    /// Named as in the configuration.
    pub(super) name: &'static str,
    pub(super) words: String,
    /// Who said so.
    pub(super) source: &'static str,
}

/// A limit of an attempt in words.
pub(super) struct LimitRow {
    /// What it bounds.
    pub(super) what: &'static str,
    pub(super) setting: SettingRow,
}

/// Every setting of a job, in the order in which people ask for them.
pub(super) fn rows(job: &Job) -> Vec<SettingRow> {
    let retries = |retries: &u32| match retries {
        0 => "none".to_owned(),
        retries => retries.to_string(),
    };
    let catch_up = |catch_up: &CatchUp| match catch_up {
        CatchUp::Once => "one run for all times that were missed",
        CatchUp::Skip => "none",
    };
    let states = |states: &UniqueStates| match states {
        UniqueStates::All => "runs of every state hold a key",
        UniqueStates::Unfinished => "only unfinished runs hold a key",
    };
    vec![
        row("queue", &job.queue, ToString::to_string),
        row("priority", &job.priority, |priority| format!("{priority}, from 0 (first) to 9 (last)")),
        row("retries", &job.retries, retries),
        row("backoff", &job.backoff, growth),
        row("timeout", &job.timeout, |span| format!("{} an attempt", span_words(*span))),
        row("concurrency", &job.concurrency, |all| listed(all, concurrency)),
        row("rate_limit", &job.rate_limit, |rate| or_none(rate.as_ref(), rate_limit)),
        row("debounce", &job.debounce, |quiet| or_none(quiet.as_ref(), debounce)),
        row("unique_key", &job.unique_key, |key| or_none(key.as_ref(), ToString::to_string)),
        row("unique_for", &job.unique_for, |span| span_words(*span)),
        row("unique_states", &job.unique_states, |it| states(it).to_owned()),
        row("cron", &job.cron, |all| listed(all, String::clone)),
        row("cron_catch_up", &job.cron_catch_up, |it| catch_up(it).to_owned()),
        row("expires", &job.expires, |span| {
            or_none(span.as_ref(), |span| format!("{} after it was due", span_words(*span)))
        }),
        row("cancel_on", &job.cancel_on, |all| listed(all, cancel_on)),
        row("max_waiting", &job.max_waiting, |most| or_none(most.as_ref(), |most| format!("{most} runs"))),
        row("breaker", &job.breaker, |it| or_none(it.as_ref(), breaker)),
        row("mails_per_run", &job.mails_per_run, ToString::to_string),
        row("mail_limit", &job.mail_limit, |rate| or_none(rate.as_ref(), rate_limit)),
        row("allow", &job.allow, |allow| match allow.lines() {
            lines if lines.is_empty() => "orders and mails, and no host".to_owned(),
            lines => lines.join(", "),
        }),
        row("config", &job.config, |config| {
            let settings: Vec<String> = config.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
            listed(&settings, String::clone)
        }),
    ]
}

/// How much an attempt of the job may take.
pub(super) fn limits(job: &Job) -> Vec<LimitRow> {
    let told = |limit: Limit| LimitRow {
        what: limit.what(),
        setting: row(limit.name(), &job.limits.get(limit), |value| limit.shown(*value)),
    };
    Limit::ALL.into_iter().map(told).collect()
}

fn row<T>(name: &'static str, setting: &Setting<T>, words: impl Fn(&T) -> String) -> SettingRow {
    let source = match setting.source {
        Source::Component => "component",
        Source::Configuration => "configuration",
        Source::Default => "default",
    };
    SettingRow { name, words: words(&setting.value), source }
}

fn or_none<T>(value: Option<&T>, words: impl Fn(&T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), words)
}

fn listed<T>(items: &[T], words: impl Fn(&T) -> String) -> String {
    if items.is_empty() { "none".to_owned() } else { items.iter().map(words).collect::<Vec<_>>().join(", ") }
}

fn for_each(key: Option<&Pointer>) -> String {
    key.map(|key| format!(" for each {key}")).unwrap_or_default()
}

fn concurrency(limit: &Concurrency) -> String {
    format!("{} at once{}", limit.limit, for_each(limit.key.as_ref()))
}

fn rate_limit(rate: &RateLimit) -> String {
    format!("{} in {}{}", rate.limit, span_words(rate.period), for_each(rate.key.as_ref()))
}

fn debounce(debounce: &Debounce) -> String {
    let latest = debounce.max_wait.map(|wait| format!(", at the latest after {}", span_words(wait)));
    let quiet = span_words(debounce.period);
    format!("once quiet for {quiet}{}{}", for_each(debounce.key.as_ref()), latest.unwrap_or_default())
}

fn cancel_on(event: &CancelOn) -> String {
    format!("{} with the same {}", event.event, event.pointer)
}

fn breaker(breaker: &BreakerSettings) -> String {
    let (share, attempts) = (breaker.failures * 100.0, breaker.min_attempts);
    let (window, pause) = (span_words(breaker.window), span_words(breaker.pause));
    format!("pauses for {pause} when {share:.0}% of at least {attempts} attempts in {window} fail")
}

fn growth(backoff: &Backoff) -> String {
    match *backoff {
        Backoff::Fixed { delay } => format!("always {}", span_words(delay)),
        Backoff::Exponential { base, factor, max, jitter } => {
            let jitter = if jitter > 0.0 {
                format!(", up to {:.0}% of it taken off by chance", jitter * 100.0)
            } else {
                String::new()
            };
            format!("{}, each time {factor} times as long, at most {}{jitter}", span_words(base), span_words(max))
        }
    }
}

/// What a failed run waits for before each retry, and when it gives up: "1 s, 2 s, 4 s; gives up after 7 s". With jitter
/// these are the longest waits.
pub(super) fn schedule(retries: u32, backoff: &Backoff) -> String {
    if retries == 0 {
        return "no retries; gives up after the first failure".to_owned();
    }
    // The longest that chance can draw.
    let wait = |retry| backoff.delay(retry, 1.0);
    let total = (0..retries).map(wait).fold(Duration::ZERO, Duration::saturating_add);
    let told: Vec<String> = (0..retries.min(WAITS)).map(|retry| span_words(wait(retry))).collect();
    let rest = match retries.saturating_sub(WAITS) {
        0 => String::new(),
        1 => format!(", then {}", span_words(wait(retries - 1))),
        more => format!(", and {more} more up to {}", span_words(wait(retries - 1))),
    };
    let chance = match backoff {
        Backoff::Exponential { jitter, .. } if *jitter > 0.0 => " at most",
        _ => "",
    };
    format!("{}{rest}; gives up after {}{chance}", told.join(", "), span_words(total))
}

/// A span in its two largest units: "1 min 30 s".
pub(super) fn span_words(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
        (millis, "ms"),
    ];
    let from = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let told = parts[from..].iter().take(2).enumerate().filter(|(place, (count, _))| *place == 0 || *count > 0);
    told.map(|(_, (count, unit))| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_is_told_as_the_waits_that_it_comes_to() {
        assert_eq!(schedule(3, &Backoff::default()), "1 s, 2 s, 4 s; gives up after 7 s");
        assert_eq!(schedule(0, &Backoff::default()), "no retries; gives up after the first failure");
        let fixed = Backoff::Fixed { delay: Duration::from_millis(1_500) };
        assert_eq!(schedule(2, &fixed), "1 s 500 ms, 1 s 500 ms; gives up after 3 s");
        assert_eq!(schedule(9, &fixed).split("ms, ").count(), 9);
        assert_eq!(
            schedule(100, &Backoff::default()),
            "1 s, 2 s, 4 s, 8 s, 16 s, 32 s, 1 min 4 s, 2 min 8 s, and 92 more up to 1 h; gives up after 3 d 17 h"
        );
    }

    #[test]
    fn a_backoff_with_jitter_is_told_at_its_longest() {
        let backoff = Backoff::Exponential {
            base: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_mins(1),
            jitter: 0.25,
        };
        assert_eq!(schedule(2, &backoff), "1 s, 2 s; gives up after 3 s at most");
        assert_eq!(
            growth(&backoff),
            "1 s, each time 2 times as long, at most 1 min, up to 25% of it taken off by chance"
        );
    }

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        for (millis, words) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (90_000, "1 min 30 s"),
            (3_600_000, "1 h"),
            (3_601_000, "1 h"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(span_words(Duration::from_millis(millis)), words);
        }
    }
}
