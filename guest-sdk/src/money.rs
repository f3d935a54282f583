//! Money, shown with the minor units that its currency really has.
//! It converts no currencies and rounds nothing: amounts are whole minor units throughout.

use core::fmt;
use iso_currency::Currency;
use serde::{Deserialize, Serialize};

/// An amount in the minor unit of its currency: `Money::new(1250, "EUR")` is EUR 12.50.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units: cents for EUR, yen for JPY, thousandths for BHD.
    pub minor: i64,
    /// ISO 4217, upper case.
    pub currency: String,
}

impl Money {
    /// `minor` units of `currency` (ISO 4217, upper case).
    pub fn new(minor: i64, currency: impl Into<String>) -> Self {
        Self { minor, currency: currency.into() }
    }

    /// This amount `quantity` times, or `None` when that no longer fits.
    pub fn times(&self, quantity: u32) -> Option<Self> {
        let minor = self.minor.checked_mul(i64::from(quantity))?;
        Some(Self { minor, currency: self.currency.clone() })
    }
}

impl fmt::Display for Money {
    /// `EUR 12.50`, `JPY 1250`, `BHD 1.250`, `EUR -0.05`. An unknown currency has unknown minor units, so its amount is shown
    /// as it is and says so: `1250 XYZ (minor units)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(digits) = Currency::from_code(&self.currency).and_then(Currency::exponent).map(usize::from) else {
            return write!(formatter, "{} {} (minor units)", self.minor, self.currency);
        };
        let sign = if self.minor < 0 { "-" } else { "" };
        // At least one digit in front of the point.
        let amount = format!("{:0width$}", self.minor.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = amount.split_at(amount.len() - digits);
        let point = if fraction.is_empty() { "" } else { "." };
        write!(formatter, "{} {sign}{whole}{point}{fraction}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn shows_the_minor_units_of_the_currency() {
        assert_eq!(Money::new(1250, "EUR").to_string(), "EUR 12.50");
        assert_eq!(Money::new(1250, "JPY").to_string(), "JPY 1250");
        assert_eq!(Money::new(1250, "BHD").to_string(), "BHD 1.250");
        assert_eq!(Money::new(0, "USD").to_string(), "USD 0.00");
        assert_eq!(Money::new(7, "USD").to_string(), "USD 0.07");
    }

    #[test]
    fn negative_amounts_keep_their_sign_in_front() {
        assert_eq!(Money::new(-5, "EUR").to_string(), "EUR -0.05");
        assert_eq!(Money::new(-1250, "JPY").to_string(), "JPY -1250");
        assert_eq!(Money::new(i64::MIN, "EUR").to_string(), "EUR -92233720368547758.08");
    }

    #[test]
    fn an_unknown_currency_is_never_given_a_decimal_point() {
        assert_eq!(Money::new(1250, "XYZ").to_string(), "1250 XYZ (minor units)");
        assert_eq!(Money::new(1250, "eur").to_string(), "1250 eur (minor units)");
    }

    #[test]
    fn multiplying_is_checked() {
        assert_eq!(Money::new(250, "EUR").times(3), Some(Money::new(750, "EUR")));
        assert_eq!(Money::new(i64::MAX, "EUR").times(2), None);
        assert_eq!(Money::new(i64::MAX, "EUR").times(0), Some(Money::new(0, "EUR")));
    }
}
