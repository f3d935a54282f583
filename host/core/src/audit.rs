//! The audit list: what operators did, when, on what, with which token, and how it ended.
//! It keeps no list and watches nobody; the store and the server do.

use serde::{Deserialize, Serialize};

use crate::id::{AuditId, TokenId};
use crate::limits;
use crate::time::Timestamp;

/// How whoever acted is told where no token was wanted.
pub const WITHOUT_TOKEN: &str = "without a token";

/// One thing that an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When it was begun.
    pub at: Timestamp,
    /// The token that it was done with; none where none was wanted.
    pub by: Option<Operator>,
    /// The word for it: the command of the command line that does the same.
    pub action: String,
    /// What it was done to: the id of a run, the name of a queue, an address.
    pub target: Option<String>,
    /// What else there is to know, for people.
    pub detail: Option<String>,
    /// How it ended. None while it is under way, and for ever where the engine ended in the middle of it.
    pub outcome: Option<AuditOutcome>,
}

/// The token of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Its id.
    pub id: TokenId,
    /// Its name, as it was then.
    pub name: String,
}

/// How something that an operator did has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused {
        /// Why, by the code of the problem.
        code: String,
    },
}

impl AuditOutcome {
    /// The word for it everywhere.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused { .. } => "refused",
        }
    }
}

impl AuditEntry {
    /// The name of whoever did it.
    pub fn by_name(&self) -> &str {
        self.by.as_ref().map_or(WITHOUT_TOKEN, |operator| &operator.name)
    }

    /// The same with texts no longer than an entry may have.
    #[must_use]
    pub fn within_bounds(mut self) -> Self {
        self.target = self.target.and_then(|text| shortened(text, limits::AUDIT_TARGET_BYTES));
        self.detail = self.detail.and_then(|text| shortened(text, limits::AUDIT_DETAIL_BYTES));
        self
    }
}

/// The text up to a blank within its bound: part of an address would not be found when that is to be forgotten.
fn shortened(text: String, bytes: usize) -> Option<String> {
    if text.len() <= bytes {
        return Some(text);
    }
    let (head, _) = limits::truncate(&text, bytes - '…'.len_utf8()).rsplit_once(char::is_whitespace)?;
    Some(format!("{head}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(detail: &str) -> AuditEntry {
        AuditEntry {
            id: AuditId::from_bytes([1; 16]),
            at: Timestamp::from_millis(1),
            by: None,
            action: "runs cancel".to_owned(),
            target: None,
            detail: Some(detail.to_owned()),
            outcome: None,
        }
    }

    #[test]
    fn a_text_over_its_bound_ends_between_two_words() {
        let filler = "x".repeat(limits::AUDIT_DETAIL_BYTES - 10);
        let cut = entry(&format!("{filler} ada@example.com")).within_bounds();
        assert_eq!(cut.detail, Some(format!("{filler}…")));
        assert_eq!(entry(&"x".repeat(limits::AUDIT_DETAIL_BYTES + 1)).within_bounds().detail, None);
        let whole = entry(&"ü".repeat(limits::AUDIT_DETAIL_BYTES / 2));
        assert_eq!(whole.clone().within_bounds(), whole);
    }

    #[test]
    fn who_had_no_token_is_told_as_such() {
        let named = Operator { id: TokenId::from_bytes([2; 16]), name: "ada".to_owned() };
        assert_eq!(entry("").by_name(), "without a token");
        assert_eq!(AuditEntry { by: Some(named), ..entry("") }.by_name(), "ada");
    }
}
