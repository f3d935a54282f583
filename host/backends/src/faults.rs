//! Failures on request: the next sends, or the next order updates, fail.
//! For development only; nothing of it is kept over a restart.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which failure is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// One that trying again mends.
    Transient,
    /// One that trying again does not mend.
    Permanent,
}

/// The text of an injected failure.
pub(crate) const INJECTED: &str = "injected fault";

/// How many of the next calls of one target fail, over all jobs.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Planned>);

#[derive(Debug)]
struct Planned {
    count: u64,
    kind: FaultKind,
}

impl Default for Planned {
    fn default() -> Self {
        Self { count: 0, kind: FaultKind::Transient }
    }
}

impl Faults {
    /// Makes the next `count` calls fail; replaces what was planned before, so 0 ends it.
    pub fn fail_next(&self, count: u64, kind: FaultKind) {
        *self.lock() = Planned { count, kind };
    }

    /// How many of the next calls fail.
    pub fn remaining(&self) -> u64 {
        self.lock().count
    }

    /// Uses up one planned failure, if there is one.
    pub fn take(&self) -> Option<FaultKind> {
        let mut planned = self.lock();
        planned.count = planned.count.checked_sub(1)?;
        Some(planned.kind)
    }

    fn lock(&self) -> MutexGuard<'_, Planned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_failures_are_used_up_one_by_one() {
        let faults = Faults::default();
        assert_eq!(faults.take(), None);
        faults.fail_next(2, FaultKind::Permanent);
        assert_eq!((faults.take(), faults.remaining()), (Some(FaultKind::Permanent), 1));
        assert_eq!((faults.take(), faults.take()), (Some(FaultKind::Permanent), None));
    }

    #[test]
    fn a_new_plan_replaces_the_old_one() {
        let faults = Faults::default();
        faults.fail_next(5, FaultKind::Permanent);
        faults.fail_next(0, FaultKind::Transient);
        assert_eq!((faults.take(), faults.remaining()), (None, 0));
    }
}
