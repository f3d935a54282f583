//! Webhooks: whether a sender signed what came in, and what it comes to, an event or addresses that get no mail; and how
//! what we send is signed ourselves.
//! It keeps nothing, sends nothing and reads no clock; the server hands requests and time in, and does what is returned.
//!
//! Two kinds of signature are known, Stripe's and that of Standard Webhooks (<https://www.standardwebhooks.com>), which Svix,
//! Clerk, Resend and many others send. What a delivery comes to is said by a [`Map`], the operator's own or the kind's preset.

mod body;
mod endpoint;
mod kind;
pub mod map;
mod preset;
mod secret;
mod signature;
mod signing;

pub use body::document;
pub use endpoint::{Endpoint, EndpointError, Verified};
pub use kind::{WebhookKind, WebhookKindError};
pub use map::{Map, Mapped};
pub use preset::preset;
pub use signature::{Refused, TOLERANCE};
pub use signing::{Signing, SigningError};
