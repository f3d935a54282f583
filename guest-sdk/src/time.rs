//! A moment, as orders and runs carry it.
//! It does no arithmetic and reads no clock: a job is told its times.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A moment in UTC with millisecond precision; displays as RFC 3339, such as `2026-03-03T09:30:00.000Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The day in UTC as people write it in a letter, such as `3 March 2026`.
    pub fn date(self) -> String {
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let (year, month, day) = civil_date(self.0 / 86_400_000);
        let name = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"");
        format!("{day} {name} {year}")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.0 / 86_400_000);
        let millis = self.0 % 1_000;
        let second = self.0 / 1_000 % 60;
        let minute = self.0 / 60_000 % 60;
        let hour = self.0 / 3_600_000 % 24;
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Year, month (1 to 12) and day of the Gregorian calendar for a count of days since 1970-01-01.
///
/// Counted from 1 March of the year 0, so that the leap day is the last of its year, in eras of 400 years (146,097 days).
fn civil_date(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, year_offset) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + year_offset, month, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn displays_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(951_827_696_789).to_string(), "2000-02-29T12:34:56.789Z");
        assert_eq!(Timestamp::from_millis(1_772_530_200_000).to_string(), "2026-03-03T09:30:00.000Z");
    }

    #[test]
    fn the_date_reads_as_in_a_letter() {
        assert_eq!(Timestamp::from_millis(1_772_530_200_000).date(), "3 March 2026");
        assert_eq!(Timestamp::from_millis(4_107_542_399_999).date(), "28 February 2100");
        assert_eq!(Timestamp::from_millis(4_107_542_400_000).date(), "1 March 2100");
    }
}
