//! What operators said of queues and jobs and how far schedules have come, as records tell it, with whatever was said before.
//! It judges no claim; the flow model does.

use std::collections::BTreeMap;

use jobmill_core::job::JobVersion;
use jobmill_core::{JobId, Timestamp};
use jobmill_store::{Control, ControlKey, JobControl, Pause, QueueControl, Schedule};

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Controls(BTreeMap<ControlKey, Vec<Control>>);

impl Controls {
    /// Takes a record in. One that says what is said already was written again.
    pub(crate) fn take_in(&mut self, control: &Control) {
        let said = self.0.entry(control.key()).or_default();
        if said.last() != Some(control) {
            said.push(control.clone());
        }
    }

    /// What is said now, of everything of which anything was said.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Control> {
        self.0.values().filter_map(|said| said.last())
    }

    fn now(&self, key: &ControlKey) -> Option<&Control> {
        self.0.get(key)?.last()
    }

    /// Who paused it.
    pub(crate) fn pause(&self, key: &ControlKey) -> Option<&Pause> {
        match self.now(key)? {
            Control::Queue { control, .. } => control.paused.as_ref(),
            Control::Job { control, .. } => control.paused.as_ref(),
            Control::Schedule(_)
            | Control::Suppression(_)
            | Control::SuppressionLifted(_)
            | Control::Token(_)
            | Control::Audit(_)
            | Control::AuditGone(_)
            | Control::Notice(_)
            | Control::NoticeGone { .. }
            | Control::Version(_)
            | Control::Pinned(_)
            | Control::Unpinned(_) => None,
        }
    }

    pub(crate) fn is_queue_paused(&self, name: &str) -> bool {
        self.pause(&ControlKey::Queue(name.to_owned())).is_some()
    }

    pub(crate) fn is_job_paused(&self, job: &JobId) -> bool {
        self.pause(&ControlKey::Job(job.clone())).is_some()
    }

    /// The limit that operators gave a queue.
    pub(crate) fn queue_limit(&self, name: &str) -> Option<u32> {
        match self.now(&ControlKey::Queue(name.to_owned()))? {
            Control::Queue { control, .. } => control.concurrency,
            _ => None,
        }
    }

    /// Schedules, in force or ended.
    pub(crate) fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.all().filter_map(|control| if let Control::Schedule(schedule) = control { Some(schedule) } else { None })
    }

    /// The schedule of a job and an expression.
    pub(crate) fn schedule(&self, (job, cron): &(JobId, String)) -> Option<&Schedule> {
        match self.now(&ControlKey::Schedule(job.clone(), cron.clone()))? {
            Control::Schedule(schedule) => Some(schedule),
            _ => None,
        }
    }

    /// Whether a schedule ever came so far, or ended there.
    pub(crate) fn has_said_of_schedule(&self, key: &(JobId, String), up_to: Timestamp, ended: bool) -> bool {
        let said = self.0.get(&ControlKey::Schedule(key.0.clone(), key.1.clone())).into_iter().flatten();
        let mut said = said.filter_map(|it| if let Control::Schedule(schedule) = it { Some(schedule) } else { None });
        said.any(|schedule| schedule.up_to == up_to && schedule.ended == ended)
    }

    /// Whether a version is known from no later than its first load to no earlier than its last.
    pub(crate) fn has_version(&self, loaded: &JobVersion) -> bool {
        let key = ControlKey::Version(loaded.job.clone(), loaded.version);
        let Some(Control::Version(kept)) = self.now(&key) else { return false };
        kept.first_loaded_at <= loaded.first_loaded_at && kept.last_loaded_at >= loaded.last_loaded_at
    }

    /// Whether this was ever said of a queue.
    pub(crate) fn has_said_of_queue(&self, name: &str, wanted: &QueueControl) -> bool {
        let said = self.0.get(&ControlKey::Queue(name.to_owned())).into_iter().flatten();
        let mut said = said.filter_map(|it| if let Control::Queue { control, .. } = it { Some(control) } else { None });
        *wanted == QueueControl::default() || said.any(|control| control == wanted)
    }

    /// Whether this was ever said of a job.
    pub(crate) fn has_said_of_job(&self, job: &JobId, wanted: &JobControl) -> bool {
        let said = self.0.get(&ControlKey::Job(job.clone())).into_iter().flatten();
        let mut said = said.filter_map(|it| if let Control::Job { control, .. } = it { Some(control) } else { None });
        *wanted == JobControl::default() || said.any(|control| control == wanted)
    }
}
