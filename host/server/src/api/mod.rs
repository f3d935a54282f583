//! The JSON API: its routes, and what its answers have in common.
//! Each area has a file of its own, with the shapes that it takes and gives.

mod audit;
mod bulk;
mod dead;
mod deliveries;
mod events;
mod faults;
mod job_sandbox;
mod job_settings;
mod jobs;
mod journal;
mod mail;
mod metrics;
mod openapi;
mod operator;
mod orders;
mod queues;
mod rollback;
mod run_view;
mod runs;
mod schedule;
pub(crate) mod shapes;
mod stats;
mod store;
mod stream;
mod suppressions;
mod tokens;
mod trial;
mod typescript;
mod usage;
mod versions;

pub(crate) use audit::{audit_filter, audited_actions};
pub(crate) use deliveries::{OUTCOMES, find_delivery, read_outcome, replay_delivery};
pub use job_settings::SettingsView;
pub(crate) use jobs::unknown_job;
pub(crate) use mail::{find_mail, read_status, release_mail};
pub use openapi::openapi_document;
pub(crate) use queues::{QueueName, find as find_queue, tell_limit};
pub(crate) use rollback::{roll_back, unpin_job};
pub(crate) use runs::take_work;
pub(crate) use schedule::start_scheduled;
pub(crate) use stream::Feed;
pub(crate) use suppressions::{suppress_address, unknown_suppression};
pub(crate) use tokens::{CreateBody, RateBody, make_token, revoke_token};
pub(crate) use trial::summary as summary_of_trial;
pub(crate) use usage::compared;
pub(crate) use versions::with_changes;

use jobmill_store::Page;
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::Routes;

/// Every route of the API.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .merge(audit::routes())
        .merge(dead::routes())
        .merge(deliveries::routes())
        .merge(events::routes())
        .merge(faults::routes())
        .merge(jobs::routes())
        .merge(mail::routes())
        .merge(openapi::routes())
        .merge(metrics::routes())
        .merge(orders::routes())
        .merge(queues::routes())
        .merge(rollback::routes())
        .merge(runs::routes())
        .merge(schedule::routes())
        .merge(stats::routes())
        .merge(store::routes())
        .merge(stream::routes())
        .merge(suppressions::routes())
        .merge(tokens::routes())
        .merge(trial::routes())
        .merge(typescript::routes())
        .merge(versions::routes())
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
struct List<T> {
    /// What is on this page.
    items: Vec<T>,
    /// `cursor` of the next page; null at the end.
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list that is always sent whole.
    fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }

    /// A page of a store's list, each item as `show` shows it.
    fn page<S, C: ToString>(page: Page<S, C>, show: impl FnMut(S) -> T) -> Self {
        Self {
            next_cursor: page.next.map(|cursor| cursor.to_string()),
            items: page.items.into_iter().map(show).collect(),
        }
    }
}
