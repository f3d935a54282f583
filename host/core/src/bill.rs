//! What an attempt used: time, memory, and the host calls that it waited for.
//! It measures nothing; the runtime does.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::{limits, time};

/// What an attempt used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Microseconds from its first instruction to its last, waiting included.
    pub wall_micros: u64,
    /// Microseconds of processor time: the guest's own, and the host's in its calls while nothing was waited for.
    pub cpu_micros: u64,
    /// Bytes of linear memory that it had in the end, which is the most: a memory never shrinks.
    pub memory: u64,
    /// Host calls that it made, all of them.
    pub host_calls: u64,
    /// Those that reach beyond the sandbox, the first `limits::BILLED_CALLS`, in order.
    pub calls: Vec<HostCall>,
}

/// A host call that reached beyond the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCall {
    /// Which, such as `send-email`, `fetch-order` or `GET api.example.com`.
    pub name: Cow<'static, str>,
    /// Microseconds from the attempt's first instruction to its beginning.
    pub at_micros: u64,
    /// Microseconds that it took.
    pub took_micros: u64,
    /// Whether it was refused or failed.
    pub failed: bool,
}

impl Bill {
    /// Takes one more call in, if there is room for it.
    pub fn add(&mut self, call: HostCall) {
        if self.calls.len() < limits::BILLED_CALLS {
            self.calls.push(call);
        }
    }

    /// Its time, waiting included.
    pub fn wall(&self) -> Duration {
        Duration::from_micros(self.wall_micros)
    }

    /// Its processor time.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_micros)
    }
}

/// In words: "12.4 ms · 3.1 ms processor · 2.1 MiB · 4 host calls".
impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, cpu) = (time_text(self.wall_micros), time_text(self.cpu_micros));
        let plural = if self.host_calls == 1 { "" } else { "s" };
        write!(f, "{wall} · {cpu} processor · {} · {} host call{plural}", size_text(self.memory), self.host_calls)
    }
}

/// A measured time with the precision that a reader takes in: `840 µs`, `12.4 ms`, `2.1 s`, `3m20s`.
pub fn time_text(micros: u64) -> String {
    let tenths = |of: u64, unit: &str| format!("{}.{} {unit}", micros / of, micros % of * 10 / of);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => tenths(1_000, "ms"),
        100_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => tenths(1_000_000, "s"),
        _ => time::format_duration(Duration::from_secs(micros / 1_000_000)),
    }
}

/// Bytes as people read them: `64 KiB`, `2.1 MiB`.
pub fn size_text(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string().replace(".0 ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_told_in_words() {
        let mut bill =
            Bill { wall_micros: 12_450, cpu_micros: 3_199, memory: 2_228_224, host_calls: 4, calls: Vec::new() };
        assert_eq!(bill.to_string(), "12.4 ms · 3.1 ms processor · 2.1 MiB · 4 host calls");
        bill.host_calls = 1;
        assert!(bill.to_string().ends_with(" · 1 host call"));
    }

    #[test]
    fn times_are_as_precise_as_a_reader_takes_them_in() {
        for (micros, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (99_999, "99.9 ms"),
            (100_000, "100 ms"),
            (999_999, "999 ms"),
            (2_190_000, "2.1 s"),
            (200_000_000, "3m20s"),
        ] {
            assert_eq!(time_text(micros), text);
        }
        assert_eq!([size_text(65_536), size_text(1 << 20)], ["64 KiB", "1 MiB"]);
    }

    #[test]
    fn calls_beyond_the_bound_are_not_kept() {
        let mut bill = Bill::default();
        for at_micros in 0..1_000 {
            bill.add(HostCall { name: "send-email".into(), at_micros, took_micros: 1, failed: false });
        }
        assert_eq!(bill.calls.len(), limits::BILLED_CALLS);
        assert_eq!(bill.calls.last().map(|call| call.at_micros), Some(limits::BILLED_CALLS as u64 - 1));
    }
}
