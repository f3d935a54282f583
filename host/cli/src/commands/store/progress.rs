//! A line now and then for whoever waits for something long.
//! What is quick says nothing.

use std::time::{Duration, Instant};

use crate::machine;
use crate::output::{Output, count, size};

/// After this the first line is said, and the next ones after each of the longer spans.
const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_secs(10);

/// How far something is.
pub(super) struct Progress {
    doing: &'static str,
    next: Instant,
    output: Output,
    /// Lines so far.
    pub(super) lines: usize,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl Progress {
    /// It begins now.
    pub(super) fn begin(doing: &'static str, output: Output) -> Self {
        Self { doing, next: machine::moment() + PATIENCE, output, lines: 0, bytes: 0 }
    }

    /// One more line.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        self.bytes += line.len() as u64;
        let now = machine::moment();
        if now >= self.next {
            self.next = now + BETWEEN;
            self.output.note(&format!("{}: {}, {} so far", self.doing, count(self.lines, "line"), size(self.bytes)));
        }
    }
}
