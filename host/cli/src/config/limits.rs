//! `[limits]`: how many runs may wait, and how much an attempt of any job may take.
//! What a job's own entry says goes before it; that is `Overrides`' to do.

use std::fmt;
use std::num::NonZeroU32;

use jobmill_core::job::sandbox::Amount;
use jobmill_core::job::{Limit, LimitOverrides, LimitSettings};
use serde::de::value::StrDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;

/// `[limits]`
#[derive(Debug, Clone)]
pub(super) struct LimitsSection {
    /// Runs that may wait, over all jobs.
    pub(super) waiting: NonZeroU32,
    /// What is said of attempts; nothing of what is as the default has it.
    pub(super) of_attempts: LimitOverrides,
}

impl<'de> Deserialize<'de> for LimitsSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SectionVisitor)
    }
}

struct SectionVisitor;

impl<'de> Visitor<'de> for SectionVisitor {
    type Value = LimitsSection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LimitsSection, A::Error> {
        let (mut waiting, mut of_attempts) = (None, Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == "waiting" {
                waiting = Some(map.next_value()?);
                continue;
            }
            let limit = Limit::deserialize(StrDeserializer::<A::Error>::new(&name))?;
            let Amount(value) = map.next_value()?;
            if value != limit.default_value() {
                of_attempts.push((limit, value));
            }
        }
        let waiting = waiting.ok_or_else(|| Error::missing_field("waiting"))?;
        Ok(LimitsSection { waiting, of_attempts: of_attempts.into_iter().collect() })
    }
}

/// Refuses values that no job may have; they stand under `place`.
pub(super) fn check(place: &str, said: &LimitOverrides) -> Result<(), Failure> {
    let Some((limit, setting)) = LimitSettings::new(said).wrong() else { return Ok(()) };
    let [value, least, most] = [setting.value, limit.least(), limit.most()].map(|value| limit.shown(value));
    Err(Failure::usage("configuration", format!("{place}.{limit} is {value}; it has to be {least} to {most}")))
}
