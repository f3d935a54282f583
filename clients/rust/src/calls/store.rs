//! The server and its store as a whole.
//! Checking and exporting take as long as the store is large: give the client a timeout to match, or none.

use std::io::BufRead;

use super::Nothing;
use crate::answer::Answer;
use crate::client::Client;
use crate::error::Error;
use crate::requests::Forget;
use crate::shapes::{Forgotten, Pruned, Stats, StoreCheck};

impl Client {
    /// How the server stands.
    pub fn stats(&self) -> Result<Answer<Stats>, Error> {
        self.get(&["stats"], &[])
    }

    /// Reads everything that is kept; refused, with what is damaged, where something is.
    pub fn check_store(&self) -> Result<Answer<StoreCheck>, Error> {
        self.get(&["store", "check"], &[])
    }

    /// Everything that is kept, as of one moment, as lines of JSON. The last line says how many there are: without it the
    /// export was cut off.
    pub fn export_store(&self) -> Result<impl BufRead, Error> {
        self.stream(&["store", "export"])
    }

    /// Takes out runs whose time to be kept is over.
    pub fn prune_store(&self) -> Result<Answer<Pruned>, Error> {
        self.post(&["store", "prune"], &Nothing {})
    }

    /// Deletes whatever carries an address, or a value in a payload.
    pub fn forget(&self, forget: &Forget<'_>) -> Result<Answer<Forgotten>, Error> {
        self.post(&["forget"], forget)
    }
}
