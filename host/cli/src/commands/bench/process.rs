//! What this process has used, and how busy the machine is, as the kernel counts it.
//! It leaves out what the kernel does not tell; nothing is estimated.

use std::fs;
use std::time::Duration;

use crate::machine;

/// What was used up to a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Of the processors, by all threads.
    pub(super) processors: Duration,
    /// Bytes that went to the disk; none where the kernel does not say.
    pub(super) written: Option<u64>,
}

impl Usage {
    /// Up to now.
    pub(super) fn now() -> Self {
        let written = fs::read_to_string("/proc/self/io").ok().and_then(|text| member(&text, "write_bytes:"));
        Self { processors: machine::processor_time(), written }
    }

    /// From `earlier` until this.
    pub(super) fn since(self, earlier: Self) -> Self {
        let written = self.written.zip(earlier.written).map(|(until, from)| until.saturating_sub(from));
        Self { processors: self.processors.saturating_sub(earlier.processors), written }
    }
}

/// Bytes of memory that the process has had at most; none where the kernel does not say.
pub(super) fn peak_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    member(&text, "VmHWM:").map(|kibibytes| kibibytes * 1024)
}

/// How many threads of the whole machine wanted a processor in the last minute; none where the kernel does not say.
pub(super) fn machine_load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// The number after `name` at the beginning of a line.
fn member(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_their_whole_name() {
        let text = "rchar: 5\nwrite_bytes: 4096\ncancelled_write_bytes: 1\nVmHWM:\t   12 kB\n";
        assert_eq!(member(text, "write_bytes:"), Some(4096));
        assert_eq!(member(text, "VmHWM:"), Some(12));
        assert_eq!(member(text, "bytes:"), None);
    }

    #[test]
    fn work_costs_processor_time_and_memory_has_a_peak() {
        let before = Usage::now();
        let mut sum = 0_u64;
        while Usage::now().since(before).processors < Duration::from_millis(1) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(sum > 0 && peak_memory().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
