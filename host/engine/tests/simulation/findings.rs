//! What was found to be wrong, wherever it was seen, and what happened before it.
//! It judges nothing; checkers do.

use std::sync::{Arc, Mutex, MutexGuard};

/// Clones share what was found. Only the first finding counts: others may follow from it.
#[derive(Clone, Default)]
pub(crate) struct Findings(Arc<Mutex<Found>>);

#[derive(Default)]
struct Found {
    first: Option<String>,
    trace: Option<Vec<String>>,
}

impl Findings {
    /// Findings with a trace of every step.
    pub(crate) fn traced() -> Self {
        Self(Arc::new(Mutex::new(Found { first: None, trace: Some(Vec::new()) })))
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().expect("not poisoned")
    }

    /// Something is wrong.
    pub(crate) fn report(&self, text: impl FnOnce() -> String) {
        let mut found = self.found();
        if found.first.is_none() {
            found.first = Some(text());
        }
    }

    /// Something is wrong unless this holds.
    pub(crate) fn require(&self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.report(text);
        }
    }

    pub(crate) fn first(&self) -> Option<String> {
        self.found().first.clone()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.found().first.is_none()
    }

    /// A line of the trace, made only when there is one.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.found().trace {
            trace.push(line());
        }
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.found().trace.clone().unwrap_or_default()
    }
}
