//! The maps that apply where the operator says none, written as an operator would write them.
//! They are texts; that they can be read is a test's to say.

use crate::kind::WebhookKind;

/// The map of a kind, as TOML: what stands below `[webhooks.NAME.map]`.
pub fn preset(kind: WebhookKind) -> &'static str {
    match kind {
        WebhookKind::Stripe => include_str!("../presets/stripe.toml"),
        WebhookKind::Standard => include_str!("../presets/standard.toml"),
    }
}
