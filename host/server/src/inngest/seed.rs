//! The seed that Inngest's SDKs send with each try of a request, and the ULIDs that come of it: the same for every try.
//! It makes no other ids; without a seed, chance does.

use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jobmill_core::EventKey;
use ulid::Ulid;

const HEADER: HeaderName = HeaderName::from_static("x-inngest-event-id-seed");
/// Bytes of a ULID beside its time.
const ENTROPY_BYTES: usize = 10;
/// The last millisecond that a ULID can say.
const TIME_MAX: u64 = (1 << 48) - 1;

/// What the ids of a request are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed {
    /// Milliseconds since the Unix epoch.
    millis: u64,
    entropy: [u8; ENTROPY_BYTES],
}

impl Seed {
    /// The seed of a request: `1743130137367,eii2YKXRVTJPuA==`. One that can't be read is none, as it is with Inngest.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers.get(HEADER)?.to_str().ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        let (millis, entropy) = text.split_once(',')?;
        let millis = millis.trim().parse().ok().filter(|millis| (1..=TIME_MAX).contains(millis))?;
        let entropy = STANDARD.decode(entropy.trim()).ok()?.try_into().ok()?;
        Some(Self { millis, entropy })
    }

    /// The key of the event at this place of the request, from 0.
    pub(super) fn key(&self, place: usize) -> EventKey {
        let mut entropy = self.entropy;
        // The protocol counts from 1, in the last four bytes.
        let number = u32::try_from(place).unwrap_or(u32::MAX).wrapping_add(1);
        if let Some((_, last)) = entropy.split_last_chunk_mut() {
            *last = u32::from_be_bytes(*last).wrapping_add(number).to_be_bytes();
        }
        let random = entropy.iter().fold(0_u128, |random, byte| (random << 8) | u128::from(*byte));
        EventKey::from(Ulid::from_parts(self.millis, random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_those_that_inngest_makes_of_the_same_seed() {
        let seed = Seed::read("1743130137367,eii2YKXRVTJPuA==").expect("a seed");
        assert_eq!(seed.key(0).ulid().to_string(), "01JQDAE4RQF8MBCR55T5AK4KXS");
        assert_eq!(seed.key(1).ulid().to_string(), "01JQDAE4RQF8MBCR55T5AK4KXT");
    }

    #[test]
    fn the_number_wraps_within_the_last_four_bytes() {
        let entropy = STANDARD.encode([1, 2, 3, 4, 5, 6, 0xff, 0xff, 0xff, 0xff]);
        let seed = Seed::read(&format!("1,{entropy}")).expect("a seed");
        assert_eq!(seed.key(0).to_bytes(), [0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_seed_is_ignored() {
        for text in [
            "",
            "1743130137367",
            "0,eii2YKXRVTJPuA==",
            "-1,eii2YKXRVTJPuA==",
            "281474976710656,eii2YKXRVTJPuA==",
            "x,eii2YKXRVTJPuA==",
            "1743130137367,eii2YKXRVTJP",
            "1743130137367,eii2YKXRVTJPuAAA",
            "1743130137367,?",
            "1743130137367,eii2YKXRVTJPuA==,1",
        ] {
            assert_eq!(Seed::read(text), None, "{text}");
        }
    }
}
