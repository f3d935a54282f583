//! What limits cost: the same runs worked off without them and under them by turns, so that whatever else the machine is
//! busy with falls on both.
//! It puts no limits on a job, and judges nothing.

use std::path::Path;
use std::time::Duration;

use super::drive::{self, Load};
use super::report::rate;
use super::site::Site;
use super::subject::Subject;
use super::{Bench, say};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Drains of each mill. An odd number of them has a median that was measured.
const ROUNDS: usize = 3;
/// Where the other mill is, in the directory of the one under limits.
const DIRECTORY: &str = "without-limits";

/// A mill without limits beside the one under them. It is opened when its turn comes, so that no other figure has a part
/// in it; whoever lent the place of it closes it.
pub(super) struct Beside<'a> {
    pub(super) config: Config,
    pub(super) site: &'a mut Option<Site>,
}

/// What the drains of either mill are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// The runs, and who enqueues them.
    pub(super) load: Load,
    /// How long enqueueing them may take.
    pub(super) allowance: Duration,
}

/// Drains of two mills.
#[derive(Debug)]
pub(super) struct Contrast {
    /// Runs a second, in the middle of all drains without limits.
    pub(super) without: f64,
    /// The same under limits.
    pub(super) under: f64,
    /// Runs of the mill without limits: each was looked at and had completed by its only attempt.
    pub(super) completed_once: usize,
}

impl Beside<'_> {
    /// Holds this mill and the one under limits, in whose `directory` it is, against each other.
    pub(super) async fn contrast(
        self,
        bench: &Bench,
        limited: &Subject,
        directory: &Path,
        round: Round,
        output: Output,
    ) -> Result<Contrast, Failure> {
        let hopper = self.config.hopper.dir.clone();
        let site = self.site.insert(Site::open(self.config, &directory.join(DIRECTORY), bench.served())?);
        let (handle, address) = (site.handle.clone(), site.address);
        let contrasting = async {
            let without = Subject::find(bench, handle, address, &hopper).await?;
            catch_up(&without, limited, round.load, output).await?;
            drain_by_turns(&without, limited, round, output).await
        };
        tokio::select! {
            contrast = contrasting => contrast,
            failure = site.failed() => Err(failure),
        }
    }
}

/// Gives a new mill as many runs that are over as the other has: what a store keeps has a part in how fast it is.
async fn catch_up(without: &Subject, limited: &Subject, load: Load, output: Output) -> Result<(), Failure> {
    let behind = limited.intake.acknowledged();
    let runs = u32::try_from(behind).unwrap_or(u32::MAX);
    say(output, &format!("limits: {} without them, not measured", output::count(behind, "run")));
    drive::sustain(&without.intake, Load { runs, ..load }, &without.tally).await?;
    Ok(())
}

async fn drain_by_turns(
    without: &Subject,
    limited: &Subject,
    round: Round,
    output: Output,
) -> Result<Contrast, Failure> {
    let mills = [("without them", without), ("under them", limited)];
    let mut rates = [Vec::new(), Vec::new()];
    for number in 0..ROUNDS {
        // Neither is always the second: a machine that slows down bit by bit favours none.
        for mill in [number % 2, (number + 1) % 2] {
            let (how, subject) = mills[mill];
            say(output, &format!("limits: drain {} of {ROUNDS} {how}", number + 1));
            let queue = async |due| {
                let enqueued = drive::enqueue(&subject.intake, round.load, Some(due), None).await?;
                Ok(((), enqueued.runs))
            };
            let ((), drained) = subject.drain(round.allowance, output, queue).await?;
            rates[mill].push(rate(drained.runs as usize, drained.took));
        }
    }
    let [without_limits, under] = rates.map(median);
    Ok(Contrast { without: without_limits, under, completed_once: without.check().await? })
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_drain_that_was_disturbed_has_no_part_in_the_rate() {
        for disturbed in [[3.0, 31_000.0, 30_000.0], [31_000.0, 90_000.0, 3.0], [30_000.0, 31_000.0, 90_000.0]] {
            let rate = median(disturbed.to_vec());
            assert!((30_000.0..=31_000.0).contains(&rate), "{rate} of {disturbed:?}");
        }
    }
}
