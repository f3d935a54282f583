//! A blocking client of Jobmill for Rust programs: enqueue runs, publish events, and see to everything the API offers.
//! It keeps nothing, tries nothing twice and prints nothing; what a server refuses comes back as an [`Error`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use jobmill_client::{Client, Enqueue, NewEvent, PurchaseConfirmation, RunState};
//!
//! fn main() -> Result<(), jobmill_client::Error> {
//!     let token = std::env::var("JOBMILL_TOKEN").ok();
//!     let client = Client::new("http://127.0.0.1:8288", token.as_deref())?;
//!
//!     // One of the three jobs of a shop, by name.
//!     let purchase = PurchaseConfirmation { order_id: "order_123", customer_email: "ada@example.com" };
//!     let run = client.enqueue_purchase_confirmation(&purchase)?;
//!     println!("{} is on disk", run.id);
//!
//!     // Any job. The same key names the same run, however often a caller tries.
//!     let payload = serde_json::json!({ "userId": "u1", "email": "ada@example.com" });
//!     let enqueue = Enqueue {
//!         delay: Some(Duration::from_secs(60)),
//!         idempotency_key: Some("welcome-u1"),
//!         ..Enqueue::new("welcome-email", &payload)
//!     };
//!     let run = client.enqueue(&enqueue)?;
//!
//!     // An event starts a run of every job that listens to it.
//!     client.publish(&NewEvent { id: Some("signup-u1"), ..NewEvent::new("email/welcome", &payload) })?;
//!
//!     let ended = client.wait(run.id, Duration::from_secs(90))?;
//!     println!("it {}", if ended.state == RunState::Completed { "is done" } else { "goes on, or ended badly" });
//!     Ok(())
//! }
//! ```

mod answer;
mod calls;
mod client;
mod error;
mod requests;
mod shapes;

pub use answer::{Answer, Page};
pub use calls::{Change, ChangedRun, Changes};
pub use client::{Builder, Client};
pub use error::{Error, Member};
pub use jobmill_core::mail::{InDoubtChoice, Mailbox};
pub use jobmill_core::order::{Money, OrderItem};
pub use jobmill_core::token::Scope;
pub use jobmill_core::{
    AuditId, DeliveryId, EventId, EventKey, JobId, Json, MailId, RunId, RunState, Timestamp, TokenId,
};
pub use requests::{
    AuditFilter, CancelRuns, DeadSelection, DeliveryFilter, DiscardDead, Enqueue, EventFilter, FaultKind, Forget,
    MailFilter, NewEvent, NewToken, PurchaseConfirmation, RefundNotification, RequestRate, RequeueDead, RunFilter,
    RunSelection, WelcomeEmail,
};
pub use shapes::{
    Attachment, Attempt, AttemptError, AttemptUsage, AuditEntry, Breaker, BulkReport, Capability, Cleared,
    CreatedToken, DeadGroup, Delivery, DoneBefore, DoubtfulMail, Entry, Event, FaultsSet, Forgotten, HostCall, Job,
    JobVersion, LogLine, Mail, Operator, Order, Pause, Pin, Pruned, Publication, Published, Queue, Run, RunLog,
    Schedule, Setting, Skipped, Spread, Stats, StoreCheck, Suppression, Token, Trial, TrialEffect, TrialMail,
    TrialStep, Trigger, VersionChange, VersionUsage, WaitingFor, Worse,
};
