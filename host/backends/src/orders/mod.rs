//! The orders that jobs read and change.
//! It keeps no record of what was asked: the runtime does, before and after.

mod embedded;
mod http;
mod postgres;
mod words;

use std::error::Error;
use std::iter::successors;
use std::sync::Arc;

use jobmill_core::Timestamp;
use jobmill_core::order::{Order, OrderError, OrderPatch};
use jobmill_store::Query;

use crate::faults::{FaultKind, Faults, INJECTED};
use embedded::Embedded;
use http::HttpSource;
pub use http::{HttpOrders, OrderFields};
use postgres::PostgresSource;
pub use postgres::{
    Amounts, EmailLog, EmailLogColumns, EmailLogError, ItemColumns, OrderColumns, PostgresOrders, PostgresSettings,
    RefusedMail,
};

/// Where the orders are.
pub struct Orders {
    source: Source,
    faults: Arc<Faults>,
}

enum Source {
    Embedded(Embedded),
    Http(Box<HttpSource>),
    Postgres(Box<PostgresSource>),
}

/// A setting that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {reason}")]
pub struct OrderSettingsError {
    /// Its key in the configuration.
    pub key: String,
    /// What is wrong with it; the end of a sentence.
    pub reason: String,
}

impl OrderSettingsError {
    fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }
}

/// How a change is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'key> {
    /// The same for every try of one effect of one run.
    pub idempotency_key: &'key str,
    /// An earlier try may have come through; its answer is not known.
    pub in_doubt: bool,
}

impl Orders {
    /// The book in the store itself. `faults` are those of order updates.
    pub fn embedded(store: Arc<dyn Query>, faults: Arc<Faults>) -> Self {
        Self { source: Source::Embedded(Embedded(store)), faults }
    }

    /// The shop's own HTTP endpoint. Connects to nothing yet.
    pub fn http(settings: HttpOrders, faults: Arc<Faults>) -> Result<Self, OrderSettingsError> {
        Ok(Self { source: Source::Http(Box::new(HttpSource::new(settings)?)), faults })
    }

    /// The shop's own tables. Connects when it is first asked.
    pub fn postgres(settings: PostgresOrders, faults: Arc<Faults>) -> Result<Self, OrderSettingsError> {
        Ok(Self { source: Source::Postgres(Box::new(PostgresSource::new(settings)?)), faults })
    }

    /// Whether a change has to be on the record before it begins: where the orders are not in our own store, it can
    /// have been made although nobody was told.
    pub fn needs_intent(&self) -> bool {
        match self.source {
            Source::Embedded(_) => false,
            Source::Http(_) | Source::Postgres(_) => true,
        }
    }

    /// The order as it is now, with `kept`: changes that the asking attempt has made and not yet committed. Only the
    /// embedded book has such changes, and a trial.
    pub async fn fetch<'patch>(
        &self,
        id: &str,
        kept: impl IntoIterator<Item = &'patch OrderPatch>,
        now: Timestamp,
    ) -> Result<Order, OrderError> {
        let order = match &self.source {
            Source::Embedded(book) => book.fetch(id).await?,
            Source::Http(shop) => shop.fetch(id, now).await?,
            Source::Postgres(shop) => shop.fetch(id).await?,
        };
        kept.into_iter().try_fold(order, |order, patch| order.patched(patch, now))
    }

    /// The order before `patch` and as it would be after it, for a trial: the source is read and not asked to change anything,
    /// and planned failures are left for those who are.
    pub async fn preview<'patch>(
        &self,
        id: &str,
        patch: &OrderPatch,
        kept: impl IntoIterator<Item = &'patch OrderPatch>,
        in_doubt: bool,
        now: Timestamp,
    ) -> Result<(Order, Order), OrderError> {
        let before = self.fetch(id, kept, now).await?;
        let after = match before.patched(patch, now) {
            // Perhaps it is refused because it was made already.
            Err(OrderError::RevisionConflict(_) | OrderError::InvalidTransition(_))
                if in_doubt && shows(&before, patch, now) =>
            {
                before.clone()
            }
            patched => patched?,
        };
        match &self.source {
            Source::Embedded(_) => {}
            Source::Http(shop) => shop.check(patch)?,
            Source::Postgres(shop) => shop.check(patch)?,
        }
        Ok((before, after))
    }

    /// The order as it is after `patch`. In the embedded book nothing is written: whoever gets `Ok` keeps the patch for
    /// the end of the attempt, where the store checks it again. Elsewhere it is written when this answers.
    pub async fn update<'patch>(
        &self,
        id: &str,
        patch: &OrderPatch,
        kept: impl IntoIterator<Item = &'patch OrderPatch>,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Order, OrderError> {
        match self.faults.take() {
            Some(FaultKind::Transient) => return Err(OrderError::Unavailable(INJECTED.to_owned())),
            Some(FaultKind::Permanent) => return Err(OrderError::Denied(INJECTED.to_owned())),
            None => {}
        }
        let updated = match &self.source {
            Source::Embedded(_) => return self.fetch(id, kept, now).await?.patched(patch, now),
            Source::Http(shop) => shop.update(id, patch, asked.idempotency_key, now).await,
            // Its own transaction tells whether the change was made already.
            Source::Postgres(shop) => shop.update(id, patch, now).await,
        };
        match updated {
            // Perhaps it is refused because it was made already.
            Err(refusal @ (OrderError::RevisionConflict(_) | OrderError::InvalidTransition(_))) if asked.in_doubt => {
                let order = self.fetch(id, [], now).await?;
                if shows(&order, patch, now) { Ok(order) } else { Err(refusal) }
            }
            updated => updated,
        }
    }
}

/// Whether the order is as the patch would make it.
fn shows(order: &Order, patch: &OrderPatch, now: Timestamp) -> bool {
    let at_any_revision = OrderPatch { expected_revision: None, ..patch.clone() };
    order.patched(&at_any_revision, now).is_ok_and(|patched| patched == *order)
}

/// What went wrong with its causes: "connection refused" is one of them.
pub(crate) fn with_causes(what: &str, error: &(dyn Error + 'static)) -> String {
    let chain: Vec<String> = successors(Some(error), |&error| error.source()).map(ToString::to_string).collect();
    format!("{what}: {}", chain.join(": "))
}
