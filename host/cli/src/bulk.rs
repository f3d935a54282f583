//! Actions on everything that a filter names: counted first, asked about, then reported.
//! What a filter can name is said by the commands.

use jobmill_client::{Answer, BulkReport, Client, Error, Skipped};

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
                context.output.confirm(&question(self.verb, would.changed, ""))?;
            }
        }
        let report = (self.send)(&client, dry_run)?;
        let done = if dry_run { format!("would be {}", self.done) } else { self.done.to_owned() };
        context.output.document(report.text(), || format!("{} {done}", output::count(report.changed, "run")))?;
        Ok(tell_skipped(report.matched, report.changed, &report.skipped, context))
    }
}

/// `Cancel 38 runs?`, with what more is to be known of them.
pub(crate) fn question(verb: &str, runs: usize, more: &str) -> String {
    let mut letters = verb.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{} {}{more}?", letters.as_str(), output::count(runs, "run"))
}

/// Says which runs were left alone and why. Named runs that could not be changed are a failure when none could.
pub(crate) fn tell_skipped(matched: usize, changed: usize, skipped: &[Skipped], context: &Context) -> Exit {
    if skipped.is_empty() {
        return Exit::Done;
    }
    context.output.note(&format!("{} of {matched} left alone:", skipped.len()));
    for skipped in skipped.iter().take(SKIPPED_SHOWN) {
        context.output.note(&format!("  {}: {}", skipped.id, output::first_line(&skipped.reason)));
    }
    if skipped.len() > SKIPPED_SHOWN {
        context.output.note(&format!("  … and {} more", skipped.len() - SKIPPED_SHOWN));
    }
    if changed == 0 { Exit::Failed } else { Exit::Done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_what_is_done_to_how_many() {
        assert_eq!(question("cancel", 38, ""), "Cancel 38 runs?");
        assert_eq!(question("retry", 1, " (1 dead)"), "Retry 1 run (1 dead)?");
    }
}
