//! `[retention]`: how long runs are kept after they ended, webhook deliveries after they came, and mails and
//! what operators did are shown.
//! Taking them out is the engine's.

use std::num::NonZeroUsize;
use std::time::Duration;

use jobmill_core::limits;
use jobmill_core::time::parse_duration;
use jobmill_store::Retention;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The section.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionSection {
    completed: Kept,
    cancelled: Kept,
    dead: Kept,
    #[serde(deserialize_with = "shown")]
    mail: Option<Duration>,
    #[serde(deserialize_with = "delivered")]
    deliveries: Option<Duration>,
    #[serde(deserialize_with = "shown")]
    audit: Option<Duration>,
    captured: NonZeroUsize,
}

impl RetentionSection {
    /// Captured mails that the e-mail log shows.
    pub(super) fn captured(self) -> usize {
        self.captured.get()
    }
}

/// A span, or none for "never": those runs are never taken out.
#[derive(Debug, Clone, Copy)]
struct Kept(Option<Duration>);

impl From<RetentionSection> for Retention {
    fn from(section: RetentionSection) -> Self {
        Self {
            completed: section.completed.0,
            cancelled: section.cancelled.0,
            dead: section.dead.0,
            mail: section.mail,
            deliveries: section.deliveries,
            audit: section.audit,
        }
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "never" {
            return Ok(Self(None));
        }
        match parse_duration(&text) {
            Ok(span) if span >= limits::UNIQUE_WINDOW => Ok(Self(Some(span))),
            Ok(_) => Err(D::Error::custom(format!(
                "{text:?} is too short; a run is kept for at least 24h, as its keys stand for it that long"
            ))),
            Err(error) => Err(D::Error::custom(format!("{error}, or \"never\""))),
        }
    }
}

/// A sender may deliver the same again for days, and whoever took it in already has to be known by then.
fn delivered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match parse_duration(&text) {
        _ if text == "never" => Ok(None),
        Ok(span) if span >= limits::DELIVERY_WINDOW => Ok(Some(span)),
        Ok(_) => Err(D::Error::custom(format!(
            "{text:?} is too short; a delivery is kept for at least 7d, as its sender may deliver it again for that long"
        ))),
        Err(error) => Err(D::Error::custom(format!("{error}, or \"never\""))),
    }
}

/// How long the e-mail log shows a mail, or the audit list an action. It stands for nothing else, so any span will do.
fn shown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "never" {
        return Ok(None);
    }
    parse_duration(&text).map(Some).map_err(|error| D::Error::custom(format!("{error}, or \"never\"")))
}
