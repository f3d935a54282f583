//! How many mails an attempt may send: what its run may, and what its job may over time.
//! It sends none. What a job has sent is counted since the engine began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobmill_core::flow::{FullAt, RateLimit};
use jobmill_core::{Job, JobId, Timestamp, limits};

/// The buckets of all jobs that have a limit.
#[derive(Debug, Default)]
pub struct MailBudgets(Mutex<BTreeMap<JobId, FullAt>>);

impl MailBudgets {
    /// Takes one mail out of the job's bucket, or says how long there is none.
    fn take(&self, job: &JobId, limit: &RateLimit, now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(job.clone()).or_default();
        if limit.tokens(*bucket, now) == 0 {
            return Err(limit.next(*bucket, now).since(now));
        }
        *bucket = limit.take(*bucket, now);
        Ok(())
    }
}

/// Why one more mail is too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooManyMails {
    /// The run has sent what a run may.
    #[error("a run of this job may send {0} mails; this would be one more (mails_per_run)")]
    OfRun(u32),
    /// The job has sent what it may for now.
    #[error("the job has reached its mail_limit of {limit} in {}; the next mail may go in {}",
        jobmill_core::time::format_duration(*period), jobmill_core::time::format_duration(*delay))]
    OfJob {
        /// Mails in a period.
        limit: u32,
        /// The period.
        period: Duration,
        /// When there is room for the next.
        delay: Duration,
    },
}

/// What one attempt may send.
#[derive(Debug, Clone)]
pub struct MailAllowance {
    per_run: u32,
    limit: Option<(RateLimit, Arc<MailBudgets>)>,
}

impl Default for MailAllowance {
    fn default() -> Self {
        Self { per_run: limits::MAILS, limit: None }
    }
}

impl MailAllowance {
    /// What one run may send, and what all runs of its job may over time, counted in `budgets`.
    pub fn new(per_run: u32, limit: Option<RateLimit>, budgets: &Arc<MailBudgets>) -> Self {
        Self { per_run, limit: limit.map(|limit| (limit, Arc::clone(budgets))) }
    }

    pub(crate) fn of(job: &Job, budgets: &Arc<MailBudgets>) -> Self {
        Self::new(job.mails_per_run.value, job.mail_limit.value.clone(), budgets)
    }

    /// Takes one more mail of a run that has `sent` so many.
    pub(crate) fn take(&self, job: &JobId, sent: usize, now: Timestamp) -> Result<(), TooManyMails> {
        if u32::try_from(sent).unwrap_or(u32::MAX) >= self.per_run {
            return Err(TooManyMails::OfRun(self.per_run));
        }
        let Some((limit, budgets)) = &self.limit else { return Ok(()) };
        budgets.take(job, limit, now).map_err(|delay| TooManyMails::OfJob {
            limit: limit.limit,
            period: limit.period,
            delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_sends_what_it_may_in_a_period_and_a_run_what_it_may_at_all() {
        let budgets = Arc::new(MailBudgets::default());
        let limit = RateLimit { limit: 2, period: Duration::from_mins(1), key: None };
        let allowance = MailAllowance { per_run: 3, limit: Some((limit, Arc::clone(&budgets))) };
        let (job, other): (JobId, JobId) = ("a".parse().expect("an id"), "b".parse().expect("an id"));
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!(allowance.take(&job, 3, now), Err(TooManyMails::OfRun(3)));
        assert_eq!((allowance.take(&job, 0, now), allowance.take(&job, 1, now)), (Ok(()), Ok(())));
        let refused = allowance.take(&job, 2, now).expect_err("two were sent");
        let delay = Duration::from_secs(30);
        assert_eq!(refused, TooManyMails::OfJob { limit: 2, period: Duration::from_mins(1), delay });
        assert!(refused.to_string().contains("the next mail may go in 30s"), "{refused}");
        assert_eq!(allowance.take(&other, 0, now), Ok(()));
        assert_eq!(allowance.take(&job, 2, now.after(delay)), Ok(()));
    }
}
