//! A circuit breaker over a job: when too large a share of its attempts fails it lets none begin, after a pause it tries
//! one, and goes by how that one ends. A pure state machine; it lives as long as the process, and begins closed.

use std::time::Duration;

use crate::flow::BreakerSettings;
use crate::id::RunId;
use crate::time::Timestamp;

/// Parts of the window. What is older than the window is forgotten a part at a time.
const PARTS: usize = 10;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts begin.
    Closed,
    /// None begins before this time; then one is tried.
    Open {
        /// The end of the pause.
        until: Timestamp,
    },
    /// This run is tried; no other begins.
    Trying(RunId),
}

/// What a breaker did, for whoever is on duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerAlarm {
    /// It paused the job.
    Opened {
        /// Attempts in the window that failed.
        failed: u32,
        /// Attempts in the window.
        attempts: u32,
    },
    /// The run that was tried failed too.
    StillOpen,
    /// The run that was tried did not fail: the job goes on.
    Closed,
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Which part of time, counted from the Unix epoch.
    number: u64,
    attempts: u32,
    failed: u32,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: BreakerState,
    parts: [Part; PARTS],
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: BreakerState::Closed, parts: [Part::default(); PARTS] }
    }
}

impl Breaker {
    /// Where it stands. A clock that was set back must not make its pause longer than it is.
    pub fn state(&self, settings: &BreakerSettings, now: Timestamp) -> BreakerState {
        match self.state {
            BreakerState::Open { until } => BreakerState::Open { until: until.min(now.after(settings.pause)) },
            state => state,
        }
    }

    /// Keeps the pause as it is at `now`, after the clock may have been set back: it ends that much later, and no later.
    pub fn settle(&mut self, settings: &BreakerSettings, now: Timestamp) {
        self.state = self.state(settings, now);
    }

    /// Whether an attempt may begin at `now`.
    pub fn admits(&self, settings: &BreakerSettings, now: Timestamp) -> bool {
        match self.state(settings, now) {
            BreakerState::Closed => true,
            BreakerState::Open { until } => until <= now,
            BreakerState::Trying(_) => false,
        }
    }

    /// An attempt begins.
    pub fn started(&mut self, run: RunId) {
        if matches!(self.state, BreakerState::Open { .. }) {
            self.state = BreakerState::Trying(run);
        }
    }

    /// An attempt that began was not made after all, or its end says nothing about the job.
    pub fn abandoned(&mut self, run: RunId, now: Timestamp) {
        if self.state == BreakerState::Trying(run) {
            self.state = BreakerState::Open { until: now };
        }
    }

    /// An attempt ended.
    pub fn ended(
        &mut self,
        settings: &BreakerSettings,
        run: RunId,
        failed: bool,
        now: Timestamp,
    ) -> Option<BreakerAlarm> {
        match self.state {
            BreakerState::Trying(tried) if tried == run => {
                if failed {
                    self.state = BreakerState::Open { until: now.after(settings.pause) };
                    return Some(BreakerAlarm::StillOpen);
                }
                *self = Self::default();
                Some(BreakerAlarm::Closed)
            }
            // An attempt that began before the pause.
            BreakerState::Trying(_) | BreakerState::Open { .. } => None,
            BreakerState::Closed => self.count(settings, failed, now),
        }
    }

    fn count(&mut self, settings: &BreakerSettings, failed: bool, now: Timestamp) -> Option<BreakerAlarm> {
        let number = part_number(settings.window, now);
        let part = &mut self.parts[usize::try_from(number).unwrap_or_default() % PARTS];
        if part.number != number {
            *part = Part { number, ..Part::default() };
        }
        part.attempts += 1;
        part.failed += u32::from(failed);
        let inside = self.parts.iter().filter(|part| number.abs_diff(part.number) < PARTS as u64);
        let (attempts, failures) = inside.fold((0, 0), |(a, f), part| (a + part.attempts, f + part.failed));
        let too_many = f64::from(failures) >= settings.failures * f64::from(attempts);
        if failed && attempts >= settings.min_attempts && too_many {
            self.state = BreakerState::Open { until: now.after(settings.pause) };
            self.parts = [Part::default(); PARTS];
            return Some(BreakerAlarm::Opened { failed: failures, attempts });
        }
        None
    }
}

fn part_number(window: Duration, now: Timestamp) -> u64 {
    let part = u64::try_from(window.as_millis()).unwrap_or(u64::MAX) / PARTS as u64;
    now.as_millis() / part.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 0.5,
        window: Duration::from_mins(1),
        min_attempts: 4,
        pause: Duration::from_secs(30),
    };

    fn run(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis((1_000_000 + seconds) * 1_000)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for (number, failed) in [(1, true), (2, false), (3, false)] {
            assert_eq!(breaker.ended(&SETTINGS, run(number), failed, at(0)), None);
        }
        let alarm = breaker.ended(&SETTINGS, run(4), true, at(1));
        assert_eq!(alarm, Some(BreakerAlarm::Opened { failed: 2, attempts: 4 }));
        breaker
    }

    #[test]
    fn it_opens_at_its_share_of_enough_attempts() {
        let breaker = opened();
        assert_eq!(breaker.state(&SETTINGS, at(1)), BreakerState::Open { until: at(31) });
        assert!(!breaker.admits(&SETTINGS, at(30)) && breaker.admits(&SETTINGS, at(31)));
    }

    #[test]
    fn failures_that_lie_apart_do_not_open_it() {
        let mut breaker = Breaker::default();
        for number in 0..20 {
            assert_eq!(breaker.ended(&SETTINGS, run(number), true, at(u64::from(number) * 30)), None);
        }
    }

    #[test]
    fn after_its_pause_it_goes_by_the_run_it_tries() {
        let mut breaker = opened();
        breaker.started(run(5));
        assert!(!breaker.admits(&SETTINGS, at(40)));
        assert_eq!(breaker.ended(&SETTINGS, run(1), false, at(40)), None, "one from before");
        assert_eq!(breaker.ended(&SETTINGS, run(5), true, at(41)), Some(BreakerAlarm::StillOpen));
        assert!(!breaker.admits(&SETTINGS, at(70)) && breaker.admits(&SETTINGS, at(71)));
        breaker.started(run(6));
        breaker.abandoned(run(6), at(72));
        assert!(breaker.admits(&SETTINGS, at(72)));
        breaker.started(run(7));
        assert_eq!(breaker.ended(&SETTINGS, run(7), false, at(73)), Some(BreakerAlarm::Closed));
        assert_eq!(breaker.state(&SETTINGS, at(73)), BreakerState::Closed);
    }

    #[test]
    fn a_clock_set_back_does_not_prolong_its_pause() {
        let mut breaker = opened();
        assert!(!breaker.admits(&SETTINGS, at(0)));
        assert_eq!(
            breaker.state(&SETTINGS, Timestamp::from_millis(0)),
            BreakerState::Open { until: Timestamp::from_millis(30_000) }
        );
        breaker.settle(&SETTINGS, Timestamp::from_millis(0));
        assert!(breaker.admits(&SETTINGS, Timestamp::from_millis(30_000)));
    }
}
