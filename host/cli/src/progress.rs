//! How far something long is, for whoever waits: one line that is drawn again at a terminal, and a line now and then elsewhere.
//! What is quick says nothing. It is written to the standard error.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::output::{Output, visible};
use crate::{machine, terminal};

/// After this the first line is said, and the next ones after each of the longer spans.
const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_secs(10);
/// The same at a terminal, where a line takes the place of the one before.
const TERMINAL_PATIENCE: Duration = Duration::from_millis(300);
const TERMINAL_BETWEEN: Duration = Duration::from_millis(100);
/// How many characters a bar has.
const WIDTH: u64 = 24;

/// Something that takes its time.
pub(crate) struct Progress {
    output: Output,
    is_drawn: bool,
    /// What is on the line now.
    has_line: bool,
    next: Instant,
}

impl Progress {
    /// It begins now.
    pub(crate) fn begin(output: Output) -> Self {
        let is_drawn = !output.quiet && terminal::can_replace_notes();
        let patience = if is_drawn { TERMINAL_PATIENCE } else { PATIENCE };
        Self { output, is_drawn, has_line: false, next: machine::moment() + patience }
    }

    /// Says how far it is if that was not said a moment ago: a bar where a share is known, and the words.
    pub(crate) fn tell(&mut self, share: Option<(u64, u64)>, words: impl FnOnce() -> String) {
        let now = machine::moment();
        if now < self.next {
            return;
        }
        if self.is_drawn {
            self.next = now + TERMINAL_BETWEEN;
            let bar = share.map(|(done, all)| bar(done, all)).unwrap_or_default();
            self.draw(&format!("{bar}{}", visible(&words())));
        } else {
            self.next = now + BETWEEN;
            self.output.note(&words());
        }
    }

    /// Says something that stays, above the line.
    pub(crate) fn note(&mut self, text: &str) {
        self.clear();
        self.output.note(text);
    }

    /// Takes the line away, so that something else can be said.
    pub(crate) fn clear(&mut self) {
        if self.has_line {
            self.has_line = false;
            // Not through the stream that drops colours: this is no colour.
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }

    fn draw(&mut self, line: &str) {
        self.has_line = true;
        let columns = terminal::notes_width().map_or(79, |columns| usize::from(columns).saturating_sub(1));
        let line: String = line.chars().take(columns).collect();
        let mut stderr = std::io::stderr().lock();
        // Whoever closed the standard error does not look.
        let _ = write!(stderr, "\r\u{1b}[K{line}").and_then(|()| stderr.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `████████░░░░░░░░░░░░░░░░  33 %  `.
fn bar(done: u64, all: u64) -> String {
    let done = done.min(all);
    let of = |whole: u64| u64::try_from(u128::from(done) * u128::from(whole) / u128::from(all.max(1))).unwrap_or(whole);
    let full: String = (0..WIDTH).map(|place| if place < of(WIDTH) { '█' } else { '░' }).collect();
    format!("{full} {:>3} %  ", of(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar(0, 4), format!("{}   0 %  ", "░".repeat(24)));
        assert_eq!(bar(1, 4), format!("{}{}  25 %  ", "█".repeat(6), "░".repeat(18)));
        assert_eq!(bar(4, 4), format!("{} 100 %  ", "█".repeat(24)));
        assert_eq!(bar(9, 4), bar(4, 4), "what grew meanwhile is done all the same");
        assert_eq!(bar(0, 0), bar(0, 4));
        assert_eq!(bar(u64::MAX, u64::MAX), bar(4, 4));
    }
}
