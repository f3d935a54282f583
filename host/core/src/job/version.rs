//! A version of a job that was loaded, as it is kept: from which file, what it said of itself, and when.
//! How two of them are compared is in `difference`.

use serde::{Deserialize, Serialize};

use super::Descriptor;
use super::difference::{Change, changes, members};
use crate::id::{JobId, Version, whole_version};
use crate::time::Timestamp;

/// A version of a job that was loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobVersion {
    /// The job.
    pub job: JobId,
    /// The SHA-256 of the component.
    #[serde(with = "whole_version")]
    pub version: Version,
    /// The file's name in the hopper, when it was last loaded.
    pub file: String,
    /// What it said of itself.
    pub descriptor: Descriptor,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Bytes of the component.
    pub size: u64,
    /// When it was first loaded, as far as is known.
    pub first_loaded_at: Timestamp,
    /// When it was last loaded.
    pub last_loaded_at: Timestamp,
}

impl JobVersion {
    /// What it says otherwise than an earlier one.
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        changes(&members(&before.descriptor, &before.imports), &members(&self.descriptor, &self.imports))
    }

    /// Bytes of what is long in it, for whoever keeps many.
    pub fn weight(&self) -> usize {
        let Descriptor { description, payload_schema, payload_example, .. } = &self.descriptor;
        let texts = [description, payload_schema, payload_example].into_iter().flatten();
        texts.chain(&self.imports).map(String::len).sum()
    }
}
