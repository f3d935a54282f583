//! What people and programs read: data on the standard output as tables or JSON, everything else on the standard error.
//! It asks no server and knows no command.

mod table;

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, Color};
use jobmill_core::{RunState, Timestamp};
use owo_colors::{OwoColorize as _, Style};
use serde_json::value::RawValue;

use crate::args::{Format, Global};
use crate::failure::Failure;

pub(crate) use self::table::{Column, table};

/// Where a command writes, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// The format of the standard output.
    pub(crate) format: Format,
    /// Nothing but data and errors is wanted.
    pub(crate) quiet: bool,
    yes: bool,
}

impl Output {
    /// Follows the global options. Colours are decided for the whole process.
    pub(crate) fn new(global: &Global) -> Self {
        if global.no_color {
            anstream::ColorChoice::Never.write_global();
        }
        Self { format: global.output, quiet: global.quiet, yes: global.yes }
    }

    /// Writes lines for the person at the terminal; nothing when quiet.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// Writes one document as the server sent it, or as `table` shows it.
    pub(crate) fn document(self, json: &str, table: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Table => data(&table()),
            Format::Json => data(json),
            Format::Jsonl => data(&one_line(json)),
        }
    }

    /// Writes a list: the page as the API has it, an item a line, or as `table` shows it. `empty` is said instead of an
    /// empty table.
    pub(crate) fn list(
        self,
        items: &[Box<RawValue>],
        next_cursor: Option<&str>,
        empty: &str,
        table: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table if items.is_empty() => {
                self.note(empty);
                Ok(())
            }
            Format::Table => data(&table()?),
            Format::Json => {
                let page = serde_json::json!({ "next_cursor": next_cursor });
                let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
                data(&format!("{{\"items\":[{}],\"next_cursor\":{}}}", items.join(","), page["next_cursor"]))
            }
            Format::Jsonl => items.iter().try_for_each(|item| data(&one_line(item.get()))),
        }
    }

    /// Asks before something that can't be taken back. Without a terminal nobody can answer, so that is refused.
    pub(crate) fn confirm(self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage("not-confirmed", question.to_owned()).advise("add --yes to do it"));
        }
        let mut stderr = anstream::stderr().lock();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::new("not-confirmed", "nothing was changed")),
        }
    }
}

/// Writes lines of data to the standard output.
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Writes lines to the standard error. A standard error that is gone is nobody's to hear about.
pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Valid JSON has line breaks only between its tokens, so this changes its look and nothing else.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Text from jobs, mails and payloads with every control character made visible: none of it steers the terminal.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            _ if character.is_control() => {
                let _ = write!(shown, "{}", character.escape_default());
            }
            _ => shown.push(character),
        }
    }
    shown
}

/// The first line of `text`, visible.
pub(crate) fn first_line(text: &str) -> String {
    visible(text.lines().next().unwrap_or_default())
}

/// The icon, the word and the colour of a state, the same as on the pages.
fn state_look(state: RunState) -> (&'static str, Color) {
    match state {
        RunState::Scheduled => ("◷", Color::Magenta),
        RunState::Available => ("○", Color::Grey),
        RunState::Running => ("●", Color::Blue),
        RunState::Retryable => ("↻", Color::Yellow),
        RunState::Completed => ("✓", Color::Green),
        RunState::Cancelled => ("⊘", Color::DarkGrey),
        RunState::Dead => ("✗", Color::Red),
    }
}

/// A table cell with a state: icon, word and colour.
pub(crate) fn state_cell(state: RunState) -> Cell {
    let (icon, color) = state_look(state);
    let cell = Cell::new(format!("{icon} {state}")).fg(color);
    if state == RunState::Cancelled { cell.add_attribute(Attribute::CrossedOut) } else { cell }
}

/// A state in running text: icon, word and colour.
pub(crate) fn state_text(state: RunState) -> String {
    let (icon, _) = state_look(state);
    let style = match state {
        RunState::Scheduled => Style::new().magenta(),
        RunState::Available => Style::new().white(),
        RunState::Running => Style::new().blue(),
        RunState::Retryable => Style::new().yellow(),
        RunState::Completed => Style::new().green(),
        RunState::Cancelled => Style::new().bright_black().strikethrough(),
        RunState::Dead => Style::new().red(),
    };
    format!("{icon} {state}").style(style).to_string()
}

