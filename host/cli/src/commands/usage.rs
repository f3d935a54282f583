//! What attempts used, in the words of the dashboard.
//! It measures nothing and adds nothing up; the server did.

use std::time::Duration;

use jobmill_client::{AttemptUsage, HostCall, Spread, VersionUsage};
use jobmill_core::bill::{Bill, size_text, time_text};
use owo_colors::OwoColorize as _;

use crate::output;

/// What one attempt used, and a line for each kind of host call that reached beyond the sandbox.
pub(super) fn lines(usage: &AttemptUsage) -> Vec<String> {
    let bill = Bill {
        wall_micros: micros(usage.wall_ms),
        cpu_micros: micros(usage.cpu_ms),
        memory: usage.memory_bytes,
        host_calls: usage.host_calls,
        calls: Vec::new(),
    };
    let mut lines = vec![bill.to_string().dimmed().to_string()];
    let mut kinds: Vec<(&str, Vec<&HostCall>)> = Vec::new();
    for call in &usage.calls {
        match kinds.iter_mut().find(|(name, _)| *name == call.name) {
            Some((_, calls)) => calls.push(call),
            None => kinds.push((&call.name, vec![call])),
        }
    }
    lines.extend(
        kinds
            .iter()
            .map(|(name, calls)| format!("→ {}  {}", output::first_line(name), told(calls)).dimmed().to_string()),
    );
    lines
}

fn told(calls: &[&HostCall]) -> String {
    let time = time_text(calls.iter().map(|call| micros(call.took_ms)).fold(0, u64::saturating_add));
    let failed = calls.iter().filter(|call| call.failed).count();
    match (calls.len(), failed) {
        (1, 0) => time,
        (1, _) => format!("failed after {time}"),
        (all, 0) => format!("{all} calls in {time}"),
        (all, failed) => format!("{all} calls in {time}, {failed} of them failed"),
    }
}

/// What the newest attempts of a version used, and what of it is clearly more than before.
pub(super) fn of_version(usage: &VersionUsage) -> Vec<String> {
    let others = usage.failed.saturating_sub(usage.trapped + usage.timeouts);
    let ends = [(others, "failed"), (usage.trapped, "trapped"), (usage.timeouts, "took too long")];
    let ends = ends.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    let attempts = output::count(usize::try_from(usage.attempts).unwrap_or(usize::MAX), "attempt");
    let time = |spread: &Spread<f64>| [spread.p50, spread.p95].map(|millis| time_text(micros(millis)));
    let ([wall, most_wall], [cpu, most_cpu]) = (time(&usage.wall_ms), time(&usage.cpu_ms));
    let [memory, most_memory] = [usage.memory_bytes.p50, usage.memory_bytes.p95].map(size_text);
    let mut lines = vec![
        format!("{attempts}{}", ends.collect::<String>()),
        format!("half of them within {wall} · {cpu} processor · {memory}"),
        format!("95 % of them within {most_wall} · {most_cpu} processor · {most_memory}"),
    ];
    lines.extend(usage.worse.iter().map(|worse| format!("▲ {}", output::visible(&worse.text)).yellow().to_string()));
    lines
}

fn micros(millis: f64) -> u64 {
    let span = Duration::try_from_secs_f64(millis / 1_000.0).unwrap_or_default();
    // Half a microsecond more, since milliseconds with a fraction may stand for a little less than what they were made of.
    u64::try_from((span + Duration::from_nanos(500)).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn an_attempt_is_told_as_the_dashboard_tells_it() {
        let usage: AttemptUsage = serde_json::from_value(serde_json::json!({
            "wall_ms": 12.4, "cpu_ms": 3.1, "memory_bytes": 2_228_224, "host_calls": 9,
            "calls": [
                { "name": "fetch-order", "at_ms": 0.5, "took_ms": 4.2, "failed": false },
                { "name": "send-email", "at_ms": 5.0, "took_ms": 2.0, "failed": true },
                { "name": "fetch-order", "at_ms": 8.0, "took_ms": 1.0, "failed": false },
            ],
        }))
        .expect("a usage");
        let expected = [
            "12.4 ms · 3.1 ms processor · 2.1 MiB · 9 host calls",
            "→ fetch-order  2 calls in 5.2 ms",
            "→ send-email  failed after 2.0 ms",
        ];
        assert_eq!(plain(&lines(&usage)), expected);
    }

    #[test]
    fn a_version_is_told_with_its_percentiles_and_what_is_worse() {
        let usage: VersionUsage = serde_json::from_value(serde_json::json!({
            "attempts": 40, "failed": 6, "trapped": 2, "timeouts": 1,
            "wall_ms": { "p50": 12.0, "p95": 24.0, "max": 80.0 }, "cpu_ms": { "p50": 0.9, "p95": 1.8, "max": 2.0 },
            "memory_bytes": { "p50": 1_048_576, "p95": 2_097_152, "max": 2_097_152 },
            "host_calls": { "p50": 2, "p95": 4, "max": 4 },
            "worse": [{ "what": "wall", "times": 2.3, "than": "3fa9c1d07b21", "text": "2.3× slower than 3fa9c1d07b21" }],
        }))
        .expect("a usage");
        let expected = [
            "40 attempts, 3 failed, 2 trapped, 1 took too long",
            "half of them within 12.0 ms · 900 µs processor · 1 MiB",
            "95 % of them within 24.0 ms · 1.8 ms processor · 2 MiB",
            "▲ 2.3× slower than 3fa9c1d07b21",
        ];
        assert_eq!(plain(&of_version(&usage)), expected);
    }
}
