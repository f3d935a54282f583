//! Puts the parts of a block back together, and checks that they are all of one write.
//! It reads no tree: it is fed what one holds, in the order of the keys.

use crate::part::{Flaw, Head, Part};

/// A block of which some parts are there.
#[derive(Default)]
pub(crate) struct Assembly {
    head: Option<Head>,
    added: u16,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Begins another block.
    pub(crate) fn clear(&mut self) {
        self.head = None;
        self.added = 0;
        self.bytes.clear();
    }

    /// The number of the part that comes next.
    pub(crate) fn next(&self) -> u16 {
        self.added
    }

    /// Adds the part with this number; answers the bytes of the block when it is the last of them.
    pub(crate) fn add(&mut self, number: u16, part: &Part<'_>) -> Result<Option<&[u8]>, Flaw> {
        if number != self.added {
            return Err(Flaw::MissingPart(self.added));
        }
        let head = *self.head.get_or_insert(part.head);
        if part.head != head || number >= head.parts {
            return Err(Flaw::ForeignPart(number));
        }
        self.bytes.extend(part.piece);
        self.added += 1;
        Ok((self.added == head.parts).then_some(self.bytes.as_slice()))
    }
}
