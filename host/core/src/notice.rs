//! Notices of dead runs: what somebody was told of a group of them, and what a message says.
//! It decides nothing and sends nothing: the engine finds the groups that are news, and whoever carries messages does.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::id::{JobId, NoticeId, RunId};
use crate::outcome::FailureKind;
use crate::time::Timestamp;

/// What is told of a group of dead runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// It is there, and was not before.
    Appeared,
    /// Many runs joined it within a short while.
    Spiked,
}

impl News {
    /// The type of the message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "dead.group_appeared",
            Self::Spiked => "dead.group_spiked",
        }
    }
}

/// A group of dead runs: job and fingerprint.
pub type GroupName = (JobId, u64);

/// What somebody was told of a group, or is being told. No text of an error is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The group's job.
    pub job: JobId,
    /// What its errors have in common.
    pub fingerprint: u64,
    /// The last message about it.
    pub message: NoticeId,
    /// What that message tells.
    pub news: News,
    /// When it was made.
    pub begun_at: Timestamp,
    /// When everybody had it, or had been given up on; none while it is on its way.
    pub ended_at: Option<Timestamp>,
    /// When a message about the group was last taken by anybody.
    pub told_at: Option<Timestamp>,
    /// The group has had no runs since.
    pub emptied: bool,
}

impl Notice {
    /// The group that it is about.
    pub fn group(&self) -> GroupName {
        (self.job.clone(), self.fingerprint)
    }
}

/// A message to whoever is on duty. It says the same each time it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeMessage {
    /// Its id, by which a receiver knows it again.
    pub id: NoticeId,
    /// What it tells.
    pub news: News,
    /// When it was made.
    pub at: Timestamp,
    /// Of which groups.
    pub groups: Vec<NoticedGroup>,
}

impl NoticeMessage {
    /// What a webhook gets.
    pub fn body(&self) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Body<'message> {
            r#type: &'static str,
            timestamp: Timestamp,
            data: Data<'message>,
        }
        #[derive(Serialize)]
        struct Data<'message> {
            groups: &'message [NoticedGroup],
        }
        let data = Data { groups: &self.groups };
        serde_json::to_string(&Body { r#type: self.news.as_str(), timestamp: self.at, data })
    }
}

/// A group as a message tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticedGroup {
    /// The job.
    pub job: JobId,
    /// What the errors have in common; 16 hex digits in text, as everywhere.
    #[serde(serialize_with = "hex_digits")]
    pub fingerprint: u64,
    /// The first line of the newest run's error.
    pub error: String,
    /// The kind of the error.
    pub kind: FailureKind,
    /// How many runs.
    pub count: usize,
    /// When the first of them became dead.
    pub first_seen: Timestamp,
    /// When the last of them became dead.
    pub last_seen: Timestamp,
    /// The newest run.
    pub example: RunId,
}

/// What became of a message that was handed to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeDelivery {
    /// The receiver has it.
    Taken,
    /// The receiver does not want it, and would not later; why, for the log.
    Refused(String),
    /// It may take it later.
    NotNow {
        /// Why, for the log.
        reason: String,
        /// What the receiver asks to be left alone for.
        delay: Option<Duration>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands members over so")]
fn hex_digits<S: Serializer>(fingerprint: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{fingerprint:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_gets_what_is_documented() {
        let at = Timestamp::from_millis(1_772_355_600_000);
        let group = NoticedGroup {
            job: "welcome-email".parse().expect("a job id"),
            fingerprint: 0xab,
            error: "no user \"17\"".to_owned(),
            kind: FailureKind::Permanent,
            count: 3,
            first_seen: at,
            last_seen: at,
            example: RunId::from_bytes([0; 16]),
        };
        let id = NoticeId::from_bytes([0; 16]);
        let message = NoticeMessage { id, news: News::Appeared, at, groups: vec![group] };
        let expected = concat!(
            r#"{"type":"dead.group_appeared","timestamp":"2026-03-01T09:00:00.000Z","data":{"groups":[{"#,
            r#""job":"welcome-email","fingerprint":"00000000000000ab","error":"no user \"17\"","kind":"permanent","#,
            r#""count":3,"first_seen":"2026-03-01T09:00:00.000Z","last_seen":"2026-03-01T09:00:00.000Z","#,
            r#""example":"run_00000000000000000000000000"}]}}"#,
        );
        assert_eq!(message.body().expect("JSON"), expected);
    }
}
