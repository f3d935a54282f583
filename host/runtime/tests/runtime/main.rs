//! The runtime with real components: hand-written core modules, wrapped after the WIT package.
//! One binary, so that wasmtime is linked once.

mod ask;
mod bench;
mod bills;
mod bounds;
mod fuzz;
mod guest;
mod http;
mod kept;
mod load;
mod mails;
mod orders;
mod outcomes;
#[path = "../../../../tests/support/random.rs"]
mod random;
mod sandbox;
mod smith;
mod steps;
mod trials;
