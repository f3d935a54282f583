//! `jobmill store prune`: takes out now what `[retention]` does not keep any longer.
//! Which runs those are is the store's to know; space is given back by and by as the store goes on.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jobmill_client::Pruned;
use jobmill_engine::maintenance;
use serde::Serialize;

use super::DataPlace;
use super::keeper::{Keeper, OwnStore};
use crate::client;
use crate::commands::Context;
use crate::config::Config;
use crate::failure::Failure;
use crate::machine;
use crate::output::{count, size};

/// The unit in which files are counted, whatever the blocks of the file system.
const STAT_BLOCK_BYTES: u64 = 512;

/// The answer, with what the store takes on the disk, where that is this machine's.
#[derive(Debug, Serialize)]
struct PruneView {
    runs: usize,
    events: usize,
    mails: usize,
    deliveries: usize,
    audit: usize,
    bytes_before: Option<u64>,
    bytes_after: Option<u64>,
}

pub(super) fn prune(place: &DataPlace, context: &Context) -> Result<(), Failure> {
    let config = place.config()?;
    let path = (!place.is_elsewhere(context)).then(|| config.store_path());
    let bytes = || path.as_deref().and_then(|path| used(path).ok());
    let bytes_before = bytes();
    let Pruned { runs, events, mails, deliveries, audit } = match Keeper::find(place, &config, context)? {
        Keeper::Server(client) => client.prune_store()?.into_value(),
        Keeper::Here(open) => prune_here(open, &config)?,
    };
    let view = PruneView { runs, events, mails, deliveries, audit, bytes_before, bytes_after: bytes() };
    context.output.document(&client::json(&view)?, || {
        let (runs, events, mails) = (count(runs, "run"), count(events, "event"), count(mails, "mail"));
        let pruned = format!("pruned {runs}, {events} and {mails}{}", super::and_others(deliveries, audit));
        match (view.bytes_before, view.bytes_after) {
            (Some(before), Some(after)) => {
                format!("{pruned}; the store takes {} on the disk, before it took {}", size(after), size(before))
            }
            _ => pruned,
        }
    })
}

fn prune_here(open: OwnStore, config: &Config) -> Result<Pruned, Failure> {
    let pruned = open.ask(maintenance::prune(&open.store, config.retention(), machine::now()))?;
    open.close()?;
    let jobmill_store::Pruned { runs, events, mails, deliveries, audit, .. } = pruned;
    Ok(Pruned { runs, events, mails, deliveries, audit })
}

/// Bytes that the files in a directory take.
fn used(directory: &Path) -> io::Result<u64> {
    let mut used = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.metadata() {
            // Files come and go while somebody works in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(metadata) if metadata.is_dir() => used += self::used(&entry.path())?,
            Ok(metadata) => used += metadata.blocks() * STAT_BLOCK_BYTES,
        }
    }
    Ok(used)
}
