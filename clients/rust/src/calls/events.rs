//! Events: publish them, and look at what was published.
//! Which jobs listen is the server's to know.

use jobmill_core::EventId;
use serde::Serialize;

use crate::answer::{Answer, Page};
use crate::client::Client;
use crate::error::Error;
use crate::requests::{EventFilter, NewEvent, Query};
use crate::shapes::{Event, Publication};

impl Client {
    /// Publishes an event. When it is answered, the event and its runs are on disk.
    pub fn publish<D: Serialize + ?Sized>(&self, event: &NewEvent<'_, D>) -> Result<Answer<Publication>, Error> {
        self.post(&["events"], event)
    }

    /// Publishes up to 5,000 events, all of them or none.
    pub fn publish_all<D: Serialize + ?Sized>(&self, events: &[NewEvent<'_, D>]) -> Result<Answer<Publication>, Error> {
        self.post(&["events"], &events)
    }

    /// An event with its data.
    pub fn event(&self, id: &EventId) -> Result<Answer<Event>, Error> {
        self.get(&["events", id.as_str()], &[])
    }

    /// At most `limit` events, newest first, without their data.
    pub fn events(&self, filter: &EventFilter<'_>, limit: usize) -> Result<Page<Event>, Error> {
        let query = Query::default().with("name", filter.name).with("since", filter.since).with("until", filter.until);
        self.pages(&["events"], &query.pairs(), limit)
    }
}
