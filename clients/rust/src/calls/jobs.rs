//! Jobs, queues and schedules: look at them, pause them, limit them.
//! Whoever changes something says who they are, for those who ask later.

use serde::Serialize;

use super::Nothing;
use crate::answer::{Answer, Page};
use crate::client::Client;
use crate::error::Error;
use crate::shapes::{Job, JobVersion, Queue, Run, Schedule};

#[derive(Serialize)]
struct QueueLimit<'a> {
    /// Null takes the operator's word back; a member that is left out would leave it.
    concurrency: Option<u32>,
    by: &'a str,
}

#[derive(Serialize)]
struct Rollback<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    by: &'a str,
}

impl Client {
    /// Jobs, and files that could not be loaded.
    pub fn jobs(&self) -> Result<Page<Job>, Error> {
        self.page(&["jobs"], &[])
    }

    /// A job with its settings.
    pub fn job(&self, id: &str) -> Result<Answer<Job>, Error> {
        self.get(&["jobs", id], &[])
    }

    /// The versions of a job that were loaded, the last first, with what changed from one to the next.
    pub fn job_versions(&self, id: &str) -> Result<Page<JobVersion>, Error> {
        self.page(&["jobs", id, "versions"], &[])
    }

    /// Lets none of a job's runs begin; those under way go on.
    pub fn pause_job(&self, id: &str, by: &str) -> Result<Answer<Job>, Error> {
        self.operate(&["jobs", id, "pause"], by)
    }

    /// Lets a job go on that was paused, by somebody or by its breaker.
    pub fn resume_job(&self, id: &str, by: &str) -> Result<Answer<Job>, Error> {
        self.operate(&["jobs", id, "resume"], by)
    }

    /// Lets an earlier version of a job serve: the one that begins with these digits, or else the one that served before. The
    /// job is held to it until it is unpinned.
    pub fn roll_back_job(
        &self,
        id: &str,
        version: Option<&str>,
        reason: Option<&str>,
        by: &str,
    ) -> Result<Answer<Job>, Error> {
        self.post(&["jobs", id, "rollback"], &Rollback { version, reason, by })
    }

    /// Lets a job's newest version serve again.
    pub fn unpin_job(&self, id: &str, by: &str) -> Result<Answer<Job>, Error> {
        self.operate(&["jobs", id, "unpin"], by)
    }

    /// Queues with their limits and how many runs are in them.
    pub fn queues(&self) -> Result<Page<Queue>, Error> {
        self.page(&["queues"], &[])
    }

    /// Lets none of a queue's runs begin; those under way go on.
    pub fn pause_queue(&self, name: &str, by: &str) -> Result<Answer<Queue>, Error> {
        self.operate(&["queues", name, "pause"], by)
    }

    /// Lets a paused queue go on.
    pub fn resume_queue(&self, name: &str, by: &str) -> Result<Answer<Queue>, Error> {
        self.operate(&["queues", name, "resume"], by)
    }

    /// Limits how many of a queue's runs go on at once, whatever the configuration says; none lets that count again.
    pub fn limit_queue(&self, name: &str, concurrency: Option<u32>, by: &str) -> Result<Answer<Queue>, Error> {
        self.patch(&["queues", name], &QueueLimit { concurrency, by })
    }

    /// Schedules in force.
    pub fn schedules(&self) -> Result<Page<Schedule>, Error> {
        self.page(&["schedule"], &[])
    }

    /// Enqueues a run as a job's schedule would make it, ahead of its time; the schedule goes on as it was.
    pub fn trigger_schedule(&self, job: &str) -> Result<Answer<Run>, Error> {
        self.post(&["schedule", job, "trigger"], &Nothing {})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_taken_back_is_sent_as_null_and_one_that_stays_is_not_sent() {
        let limit = QueueLimit { concurrency: None, by: "anna" };
        assert_eq!(serde_json::to_value(limit).expect("JSON"), json!({ "concurrency": null, "by": "anna" }));
    }
}
