//! Actions on everything that a filter names: counted first, asked about where they can't be taken back, then reported.
//! What a filter can name is said by the commands.

use jobmill_client::{Answer, BulkReport, Client, Error};

use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// Asks for an action; with true only for what it would be.
type Send<'a> = dyn Fn(&Client, bool) -> Result<Answer<BulkReport>, Error> + 'a;

/// An action on many runs.
pub(crate) struct Action<'a> {
    /// Asks for it.
    pub(crate) send: &'a Send<'a>,
    /// "cancel".
    pub(crate) verb: &'a str,
    /// "cancelled".
    pub(crate) done: &'a str,
    /// Whether the person is asked first.
    pub(crate) asks: bool,
}

/// Skipped runs named one by one; more are only counted.
const SKIPPED_SHOWN: usize = 10;

impl Action<'_> {
    /// Counts, asks, acts, reports.
    pub(crate) fn carry_out(&self, dry_run: bool, context: &Context) -> Result<Exit, Failure> {
        let client = context.client()?;
        if self.asks && !dry_run {
            let would = (self.send)(&client, true)?;
            if would.changed > 0 {
                context.output.confirm(&format!("{} {}?", self.verb, output::count(would.changed, "run")))?;
            }
        }
        let report = (self.send)(&client, dry_run)?;
        let done = if dry_run { format!("would be {}", self.done) } else { self.done.to_owned() };
        context.output.document(report.text(), || format!("{} {done}", output::count(report.changed, "run")))?;
        if report.skipped.is_empty() {
            return Ok(Exit::Done);
        }
        context.output.note(&format!("{} of {} left alone:", report.skipped.len(), report.matched));
        for skipped in report.skipped.iter().take(SKIPPED_SHOWN) {
            context.output.note(&format!("  {}: {}", skipped.id, output::first_line(&skipped.reason)));
        }
        if report.skipped.len() > SKIPPED_SHOWN {
            context.output.note(&format!("  … and {} more", report.skipped.len() - SKIPPED_SHOWN));
        }
        // Named runs that could not be changed are a failure when none could.
        Ok(if report.changed == 0 { Exit::Failed } else { Exit::Done })
    }
}
