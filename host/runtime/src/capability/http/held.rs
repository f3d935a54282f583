//! Bodies that the host holds for an attempt, outside of its memory: counted as long as anything has them.
//! It reads nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// How much an attempt may have the host hold.
#[derive(Clone)]
pub(super) struct Room {
    held: Arc<AtomicUsize>,
    most: usize,
}

/// A body that grows; the room that it takes is free again when its last copy is gone.
pub(super) struct Held {
    bytes: Vec<u8>,
    room: Room,
}

impl Room {
    /// Nothing held yet.
    pub(super) fn new(most: usize) -> Self {
        Self { held: Arc::default(), most }
    }

    /// An empty body.
    pub(super) fn begin(&self) -> Held {
        Held { bytes: Vec::new(), room: self.clone() }
    }

    /// What else would fit.
    pub(super) fn left(&self) -> usize {
        self.most.saturating_sub(self.held.load(Ordering::Relaxed))
    }

    /// Holds this body.
    pub(super) fn hold(&self, bytes: &Bytes) -> Bytes {
        let mut held = self.begin();
        held.push(bytes);
        held.into_bytes()
    }
}

impl Held {
    /// How long it is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a piece. Whether it fits is asked before: what is here already is counted all the same.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.room.held.fetch_add(piece.len(), Ordering::Relaxed);
        self.bytes.extend_from_slice(piece);
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_free_again_when_the_last_copy_is_gone() {
        let room = Room::new(10);
        let mut body = room.begin();
        body.push(b"1234");
        body.push(b"56");
        assert_eq!((room.left(), body.len()), (4, 6));
        let bytes = body.into_bytes();
        let copy = bytes.slice(1..3);
        drop(bytes);
        assert_eq!((room.left(), &copy[..]), (4, &b"23"[..]));
        drop(copy);
        assert_eq!(room.left(), 10);
        assert_eq!(room.hold(&Bytes::from_static(b"too much for it")).len(), 15);
        assert_eq!(room.left(), 10);
    }
}
