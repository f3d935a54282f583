//! Write Jobmill jobs: one annotated function becomes a WebAssembly component that the engine loads.
//! It does not run jobs: the engine does, and [`testing`] stands in for it in the unit tests of a job.
//!
//! ```
//! use jobmill_sdk::prelude::*;
//!
//! #[payload]
//! struct Greeting {
//!     email: Email,
//!     name: Option<String>,
//! }
//!
//! /// Says hello.
//! #[job(title = "Greeting", event = "email/greeting", retries = 2, example = r#"{ "email": "ada@example.com" }"#)]
//! fn greeting(_context: &Context, payload: Greeting) -> Result<Receipt, Failure> {
//!     let name = payload.name.as_deref().unwrap_or("there");
//!     info!("greeting somebody", name = name);
//!     let message = Message::new("greeting", &payload.email).subject("Hello").text(format!("Hello, {name}!"));
//!     Ok(send_email(&message)?)
//! }
//! # fn main() {}
//! ```
//!
//! Built for `wasm32-wasip2` as a `cdylib`, that is the whole job. The doc comment, the attribute and the payload's type tell
//! the engine what it has to know: description, triggers, retries and the JSON Schema that payloads are checked against.

// Lets the paths that `#[job]` writes also resolve in this crate's own tests.
extern crate self as jobmill_sdk;

mod address;
#[cfg(target_family = "wasm")]
mod component;
pub mod config;
mod context;
mod descriptor;
mod failure;
#[cfg_attr(target_family = "wasm", path = "host_component.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "host_native.rs")]
mod host;
pub mod http;
mod job;
mod log;
mod mail;
mod money;
mod order;
mod payload;
mod step;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;
#[cfg(target_family = "wasm")]
mod wasi;

pub use address::{Email, InvalidEmail, Mailbox};
pub use context::Context;
pub use descriptor::{Backoff, Concurrency, Debounce, Descriptor, RateLimit, Trigger};
pub use failure::Failure;
pub use job::Job;
pub use jobmill_sdk_macros::{job, payload};
pub use log::Level;
pub use mail::{Attachment, Delivery, EmailError, Message, Receipt, send_email};
pub use money::Money;
pub use order::{Order, OrderError, OrderItem, OrderPatch, OrderStatus, fetch_order, update_order};
pub use step::{StepError, step};
pub use time::Timestamp;

pub use askama;
pub use schemars;
pub use serde;
pub use serde_json;

/// What a job usually needs, in one `use`.
pub mod prelude {
    pub use crate::{
        Context, Email, EmailError, Failure, Mailbox, Message, Money, Order, OrderError, OrderItem, OrderPatch,
        OrderStatus, Receipt, Timestamp, debug, error, fetch_order, info, job, payload, send_email, step, trace,
        update_order, warn,
    };
    pub use askama::Template;
    pub use serde_json::{Value, json};
}

/// What the macros write into a job's crate refers to. Not for use by hand, and not stable.
#[doc(hidden)]
pub mod macro_support {
    #[cfg(target_family = "wasm")]
    pub use crate::component::{Component, bindings};
    pub use crate::job::output;
    pub use crate::log::write as log;
    pub use crate::payload::{parse, schema};
    pub use core::time::Duration;
}

/// Compiles the job that the README shows.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
