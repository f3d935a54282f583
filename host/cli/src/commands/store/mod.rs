//! `jobmill store`: the store as a whole, whether a Jobmill runs on it or not.
//! This file says what each takes; `keeper` finds who has the store, and a file each does the work.

mod check;
mod export;
mod forget;
mod import;
pub(in crate::commands) mod keeper;
mod progress;
mod prune;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use crate::args::DEFAULT_SERVER;
use crate::config::arguments::{ConfigFile, Places};
use crate::config::{Config, Loaded};
use crate::failure::{Exit, Failure};

/// The store
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read everything that is kept; name what is damaged
    Check {
        #[command(flatten)]
        place: DataPlace,
    },
    /// Write everything that is kept, as of one moment, as lines of JSON
    Export(Export),
    /// Take in what `store export` wrote
    Import(Import),
    /// Delete whatever carries an e-mail address, or a value in a payload
    Forget(forget::ForgetArguments),
    /// Take out runs whose time to be kept is over, as [retention] says
    Prune {
        #[command(flatten)]
        place: DataPlace,
    },
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct DataPlace {
    #[command(flatten)]
    file: ConfigFile,
    /// The data directory; the Jobmill that runs on it is asked, if one does
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Write everything that is kept, as of one moment, as lines of JSON
///
/// Work goes on meanwhile. The first line says what it is, the last how many records it has.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLE)]
pub(crate) struct Export {
    #[command(flatten)]
    place: DataPlace,
    /// The file to write, which appears when it is whole; the standard output without one
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

const EXPORT_EXAMPLE: &str = "\
Example:
  jobmill store export backup.jsonl
  jobmill store export | zstd > backup.jsonl.zst";

/// Take in what `store export` wrote
///
/// The whole file is checked before anything is taken in. What is in the store already stays as it is, so that an
/// import can be repeated. No Jobmill may run on the data directory.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLE)]
pub(crate) struct Import {
    #[command(flatten)]
    place: DataPlace,
    /// The file to read
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const IMPORT_EXAMPLE: &str = "\
Example:
  jobmill store import backup.jsonl --data /srv/jobmill/data";

impl StoreCommand {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Check { place } => check::check(&place, context)?,
            Self::Export(Export { place, file }) => export::export(&place, file.as_deref(), context)?,
            Self::Import(Import { place, file }) => import::import(&place, &file, context)?,
            Self::Forget(arguments) => forget::forget(&arguments, context)?,
            Self::Prune { place } => prune::prune(&place, context)?,
        }
        Ok(Exit::Done)
    }
}

/// The end of a row of counts: of what most stores have none of, nothing is said where there is none.
fn and_others(deliveries: usize, audit: usize) -> String {
    let told = |number: usize, one: &str, many: &str| match number {
        0 => String::new(),
        1 => format!(", and 1 {one}"),
        number => format!(", and {number} {many}"),
    };
    let entries = told(audit, "entry of the audit list", "entries of the audit list");
    told(deliveries, "webhook delivery", "webhook deliveries") + &entries
}

impl DataPlace {
    /// A server was named and no data directory, so that it is about the server's store, wherever that is.
    fn is_elsewhere(&self, context: &Context) -> bool {
        context.global.server != DEFAULT_SERVER && self.data.is_none()
    }

    fn config(&self) -> Result<Config, Failure> {
        let file = ConfigFile { config: self.file.config.clone() };
        let places = Places { file, data: self.data.clone(), ..Places::default() };
        let Loaded { config, .. } = places.load("up", &[])?;
        Ok(config)
    }
}
