//! Numbers for a monitoring system, in the text format of `OpenMetrics`, which Prometheus reads.
//! Nothing is kept here: the store and the engine are asked each time, and what counts up does so from the start of the process.

use std::fmt;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jobmill_core::{RunState, Timestamp};
use jobmill_store::{Counts, DURATION_BOUNDS, DurationTotals, JobTotals, QueueView, Totals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::Context;
use crate::error::{Code, Problem};
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> Routes {
    Routes::new().get("/metrics", Rule::READ, metrics)
}

/// How things stand at one moment.
#[derive(Debug)]
struct Moment {
    ready: bool,
    started_at: Timestamp,
    runs: Counts,
    totals: Totals,
    queues: Vec<QueueNumbers>,
    /// Webhooks, and how many deliveries were refused at each.
    refused: Vec<(String, u64)>,
    /// Versions of jobs that are in memory.
    components: u64,
    /// Bytes that the process has in memory, where the system says.
    memory: Option<u64>,
}

#[derive(Debug)]
struct QueueNumbers {
    name: String,
    running: u64,
    waiting: u64,
}

impl From<QueueView> for QueueNumbers {
    fn from(queue: QueueView) -> Self {
        Self { name: queue.name, running: queue.running as u64, waiting: queue.waiting as u64 }
    }
}

async fn metrics(State(context): State<Context>, _: NoParameters) -> Result<Response, Problem> {
    let handle = &context.handle;
    let endpoints = context.settings.webhooks.iter().map(jobmill_webhooks::Endpoint::name);
    let moment = Moment {
        ready: handle.is_ready(),
        started_at: context.started_at,
        runs: handle.query().counts(None, handle.now()).await?,
        totals: handle.query().totals().await?,
        queues: handle.queues().await?.into_iter().map(QueueNumbers::from).collect(),
        refused: endpoints.map(|name| (name.to_owned(), context.refusals.at(name).count)).collect(),
        components: handle.catalog().in_memory() as u64,
        memory: resident_bytes(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(moment));
    let mut body = String::new();
    text::encode(&mut body, &registry).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response())
}

/// What Linux says of this process; none where it says nothing.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kibibytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Writer(&mut encoder);
        to.gauge("jobmill_ready", "Whether work is taken: 1 or 0.", &u64::from(self.ready))?;
        let started = Duration::from_millis(self.started_at.as_millis()).as_secs_f64();
        to.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", &started)?;
        if let Some(memory) = self.memory {
            to.gauge("process_resident_memory_bytes", "What the process has in memory.", &memory)?;
        }
        let help =
            "Versions of jobs in memory: those that are loaded, and older ones that attempts are under way with.";
        to.gauge("jobmill_components", help, &self.components)?;
        let runs = RunState::ALL.map(|state| ([("state", state.as_str())], self.runs.of(state) as u64));
        to.gauges("jobmill_runs", "Runs that are kept, by the state that they show now.", runs)?;
        let waiting = self.queues.iter().map(|queue| ([("queue", queue.name.as_str())], queue.waiting));
        to.gauges("jobmill_queue_waiting", "Runs that are due and have not begun.", waiting)?;
        let running = self.queues.iter().map(|queue| ([("queue", queue.name.as_str())], queue.running));
        to.gauges("jobmill_queue_running", "Runs under way.", running)?;
        let jobs = || self.totals.jobs.iter().map(|(job, totals)| (job.as_str(), totals));
        let attempts = jobs().flat_map(|(job, totals)| {
            totals.attempts.iter().map(move |(outcome, count)| ([("job", job), ("outcome", *outcome)], *count))
        });
        to.counters("jobmill_attempts", "Attempts that ended.", attempts)?;
        let ended = |(job, totals): (_, &JobTotals)| {
            [
                ([("job", job), ("state", "completed")], totals.completed),
                ([("job", job), ("state", "dead")], totals.dead),
            ]
        };
        to.counters("jobmill_runs_ended", "Runs that completed or became dead.", jobs().flat_map(ended))?;
        let mails = self.totals.mails.iter().map(|(status, count)| ([("status", *status)], *count));
        to.counters("jobmill_mails", "How often a mail came to stand so.", mails)?;
        let refused = self.refused.iter().map(|(name, count)| ([("endpoint", name.as_str())], *count));
        to.counters("jobmill_webhook_deliveries_refused", "Deliveries that were not taken in.", refused)?;
        let attempts = jobs().map(|(job, totals)| (job, &totals.attempt_durations));
        to.durations("jobmill_attempt_duration_seconds", "How long attempts took that completed or failed.", attempts)?;
        to.seconds(
            "jobmill_attempt_cpu_seconds",
            "Processor time that attempts used.",
            jobs().map(|(job, totals)| (job, totals.cpu_micros)),
        )?;
        let runs = jobs().map(|(job, totals)| (job, &totals.run_durations));
        to.durations("jobmill_run_duration_seconds", "From the enqueue of a run until it completed or died.", runs)
    }
}

/// Writes one metric after the other.
struct Writer<'to, 'encoder>(&'to mut DescriptorEncoder<'encoder>);

impl Writer<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
    }

    fn gauges<'name, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'name str, &'name str); LABELS], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| encoder.encode_family(&labels)?.encode_gauge(&value))
    }

    fn counters<'name, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'name str, &'name str); LABELS], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.into_iter().try_for_each(|(labels, value)| {
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
        })
    }

    fn seconds<'name>(
        &mut self,
        name: &str,
        help: &str,
        jobs: impl IntoIterator<Item = (&'name str, u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        jobs.into_iter().try_for_each(|(job, micros)| {
            let seconds = Duration::from_micros(micros).as_secs_f64();
            encoder.encode_family(&[("job", job)])?.encode_counter::<NoLabelSet, f64, u64>(&seconds, None)
        })
    }

    fn durations<'name>(
        &mut self,
        name: &str,
        help: &str,
        jobs: impl IntoIterator<Item = (&'name str, &'name DurationTotals)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let bounds = DURATION_BOUNDS.map(|bound| Duration::from_millis(bound).as_secs_f64());
        jobs.into_iter().try_for_each(|(job, DurationTotals { counts, sum })| {
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            let sum = Duration::from_millis(*sum).as_secs_f64();
            let labels = [("job", job)];
            let mut family = encoder.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
        })
    }
}