/// A right-aligned number.
pub(crate) fn number_cell(number: impl ToString) -> Cell {
    Cell::new(number).set_alignment(CellAlignment::Right)
}

/// A cell with text that came from elsewhere.
pub(crate) fn text_cell(text: &str) -> Cell {
    Cell::new(first_line(text))
}

/// Labels and values of one thing, aligned; members without a value are left out.
pub(crate) fn pairs(members: &[(&str, Option<String>)]) -> String {
    let shown = || members.iter().filter_map(|(label, value)| value.as_ref().map(|value| (label, value)));
    let width = shown().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (label, value) in shown() {
        let pad = " ".repeat(width - label.chars().count());
        let mut lines = value.lines();
        let _ = writeln!(text, "{}{pad}  {}", label.dimmed(), lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(text, "{}  {line}", " ".repeat(width));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// A span for people: `12 ms`, `2.1 s`, `3 min 5 s`, `2 h 4 min`, `3 d 2 h`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {small_unit}") }
    };
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{}.{} s", seconds, span.subsec_millis() / 100),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// How long ago, or in how long: the largest unit says enough.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let (ahead, ago) = (at.since(now), now.since(at));
    if !ahead.is_zero() {
        return format!("in {}", span(ahead));
    }
    let seconds = ago.as_secs();
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// The exact time with how long ago it was.
pub(crate) fn exact(at: Timestamp, now: Timestamp) -> String {
    format!("{at}  {}", format!("({})", relative(at, now)).dimmed())
}

/// `12 B`, `412 KiB`, `1.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    for unit in UNITS {
        if tenths < 10_240 || unit == "TiB" {
            let (whole, tenth) = (tenths / 10, tenths % 10);
            return if whole < 10 { format!("{whole}.{tenth} {unit}") } else { format!("{whole} {unit}") };
        }
        tenths /= 1024;
    }
    format!("{bytes} B")
}

/// `1 run`, `2 runs`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_a_person_says_them() {
        let says =
            [(12, "12 ms"), (2_149, "2.1 s"), (60_000, "1 min"), (185_000, "3 min 5 s"), (7_440_000, "2 h 4 min")];
        for (millis, text) in says {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        assert_eq!(span(Duration::from_hours(74)), "3 d 2 h");
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        for (bytes, text) in
            [(12, "12 B"), (1_536, "1.5 KiB"), (106_496, "104 KiB"), (12 << 20, "12 MiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp::from_millis(100_000);
        assert_eq!(relative(Timestamp::from_millis(99_500), now), "just now");
        assert_eq!(relative(Timestamp::from_millis(58_000), now), "42 s ago");
        assert_eq!(relative(Timestamp::from_millis(0), now), "1 min ago");
        assert_eq!(relative(Timestamp::from_millis(101_500), now), "in 1.5 s");
    }

    #[test]
    fn text_of_a_job_can_not_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\u{7}"), "a\\u{1b}[2Jb\\u{7}");
        assert_eq!(first_line("one\ntwo"), "one");
    }

    #[test]
    fn every_state_has_an_icon_beside_its_colour() {
        let icons: std::collections::BTreeSet<&str> = RunState::ALL.iter().map(|state| state_look(*state).0).collect();
        assert_eq!(icons.len(), RunState::ALL.len());
    }

    #[test]
    fn a_document_of_many_lines_is_still_one_json_line() {
        let line = one_line("{\n  \"text\": \"a\\nb\"\r\n}");
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).expect("still JSON");
        assert_eq!(value["text"], "a\nb");
    }

    #[test]
    fn pairs_leave_out_what_is_not_there() {
        let text = pairs(&[("id", Some("1".to_owned())), ("error", None), ("title", Some("a\nb".to_owned()))]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "id     1\ntitle  a\n       b");
    }
}
