//! Reads a whole log at start: takes off what was never acknowledged, misses what is missing, hands over the rest.
//! It opens and syncs nothing.

use std::ops::RangeBounds;
use std::panic::AssertUnwindSafe;

use jobmill_store::{LogError, Place, Record};

use crate::assembly::Assembly;
use crate::block::Block;
use crate::disk::refused_by_sled;
use crate::mark::Mark;
use crate::open::without_panic;
use crate::part::{Flaw, Head, KEY_BYTES, Key, Part};
use crate::reader::load;

/// Hands every record that counts over, in the order in which they were written; answers how far the log goes.
pub(crate) fn recover(tree: &sled::Db, synced: Mark, visit: &mut dyn FnMut(Place, Record)) -> Result<Mark, LogError> {
    let (end, unfinished) = end(tree)?;
    if end.group < synced.group || end.blocks < synced.blocks {
        return Err(LogError::Damaged(format!(
            "it was synced up to group {} (blocks before {}), and it ends with group {} (blocks before {}); put a \
             back-up of the store in its place, or remove the file `synced` to go on without what is missing",
            synced.group, synced.blocks, end.group, end.blocks
        )));
    }
    let floor = floor(tree, end.blocks)?;
    read(tree, floor, end.blocks, visit)?;
    // Only a log that is otherwise whole is changed.
    remove(tree, ..first_key(floor))?;
    if unfinished {
        tracing::info!(group = end.group + 1, "taking off a group that was not written whole");
        remove(tree, first_key(end.blocks)..)?;
    }
    Ok(end)
}

/// Removes parts.
pub(crate) fn remove(tree: &sled::Db, keys: impl RangeBounds<[u8; KEY_BYTES]>) -> Result<(), LogError> {
    for key in tree.range(keys).keys() {
        tree.remove(key.map_err(refused_by_sled)?).map_err(refused_by_sled)?;
    }
    Ok(())
}

/// The first key that a block can have.
pub(crate) fn first_key(block: u64) -> [u8; KEY_BYTES] {
    Key { block, part: 0 }.to_bytes()
}

/// Where the last whole group ends, and whether one that is not whole comes after it. Groups are written part by part in
/// order, so only the last can lack something, and only at its end.
fn end(tree: &sled::Db) -> Result<(Mark, bool), LogError> {
    let mut unfinished: Option<(u64, u64)> = None;
    let mut parts = Parts(tree.iter());
    while let Some((key, head)) = parts.previous(|key, part| (key, part.head))? {
        match unfinished {
            None if head.following == 0 && key.part + 1 == head.parts => {
                return Ok((Mark { group: head.group, blocks: key.block + 1 }, false));
            }
            Some((group, first)) if group != head.group => {
                if first != key.block + 1 {
                    return Err(Flaw::Missing.of(key.block + 1));
                }
                return Ok((Mark { group: head.group, blocks: first }, true));
            }
            _ => unfinished = Some((head.group, key.block)),
        }
    }
    // Whatever comes before the first group is damage, and shows when the log is read.
    Ok(unfinished
        .map_or_else(Default::default, |(group, first)| (Mark { group: group.saturating_sub(1), blocks: first }, true)))
}

/// The oldest block that counts: what the newest `Floor` before this block says.
fn floor(tree: &sled::Db, end: u64) -> Result<u64, LogError> {
    let mut parts = Parts(tree.range(..first_key(end)));
    while let Some((block, has_floor)) = parts.previous(|key, part| (key.block, part.head.floor))? {
        if !has_floor {
            continue;
        }
        let content = load(tree, block)?;
        let records = content.records().map_err(|flaw| flaw.of(block))?;
        for number in (0..records.records()).rev() {
            match records.record(number).map_err(|flaw| flaw.of(block))? {
                Record::Floor { block: floor } if floor <= block => return Ok(floor),
                Record::Floor { block: floor } => {
                    let flaw =
                        Flaw::Content(format!("it says that every block before {floor} is void, and so is itself"));
                    return Err(flaw.of(block));
                }
                _ => {}
            }
        }
        return Err(Flaw::Content("it should have a floor, and has none".to_owned()).of(block));
    }
    Ok(0)
}

