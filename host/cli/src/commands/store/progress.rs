//! How far an export or an import is: lines and bytes, of as many as there are where that is known.
//! When that is said is the matter of `crate::progress`.

use crate::output::{Output, count, size};
use crate::progress;

/// How far something is.
pub(super) struct Progress {
    doing: &'static str,
    line: progress::Progress,
    /// Lines so far.
    pub(super) lines: usize,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Bytes that there will be.
    all: Option<u64>,
}

impl Progress {
    /// It begins now, and is done when so many bytes are, as far as that is known.
    pub(super) fn begin(doing: &'static str, all: Option<u64>, output: Output) -> Self {
        Self { doing, line: progress::Progress::begin(output), lines: 0, bytes: 0, all }
    }

    /// One more line.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        self.bytes += line.len() as u64;
        let Self { doing, lines, bytes, all, .. } = *self;
        self.line
            .tell(all.map(|all| (bytes, all)), || format!("{doing}: {}, {} so far", count(lines, "line"), size(bytes)));
    }

    /// It is over, and something else is said.
    pub(super) fn end(&mut self) {
        self.line.clear();
    }
}
