//! A store's records as lines of JSON, for taking them from one store to another and for reading them without any.
//! It opens no file and no store; how records are kept on disk is the log's.
//!
//! The first line says what this is, the last how many records there were; each between them is one record, in the
//! order of `Query::export`. A line break between the tokens of a payload becomes a space, all else of it stays.

use std::sync::Arc;

use jobmill_core::delivery::Delivery;
use jobmill_core::journal::{Entry, EventReference};
use jobmill_core::order::Order;
use jobmill_core::{DeliveryId, EventId, EventKey, Json, MailId, Run, RunId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::{Control, ControlKey};
use crate::log::Record;
use crate::query::Export;
use crate::store::StoreError;

/// The one format there is so far.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    jobmill_export: u32,
    exported_at: Timestamp,
}

/// Every line after the header.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Order(Order),
    Event(EventLine),
    Delivery(Delivery),
    Run(RunLine),
    MailCleared(MailId),
    Control(Control),
    End(EndLine),
}

#[derive(Debug, Serialize, Deserialize)]
struct EventLine {
    key: EventKey,
    id: EventId,
    name: Arc<str>,
    ts: Timestamp,
    received_at: Timestamp,
    data: Json,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<RunId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RunLine {
    id: RunId,
    journal: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct EndLine {
    records: u64,
}

/// The lines of an export that was made at `now`, each with its line break.
pub fn lines(export: Export, now: Timestamp) -> impl Iterator<Item = Result<String, StoreError>> + Send {
    let mut export = Some(export);
    let mut records = 0;
    let header = text_of(&Header { jobmill_export: FORMAT, exported_at: now });
    let rest = std::iter::from_fn(move || {
        let line = match export.as_mut()?.next() {
            Some(Ok(record)) => {
                records += 1;
                line_of(record)
            }
            Some(Err(error)) => Err(error),
            None => {
                export = None;
                return Some(text_of(&Line::End(EndLine { records })));
            }
        };
        if line.is_err() {
            // Whoever reads on must not meet an end that looks whole.
            export = None;
        }
        Some(line.and_then(|line| text_of(&line)))
    });
    std::iter::once(header).chain(rest)
}

fn line_of(record: Record) -> Result<Line, StoreError> {
    match record {
        Record::Journal { run, first: 0, entries } => Ok(Line::Run(RunLine { id: run, journal: entries })),
        Record::Event { reference: EventReference { key, id, name, ts }, data, received_at, runs } => {
            Ok(Line::Event(EventLine { key, id, name, ts, received_at, data, runs }))
        }
        Record::Delivery(delivery) => Ok(Line::Delivery(delivery)),
        Record::Control(control) => Ok(Line::Control(control)),
        Record::Order(order) => Ok(Line::Order(order)),
        Record::MailCleared { up_to } => Ok(Line::MailCleared(up_to)),
        Record::Journal { run, .. } => Err(StoreError::Damaged(format!("the journal of {run} has no beginning"))),
        Record::Pruned { .. }
        | Record::PrunedEvents { .. }
        | Record::PrunedDeliveries { .. }
        | Record::Floor { .. } => Err(StoreError::Damaged("an export has a record that only a log has".to_owned())),
    }
}

fn text_of(line: &impl Serialize) -> Result<String, StoreError> {
    let mut text = serde_json::to_string(line)
        .map_err(|error| StoreError::Damaged(format!("a record can't be written as JSON: {error}")))?;
    // Documents are kept as they were sent, and JSON has line breaks only between its tokens.
    if text.contains(['\n', '\r']) {
        text = text.replace(['\n', '\r'], " ");
    }
    text.push('\n');
    Ok(text)
}

/// A line is not what an export has in its place; the end of a sentence about that line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LineError(String);

/// Reads the lines of an export in their order.
#[derive(Debug, Default)]
pub struct Reading {
    begun: bool,
    ended: bool,
    records: u64,
    /// The newest record: they come sorted, so that none comes twice.
    latest: Option<Position>,
}

/// Where records stand in an export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Position {
    Order(String),
    Event(EventKey),
    Delivery(DeliveryId),
    Run(RunId),
    MailCleared,
    Control(ControlKey),
}

impl Reading {
    /// Takes the next line in, without its line break; answers its record, which the first and the last have not.
    pub fn take(&mut self, line: &str) -> Result<Option<Record>, LineError> {
        if !self.begun {
            return self.begin(line).map(|()| None);
        }
        if self.ended {
            return Err(LineError("comes after the end of the export".to_owned()));
        }
        let record = match parsed(line)? {
            Line::End(EndLine { records }) if records == self.records => {
                self.ended = true;
                return Ok(None);
            }
            Line::End(EndLine { records }) => {
                let found = self.records;
                return Err(LineError(format!("says that {records} records come before it, and there are {found}")));
            }
            Line::Order(order) => Record::Order(order),
            Line::Event(EventLine { key, id, name, ts, received_at, data, runs }) => {
                Record::Event { reference: EventReference { key, id, name, ts }, data, received_at, runs }
            }
            Line::Delivery(delivery) => Record::Delivery(delivery),
            Line::Run(RunLine { id, journal }) => {
                Run::fold(id, &journal).map_err(|error| LineError(format!("can't be used: {error}")))?;
                Record::Journal { run: id, first: 0, entries: journal }
            }
            Line::MailCleared(up_to) => Record::MailCleared { up_to },
            Line::Control(control) => Record::Control(control),
        };
        let position = position(&record);
        if self.latest >= position {
            return Err(LineError("is not in its place: an export is sorted, and has each record once".to_owned()));
        }
        self.latest = position;
        self.records += 1;
        Ok(Some(record))
    }

