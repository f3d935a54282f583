//! What is kept beside the runs: what operators said of queues and jobs, how far each schedule has come, which
//! addresses get no mail, the API tokens, the audit list, what was told of dead runs, which versions of
//! jobs were loaded, and which jobs are held to one.
//! It decides nothing; the index keeps the newest of each, and flow control goes by it.

use jobmill_core::audit::AuditEntry;
use jobmill_core::job::{JobVersion, Pin};
use jobmill_core::notice::Notice;
use jobmill_core::suppression::{AddressDigest, Suppression};
use jobmill_core::token::Token;
use jobmill_core::{AuditId, JobId, RunId, Timestamp, TokenId, Version};
use serde::{Deserialize, Serialize};

use crate::flow::{JobControl, QueueControl};

/// One thing that is kept, as it is from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// What operators said of a queue.
    Queue {
        /// Its name.
        name: String,
        /// What they said.
        control: QueueControl,
    },
    /// What operators said of a job.
    Job {
        /// Its id.
        job: JobId,
        /// What they said.
        control: JobControl,
    },
    /// How far a schedule has come.
    Schedule(Schedule),
    /// An address that gets no mail.
    Suppression(Suppression),
    /// An address that gets mail again. It takes back what was said before it, and counts for nothing itself.
    SuppressionLifted(AddressDigest),
    /// An API token, as it is from now on; a revoked one stays.
    Token(Box<Token>),
    /// What an operator does or did, as it is from now on.
    Audit(Box<AuditEntry>),
    /// An entry of the audit list is gone. It takes back what was said before it, and counts for nothing itself.
    AuditGone(AuditId),
    /// What was told of a group of dead runs, as it is from now on.
    Notice(Box<Notice>),
    /// The group is gone, and what was told of it. It takes back what was said before it, and counts for nothing itself.
    NoticeGone {
        /// The group's job.
        job: JobId,
        /// What its errors have in common.
        fingerprint: u64,
    },
    /// A version of a job that was loaded, as it is from now on.
    Version(Box<JobVersion>),
    /// A job is held to a version.
    Pinned(Box<Pin>),
    /// A job is held to no version any more. It takes back what was said before it, and counts for nothing itself.
    Unpinned(JobId),
}

/// How far a schedule of a job has come: what was due up to a time has been seen to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The job.
    pub job: JobId,
    /// The cron expression, as it was written.
    pub cron: String,
    /// Up to when.
    pub up_to: Timestamp,
    /// The last run that it made.
    pub last_run: Option<RunId>,
    /// It is not in force any more.
    pub ended: bool,
}

/// Which thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControlKey {
    /// A queue.
    Queue(String),
    /// A job.
    Job(JobId),
    /// A schedule, by job and expression.
    Schedule(JobId, String),
    /// An address that gets no mail.
    Suppression(AddressDigest),
    /// An API token.
    Token(TokenId),
    /// An entry of the audit list.
    Audit(AuditId),
    /// What was told of a group of dead runs, by job and fingerprint.
    Notice(JobId, u64),
    /// A version of a job.
    Version(JobId, Version),
    /// The version that a job is held to.
    Pin(JobId),
}

impl Control {
    /// Whether runs may begin that could not before, or other runs than before.
    pub(crate) fn may_let_runs_begin(&self) -> bool {
        matches!(self, Self::Queue { .. } | Self::Job { .. } | Self::Schedule(_))
    }

    /// What it is about.
    pub fn key(&self) -> ControlKey {
        match self {
            Self::Queue { name, .. } => ControlKey::Queue(name.clone()),
            Self::Job { job, .. } => ControlKey::Job(job.clone()),
            Self::Schedule(schedule) => ControlKey::Schedule(schedule.job.clone(), schedule.cron.clone()),
            Self::Suppression(Suppression { digest, .. }) | Self::SuppressionLifted(digest) => {
                ControlKey::Suppression(*digest)
            }
            Self::Token(token) => ControlKey::Token(token.id),
            Self::Audit(entry) => ControlKey::Audit(entry.id),
            Self::AuditGone(id) => ControlKey::Audit(*id),
            Self::Notice(notice) => ControlKey::Notice(notice.job.clone(), notice.fingerprint),
            Self::NoticeGone { job, fingerprint } => ControlKey::Notice(job.clone(), *fingerprint),
            Self::Version(loaded) => ControlKey::Version(loaded.job.clone(), loaded.version),
            Self::Pinned(pin) => ControlKey::Pin(pin.job.clone()),
            Self::Unpinned(job) => ControlKey::Pin(job.clone()),
        }
    }
}
