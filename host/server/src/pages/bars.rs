//! Bars of what ended over time: a bar for each minute or hour, as high as much ended in it beside the one with the most.
//! It draws; what ended when, the store says.

/// How much ended in a span of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    /// Attempts that completed.
    pub(super) completed: u64,
    /// Attempts that failed.
    pub(super) failed: u64,
    /// Runs that died of such an attempt.
    pub(super) dead: u64,
}

impl Ends {
    /// Attempts that ended. A run dies of an attempt that failed, so its death is no further end.
    pub(super) fn count(self) -> u64 {
        self.completed + self.failed.max(self.dead)
    }
}

/// Bars side by side, oldest first.
pub(super) struct Bars {
    pub(super) bars: Vec<Bar>,
    /// The most that one of them has.
    pub(super) most: u64,
}

impl Bars {
    pub(super) fn of(ends: &[Ends]) -> Self {
        let most = ends.iter().map(|ends| ends.count()).max().unwrap_or(0);
        Self { bars: ends.iter().enumerate().map(|(place, ends)| Bar::new(place, *ends, most)).collect(), most }
    }

    /// How wide they are together.
    pub(super) fn width(&self) -> usize {
        self.bars.len() * Bar::PITCH
    }
}

/// One of them, of up to `Bar::HEIGHT` units.
pub(super) struct Bar {
    /// From the bottom: completed, failed, dead.
    pub(super) parts: Vec<Part>,
    pub(super) x: usize,
}

/// What has one colour.
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) y: u64,
    pub(super) height: u64,
}

impl Bar {
    const HEIGHT: u64 = 100;
    /// From one bar to the next.
    const PITCH: usize = 10;
    /// What is there is seen, however little it is beside the rest.
    const LEAST: u64 = 3;

    fn new(place: usize, ends: Ends, most: u64) -> Self {
        let Ends { completed, failed, dead } = ends;
        let mut parts = Vec::with_capacity(3);
        let mut y = Self::HEIGHT;
        for (class, count) in [("completed", completed), ("retryable", failed.saturating_sub(dead)), ("dead", dead)] {
            if count == 0 {
                continue;
            }
            let height = (count * Self::HEIGHT / most.max(1)).max(Self::LEAST).min(y);
            y -= height;
            parts.push(Part { class, y, height });
        }
        Self { parts, x: place * Self::PITCH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fit_and_what_is_there_is_seen() {
        let ends = |completed, failed, dead| Ends { completed, failed, dead };
        for (ends, most) in [(ends(1_000, 1, 1), 1_001), (ends(0, 5, 2), 5), (ends(1, 0, 0), 1_000_000)] {
            let bar = Bar::new(3, ends, most);
            assert!(bar.parts.iter().all(|part| part.height > 0 && part.y + part.height <= Bar::HEIGHT));
            assert_eq!(bar.x, 30);
        }
        let bars = Bars::of(&[ends(2, 2, 1), ends(0, 0, 0)]);
        let drawn: Vec<_> = bars.bars[0].parts.iter().map(|part| (part.class, part.y, part.height)).collect();
        assert_eq!(drawn, [("completed", 50, 50), ("retryable", 25, 25), ("dead", 0, 25)]);
        assert!(bars.bars[1].parts.is_empty());
        assert_eq!((bars.most, bars.width()), (4, 20));
    }
}
