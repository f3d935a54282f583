//! The durable record log on sled: one tree, one checksummed record for each thing that is written.
//! It keeps no index and decides nothing; `jobmill_store::LogStore` does. No sled type leaves this crate.

mod assembly;
mod codec;
mod log;
mod mark;
mod open;

pub use log::SledLog;
pub use open::OpenError;
