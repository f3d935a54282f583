//! Cron expressions: at which instants a schedule is due, in the time zone that it names.
//! It starts nothing and knows no runs: the scheduler asks for instants and decides what to make of a missed one.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::time::Timestamp;

/// Five fields, or an alias such as `@daily`, after an optional `TZ=Europe/Berlin `; UTC without it.
///
/// The expression is matched against the minutes of the wall clock in its zone, and each matching minute is due once:
/// minutes that daylight saving skips are due at the first instant after them, together and once; minutes that come
/// twice are due the first time. Two expressions are equal when their texts are.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronExpression {
    text: String,
    /// Shared, because the crate keeps a table of five thousand years in it.
    pattern: Arc<Cron>,
    zone: TimeZone,
}

impl CronExpression {
    /// The first due instant that is later than `after`; none when there is none up to the year 2400.
    ///
    /// The search takes one step for each year, month, day or hour that does not match, never one for each minute: tens
    /// of microseconds for 29 February. Only in a repeated hour it goes from match to match.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = instant(after)?;
        let mut wall = self.zone.to_datetime(after);
        loop {
            wall = self.pattern.find_next_occurrence(&Wall(wall), false).ok()?.0;
            let due = self.instant_of(wall)?;
            if due > after {
                return timestamp(due);
            }
        }
    }

    /// The last due instant that is later than `after` and not later than `until`.
    ///
    /// One search backwards from `until`, however long the span; none when `until` is later than the year 2400.
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let (after, until) = (instant(after)?, instant(until)?);
        let wall = self.pattern.find_previous_occurrence(&Wall(self.furthest_wall(until)?), true).ok()?.0;
        let due = self.instant_of(wall)?;
        if due > after { timestamp(due) } else { None }
    }

    /// The name of its time zone; `UTC` where it names none.
    pub fn zone(&self) -> &str {
        zone_and_expression(self.text.trim()).0.unwrap_or("UTC")
    }

    /// What the wall clock in its zone shows at an instant, to the minute: `2026-03-29 03:00`.
    pub fn wall_clock(&self, at: Timestamp) -> Option<String> {
        let wall = self.zone.to_datetime(instant(at)?);
        Some(wall.strftime("%Y-%m-%d %H:%M").to_string())
    }

    /// When the wall clock shows `wall` for the first time, or has passed it.
    fn instant_of(&self, wall: DateTime) -> Option<jiff::Timestamp> {
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(wall).ok()
            }
            AmbiguousOffset::Gap { before, after } => self.change_to(after, before.to_timestamp(wall).ok()?),
        }
    }

    /// The furthest time that the wall clock has shown by `until`: while an hour is shown again, the end of that hour.
    fn furthest_wall(&self, until: jiff::Timestamp) -> Option<DateTime> {
        let wall = self.zone.to_datetime(until);
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Fold { after, .. } if self.zone.to_offset(until) == after => {
                let change = self.change_to(after, until)?;
                Some(self.zone.to_datetime(change.checked_sub(INSTANT).ok()?))
            }
            _ => Some(wall),
        }
    }

    /// The last change of the zone's clock to `offset` that is not later than `by`.
    fn change_to(&self, offset: Offset, by: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let changes = self.zone.preceding(by.checked_add(INSTANT).ok()?);
        changes.into_iter().find(|change| change.offset() == offset).map(|change| change.timestamp())
    }
}

/// The smallest step of the calendar crate's clock.
const INSTANT: SignedDuration = SignedDuration::from_nanos(1);

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()
}

fn timestamp(at: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(at.as_millisecond()).ok().map(Timestamp::from_millis)
}

/// Where a search ends. The calendar repeats after 400 years: what is not due in those before it is never due.
const LAST_YEAR: i16 = 2400;