/// Hands over the records of the blocks from `floor` to before `end`, every one of which must be there.
fn read(tree: &sled::Db, floor: u64, end: u64, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
    let mut parts = Parts(tree.range(first_key(floor)..first_key(end)));
    let mut reading = Reading { block: floor, before: None, assembly: Assembly::default(), content: Block::default() };
    while parts.next(|key, part| reading.add(key, part, visit))?.transpose()?.is_some() {}
    reading.finish(end)
}

/// What was read so far.
struct Reading {
    /// The number of the block that is being read.
    block: u64,
    /// What the block before it said; none at first.
    before: Option<Head>,
    assembly: Assembly,
    content: Block,
}

impl Reading {
    /// Takes the next part in.
    fn add(&mut self, key: Key, part: &Part<'_>, visit: &mut dyn FnMut(Place, Record)) -> Result<(), LogError> {
        let block = self.block;
        if key.block != block {
            return Err(self.missing().of(block));
        }
        self.check_group(part.head).map_err(|flaw| flaw.of(block))?;
        let Some(packed) = self.assembly.add(key.part, part).map_err(|flaw| flaw.of(block))? else {
            return Ok(());
        };
        self.content.unpack(packed).map_err(|flaw| flaw.of(block))?;
        let records = self.content.records().map_err(|flaw| flaw.of(block))?;
        for number in 0..records.records() {
            let slot =
                u16::try_from(number).map_err(|_| Flaw::Content("it has too many records".to_owned()).of(block))?;
            visit(Place::new(block, slot), records.record(number).map_err(|flaw| flaw.of(block))?);
        }
        self.assembly.clear();
        self.before = Some(part.head);
        self.block += 1;
        Ok(())
    }

    /// A block goes on with the group of the block before, or begins the next one.
    fn check_group(&self, head: Head) -> Result<(), Flaw> {
        let Some(before) = self.before else { return Ok(()) };
        let begins = before.following == 0;
        let expected = before.group + u64::from(begins);
        if head.group != expected || (!begins && head.following + 1 != before.following) {
            return Err(Flaw::ForeignGroup { found: head.group, expected });
        }
        Ok(())
    }

    fn missing(&self) -> Flaw {
        match self.assembly.next() {
            0 => Flaw::Missing,
            part => Flaw::MissingPart(part),
        }
    }

    /// Checks that nothing is missing at the end.
    fn finish(self, end: u64) -> Result<(), LogError> {
        if self.block != end || self.assembly.next() != 0 {
            return Err(self.missing().of(self.block));
        }
        match self.before {
            Some(head) if head.following > 0 => Err(Flaw::Missing.of(end)),
            _ => Ok(()),
        }
    }
}

/// The parts in a tree.
struct Parts(sled::Iter);

impl Parts {
    fn next<T>(&mut self, take: impl FnOnce(Key, &Part<'_>) -> T) -> Result<Option<T>, LogError> {
        let pair = without_panic(AssertUnwindSafe(|| self.0.next()));
        unsealed(pair, take)
    }

    fn previous<T>(&mut self, take: impl FnOnce(Key, &Part<'_>) -> T) -> Result<Option<T>, LogError> {
        let pair = without_panic(AssertUnwindSafe(|| self.0.next_back()));
        unsealed(pair, take)
    }
}

type Pair = Option<sled::Result<(sled::IVec, sled::IVec)>>;

fn unsealed<T>(pair: Result<Pair, String>, take: impl FnOnce(Key, &Part<'_>) -> T) -> Result<Option<T>, LogError> {
    let Some(pair) = pair.map_err(LogError::Damaged)? else { return Ok(None) };
    let (key, value) = pair.map_err(refused_by_sled)?;
    let parsed = Key::parse(&key).ok_or_else(|| LogError::Damaged(format!("there is an unknown key {key:02x?}")))?;
    let part = Part::unseal(&key, &value).map_err(|flaw| flaw.of(parsed.block))?;
    Ok(Some(take(parsed, &part)))
}
