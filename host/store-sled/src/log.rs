//! The log itself: appends groups to the tree, syncs them, gives blocks back.
//! Opening and repairing are `open`'s, reading at start is `recovery`'s; what the bytes mean is `block`'s and `part`'s.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobmill_store::{Components, Log, LogError, LogOpener, LogReader, Notes, Place, Record, Space, StoreError};

use crate::block::{Packed, Packer};
use crate::components::ComponentFiles;
use crate::disk;
use crate::mark::{Mark, MarkFile};
use crate::notes::NotesPage;
use crate::open::{OpenError, Opened, open};
use crate::part::{Head, Key, PIECE_BYTES, Part};
use crate::reader::Reader;
use crate::recovery::{first_key, recover, remove};
use crate::replacement;

/// Only what is there already tells which block comes next, so anything else is a bug.
const SCANNED_FIRST: &str = "a log is scanned before it is appended to";

/// What `sync` promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// What was synced survives the end of the process and a power cut.
    #[default]
    Full,
    /// What was synced survives the end of the process, however it ends. A power cut or a crash of the machine can lose
    /// what was synced in the second before it, or longer ago on a disk that is slow to take it: a thread in the
    /// background hands it to the disk twice a second. Lost is the end of the log, in whole groups; a log that lacks
    /// something before its end is refused when it is opened.
    Relaxed,
}

/// A durable log in a directory of its own. One process at a time.
pub struct SledLog {
    durability: Durability,
    tree: sled::Db,
    /// sled's `flush` hands its pages to the kernel and no further; `sync_data` on the same file makes them durable.
    file: File,
    marks: MarkFile,
    notes: Arc<NotesPage>,
    /// How far the log goes; none until it was scanned.
    appended: Option<Mark>,
    packer: Packer,
}

impl SledLog {
    /// Opens the log in `directory`, which is created if it is not there or empty.
    pub fn open(directory: &Path, durability: Durability) -> Result<Self, OpenError> {
        let Opened { tree, file, marks, notes } = open(directory)?;
        Ok(Self { durability, tree, file, marks, notes: Arc::new(notes), appended: None, packer: Packer::default() })
    }

    /// Writes the parts of a block. Each is written by itself: a batch costs twice as much, and parts that lack others
    /// after a crash are known by their frames.
    fn insert(&self, block: u64, head: Head, packed: &[u8], value: &mut Vec<u8>) -> Result<(), LogError> {
        for (part, piece) in (0..head.parts).zip(packed.chunks(PIECE_BYTES)) {
            let key = Key { block, part }.to_bytes();
            Part { head, piece }.seal(&key, value);
            self.tree.insert(key, value.as_slice()).map_err(disk::refused_by_sled)?;
        }
        Ok(())
    }

    /// Makes everything that was appended durable, and says so in the mark.
    fn settle(&self, appended: Mark) -> Result<(), LogError> {
        self.tree.flush().map_err(disk::refused_by_sled)?;
        let marked = self.file.sync_data().and_then(|()| self.marks.write(appended));
        marked.map_err(|error| disk::refused(&error))
    }
}

impl Log for SledLog {
    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(Reader::new(self.tree.clone()))
    }

    fn notes(&self) -> Arc<dyn Notes> {
        self.notes.clone()
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
        let synced = self.marks.read().map_err(|error| disk::refused(&error))?;
        let appended = recover(&self.tree, synced, visit)?;
        if appended != synced {
            // What was handed over is acted upon, so it must stay.
            self.settle(appended)?;
        }
        self.appended = Some(appended);
        Ok(())
    }

    fn append(&mut self, group: &[Record]) -> Result<Vec<Place>, LogError> {
        let mut appended = self.appended.expect(SCANNED_FIRST);
        let blocks = self.packer.pack(group)?;
        let heads = heads(appended.group + 1, &blocks)?;
        let mut places = Vec::with_capacity(group.len());
        let mut value = Vec::new();
        for (head, Packed { bytes, records, .. }) in heads.into_iter().zip(&blocks) {
            self.insert(appended.blocks, head, bytes, &mut value)?;
            places.extend((0..=u16::MAX).take(*records).map(|slot| Place::new(appended.blocks, slot)));
            appended = Mark { group: head.group, blocks: appended.blocks + 1 };
        }
        self.appended = Some(appended);
        Ok(places)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let appended = self.appended.expect(SCANNED_FIRST);
        match self.durability {
            Durability::Full => self.settle(appended),
            // The mark stays: after a power cut it must not say more than there is.
            Durability::Relaxed => self.tree.flush().map(|_| ()).map_err(disk::refused_by_sled),
        }
    }

    fn release(&mut self, block: u64) -> Result<(), LogError> {
        remove(&self.tree, ..first_key(block))
    }

    fn space(&self) -> Result<Space, LogError> {
        disk::space(&self.file).map_err(|error| disk::refused(&error))
    }
}

/// What the parts of each block say. Known before any is written: a group that does not fit is not begun.
fn heads(group: u64, blocks: &[Packed]) -> Result<Vec<Head>, LogError> {
    let too_large = |what: &str| LogError::Io(format!("a group has {what} than the log can hold; write less at once"));
    let following = u32::try_from(blocks.len()).map_err(|_| too_large("more blocks"))?;
    let heads = (0..following).rev().zip(blocks).map(|(following, block)| {
        let parts = block.bytes.len().div_ceil(PIECE_BYTES);
        let parts = u16::try_from(parts).map_err(|_| too_large("a larger record"))?;
        Ok(Head { floor: block.floor, group, following, parts })
    });
    heads.collect()
}

/// Opens a log again and again.
pub struct SledOpener {
    directory: PathBuf,
    components: ComponentFiles,
    durability: Durability,
}

impl SledOpener {
    /// Opens the log in `directory`, as `SledLog::open` does.
    pub fn new(directory: PathBuf, durability: Durability) -> Self {
        Self { components: ComponentFiles::of(&directory), directory, durability }
    }
}

/// Records of one group of a log that is written anew.
const REWRITTEN_AT_ONCE: usize = 2_000;

impl LogOpener for SledOpener {
    fn open(&mut self) -> Result<Box<dyn Log>, LogError> {
        // A store that was written anew may take the place of this one now.
        let _turn = self.components.turn();
        match SledLog::open(&self.directory, self.durability) {
            Ok(log) => Ok(Box::new(log)),
            Err(error) => Err(refused(&error)),
        }
    }

    fn rewrite(&mut self, records: &mut dyn Iterator<Item = Result<Record, StoreError>>) -> Result<(), StoreError> {
        let refused = |error: OpenError| StoreError::from(refused(&error));
        let unfinished = replacement::begin(&self.directory).map_err(refused)?;
        let mut log = SledLog::open(&unfinished, Durability::Full).map_err(refused)?;
        log.scan(&mut |_, _| {})?;
        loop {
            let group = records.take(REWRITTEN_AT_ONCE).collect::<Result<Vec<_>, _>>()?;
            if group.is_empty() {
                break;
            }
            log.append(&group)?;
        }
        log.sync()?;
        drop(log);
        replacement::finish(&self.directory).map_err(refused)
    }

    fn components(&self) -> Arc<dyn Components> {
        Arc::new(self.components.clone())
    }
}

fn refused(error: &OpenError) -> LogError {
    let text = error.to_string();
    match error {
        OpenError::Io { source, .. } if disk::is_full(source) => LogError::Full(text),
        OpenError::Damaged { .. } => LogError::Damaged(text),
        _ => LogError::Io(text),
    }
}
