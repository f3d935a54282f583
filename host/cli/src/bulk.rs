//! Actions on everything that a filter names: counted first, asked about where they can't be taken back, then reported.
//! What a filter can name is said by the commands.

use serde::Serialize;

use crate::api::BulkView;
use crate::client::Client;
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// An action on many runs.
pub(crate) struct Action<'a, Filter, Options> {
    /// Its route.
    pub(crate) path: &'a [&'a str],
    /// Which runs.
    pub(crate) filter: Filter,
    /// The members beside the filter.
    pub(crate) options: Options,
    /// "cancel".
    pub(crate) verb: &'a str,
    /// "cancelled".
    pub(crate) done: &'a str,
    /// Whether the person is asked first.
    pub(crate) asks: bool,
}

#[derive(Serialize)]
struct Body<'a, Filter, Options> {
    filter: &'a Filter,
    #[serde(flatten)]
    options: &'a Options,
    dry_run: bool,
}

/// Skipped runs named one by one; more are only counted.
const SKIPPED_SHOWN: usize = 10;

impl<Filter: Serialize, Options: Serialize> Action<'_, Filter, Options> {
    /// Counts, asks, acts, reports.
    pub(crate) fn carry_out(&self, dry_run: bool, context: &Context) -> Result<Exit, Failure> {
        let client = context.client()?;
        if self.asks && !dry_run {
            let would: BulkView = self.send(&client, true)?.read()?;
            if would.changed > 0 {
                context.output.confirm(&format!("{} {}?", self.verb, output::count(would.changed, "run")))?;
            }
        }
        let answer = self.send(&client, dry_run)?;
        let report: BulkView = answer.read()?;
        let done = if dry_run { format!("would be {}", self.done) } else { self.done.to_owned() };
        context.output.document(&answer.text, || format!("{} {done}", output::count(report.changed, "run")))?;
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

    fn send(&self, client: &Client, dry_run: bool) -> Result<crate::client::Answer, Failure> {
        client.post(self.path, &Body { filter: &self.filter, options: &self.options, dry_run })
    }
}
