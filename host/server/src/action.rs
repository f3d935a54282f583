//! What operators do: one word for each action, the same on a page, in the API and on the command line.
//! It carries nothing out; routes say which action they are.

use std::fmt;

/// Something that an operator does. Its word is the command that does the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A run is enqueued by hand.
    Run,
    /// Runs are taken back.
    RunsCancel,
    /// A run is put back, or need not wait any longer.
    RunsRetry,
    /// A run is repeated as a new one.
    RunsRerun,
    /// A run is tried out, with its effects recorded and not carried out.
    RunsTrial,
    /// None of a job's runs begins.
    JobsPause,
    /// A job goes on.
    JobsResume,
    /// A job is held to an earlier version.
    JobsRollback,
    /// A job's newest version serves again.
    JobsUnpin,
    /// None of a queue's runs begins.
    QueuesPause,
    /// A queue goes on.
    QueuesResume,
    /// A queue gets another limit.
    QueuesSet,
    /// A schedule's run is enqueued by hand.
    ScheduleTrigger,
    /// Dead runs are put back.
    DeadRequeue,
    /// Dead runs are put aside.
    DeadDiscard,
    /// A captured mail is handed to the mail server.
    MailRelease,
    /// The e-mail log is emptied.
    MailClear,
    /// The next mails are made to fail.
    MailFail,
    /// An address gets no mail any more.
    MailSuppress,
    /// An address gets mail again.
    MailLift,
    /// An order is written.
    OrdersPut,
    /// The next calls to the order source are made to fail.
    OrdersFail,
    /// A webhook delivery is taken in again.
    WebhooksReplay,
    /// An API token is made.
    TokenCreate,
    /// An API token is revoked.
    TokenRevoke,
    /// What is kept no longer is taken out.
    StorePrune,
    /// Somebody is forgotten.
    StoreForget,
}

impl Action {
    /// Its word: the command without `jobmill`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::RunsCancel => "runs cancel",
            Self::RunsRetry => "runs retry",
            Self::RunsRerun => "runs rerun",
            Self::RunsTrial => "runs trial",
            Self::JobsPause => "jobs pause",
            Self::JobsResume => "jobs resume",
            Self::JobsRollback => "jobs rollback",
            Self::JobsUnpin => "jobs unpin",
            Self::QueuesPause => "queues pause",
            Self::QueuesResume => "queues resume",
            Self::QueuesSet => "queues set",
            Self::ScheduleTrigger => "schedule trigger",
            Self::DeadRequeue => "dead requeue",
            Self::DeadDiscard => "dead discard",
            Self::MailRelease => "mail release",
            Self::MailClear => "mail clear",
            Self::MailFail => "mail fail",
            Self::MailSuppress => "mail suppress",
            Self::MailLift => "mail lift",
            Self::OrdersPut => "orders put",
            Self::OrdersFail => "orders fail",
            Self::WebhooksReplay => "webhooks replay",
            Self::TokenCreate => "token create",
            Self::TokenRevoke => "token revoke",
            Self::StorePrune => "store prune",
            Self::StoreForget => "store forget",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
