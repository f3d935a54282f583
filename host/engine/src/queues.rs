//! Which queues there are: those that are configured, those that loaded jobs use, and those that the store knows.
//! It counts nothing; the store does.

use std::collections::BTreeMap;

use jobmill_store::{QueueView, StoreError};

use crate::handle::Handle;

impl Handle {
    /// Every queue, by name. One that only the configuration or a loaded job names has no runs.
    pub async fn queues(&self) -> Result<Vec<QueueView>, StoreError> {
        let catalog = self.catalog();
        let used = catalog.all_serving().map(|loaded| &*loaded.job.queue.value);
        let named = self.queues.keys().map(String::as_str).chain(used);
        let unused =
            |name: &str| QueueView { name: name.to_owned(), concurrency: None, running: 0, waiting: 0, paused: None };
        let mut queues: BTreeMap<String, QueueView> = named.map(|name| (name.to_owned(), unused(name))).collect();
        queues.extend(self.store.queues(self.now()).await?.into_iter().map(|queue| (queue.name.clone(), queue)));
        let mut queues: Vec<QueueView> = queues.into_values().collect();
        for queue in &mut queues {
            // The store hears of the configuration with the first claim.
            queue.concurrency = queue.concurrency.or_else(|| self.queues.get(&queue.name).copied());
        }
        Ok(queues)
    }
}