    /// There are no more lines: an error when the export was cut off.
    pub fn finish(&self) -> Result<(), LineError> {
        if self.ended { Ok(()) } else { Err(LineError("is missing: the export is not whole".to_owned())) }
    }

    fn begin(&mut self, line: &str) -> Result<(), LineError> {
        #[derive(Deserialize)]
        struct Format {
            jobmill_export: u32,
        }

        let no_export = "does not begin an export: it must be {\"jobmill_export\":1,…}";
        match parsed::<Format>(line) {
            Err(_) => return Err(LineError(no_export.to_owned())),
            Ok(Format { jobmill_export: FORMAT }) => {}
            Ok(Format { jobmill_export: found }) => {
                let text = format!("says format {found}, and this release reads {FORMAT}");
                return Err(LineError(format!("{text}; use the release that wrote it, or a newer one")));
            }
        }
        parsed::<Header>(line)?;
        self.begun = true;
        Ok(())
    }
}

fn parsed<T: DeserializeOwned>(line: &str) -> Result<T, LineError> {
    serde_json::from_str(line).map_err(|error| LineError(format!("can't be read: {error}")))
}

fn position(record: &Record) -> Option<Position> {
    match record {
        Record::Order(order) => Some(Position::Order(order.id.clone())),
        Record::Event { reference, .. } => Some(Position::Event(reference.key)),
        Record::Delivery(delivery) => Some(Position::Delivery(delivery.id)),
        Record::Journal { run, .. } => Some(Position::Run(*run)),
        Record::MailCleared { .. } => Some(Position::MailCleared),
        Record::Control(control) => Some(Position::Control(control.key())),
        Record::Pruned { .. }
        | Record::PrunedEvents { .. }
        | Record::PrunedDeliveries { .. }
        | Record::Floor { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_772_355_600_000 + millis)
    }

    fn event(id: &str, data: &str) -> Record {
        let key = EventKey::first_at(at(id.bytes().map(u64::from).sum()));
        let reference = EventReference { key, id: id.parse().expect("an id"), name: "greet".into(), ts: at(1) };
        Record::Event { reference, data: Json::parse(data).expect("JSON"), received_at: at(2), runs: Vec::new() }
    }

    fn export(records: Vec<Result<Record, StoreError>>) -> Vec<Result<String, StoreError>> {
        lines(Box::new(records.into_iter()), at(0)).collect()
    }

    fn read(lines: &[Result<String, StoreError>]) -> Result<Vec<Record>, LineError> {
        let mut reading = Reading::default();
        let mut records = Vec::new();
        for line in lines.iter().flatten() {
            records.extend(reading.take(line.strip_suffix('\n').expect("a line break"))?);
        }
        reading.finish().map(|()| records)
    }

    #[test]
    fn records_are_lines_between_a_first_and_a_last_one() {
        let lines = export(vec![Ok(event("a", "{ \"one\":\r\n1.00 }")), Ok(event("b", "[]"))]);
        let text: Vec<&str> = lines.iter().flatten().map(|line| line.trim_end_matches('\n')).collect();
        assert_eq!(
            text,
            [
                r#"{"jobmill_export":1,"exported_at":"2026-03-01T09:00:00.000Z"}"#,
                r#"{"event":{"key":"evt_01KJMA0FQ10000000000000000","id":"a","name":"greet","ts":"2026-03-01T09:00:00.001Z","received_at":"2026-03-01T09:00:00.002Z","data":{ "one":  1.00 }}}"#,
                r#"{"event":{"key":"evt_01KJMA0FQ20000000000000000","id":"b","name":"greet","ts":"2026-03-01T09:00:00.001Z","received_at":"2026-03-01T09:00:00.002Z","data":[]}}"#,
                r#"{"end":{"records":2}}"#,
            ]
        );
        assert_eq!(read(&lines), Ok(vec![event("a", "{ \"one\":  1.00 }"), event("b", "[]")]));
    }

    #[test]
    fn an_export_that_failed_has_no_end() {
        let damage = StoreError::Damaged("block 7".to_owned());
        let lines = export(vec![Ok(event("a", "{}")), Err(damage.clone()), Ok(event("b", "{}"))]);
        assert_eq!((lines.len(), lines.last()), (3, Some(&Err(damage))));
        assert!(read(&lines).is_err_and(|error| error.to_string().contains("not whole")));
    }

    #[test]
    fn records_out_of_their_order_are_refused() {
        let lines = export(vec![Ok(event("b", "{}")), Ok(event("a", "{}"))]);
        assert!(read(&lines).is_err_and(|error| error.to_string().contains("not in its place")));
    }
}
