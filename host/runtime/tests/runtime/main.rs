//! The runtime with real components: hand-written core modules, wrapped after the WIT package.
//! One binary, so that wasmtime is linked once.

mod bench;
mod bounds;
mod guest;
mod load;
mod mails;
mod orders;
mod outcomes;
mod steps;
mod trials;
