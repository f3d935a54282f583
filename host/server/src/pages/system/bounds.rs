//! The engine's bounds and how long things are kept, in words.
//! The bounds themselves, with their reasons, are in `jobmill_core::limits`.

use std::time::Duration;

use jobmill_core::job::{Limit, LimitSettings, Source};
use jobmill_core::limits;
use jobmill_core::time::format_duration;
use jobmill_store::Retention;

/// A bound as it is told.
pub(super) struct Bound {
    /// Of what.
    pub(super) what: &'static str,
    /// How much, with its unit.
    pub(super) value: String,
}

fn bound(what: &'static str, value: String) -> Bound {
    Bound { what, value }
}

/// A number of bytes in its largest whole unit.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) if count.is_multiple_of(unit) => format!("{} {name}", count / unit),
        Some((unit, name)) => format!("{}.{} {name}", count / unit, count % unit * 10 / unit),
        None => format!("{count} B"),
    }
}

fn size(count: usize) -> String {
    bytes(u64::try_from(count).unwrap_or(u64::MAX))
}

/// A span, in days where it has whole ones.
fn span(span: Duration) -> String {
    const DAY: u64 = 86_400;
    match span.as_secs() {
        seconds if seconds >= DAY && seconds.is_multiple_of(DAY) && span.subsec_nanos() == 0 => {
            format!("{} d", seconds / DAY)
        }
        _ => format_duration(span),
    }
}

/// The bounds that whoever writes a job or calls the API meets first.
pub(super) fn limits_told() -> Vec<Bound> {
    vec![
        bound("payload of a run", size(limits::PAYLOAD_BYTES)),
        bound("name of a step", size(limits::STEP_NAME_BYTES)),
        bound("text of an error", size(limits::ERROR_TEXT_BYTES)),
        bound("retries", limits::RETRIES.to_string()),
        bound("timeout of an attempt", format!("{}, if the job names none", span(limits::TIMEOUT_DEFAULT))),
        bound("longest timeout", span(limits::TIMEOUT_MAX)),
        bound("mails of a run", format!("{}, if the configuration names no number", limits::MAILS)),
        bound("a mail with its attachments", size(limits::MAIL_BYTES)),
        bound("component file", bytes(limits::COMPONENT_BYTES)),
        bound(
            "compiling a component",
            format!("{} of processor time, {}", span(limits::COMPILE_CPU), bytes(limits::COMPILE_BYTES)),
        ),
        bound("describing a component", span(limits::DESCRIBE_TIMEOUT)),
        bound("body of a request", size(limits::REQUEST_BYTES)),
        bound("events of a request", limits::EVENTS_PER_REQUEST.to_string()),
        bound("items of a page", limits::PAGE_ITEMS.to_string()),
        bound("entries of the audit list", limits::AUDIT_ENTRIES.to_string()),
        bound("runs of a bulk action", limits::BULK_RUNS.to_string()),
        bound("id of a webhook delivery is remembered", span(limits::DELIVERY_WINDOW)),
        bound("left free on the disk", bytes(limits::DISK_RESERVE_BYTES)),
    ]
}

/// How much an attempt may take of each, where its job's own entry in the configuration says nothing.
pub(super) fn sandbox_told(limits: &LimitSettings) -> Vec<Bound> {
    let told = |limit: Limit| {
        let setting = limits.get(limit);
        let value = limit.shown(setting.value);
        let configured = setting.source == Source::Configuration;
        bound(limit.what(), if configured { format!("{value}, by the configuration") } else { value })
    };
    Limit::ALL.into_iter().map(told).collect()
}

/// How long what has ended is kept.
pub(super) fn retention_told(retention: Retention) -> Vec<Bound> {
    let kept = |what, age: Option<Duration>| bound(what, age.map_or_else(|| "for ever".to_owned(), span));
    let Retention { completed, cancelled, dead, mail, deliveries, audit } = retention;
    vec![
        kept("completed runs, and events that started none", completed),
        kept("cancelled runs", cancelled),
        kept("dead runs", dead),
        kept("the e-mail log", mail),
        kept("webhook deliveries", deliveries),
        kept("the audit list", audit),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_their_largest_unit() {
        for (count, told) in
            [(0, "0 B"), (1_023, "1023 B"), (262_144, "256 KiB"), (1_572_864, "1.5 MiB"), (3 << 30, "3 GiB")]
        {
            assert_eq!(bytes(count), told);
        }
    }

    #[test]
    fn whole_days_are_told_as_days() {
        assert_eq!(span(Duration::from_hours(48)), "2 d");
        assert_eq!(span(Duration::from_hours(36)), "36h");
        assert_eq!(span(Duration::from_millis(86_400_001)), "24h1ms");
    }
}
