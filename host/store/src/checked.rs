//! Whether everything that a store keeps can be read back, and says the same by whichever way it is asked for.
//! It mends nothing, and does not stop anybody's work.

use jobmill_core::Run;
use jobmill_core::delivery::Delivery;
use jobmill_core::journal::Memory;

use crate::components::Versions;
use crate::log::Record;
use crate::query::Query;
use crate::store::StoreError;

/// What a store was found to hold, so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Runs.
    pub runs: u64,
    /// Entries of their journals.
    pub entries: u64,
    /// Mails that they sent or meant to send, whether the e-mail log shows them or not.
    pub mails: u64,
    /// Events that no job listened to.
    pub events: u64,
    /// Webhook deliveries.
    pub deliveries: u64,
    /// Orders of the embedded book.
    pub orders: u64,
    /// Components of versions.
    pub components: u64,
}

impl Checked {
    /// Compares a record, as `Query::export` gives it, with what the store answers about the same thing by now.
    pub async fn add(&mut self, record: &Record, query: &dyn Query) -> Result<(), StoreError> {
        match record {
            Record::Journal { run: id, entries, .. } => {
                let run = Run::fold(*id, entries).map_err(|error| StoreError::Damaged(error.to_string()))?;
                match query.run(*id).await? {
                    // It may have gone on meanwhile.
                    Some(found) if found.journal.starts_with(entries) => {}
                    Some(_) => return Err(damaged(format!("{id} is told differently when it is asked for by its id"))),
                    // It may have been pruned meanwhile.
                    None if run.head.state.is_final() => {}
                    None => return Err(damaged(format!("{id} is not found by its id"))),
                }
                self.runs += 1;
                self.entries += entries.len() as u64;
                self.mails += Memory::of(entries).mails.len() as u64;
            }
            Record::Event { reference, .. } => {
                let key = reference.key;
                if query.event_by_key(key).await?.is_some_and(|found| found.reference != *reference) {
                    return Err(damaged(format!(
                        "the event {key} is told differently when it is asked for by its key"
                    )));
                }
                self.events += 1;
            }
            Record::Delivery(Delivery { id, body, .. }) => {
                if query.delivery(*id).await?.is_some_and(|found| found.body != *body) {
                    return Err(damaged(format!("{id} is told differently when it is asked for by its id")));
                }
                self.deliveries += 1;
            }
            Record::Order(order) => {
                let found = query.order(&order.id).await?;
                if found.is_none_or(|found| found.revision < order.revision) {
                    return Err(damaged(format!("order {:?} is not found by its id as it should be", order.id)));
                }
                self.orders += 1;
            }
            Record::MailCleared { .. } | Record::Control(_) => {}
            Record::Pruned { .. }
            | Record::PrunedEvents { .. }
            | Record::PrunedDeliveries { .. }
            | Record::Floor { .. } => {
                return Err(damaged("an export has a record that only a log has".to_owned()));
            }
        }
        Ok(())
    }

    /// Reads every component that is kept, and compares it with its digest.
    pub async fn add_components(&mut self, versions: &(impl Versions + ?Sized)) -> Result<(), StoreError> {
        for version in versions.components().await? {
            // It may have been let go meanwhile.
            self.components += u64::from(versions.component(version).await?.is_some());
        }
        Ok(())
    }
}

fn damaged(reason: String) -> StoreError {
    StoreError::Damaged(reason)
}
