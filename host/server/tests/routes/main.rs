//! The routes as their callers see them: a real engine over a store in memory, with scripted jobs and a clock set by hand.
//! No WebAssembly runs here; components are scripts.

mod authentication;
mod conformance;
mod dead;
mod deliveries;
mod events;
mod flow;
mod inngest;
mod jobs;
mod listener;
mod machine;
mod mail;
mod mailbox;
mod openapi;
mod orders;
mod page;
mod queues;
mod refusals;
mod runs;
mod schedule;
mod scripts;
mod sender;
mod stats;
mod store;
mod suppressions;
mod tokens;
mod typescript;
mod webhooks;
mod world;
