//! Durations as people write them: `"250ms"`, `"30s"`, `"1m30s"`, `"24h"`.
//! It knows no calendar: the largest unit is a day of 24 hours.

/// The milliseconds of a duration, or what is wrong with the text.
pub(crate) fn millis(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration; write it like \"250ms\", \"30s\", \"1m30s\" or \"24h\"");
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("24h"), Ok(86_400_000));
        assert_eq!(millis("7d"), Ok(604_800_000));
    }

    #[test]
    fn refuses_everything_else_with_examples() {
        for text in ["", "30", "s", "1x", "-1s", "1.5s", "99999999999999999999s", "9999999999999999999d", "1 m"] {
            assert!(millis(text).is_err_and(|error| error.contains("\"1m30s\"")), "{text:?}");
        }
    }
}
