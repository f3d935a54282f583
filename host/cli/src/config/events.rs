//! `[events]`: how long an event's id is remembered.
//! Remembering them is the store's.

use std::time::Duration;

use jobmill_core::limits;
use jobmill_core::time::{as_text, format_duration};
use jobmill_store::Retention;
use serde::Deserialize;

use crate::failure::Failure;

/// The section.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsSection {
    /// How long a second event under the same id is the first one.
    #[serde(with = "as_text")]
    pub(super) id_window: Duration,
}

/// Whoever sends an event twice does so within a minute at the least.
const ID_WINDOW_MIN: Duration = Duration::from_mins(1);

impl EventsSection {
    /// An id stands for the runs that it started, so they are kept for as long.
    pub(super) fn check(self, retention: &Retention) -> Result<(), Failure> {
        let window = self.id_window;
        let said = format!("events.id_window is {}", format_duration(window));
        if !(ID_WINDOW_MIN..=limits::UNIQUE_FOR_MAX).contains(&window) {
            return Err(Failure::usage("configuration", format!("{said}; it must be from 1m to 30d")));
        }
        let kept = [("completed", retention.completed), ("cancelled", retention.cancelled), ("dead", retention.dead)];
        let shortest = kept.into_iter().filter_map(|(name, span)| Some((span?, name))).min();
        match shortest {
            Some((span, name)) if span < window => {
                let kept = format_duration(span);
                let text = format!("{said}, longer than retention.{name}, which is {kept}: an id stands for its runs");
                Err(Failure::usage("configuration", text)
                    .advise(format!("keep runs longer, or write id_window = \"{kept}\" at most")))
            }
            _ => Ok(()),
        }
    }
}
