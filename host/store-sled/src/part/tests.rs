//! Nothing reads as a part but what was written under that very key.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HEAD: Head = Head { floor: false, group: 7, following: 1, parts: 2 };

fn sealed(key: Key, head: Head, piece: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    Part { head, piece }.seal(&key.to_bytes(), &mut value);
    value
}

fn key() -> impl Strategy<Value = Key> {
    (any::<u64>(), any::<u16>()).prop_map(|(block, part)| Key { block, part })
}

proptest! {
    #[test]
    fn keys_read_back_and_sort_as_the_log_was_written(key in key(), other in key()) {
        prop_assert_eq!(Key::parse(&key.to_bytes()), Some(key));
        prop_assert_eq!(key.to_bytes().cmp(&other.to_bytes()), key.cmp(&other));
    }

    #[test]
    fn a_part_reads_back_and_every_flipped_bit_of_it_is_noticed(
        key in key(),
        piece in vec(any::<u8>(), 0..200),
        (floor, group, following, parts) in any::<(bool, u64, u32, u16)>(),
        place in any::<proptest::sample::Index>(),
        bit in 0..8,
    ) {
        let head = Head { floor, group, following, parts };
        let mut value = sealed(key, head, &piece);
        prop_assert_eq!(Part::unseal(&key.to_bytes(), &value), Ok(Part { head, piece: &piece }));
        let place = place.index(value.len());
        value[place] ^= 1_u8 << bit;
        prop_assert!(Part::unseal(&key.to_bytes(), &value).is_err());
    }
}

#[test]
fn a_part_does_not_pass_under_another_key_or_cut_short() {
    let key = Key { block: 1, part: 2 };
    let value = sealed(key, HEAD, b"piece");
    for other in [Key { block: 1, part: 3 }, Key { block: 2, part: 2 }] {
        assert_eq!(Part::unseal(&other.to_bytes(), &value), Err(Flaw::Checksum));
    }
    for length in 0..value.len() {
        assert!(Part::unseal(&key.to_bytes(), &value[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_newer_format_is_named() {
    let key = Key { block: 1, part: 2 };
    let mut value = sealed(key, HEAD, b"piece");
    value[0] = FORMAT + 1;
    assert_eq!(Part::unseal(&key.to_bytes(), &value), Err(Flaw::Newer(FORMAT + 1)));
}

#[test]
fn a_foreign_key_is_none_of_ours() {
    for bytes in [&b""[..], b"m", b"123456789", b"12345678901"] {
        assert_eq!(Key::parse(bytes), None, "{bytes:?}");
    }
}

#[test]
fn the_largest_value_stays_in_the_tree() {
    let value = sealed(Key { block: 1, part: 2 }, HEAD, &[0; PIECE_BYTES]);
    assert_eq!(value.len(), VALUE_BYTES);
    // A leaf splits beyond 16 items, and beyond 128 KiB it leaves the file that is synced.
    assert!(17 * (value.len() + KEY_BYTES) < 128 * 1024);
}
