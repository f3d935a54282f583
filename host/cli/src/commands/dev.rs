//! `jobmill dev`: serve for a person at a terminal.
//! What it sets by default stands with the configuration; how it serves in `serve`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Context;
use crate::config::arguments::{DEVELOPMENT, Places};
use crate::failure::{Exit, Failure};
use crate::serve::{self, Purpose};

/// Serve with development defaults
///
/// Mail is captured, an empty order book gets demo orders, the job crates under ./jobs are built and built again when
/// they change, and every run is a line on the terminal. A jobmill.toml is read as well.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    places: Places,
    /// The job crates to build; ./jobs if there
    #[arg(long, value_name = "DIR")]
    jobs: Option<PathBuf>,
}

impl Dev {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let loaded = self.places.load("dev", &DEVELOPMENT)?;
        let jobs = match self.jobs {
            Some(jobs) if !jobs.is_dir() => {
                return Err(Failure::usage("no-jobs", format!("{} is not a directory", jobs.display()))
                    .advise("name a directory of job crates, or leave --jobs out"));
            }
            Some(jobs) => Some(jobs),
            None => Some(Path::new("jobs").to_owned()).filter(|jobs| jobmill_forge::discover(jobs).is_ok()),
        };
        serve::serve(&loaded, Purpose::Development { jobs }, context)
    }
}
