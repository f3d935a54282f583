//! What was measured, as a person and as a program reads it.
//! It judges nothing; the disk's own rate stands beside every figure.

use std::time::Duration;

use comfy_table::Cell;
use serde::Serialize;

use super::contrast::Contrast;
use super::disk::DiskRate;
use super::drive::{Enqueued, Sustained};
use super::latency::{self, Latency};
use super::limited;
use super::process;
use crate::output::{self, number_cell};

/// Everything that was measured. The first members, up to `bytes_written_per_run`, are an interface that others read.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) disk: DiskFigures,
    pub(super) enqueue: EnqueueFigures,
    pub(super) drain: DrainFigures,
    pub(super) sustained: DrainFigures,
    pub(super) latency: LatencyFigures,
    /// Seconds of the processors for 1000 runs from enqueue to end.
    pub(super) cpu_s_per_1000: f64,
    pub(super) rss_peak_mib: Option<f64>,
    pub(super) bytes_written_per_run: Option<f64>,
    /// One client, a run a request.
    pub(super) single: EnqueueFigures,
    /// One client, many runs a request; none where a request can't have many.
    pub(super) batches: Option<EnqueueFigures>,
    pub(super) job: String,
    /// `engine` or `http`.
    pub(super) through: &'static str,
    /// Whether the processors were kept awake while one client enqueued and while the latency was measured.
    pub(super) awake: bool,
    /// What limits cost; none when the job was not put under any.
    pub(super) limits: Option<LimitFigures>,
    /// Runs that were looked at in the end: each had completed, by its only attempt.
    pub(super) completed_once: usize,
    /// Of the whole machine when the measurement began: what others left of it.
    pub(super) machine_load: Option<f64>,
}

