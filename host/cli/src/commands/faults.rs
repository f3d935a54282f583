//! What `jobmill mail fail` and `jobmill orders fail` take: failures on demand, to watch retries work.
//! Nothing fails here; a development server makes it so.

use clap::{Args, ValueEnum};
use jobmill_client::{Answer, FaultKind, FaultsSet};

use super::Context;
use crate::failure::Failure;

/// What is to fail.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Faults {
    /// How many; 0 for none any more
    #[arg(value_name = "N")]
    pub(super) fail_next: u32,
    /// Whether a retry may mend it
    #[arg(long, value_enum, default_value_t = Kind::Transient)]
    kind: Kind,
}

/// The kind of the failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A retry may mend it
    Transient,
    /// No retry mends it
    Permanent,
}

impl Faults {
    /// The kind in the client's words.
    pub(super) fn kind(self) -> FaultKind {
        match self.kind {
            Kind::Transient => FaultKind::Transient,
            Kind::Permanent => FaultKind::Permanent,
        }
    }

    /// Says what will fail.
    pub(super) fn tell(self, set: &Answer<FaultsSet>, what: &str, context: &Context) -> Result<(), Failure> {
        context.output.document(set.text(), || match (set.fail_next, self.kind) {
            (0, _) => format!("no {what} is made to fail any more"),
            (1, Kind::Transient) => format!("the next {what} fails, as if a retry could mend it"),
            (1, Kind::Permanent) => format!("the next {what} fails for good"),
            (many, Kind::Transient) => format!("each next {what} fails, {many} times, as if a retry could mend it"),
            (many, Kind::Permanent) => format!("each next {what} fails for good, {many} times"),
        })
    }
}
