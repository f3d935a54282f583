//! Jobs, queues and schedules: look at them, pause them, limit them.
//! Whoever changes something says who they are, for those who ask later.

use serde::Serialize;

use crate::answer::{Answer, Page};
use crate::client::Client;
use crate::error::Error;
use crate::shapes::{Job, Queue, Schedule};

#[derive(Serialize)]
struct QueuePause<'a> {
    paused: bool,
    by: &'a str,
}

#[derive(Serialize)]
struct QueueLimit<'a> {
    /// Null takes the operator's word back; a member that is left out would leave it.
    concurrency: Option<u32>,
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

    /// Lets none of a job's runs begin; those under way go on.
    pub fn pause_job(&self, id: &str, by: &str) -> Result<Answer<Job>, Error> {
        self.operate(&["jobs", id, "pause"], by)
    }

    /// Lets a job go on that was paused, by somebody or by its breaker.
    pub fn resume_job(&self, id: &str, by: &str) -> Result<Answer<Job>, Error> {
        self.operate(&["jobs", id, "resume"], by)
    }

    /// Queues with their limits and how many runs are in them.
    pub fn queues(&self) -> Result<Page<Queue>, Error> {
        self.page(&["queues"], &[])
    }

    /// Lets none of a queue's runs begin; those under way go on.
    pub fn pause_queue(&self, name: &str, by: &str) -> Result<Answer<Queue>, Error> {
        self.patch(&["queues", name], &QueuePause { paused: true, by })
    }

    /// Lets a paused queue go on.
    pub fn resume_queue(&self, name: &str, by: &str) -> Result<Answer<Queue>, Error> {
        self.patch(&["queues", name], &QueuePause { paused: false, by })
    }

    /// Limits how many of a queue's runs go on at once, whatever the configuration says; none lets that count again.
    pub fn limit_queue(&self, name: &str, concurrency: Option<u32>, by: &str) -> Result<Answer<Queue>, Error> {
        self.patch(&["queues", name], &QueueLimit { concurrency, by })
    }

    /// Schedules in force.
    pub fn schedules(&self) -> Result<Page<Schedule>, Error> {
        self.page(&["schedule"], &[])
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
        let pause = QueuePause { paused: true, by: "anna" };
        assert_eq!(serde_json::to_value(pause).expect("JSON"), json!({ "paused": true, "by": "anna" }));
    }
}
