//! Tells the OpenAPI macros which shapes describe the types of `jobmill-core`, so that core itself need not know them.
//! It generates no code.

use utoipa_config::Config;

/// The types of core that requests and answers have. The shape of each is `shapes::…Shape`.
const DESCRIBED: [&str; 39] = [
    "Allowed",
    "AttemptError",
    "AttemptOutcome",
    "AuditId",
    "Backoff",
    "BreakerSettings",
    "CancelOn",
    "CatchUp",
    "Concurrency",
    "Debounce",
    "DeliveryId",
    "Duration",
    "EventId",
    "EventKey",
    "EventReference",
    "FailureKind",
    "InDoubtChoice",
    "JobId",
    "Json",
    "LogLevel",
    "MailId",
    "MailStatus",
    "Mailbox",
    "Money",
    "Order",
    "OrderItem",
    "OrderPatch",
    "OrderStatus",
    "Pointer",
    "RateLimit",
    "RunId",
    "RunState",
    "Scope",
    "Source",
    "Timestamp",
    "TokenId",
    "Trigger",
    "UniqueStates",
    "Version",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let paths = DESCRIBED.map(|name| (name, format!("crate::api::shapes::{name}Shape")));
    paths.iter().fold(Config::new(), |config, (name, path)| config.alias_for(name, path)).write_to_file();
}
