//! What a job is told about the attempt it performs.
//! It holds no handle to the host: the functions of this crate are.

use crate::Timestamp;

/// Where this call stands in the life of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The job's id.
    pub job_id: String,
    /// The run's id; the same in every attempt.
    pub run_id: String,
    /// The event that started the run, if one did.
    pub event_id: Option<String>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The last attempt there will be: retries + 1.
    pub max_attempts: u32,
    /// When the run was enqueued.
    pub enqueued_at: Timestamp,
    /// When the run was due. For a cron run the exact minute.
    pub scheduled_at: Timestamp,
}
