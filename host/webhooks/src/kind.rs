//! How a sender signs: the kind of a webhook.
//! It names the kinds; how each is read is in `signature`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a sender signs what it delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookKind {
    /// As Stripe does.
    Stripe,
    /// As Standard Webhooks say: Svix, Clerk, Resend and others.
    Standard,
}

impl WebhookKind {
    /// The word for it everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Standard => "standard",
        }
    }
}

impl fmt::Display for WebhookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no kind of webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of webhook; it can be \"stripe\" or \"standard\"")]
pub struct WebhookKindError(String);

impl FromStr for WebhookKind {
    type Err = WebhookKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stripe" => Ok(Self::Stripe),
            "standard" => Ok(Self::Standard),
            _ => Err(WebhookKindError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_and_writes_the_same() {
        for kind in [WebhookKind::Stripe, WebhookKind::Standard] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
        let text = "svix".parse::<WebhookKind>().expect_err("no kind").to_string();
        assert!(text.contains("\"svix\"") && text.contains("\"standard\""), "{text}");
    }
}
