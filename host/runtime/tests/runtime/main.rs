//! The runtime with real components: hand-written core modules, wrapped after the WIT package.
//! One binary, so that wasmtime is linked once.

mod bench;
mod bounds;
mod effects;
mod guest;
mod load;
mod outcomes;
mod scratch;
