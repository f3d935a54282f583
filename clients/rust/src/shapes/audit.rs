//! What operators did, as the audit list tells it.
//! It is told and never changed.

use jobmill_core::{AuditId, Timestamp, TokenId};
use serde::Deserialize;

/// One thing that an operator did.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When it was begun.
    pub at: Timestamp,
    /// The token that it was done with; none where none was wanted.
    #[serde(default)]
    pub by: Option<Operator>,
    /// What was done: the command of the command line that does the same.
    pub action: String,
    /// What it was done to.
    #[serde(default)]
    pub target: Option<String>,
    /// What else there is to know.
    #[serde(default)]
    pub detail: Option<String>,
    /// `done` or `refused`; none while it is under way, and where the server ended in the middle of it.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Why it was refused.
    #[serde(default)]
    pub code: Option<String>,
}

/// The token of an operator.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Operator {
    /// Its id.
    pub id: TokenId,
    /// Its name, as it was then.
    pub name: String,
}
