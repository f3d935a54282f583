//! `jobmill up`: serve for a machine.
//! It has no default that could send or swallow mail by surprise.

use clap::Args;

use super::Context;
use crate::config::arguments::Places;
use crate::failure::{Exit, Failure};
use crate::serve::{self, Purpose};

/// Serve with production defaults
///
/// Mail has to be configured: `jobmill config init` writes a commented file to begin with.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    places: Places,
}

impl Up {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let loaded = self.places.load("up", &[])?;
        serve::serve(&loaded, Purpose::Production, context)
    }
}
