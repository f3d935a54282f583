//! Measured spans, and what share of them was shorter than which.
//! It keeps each of them: whoever measures says beforehand how many there will be.

use std::time::Duration;

/// Spans in microseconds, which hold more than an hour.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<u32>);

impl Samples {
    /// None yet, with room for this many.
    pub(super) fn with_room(spans: usize) -> Self {
        Self(Vec::with_capacity(spans))
    }

    /// One more; a span that is too long to keep counts as the longest.
    pub(super) fn add(&mut self, span: Duration) {
        self.0.push(u32::try_from(span.as_micros()).unwrap_or(u32::MAX));
    }

    /// Those of both.
    pub(super) fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The shortest span that no less than `percent` of them are within (nearest rank); zero when there are none.
    pub(super) fn percentile(&mut self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let Some(position) = rank.checked_sub(1) else {
            return Duration::ZERO;
        };
        let (_, span, _) = self.0.select_nth_unstable(position);
        Duration::from_micros(u64::from(*span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_span_that_was_measured() {
        let mut samples = Samples::with_room(100);
        (1..=100).rev().for_each(|millis| samples.add(Duration::from_millis(millis)));
        assert_eq!(samples.percentile(50), Duration::from_millis(50));
        assert_eq!(samples.percentile(99), Duration::from_millis(99));
        assert_eq!(samples.percentile(100), Duration::from_millis(100));
    }

    #[test]
    fn of_few_spans_a_high_percentile_is_the_longest() {
        let mut samples = Samples::default();
        assert_eq!(samples.percentile(99), Duration::ZERO);
        samples.add(Duration::from_micros(7));
        let mut others = Samples::default();
        others.add(Duration::from_hours(100));
        samples.join(others);
        assert_eq!(samples.len(), 2);
        assert_eq!(samples.percentile(50), Duration::from_micros(7));
        assert_eq!(samples.percentile(99), Duration::from_micros(u64::from(u32::MAX)));
    }
}
