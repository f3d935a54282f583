//! Blocks give back one record or all of them, hold no more than they should, and are small when their records are alike.

use jobmill_core::order::{Money, Order, OrderStatus};
use jobmill_core::{Json, Timestamp};

use super::*;

fn order(number: usize, metadata: &str) -> Record {
    Record::Order(Order {
        id: format!("order_{number}"),
        status: OrderStatus::Paid,
        customer_email: "ada@example.com".to_owned(),
        customer_name: None,
        items: Vec::new(),
        total: Money { minor: 1250, currency: "EUR".to_owned() },
        created_at: Timestamp::from_millis(1),
        fulfilled_at: None,
        refunded_at: None,
        metadata: Json::of(metadata).expect("a document"),
        revision: 1,
    })
}

fn pack(group: &[Record]) -> Vec<Packed> {
    Packer::default().pack(group).expect("packs")
}

fn records(packed: &Packed) -> Vec<Record> {
    let mut block = Block::default();
    block.unpack(&packed.bytes).expect("unpacks");
    let row = block.records().expect("is a row");
    (0..row.records()).map(|number| row.record(number).expect("is there")).collect()
}

#[test]
fn every_record_of_a_group_is_in_one_of_its_blocks_in_order() {
    let mut group: Vec<_> = (0..500).map(|number| order(number, &"x".repeat(number * 7 % 1_000))).collect();
    group.insert(250, order(500, &"y".repeat(200_000)));
    let blocks = pack(&group);
    assert!(blocks.len() > 3, "{}", blocks.len());
    assert_eq!(blocks.iter().map(|block| block.records).sum::<usize>(), group.len());
    assert_eq!(blocks.iter().flat_map(records).collect::<Vec<_>>(), group);
}

#[test]
fn a_block_is_no_larger_than_it_may_be_unless_it_has_one_record() {
    let mut group: Vec<_> = (0..300).map(|number| order(number, &"x".repeat(900))).collect();
    group.push(order(300, &"x".repeat(100_000)));
    group.push(order(301, ""));
    for packed in pack(&group) {
        let mut block = Block::default();
        block.unpack(&packed.bytes).expect("unpacks");
        assert!(block.bytes() <= BLOCK_BYTES || packed.records == 1, "{} records", packed.records);
    }
}

#[test]
fn records_that_are_alike_take_room_once() {
    let text =
        (0..600_u32).flat_map(|number| [(number * number * 7 % 9_973).to_string(), " ".to_owned()]).collect::<String>();
    let alike: usize = pack(&(0..100).map(|number| order(number, &text)).collect::<Vec<_>>())
        .iter()
        .map(|block| block.bytes.len())
        .sum();
    assert!(alike * 10 < 100 * text.len(), "{alike}");
}

#[test]
fn a_block_with_a_floor_says_so_and_others_do_not() {
    let large = |number| order(number, &"x".repeat(BLOCK_BYTES));
    let floor = Record::Floor { block: 1 };
    let blocks = pack(&[large(0), floor, order(1, ""), large(2)]);
    assert_eq!(
        blocks.iter().map(|block| (block.records, block.floor)).collect::<Vec<_>>(),
        [(1, false), (2, true), (1, false)]
    );
}

#[test]
fn an_empty_group_has_no_blocks() {
    assert!(pack(&[]).is_empty());
}

#[test]
fn no_other_bytes_are_taken_for_a_block() {
    let [packed] = &pack(&[order(1, "x"), order(2, "y")])[..] else { panic!("one block") };
    for length in 0..packed.bytes.len() {
        let mut block = Block::default();
        let cut = block.unpack(&packed.bytes[..length]).and_then(|()| block.records().map(|row| row.records()));
        assert!(cut.is_err(), "{length} bytes");
    }
}

#[test]
fn reading_whatever_bytes_ends_with_an_answer() {
    let [packed] = &pack(&[order(1, "x"), order(2, "y")])[..] else { panic!("one block") };
    let mut answers = 0;
    for place in LENGTH_BYTES..packed.bytes.len() {
        for bit in 0..8 {
            let mut bytes = packed.bytes.clone();
            bytes[place] ^= 1 << bit;
            let mut block = Block::default();
            let read = block.unpack(&bytes).and_then(|()| block.records()).map(|row| [row.record(0), row.record(1)]);
            answers += read.map_or(1, |records| records.len());
        }
    }
    assert!(answers > (packed.bytes.len() - LENGTH_BYTES) * 8, "some of them are rows");
}

#[test]
fn a_record_that_is_not_there_is_named() {
    let [packed] = &pack(&[order(1, "x")])[..] else { panic!("one block") };
    let mut block = Block::default();
    block.unpack(&packed.bytes).expect("unpacks");
    let flaw = block.records().expect("is a row").record(1).expect_err("is not there");
    assert_eq!(flaw, Flaw::Content("it has 1 records and no record 1".to_owned()));
}
