//! What each job of a seed says of when it starts by itself, with another word for each version of its component, and
//! which instants that names, by a second reading. It fires nothing.

use std::time::Duration;

use jobmill_core::Timestamp;
use jobmill_core::flow::CatchUp;

use crate::chance::Chance;

/// A run that is no later than this was not missed.
pub(crate) const PUNCTUAL: Duration = Duration::from_mins(1);

/// Expressions, and every how many minutes of the epoch each fires.
const EXPRESSIONS: [(&str, u64); 6] = [
    ("* * * * *", 1),
    ("*/2 * * * *", 2),
    ("TZ=Asia/Kolkata */3 * * * *", 3),
    ("*/5 * * * *", 5),
    ("*/15 * * * *", 15),
    ("@hourly", 60),
];

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Crons {
    /// Where the draws of each job begin.
    row: u64,
}

impl Crons {
    pub(crate) fn draw(chance: &Chance) -> Self {
        Self { row: chance.next() }
    }

    /// The expressions of a job in this version, and what becomes of missed times.
    pub(crate) fn of(&self, job: u64, version: u64) -> (Vec<String>, CatchUp) {
        let chance = Chance::new(self.row ^ (job * 64 + version + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let count = 2_usize.saturating_sub(chance.index(3));
        let mut crons: Vec<String> = (0..count).filter_map(|_| chance.one_of(&EXPRESSIONS)).map(named).collect();
        crons.sort();
        crons.dedup();
        (crons, if chance.one_in(2) { CatchUp::Once } else { CatchUp::Skip })
    }
}

fn named((text, _): (&str, u64)) -> String {
    text.to_owned()
}

/// The last instant of an expression that is not later than this.
pub(crate) fn latest(cron: &str, until: Timestamp) -> Timestamp {
    let minutes = EXPRESSIONS.iter().find(|(text, _)| *text == cron).map_or(1, |(_, minutes)| *minutes);
    let until = until.as_millis();
    Timestamp::from_millis(until - until % (minutes * 60_000))
}
