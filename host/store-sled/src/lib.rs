//! The durable record log on sled: one tree of checksummed, compressed blocks of records.
//! It keeps no index and decides nothing; `jobmill_store::LogStore` does. No sled type leaves this crate.

mod assembly;
mod block;
mod codec;
mod components;
mod disk;
mod log;
mod mark;
mod notes;
mod open;
mod part;
mod reader;
mod recovery;
mod replacement;
mod row;

pub use log::{Durability, SledLog, SledOpener};
pub use open::OpenError;
