//! The calls, a file for each part of the API.
//! They know routes and members; `client` knows how to ask.

mod audit;
mod changes;
mod events;
mod faults;
mod jobs;
mod mail;
mod orders;
mod runs;
mod shop;
mod store;
mod tokens;
mod webhooks;

pub use changes::{Change, ChangedRun, Changes};

use serde::Serialize;

/// The body of a request that says nothing but who asks.
#[derive(Serialize)]
struct By<'a> {
    by: &'a str,
}

/// The body of a request that needs none.
#[derive(Serialize)]
struct Nothing {}
