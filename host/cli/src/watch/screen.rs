//! A text that takes the place of the one before it at a terminal, and stands below it elsewhere.
//! It knows nothing of what the text says.

use std::io::{self, Write as _};

use crate::failure::Failure;
use crate::{output, terminal};

/// What was written last.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Lines of the terminal that it takes.
    lines: usize,
    has_written: bool,
}

impl Screen {
    /// Something else was written below it, so it stays.
    pub(super) fn forget(&mut self) {
        self.lines = 0;
    }

    /// Writes a text.
    pub(super) fn write(&mut self, text: &str) -> Result<(), Failure> {
        if terminal::can_replace() {
            // Not through the stream that drops colours: this is no colour.
            io::stdout().lock().write_all(replaced(self.lines, terminal::height()).as_bytes())?;
        } else if self.has_written {
            output::data("")?;
        }
        self.has_written = true;
        self.lines = taken(text, terminal::width());
        output::data(text)
    }
}

/// What takes so many lines away: from where they begin, or the whole screen where they begin above it.
fn replaced(lines: usize, height: Option<u16>) -> String {
    match lines {
        0 => String::new(),
        _ if height.is_some_and(|height| lines >= usize::from(height)) => "\u{1b}[2J\u{1b}[H".to_owned(),
        _ => format!("\u{1b}[{lines}A\u{1b}[J"),
    }
}

/// Lines of the terminal that a text takes.
fn taken(text: &str, width: Option<u16>) -> usize {
    let width = width.map_or(usize::MAX, usize::from);
    let lines = text.lines().map(|line| anstream::adapter::strip_str(line).to_string().chars().count());
    lines.map(|columns| columns.div_ceil(width).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_away_as_far_as_they_are_on_the_screen() {
        assert_eq!(replaced(0, Some(24)), "");
        assert_eq!(replaced(3, Some(24)), "\u{1b}[3A\u{1b}[J");
        assert_eq!(replaced(3, None), "\u{1b}[3A\u{1b}[J");
        assert_eq!(replaced(24, Some(24)), "\u{1b}[2J\u{1b}[H");
    }

    #[test]
    fn a_line_that_is_wider_than_the_terminal_takes_more_than_one() {
        assert_eq!(taken("a\n\n\u{1b}[31mabcd\u{1b}[0m", Some(4)), 3);
        assert_eq!(taken("abcde", Some(4)), 2);
        assert_eq!(taken("abcde", None), 1);
    }
}