/// A time on a wall clock that never changes. The pattern is searched on it, and zones come in afterwards: the cron
/// crate has rules of its own for daylight saving, other ones for `0 2 * * *` than for `*/15 * * * *`.
#[derive(Clone)]
struct Wall(DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let (date, time) = (self.0.date(), self.0.time());
        let part = |part: i8| u32::from(part.unsigned_abs());
        CivilDateTime::new(
            croner::CivilDate::from_parts_unchecked(i32::from(date.year()), part(date.month()), part(date.day())),
            croner::CivilTime::from_parts_unchecked(part(time.hour()), part(time.minute()), part(time.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, croner::errors::CronError> {
        let part = |part: u32| i8::try_from(part).ok();
        let wall = || {
            let year = i16::try_from(civil.year()).ok().filter(|year| *year <= LAST_YEAR)?;
            let (month, day) = (part(civil.month())?, part(civil.day())?);
            DateTime::new(year, month, day, part(civil.hour())?, part(civil.minute())?, part(civil.second())?, 0).ok()
        };
        wall().map(|wall| Resolution::Single(Self(wall))).ok_or(croner::errors::CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// A text that is no cron expression, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Longer than [`limits::CRON_BYTES`].
    #[error("a cron expression of {0} bytes is too long: at most {max}; make several of it", max = limits::CRON_BYTES)]
    TooLong(usize),
    /// A zone that the IANA database does not have.
    #[error("{0:?} is no time zone; write a name of the IANA database, such as \"TZ=Europe/Berlin 30 2 * * *\"")]
    UnknownZone(String),
    /// Seconds, years, or something left out.
    #[error(
        "{text:?} has {fields} fields; write five, minute hour day month weekday, such as \"30 2 * * MON-FRI\": \
         there are no seconds and no years"
    )]
    Fields {
        /// The expression without its zone.
        text: String,
        /// How many fields it has.
        fields: usize,
    },
    /// One of the fields can't be read.
    #[error("the {name} {field:?} of {text:?} can't be read: {reason}; a whole expression is \"30 2 * * MON-FRI\"")]
    Field {
        /// The expression without its zone.
        text: String,
        /// Which of the five it is.
        name: &'static str,
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An alias that does not exist.
    #[error("{0:?} is not known; write @hourly, @daily, @weekly, @monthly, @yearly, or five fields like \"0 0 * * *\"")]
    UnknownAlias(String),
    /// Days that no calendar has, such as 30 February.
    #[error("{0:?} never fires: no month has such a day; write a day that exists, or L for the last of the month")]
    Never(String),
}

impl FromStr for CronExpression {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::CRON_BYTES {
            return Err(CronError::TooLong(text.len()));
        }
        let (zone, expression) = zone_and_expression(text.trim());
        let zone = match zone {
            // The zones that are built into the binary: the machine may have others, or none.
            Some(name) => TimeZoneDatabase::bundled().get(name).map_err(|_| CronError::UnknownZone(name.to_owned()))?,
            None => TimeZone::UTC,
        };
        let pattern = parse(expression)?;
        let beginning = Wall(DateTime::constant(LAST_YEAR - 400, 1, 1, 0, 0, 0, 0));
        if pattern.find_next_occurrence(&beginning, true).is_err() {
            return Err(CronError::Never(expression.to_owned()));
        }
        Ok(Self { text: text.to_owned(), pattern: Arc::new(pattern), zone })
    }
}

fn zone_and_expression(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
        Some(rest) => {
            let (zone, expression) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (Some(zone), expression.trim_start())
        }
        None => (None, text),
    }
}

/// Reads an expression without a zone.
fn parse(text: &str) -> Result<Cron, CronError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let fields: Vec<&str> = text.split_whitespace().collect();
    if text.starts_with('@') && fields.len() == 1 {
        return parser.parse(text).map_err(|_| CronError::UnknownAlias(text.to_owned()));
    }
    if fields.len() != FIELDS.len() {
        return Err(CronError::Fields { text: text.to_owned(), fields: fields.len() });
    }
    for (position, (&field, &(name, words))) in fields.iter().zip(&FIELDS).enumerate() {
        // Read with nothing beside it, a field that can't be read is known by name.
        let mut alone = ["*"; FIELDS.len()];
        alone[position] = field;
        let reason = match check_words(field, words) {
            Ok(()) => parser.parse(&alone.join(" ")).err().map(|error| reason(&error)),
            Err(reason) => Some(reason),
        };
        if let Some(reason) = reason {
            return Err(CronError::Field { text: text.to_owned(), name, field: field.to_owned(), reason });
        }
    }
    parser.parse(text).map_err(|error| CronError::Field {
        text: text.to_owned(),
        name: "expression",
        field: text.to_owned(),
        reason: reason(&error),
    })
}

/// Each field's name and the words that may stand in it.
const FIELDS: [(&str, &[&str]); 5] = [
    ("minute", &[]),
    ("hour", &[]),
    ("day", &["L", "W", "LW"]),
    ("month", &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]),
    ("weekday", &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"]),
];

/// Refuses what the cron crate would read as something else: it puts numbers in the place of names wherever they stand,
/// so that to it `JANFEB` is December and a month of `MON` is January, and it passes over an empty element of a list.
fn check_words(field: &str, words: &[&str]) -> Result<(), String> {
    let field = field.strip_prefix('+').unwrap_or(field);
    for element in field.split([',', '-', '/', '#']) {
        let word = element.trim_start_matches(|character: char| character.is_ascii_digit()).to_ascii_uppercase();
        let known = match word.as_str() {
            "" => !element.is_empty(),
            "*" | "?" => word.len() == element.len(),
            "L" | "W" => words.contains(&word.as_str()),
            name => {
                word.len() == element.len()
                    && words.iter().any(|known| name.strip_suffix('L') == Some(known) || name == *known)
            }
        };
        if !known {
            return Err(match element {
                "" => "there is nothing at one side of a comma, dash, slash or hash".to_owned(),
                _ => format!("{element:?} is no number or name that can stand here"),
            });
        }
    }
    Ok(())
}

/// The cron crate's own words, without its names for its parts.
fn reason(error: &croner::errors::CronError) -> String {
    use croner::errors::CronError as E;
    match error {
        E::InvalidPattern(reason) | E::IllegalCharacters(reason) | E::ComponentError(reason) => {
            reason.trim_end_matches('.').to_owned()
        }
        other => other.to_string(),
    }
}

impl TryFrom<String> for CronExpression {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CronExpression> for String {
    fn from(expression: CronExpression) -> Self {
        expression.text
    }
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CronExpression").field(&self.text).finish()
    }
}

impl PartialEq for CronExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronExpression {}

impl PartialOrd for CronExpression {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CronExpression {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

mod words;

#[cfg(test)]
mod tests;
