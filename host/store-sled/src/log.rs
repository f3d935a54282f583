//! The log itself: appends commands to the tree, syncs them, reads them back.
//! Opening, creating and repairing are `open`'s; what the bytes mean is `codec`'s.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use jobmill_core::journal::Entry;
use jobmill_core::{EventId, Json, RunId};
use jobmill_store::{Log, LogError, LogReader, Record};

use crate::assembly::{Assembly, Scan};
use crate::codec::{Flaw, Key, PIECE_BYTES, Part, encode};
use crate::mark::{Mark, MarkFile};
use crate::open::{OpenError, Opened, open, without_panic};

/// Only what is there already tells which group comes next, so anything else is a bug.
const SCANNED_FIRST: &str = "a log is scanned before it is appended to";

/// A durable log in a directory of its own. One process at a time.
pub struct SledLog {
    tree: sled::Db,
    /// sled's `flush` hands its pages to the kernel and no further; `sync_data` on the same file makes them durable.
    file: File,
    marks: MarkFile,
    /// What was appended so far; none until the log was scanned. Its group is the one that is being appended, and each
    /// sync ends one.
    appended: Option<Mark>,
}

/// A key, and the value that it gets; none where a longer record left a part behind.
type Write = (Vec<u8>, Option<Vec<u8>>);

impl SledLog {
    /// Opens the log in `directory`, which is created if it is not there or empty.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let Opened { tree, file, marks } = open(directory)?;
        Ok(Self { tree, file, marks, appended: None })
    }

    /// What a record comes to in the tree.
    fn writes(&self, record: &Record, group: u64) -> Result<Vec<Write>, LogError> {
        let key = Key::of(record);
        let bytes = encode(record)?;
        let pieces = bytes.chunks(PIECE_BYTES);
        let parts = u16::try_from(pieces.len())
            .map_err(|_| LogError::Io(format!("{key} has {} bytes, which is more than fit", bytes.len())))?;
        let mut writes = Vec::with_capacity(pieces.len());
        for (number, piece) in (0..parts).zip(pieces) {
            let name = key.part(number);
            let value = Part { group, parts, piece }.seal(&name);
            writes.push((name, Some(value)));
        }
        if matches!(key, Key::Order(_)) {
            let name = key.part(0);
            if let Some(value) = self.tree.get(&name).map_err(refused)? {
                let earlier = Part::unseal(&name, &value).map_err(|flaw| flaw.of(&key))?;
                writes.extend((parts..earlier.parts).map(|number| (key.part(number), None)));
            }
        }
        Ok(writes)
    }
}

impl Log for SledLog {
    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(Reader(self.tree.clone()))
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record)) -> Result<(), LogError> {
        let tree = &self.tree;
        let synced = self.marks.read().map_err(|error| LogError::Io(error.to_string()))?;
        let read = AssertUnwindSafe(|| {
            let mut scan = Scan::new(synced);
            for pair in tree.iter() {
                let (key, value) = pair.map_err(refused)?;
                if let Some(record) = scan.add(&key, &value)? {
                    visit(record);
                }
            }
            let (last, all) = scan.finish()?;
            last.into_iter().for_each(visit);
            Ok(all)
        });
        let all = without_panic(read).unwrap_or_else(|reason| Err(LogError::Damaged(reason)))?;
        self.appended = Some(Mark { group: all.group + 1, parts: all.parts });
        Ok(())
    }

    fn append(&mut self, command: &[Record]) -> Result<(), LogError> {
        let mut appended = self.appended.expect(SCANNED_FIRST);
        let mut writes = Vec::with_capacity(command.len());
        for record in command {
            let of_record = self.writes(record, appended.group)?;
            if Key::of(record).is_written_once() {
                appended.parts += of_record.len() as u64;
            }
            writes.extend(of_record);
        }
        self.appended = Some(appended);
        // A single insert is atomic by itself, and costs half of a batch.
        if let [(key, Some(value))] = writes.as_slice() {
            return self.tree.insert(key, value.as_slice()).map(|_| ()).map_err(refused);
        }
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.tree.apply_batch(batch).map_err(refused)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let appended = self.appended.expect(SCANNED_FIRST);
        self.tree.flush().map_err(refused)?;
        let marked = self.file.sync_data().and_then(|()| self.marks.write(appended));
        marked.map_err(|error| LogError::Io(error.to_string()))?;
        self.appended = Some(Mark { group: appended.group + 1, ..appended });
        Ok(())
    }
}

fn refused(error: sled::Error) -> LogError {
    match error {
        sled::Error::Io(error) => LogError::Io(error.to_string()),
        error => LogError::Damaged(error.to_string()),
    }
}

struct Reader(sled::Db);

impl Reader {
    /// One record. Each part is looked up on its own: a walk over the tree could see half of a command.
    fn record(&self, key: &Key) -> Result<Option<Record>, LogError> {
        let name = key.part(0);
        let Some(value) = self.0.get(&name).map_err(refused)? else {
            return Ok(None);
        };
        let part = Part::unseal(&name, &value).map_err(|flaw| flaw.of(key))?;
        let mut assembly = Assembly::begin(key.clone(), 0, &part)?;
        while let Some(number) = assembly.missing() {
            let name = key.part(number);
            let value = self.0.get(&name).map_err(refused)?;
            let value = value.ok_or_else(|| Flaw::MissingPart(number).of(key))?;
            assembly.add(number, &Part::unseal(&name, &value).map_err(|flaw| flaw.of(key))?)?;
        }
        assembly.finish().map(Some)
    }
}

impl LogReader for Reader {
    fn journal(&self, run: RunId) -> Result<Vec<Entry>, LogError> {
        let mut journal: Vec<Entry> = Vec::new();
        loop {
            let first = u32::try_from(journal.len())
                .map_err(|_| LogError::Damaged(format!("the journal of {run} has more entries than can be counted")))?;
            match self.record(&Key::Journal { run, first })? {
                Some(Record::Journal { entries, .. }) => journal.extend(entries),
                _ => return Ok(journal),
            }
        }
    }

    fn event_data(&self, id: &EventId) -> Result<Option<Json>, LogError> {
        match self.record(&Key::event(id))? {
            Some(Record::Event { data, .. }) => Ok(Some(data)),
            _ => Ok(None),
        }
    }
}
