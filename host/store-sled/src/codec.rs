//! One record in bytes.
//! Rows, blocks and checksums around it are others'.
//!
//! A byte says what it is; then follows `MessagePack` with members by position. Members of what `core` defines are only
//! ever added, at the end and with a default; a record with other members of its own gets another first byte.

use jobmill_core::journal::{Entry, EventReference};
use jobmill_core::{DeliveryId, EventKey, Json, MailId, RunId, Timestamp};
use jobmill_store::{LogError, Record};
use rmp_serde::config::BytesMode;
use serde::{Deserialize, Serialize};

const JOURNAL: u8 = b'j';
const EVENT: u8 = b'e';
const ORDER: u8 = b'o';
const CONTROL: u8 = b'c';
const MAIL_CLEARED: u8 = b'm';
const PRUNED: u8 = b'p';
const PRUNED_EVENTS: u8 = b'q';
const DELIVERY: u8 = b'd';
const PRUNED_DELIVERIES: u8 = b'r';
const FLOOR: u8 = b'f';

/// Adds the record to `bytes`.
pub(crate) fn encode(record: &Record, bytes: &mut Vec<u8>) -> Result<(), LogError> {
    match record {
        Record::Journal { run, first, entries } => write(bytes, JOURNAL, &(run, first, entries)),
        Record::Event { reference, data, received_at, runs } => {
            write(bytes, EVENT, &(reference, data, received_at, runs))
        }
        Record::Control(control) => write(bytes, CONTROL, control),
        Record::Order(order) => write(bytes, ORDER, order),
        Record::MailCleared { up_to } => write(bytes, MAIL_CLEARED, up_to),
        Record::Pruned { runs } => write(bytes, PRUNED, runs),
        Record::PrunedEvents { events } => write(bytes, PRUNED_EVENTS, events),
        Record::Delivery(delivery) => write(bytes, DELIVERY, delivery),
        Record::PrunedDeliveries { deliveries } => write(bytes, PRUNED_DELIVERIES, deliveries),
        Record::Floor { block } => write(bytes, FLOOR, block),
    }
}

fn write<T: Serialize>(bytes: &mut Vec<u8>, kind: u8, value: &T) -> Result<(), LogError> {
    bytes.push(kind);
    let mut serializer = rmp_serde::Serializer::new(bytes).with_bytes(BytesMode::ForceAll);
    value.serialize(&mut serializer).map_err(|error| LogError::Io(format!("can't encode a record: {error}")))
}

/// The record that `encode` made; otherwise why it is none.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, String> {
    let (kind, bytes) = bytes.split_first().ok_or("it has no bytes")?;
    Ok(match *kind {
        JOURNAL => {
            let (run, first, entries): (RunId, u32, Vec<Entry>) = read(bytes)?;
            if entries.is_empty() {
                return Err("a journal without entries".to_owned());
            }
            Record::Journal { run, first, entries }
        }
        EVENT => {
            let (reference, data, received_at, runs): (EventReference, Json, Timestamp, Vec<RunId>) = read(bytes)?;
            Record::Event { reference, data, received_at, runs }
        }
        CONTROL => Record::Control(read(bytes)?),
        ORDER => Record::Order(read(bytes)?),
        MAIL_CLEARED => Record::MailCleared { up_to: read::<MailId>(bytes)? },
        PRUNED => Record::Pruned { runs: read::<Vec<RunId>>(bytes)? },
        PRUNED_EVENTS => Record::PrunedEvents { events: read::<Vec<EventKey>>(bytes)? },
        DELIVERY => Record::Delivery(read(bytes)?),
        PRUNED_DELIVERIES => Record::PrunedDeliveries { deliveries: read::<Vec<DeliveryId>>(bytes)? },
        FLOOR => Record::Floor { block: read::<u64>(bytes)? },
        unknown => return Err(format!("an unknown kind {unknown:#04x}; use the release that wrote it")),
    })
}

fn read<'bytes, T: Deserialize<'bytes>>(bytes: &'bytes [u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
