//! Amounts as the shop's database keeps them, in minor units.
//! It rounds nothing: an amount that has no whole number of minor units is no amount.

use iso_currency::Currency;

/// What a number in a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amounts {
    /// Cents: 1250 is 12.50 EUR.
    Minor,
    /// Euros: 12.50 is 12.50 EUR.
    Major,
}

impl Amounts {
    /// The minor units of `text`, a decimal number; the error is the end of a sentence.
    pub(super) fn minor(self, text: &str, currency: &str) -> Result<i64, String> {
        let digits = match self {
            Self::Minor => 0,
            Self::Major => {
                let known = Currency::from_code(currency).ok_or_else(|| format!("is in {currency:?}, no currency"))?;
                usize::from(known.exponent().unwrap_or(0))
            }
        };
        scaled(text, digits).ok_or_else(|| match self {
            Self::Minor => format!("is {text}, no whole number; is orders.postgres.amounts \"major\"?"),
            Self::Major => format!("is {text}, which {currency} has no coins for"),
        })
    }
}

/// `text` times ten to the power of `digits`, where that is a whole number.
fn scaled(text: &str, digits: usize) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > digits {
        return None;
    }
    let minor: i64 = format!("{whole}{fraction:0<digits$}").parse().ok()?;
    Some(if negative { -minor } else { minor })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn major_units_are_scaled_by_the_currency() {
        for (text, currency, minor) in [
            ("12.50", "EUR", 1250),
            ("12.5", "EUR", 1250),
            ("12", "EUR", 1200),
            ("12.500000", "EUR", 1250),
            ("1200", "JPY", 1200),
            ("1.234", "KWD", 1234),
            ("-0.05", "EUR", -5),
        ] {
            assert_eq!(Amounts::Major.minor(text, currency), Ok(minor), "{text} {currency}");
        }
        assert_eq!(Amounts::Minor.minor("1250", "EUR"), Ok(1250));
        assert_eq!(Amounts::Minor.minor("1250.00", "EUR"), Ok(1250));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["12.505", "", "-", ".5", "1e3", "$12.50", "NaN", "1.2.3", "99999999999999999999"] {
            assert!(Amounts::Major.minor(text, "EUR").is_err(), "{text}");
        }
        assert!(Amounts::Major.minor("1", "EURO").is_err());
        assert!(Amounts::Minor.minor("12.50", "EUR").is_err());
    }

    proptest! {
        #[test]
        fn cents_come_back_as_they_were_written(minor in -1_000_000_000_000_i64..1_000_000_000_000) {
            let sign = if minor < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", minor.abs() / 100, minor.abs() % 100);
            prop_assert_eq!(Amounts::Major.minor(&text, "EUR"), Ok(minor));
        }
    }
}
