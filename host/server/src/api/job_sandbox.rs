//! What a job's code may take and reach, as the API shows it.
//! It decides nothing: `core::job` does, and the runtime keeps to it.

use jobmill_core::Job;
use jobmill_core::job::{Allowed, Capability, Limit, capabilities};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::job_settings::SettingView;

/// How much an attempt may take, by the names of the configuration.
#[derive(Serialize, ToSchema)]
#[schema(as = JobLimits)]
pub(super) struct LimitsView {
    /// Bytes of all linear memories of an attempt together.
    memory: SettingView<u64>,
    /// Elements of one table.
    table_elements: SettingView<u64>,
    /// Host calls of an attempt.
    host_calls: SettingView<u64>,
    /// Bytes that one host call may hand over.
    host_call: SettingView<u64>,
    /// Resources held at once.
    handles: SettingView<u64>,
    /// Random bytes of one call.
    random: SettingView<u64>,
    /// Lines of a run's log.
    log_lines: SettingView<u64>,
    /// Bytes of a run's log.
    log: SettingView<u64>,
    /// Bytes of a run's output, and of a step's value.
    output: SettingView<u64>,
    /// Entries of a run's journal.
    journal_entries: SettingView<u64>,
    /// Bytes of a run's journal.
    journal: SettingView<u64>,
    /// HTTP requests of an attempt.
    http_requests: SettingView<u64>,
    /// Bytes of the body of one HTTP answer.
    http_response: SettingView<u64>,
}

impl From<&Job> for LimitsView {
    fn from(job: &Job) -> Self {
        let of = |limit: Limit| SettingView::from(&job.limits.get(limit));
        Self {
            memory: of(Limit::Memory),
            table_elements: of(Limit::TableElements),
            host_calls: of(Limit::HostCalls),
            host_call: of(Limit::HostCall),
            handles: of(Limit::Handles),
            random: of(Limit::Random),
            log_lines: of(Limit::LogLines),
            log: of(Limit::Log),
            output: of(Limit::Output),
            journal_entries: of(Limit::JournalEntries),
            journal: of(Limit::Journal),
            http_requests: of(Limit::HttpRequests),
            http_response: of(Limit::HttpResponse),
        }
    }
}

/// An interface that the component imports, what it is for, and how much of it the operator lets the job have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Capability)]
pub(super) struct CapabilityView {
    /// Its name, with its version.
    interface: String,
    /// What a component does by it, for people.
    what: &'static str,
    /// `all`, `narrowed`, `denied`, or `none-needed`: it reaches nothing beyond the sandbox.
    allowed: Allowed,
    /// What it is narrowed to, or the line of the configuration that would allow it.
    detail: Option<String>,
}

impl From<Capability> for CapabilityView {
    fn from(capability: Capability) -> Self {
        let Capability { interface, what, allowed, detail } = capability;
        Self { interface, what, allowed, detail }
    }
}

impl CapabilityView {
    /// One for each import of the job's component.
    pub(super) fn of(job: &Job, imports: &[String]) -> Vec<Self> {
        capabilities(&job.id, imports, &job.allow.value).into_iter().map(Self::from).collect()
    }
}