/// The disk. What it was seen to do best is its limit, and what the other figures are held against.
#[derive(Debug, Serialize)]
pub(super) struct DiskFigures {
    #[serde(flatten)]
    best: SyncFigures,
    /// Before everything else, with the processors kept awake.
    before: SyncFigures,
    /// The same when everything was over.
    after: SyncFigures,
    /// With processors that may fall asleep while the disk works.
    idle: SyncFigures,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct SyncFigures {
    fdatasync_per_s: f64,
    fdatasync_p50_ms: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct EnqueueFigures {
    runs: u32,
    clients: u32,
    batch: u32,
    per_s: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct DrainFigures {
    runs: u32,
    per_s: f64,
}

/// Drains under limits and without them, by turns.
#[derive(Debug, Serialize)]
pub(super) struct LimitFigures {
    drain_per_s: f64,
    drain_per_s_without: f64,
    /// Of the rate under limits to the one without them.
    ratio: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct LatencyFigures {
    rate_per_s: u32,
    start_p50_ms: f64,
    start_p99_ms: f64,
    done_p50_ms: f64,
    done_p99_ms: f64,
    runs: usize,
}

impl DiskFigures {
    pub(super) fn of(before: DiskRate, after: DiskRate, idle: DiskRate) -> Self {
        let figures =
            |rate: DiskRate| SyncFigures { fdatasync_per_s: tenths(rate.per_s), fdatasync_p50_ms: millis(rate.p50) };
        let best = [after, idle].into_iter().fold(before, |best, it| if it.per_s > best.per_s { it } else { best });
        Self { best: figures(best), before: figures(before), after: figures(after), idle: figures(idle) }
    }
}

impl EnqueueFigures {
    pub(super) fn of(mut enqueued: Enqueued) -> Self {
        Self {
            runs: enqueued.runs,
            clients: enqueued.load.clients,
            batch: enqueued.load.batch,
            per_s: tenths(rate(enqueued.runs as usize, enqueued.took)),
            ack_p50_ms: millis(enqueued.answers.percentile(50)),
            ack_p99_ms: millis(enqueued.answers.percentile(99)),
        }
    }
}

impl DrainFigures {
    pub(super) fn of(runs: u32, took: Duration) -> Self {
        Self { runs, per_s: tenths(rate(runs as usize, took)) }
    }
}

impl LimitFigures {
    pub(super) fn of(contrast: &Contrast) -> Self {
        Self {
            drain_per_s: tenths(contrast.under),
            drain_per_s_without: tenths(contrast.without),
            ratio: thousandths(contrast.under / contrast.without),
        }
    }

    /// For people.
    fn described(&self) -> String {
        let [without, under] = [self.drain_per_s_without, self.drain_per_s].map(grouped);
        format!("drain {without}/s without, {under}/s under them: {:.2}", self.ratio)
    }
}

impl LatencyFigures {
    pub(super) fn of(mut latency: Latency) -> Self {
        Self {
            rate_per_s: latency::RATE,
            start_p50_ms: millis(latency.start.percentile(50)),
            start_p99_ms: millis(latency.start.percentile(99)),
            done_p50_ms: millis(latency.done.percentile(50)),
            done_p99_ms: millis(latency.done.percentile(99)),
            runs: latency.done.len(),
        }
    }
}

/// What a run cost while enqueueing and working off went on together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) cpu_s_per_1000: f64,
    pub(super) bytes_written_per_run: Option<f64>,
}

impl Cost {
    pub(super) fn of(sustained: &Sustained) -> Self {
        let runs = f64::from(sustained.runs);
        Self {
            cpu_s_per_1000: thousandths(sustained.used.processors.as_secs_f64() * 1_000.0 / runs),
            bytes_written_per_run: sustained.used.written.map(|bytes| tenths(float(bytes) / runs)),
        }
    }
}

/// The most memory that this process has had, in MiB.
pub(super) fn rss_peak_mib() -> Option<f64> {
    process::peak_memory().map(|bytes| tenths(float(bytes) / 1_048_576.0))
}

/// So many in a second.
pub(super) fn rate(count: usize, took: Duration) -> f64 {
    // Nothing is done in less than the clock's own unit.
    float(count as u64) / took.max(Duration::from_nanos(1)).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "nothing that is counted here comes near 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

fn millis(span: Duration) -> f64 {
    thousandths(span.as_secs_f64() * 1_000.0)
}

/// More digits than a measurement has would only look exact.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn thousandths(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

impl Report {
    /// For people.
    pub(super) fn table(&self) -> String {
        let headers = ["phase", "clients", "batch", "runs", "runs/s", "disk syncs/s", "ratio", "ack p50", "ack p99"];
        let mut rows =
            vec![self.enqueue_row("one client", &self.single), self.enqueue_row("many clients", &self.enqueue)];
        rows.extend(self.batches.iter().map(|figures| self.enqueue_row("batches", figures)));
        rows.push(self.drain_row("drain", &self.drain));
        rows.push(self.drain_row("sustained", &self.sustained));
        format!("{}\n\n{}", output::table(&headers, rows), output::pairs(&self.members()))
    }

    fn enqueue_row(&self, phase: &str, figures: &EnqueueFigures) -> Vec<Cell> {
        let mut row = vec![Cell::new(phase), number_cell(figures.clients), number_cell(figures.batch)];
        row.extend(self.rate_cells(figures.runs, figures.per_s));
        row.extend([figures.ack_p50_ms, figures.ack_p99_ms].map(|millis| number_cell(spell(millis))));
        row
    }

    fn drain_row(&self, phase: &str, figures: &DrainFigures) -> Vec<Cell> {
        let mut row = vec![Cell::new(phase), Cell::new(""), Cell::new("")];
        row.extend(self.rate_cells(figures.runs, figures.per_s));
        row.extend([Cell::new(""), Cell::new("")]);
        row
    }

    fn rate_cells(&self, runs: u32, per_s: f64) -> [Cell; 4] {
        let disk = self.disk.best.fdatasync_per_s;
        [
            number_cell(runs),
            number_cell(format!("{per_s:.0}")),
            number_cell(format!("{disk:.0}")),
            number_cell(format!("{:.2}", per_s / disk)),
        ]
    }

    fn members(&self) -> Vec<(&'static str, Option<String>)> {
        let latency = &self.latency;
        let disk = self.disk.best.fdatasync_p50_ms;
        let spans = |p50: f64, p99: f64| {
            let (shown, ratio) = (spell(disk), p50 / disk);
            format!("p50 {}, p99 {}; a sync of the disk {shown}, ratio {ratio:.1}", spell(p50), spell(p99))
        };
        let syncs = |figures: &SyncFigures| {
            format!("{:.0} syncs/s, p50 {}", figures.fdatasync_per_s, spell(figures.fdatasync_p50_ms))
        };
        let awake = if self.awake {
            "kept awake for one client and for start and done"
        } else {
            "not kept awake for one client and for start and done: a sync may wait there for a sleeping processor"
        };
        vec![
            ("start", Some(spans(latency.start_p50_ms, latency.start_p99_ms))),
            ("done", Some(spans(latency.done_p50_ms, latency.done_p99_ms))),
            ("arrivals", Some(format!("{} runs, {} a second", latency.runs, latency.rate_per_s))),
            ("processor", Some(format!("{:.3} s for 1000 runs", self.cpu_s_per_1000))),
            ("memory", self.rss_peak_mib.map(|mib| format!("{mib:.0} MiB at most"))),
            ("written", self.bytes_written_per_run.map(|bytes| format!("{bytes:.0} bytes a run"))),
            ("disk", Some(format!("{} before everything else", syncs(&self.disk.before)))),
            ("", Some(format!("{} when all was over", syncs(&self.disk.after)))),
            ("", Some(format!("{} while the processors may sleep", syncs(&self.disk.idle)))),
            ("processors", Some(awake.to_owned())),
            ("machine", self.machine_load.map(|load| format!("load {load:.1} when it began"))),
            ("job", Some(format!("{} through {}", self.job, self.through))),
            ("limits", self.limits.as_ref().map(LimitFigures::described)),
            ("", self.limits.as_ref().map(|_| limited::described())),
            ("runs", Some(format!("{}, each completed by its only attempt", self.completed_once))),
        ]
    }
}

/// A whole number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut shown = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Milliseconds with three digits that matter.
fn spell(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_over_a_span() {
        let exactly = |rate: f64, expected: f64| (rate - expected).abs() < 1e-9;
        assert!(exactly(rate(1_000, Duration::from_millis(500)), 2_000.0));
        assert!(rate(1, Duration::ZERO).is_finite());
    }

    #[test]
    fn figures_have_no_more_digits_than_they_deserve() {
        let rates = DiskRate { per_s: 3_729.123_456, p50: Duration::from_nanos(104_900) };
        let figures = serde_json::to_value(DiskFigures::of(rates, rates, rates)).expect("JSON");
        assert_eq!(figures["fdatasync_per_s"], 3_729.1);
        assert_eq!(figures["fdatasync_p50_ms"], 0.105);
    }

    #[test]
    fn limits_stand_beside_the_rate_without_them() {
        let contrast = Contrast { without: 31_000.04, under: 29_500.0, completed_once: 9 };
        let figures = LimitFigures::of(&contrast);
        assert_eq!(figures.described(), "drain 31,000/s without, 29,500/s under them: 0.95");
        let json = serde_json::json!({ "drain_per_s": 29_500.0, "drain_per_s_without": 31_000.0, "ratio": 0.952 });
        assert_eq!(serde_json::to_value(figures).expect("JSON"), json);
    }

    #[test]
    fn thousands_stand_apart() {
        let shown = [0.4, 999.4, 999.5, 29_500.0, 1_000_000.0].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "29,500", "1,000,000"]);
    }

    #[test]
    fn the_limit_of_a_disk_is_the_best_that_was_seen_of_it() {
        let rates = |per_s, micros| DiskRate { per_s, p50: Duration::from_micros(micros) };
        let figures = DiskFigures::of(rates(217.0, 3_828), rates(3_427.0, 80), rates(196.0, 4_014));
        assert_eq!(
            serde_json::to_value(figures.best).expect("JSON"),
            serde_json::to_value(figures.after).expect("JSON")
        );
    }
}
