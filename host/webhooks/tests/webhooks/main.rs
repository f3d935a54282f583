//! Webhooks as a server has them: an endpoint, requests that a sender signed, and what they come to.
//! The signing here is written apart from the crate's own; what senders really send stands in `fixtures` and in the vectors.

mod maps;
mod mutations;
mod page;
mod presets;
mod properties;
mod sender;
mod signatures;
