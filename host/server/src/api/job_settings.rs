//! The settings of a job as the API shows them: each what is in force, and who said so.
//! It decides nothing; the job did when it was loaded.

use std::collections::BTreeMap;
use std::time::Duration;

use jobmill_core::flow::{BreakerSettings, CancelOn, CatchUp, Concurrency, Debounce, Pointer, RateLimit, UniqueStates};
use jobmill_core::job::{Allow, Setting};
use jobmill_core::time::format_duration;
use jobmill_core::{Backoff, Job, Source};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::shapes;

/// Every setting of a job, named as in the configuration. What is switched off is null, or an empty list.
#[derive(Serialize, ToSchema)]
#[schema(as = JobSettings)]
pub struct SettingsView {
    queue: SettingView<String>,
    priority: SettingView<u8>,
    retries: SettingView<u32>,
    #[schema(value_type = SettingView<shapes::BackoffShape>)]
    backoff: SettingView<Backoff>,
    timeout: SettingView<String>,
    #[schema(value_type = SettingView<Vec<shapes::ConcurrencyShape>>)]
    concurrency: SettingView<Vec<Concurrency>>,
    #[schema(value_type = SettingView<Option<shapes::RateLimitShape>>)]
    rate_limit: SettingView<Option<RateLimit>>,
    #[schema(value_type = SettingView<Option<shapes::DebounceShape>>)]
    debounce: SettingView<Option<Debounce>>,
    #[schema(value_type = SettingView<Option<shapes::PointerShape>>)]
    unique_key: SettingView<Option<Pointer>>,
    unique_for: SettingView<String>,
    #[schema(value_type = SettingView<shapes::UniqueStatesShape>)]
    unique_states: SettingView<UniqueStates>,
    cron: SettingView<Vec<String>>,
    #[schema(value_type = SettingView<shapes::CatchUpShape>)]
    cron_catch_up: SettingView<CatchUp>,
    expires: SettingView<Option<String>>,
    #[schema(value_type = SettingView<Vec<shapes::CancelOnShape>>)]
    cancel_on: SettingView<Vec<CancelOn>>,
    max_waiting: SettingView<Option<u32>>,
    #[schema(value_type = SettingView<Option<shapes::BreakerSettingsShape>>)]
    breaker: SettingView<Option<BreakerSettings>>,
    mails_per_run: SettingView<u32>,
    #[schema(value_type = SettingView<Option<shapes::RateLimitShape>>)]
    mail_limit: SettingView<Option<RateLimit>>,
    #[schema(value_type = SettingView<shapes::AllowShape>)]
    allow: SettingView<Allow>,
    config: SettingView<BTreeMap<String, String>>,
}

/// A setting, and who said so.
#[derive(Serialize, ToSchema)]
#[schema(as = Setting)]
pub(super) struct SettingView<T> {
    /// What is in force.
    value: T,
    /// Who said so.
    source: Source,
}

impl<T> SettingView<T> {
    fn of<S>(setting: &Setting<S>, show: impl FnOnce(&S) -> T) -> Self {
        Self { value: show(&setting.value), source: setting.source }
    }
}

impl<T: Clone> From<&Setting<T>> for SettingView<T> {
    fn from(setting: &Setting<T>) -> Self {
        Self::of(setting, T::clone)
    }
}

impl From<&Job> for SettingsView {
    fn from(job: &Job) -> Self {
        let span = |span: &Duration| format_duration(*span);
        Self {
            queue: SettingView::of(&job.queue, ToString::to_string),
            priority: (&job.priority).into(),
            retries: (&job.retries).into(),
            backoff: (&job.backoff).into(),
            timeout: SettingView::of(&job.timeout, span),
            concurrency: (&job.concurrency).into(),
            rate_limit: (&job.rate_limit).into(),
            debounce: (&job.debounce).into(),
            unique_key: (&job.unique_key).into(),
            unique_for: SettingView::of(&job.unique_for, span),
            unique_states: (&job.unique_states).into(),
            cron: (&job.cron).into(),
            cron_catch_up: (&job.cron_catch_up).into(),
            expires: SettingView::of(&job.expires, |expires| expires.as_ref().map(span)),
            cancel_on: (&job.cancel_on).into(),
            max_waiting: (&job.max_waiting).into(),
            breaker: (&job.breaker).into(),
            mails_per_run: (&job.mails_per_run).into(),
            mail_limit: (&job.mail_limit).into(),
            allow: (&job.allow).into(),
            config: (&job.config).into(),
        }
    }
}
