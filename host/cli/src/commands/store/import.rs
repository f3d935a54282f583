//! `jobmill store import`: takes in what an export wrote, into a store that nobody else has open.
//! It decides nothing about single records: the store takes what is new and leaves the rest as it is.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::mem::Discriminant;
use std::path::Path;

use jobmill_store::{Record, Store as _, portable};
use serde::Serialize;

use super::DataPlace;
use super::keeper::{OwnStore, refuse_in_use};
use super::progress::Progress;
use crate::client;
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};

/// Records of one commit, and bytes of their lines: a commit is held in memory whole.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Records of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Count {
    new: usize,
    known: usize,
}

/// What became of the records.
#[derive(Debug, Default, Serialize)]
struct Imported {
    runs: Count,
    events: Count,
    deliveries: Count,
    orders: Count,
}

pub(super) fn import(place: &DataPlace, file: &Path, context: &Context) -> Result<(), Failure> {
    let config = place.config()?;
    refuse_in_use(&config)?;
    let nothing = "nothing was imported";
    each_record("checking", file, context.output, |_, _| Ok(())).map_err(|failure| failure.advise(nothing))?;
    let open = OwnStore::open(&config)?;
    let mut batches = Batches { open, batch: Vec::new(), bytes: 0, imported: Imported::default() };
    let taken = each_record("importing", file, context.output, |record, bytes| batches.add(record, bytes));
    let again = "what was imported before stays; import the file again for the rest";
    taken.and_then(|()| batches.flush()).map_err(|failure| failure.advise(again))?;
    let Batches { open, imported, .. } = batches;
    open.close()?;
    context.output.document(&client::json(&imported)?, || {
        let said = |Count { new, known }: Count| Some(format!("{new} new, {known} there already"));
        output::pairs(&[
            ("runs", said(imported.runs)),
            ("events without runs", said(imported.events)),
            ("webhook deliveries", said(imported.deliveries)),
            ("orders", said(imported.orders)),
        ])
    })
}

/// Hands over every record of the file with the bytes of its line, and refuses what is no whole export.
fn each_record(
    doing: &'static str,
    path: &Path,
    output: Output,
    mut take: impl FnMut(Record, usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::with_exit(exit, "unreadable", format!("{} can't be read: {error}", path.display()))
    };
    let refuse = |line: usize, reason: &str| {
        Failure::new("not-an-export", format!("line {line} of {} {reason}", path.display()))
    };
    let file = File::open(path).map_err(unreadable)?;
    // A pipe has no length.
    let all = file.metadata().ok().map(|metadata| metadata.len()).filter(|length| *length > 0);
    let mut reader = BufReader::new(file);
    let mut reading = portable::Reading::default();
    let mut progress = Progress::begin(doing, all, output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let number = progress.lines + 1;
        if reader.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return reading.finish().map_err(|error| refuse(number, &error.to_string()));
        }
        progress.add(&line);
        let text = std::str::from_utf8(&line).map_err(|_| refuse(number, "is not UTF-8"))?;
        let record = reading.take(text.trim_end_matches('\n')).map_err(|error| refuse(number, &error.to_string()))?;
        if let Some(record) = record {
            take(record, line.len())?;
        }
    }
}

/// Records on their way into the store, of one kind at a time, so that each kind is counted by itself.
struct Batches {
    open: OwnStore,
    batch: Vec<Record>,
    bytes: usize,
    imported: Imported,
}

impl Batches {
    fn add(&mut self, record: Record, bytes: usize) -> Result<(), Failure> {
        let is_full = self.batch.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES;
        if is_full || self.kind().is_some_and(|kind| kind != std::mem::discriminant(&record)) {
            self.flush()?;
        }
        self.batch.push(record);
        self.bytes += bytes;
        Ok(())
    }

    fn kind(&self) -> Option<Discriminant<Record>> {
        self.batch.first().map(std::mem::discriminant)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let mut none = Count::default();
        let counted = match batch.first() {
            None => return Ok(()),
            Some(Record::Journal { .. }) => &mut self.imported.runs,
            Some(Record::Event { .. }) => &mut self.imported.events,
            Some(Record::Delivery(_)) => &mut self.imported.deliveries,
            Some(Record::Order(_)) => &mut self.imported.orders,
            Some(_) => &mut none,
        };
        let all = batch.len();
        let new = self.open.ask(self.open.store.import(batch))?;
        counted.new += new;
        counted.known += all - new;
        Ok(())
    }
}
