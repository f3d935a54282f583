//! The one thread that writes: it decides what waits, appends it, syncs once, applies it, and answers.
//! Whatever waits when a commit begins shares its sync; nothing is answered before the sync returned.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use jobmill_core::{Timestamp, limits};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::commands::Touched;
use crate::index::Index;
use crate::log::{Log, Record};
use crate::store::{Change, StoreError};

/// Decides a command; answers it once the commit is durable.
pub(crate) type Command = Box<dyn FnMut(&mut Commit<'_>) -> Step + Send>;
pub(crate) type Answer = Box<dyn FnOnce(Result<&Index, StoreError>) + Send>;

/// What came of deciding a command.
pub(crate) enum Step {
    /// Decided; to be answered once the commit is durable.
    Done(Answer),
    /// To be decided in the next commit.
    Later,
}

/// A commit while its commands are decided.
pub(crate) struct Commit<'index> {
    /// What is durable.
    pub(crate) index: &'index Index,
    /// What the commands so far touch.
    pub(crate) touched: Touched,
    /// The records of one command, which are written whole or not at all.
    pub(crate) writes: Vec<Vec<Record>>,
}

/// What the committer is sent.
pub(crate) enum Message {
    /// Decide and answer.
    Command(Command),
    /// The same, after moving what has become due to where claims look.
    Claim(Command, Timestamp),
    /// Commit what came before, and end.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// Owns the log.
pub(crate) struct Committer<L> {
    log: L,
    index: Arc<RwLock<Index>>,
    changes: broadcast::Sender<Change>,
    /// Commands of the last commit that touched what others in it had touched.
    later: VecDeque<Command>,
    failed: Option<StoreError>,
}

impl<L: Log> Committer<L> {
    pub(crate) fn new(log: L, index: Arc<RwLock<Index>>, changes: broadcast::Sender<Change>) -> Self {
        Self { log, index, changes, later: VecDeque::new(), failed: None }
    }

    /// Commits until told to close or until nobody can send any more.
    pub(crate) fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        let mut closing = None;
        while closing.is_none() {
            let mut batch: Vec<Command> = self.later.drain(..).collect();
            let mut promote = None;
            let mut next = if batch.is_empty() { receiver.blocking_recv() } else { receiver.try_recv().ok() };
            if batch.is_empty() && next.is_none() {
                break;
            }
            while let Some(message) = next {
                match message {
                    Message::Command(command) => batch.push(command),
                    Message::Claim(command, now) => {
                        promote = promote.max(Some(now));
                        batch.push(command);
                    }
                    Message::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                }
                next = if batch.len() < limits::COMMANDS_PER_COMMIT { receiver.try_recv().ok() } else { None };
            }
            self.commit(batch, promote);
        }
        while !self.later.is_empty() {
            let rest = self.later.drain(..).collect();
            self.commit(rest, None);
        }
        if let Some(done) = closing {
            let _ = done.send(self.failed.take().map_or(Ok(()), Err));
        }
    }

    fn commit(&mut self, batch: Vec<Command>, promote: Option<Timestamp>) {
        if let Some(now) = promote {
            self.index.write().unwrap_or_else(PoisonError::into_inner).promote(now);
        }
        let mut answers = Vec::with_capacity(batch.len());
        let writes = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let mut commit = Commit { index: &index, touched: Touched::default(), writes: Vec::new() };
            for mut command in batch {
                match command(&mut commit) {
                    Step::Done(answer) => answers.push(answer),
                    Step::Later => self.later.push_back(command),
                }
            }
            commit.writes
        };
        let outcome = self.write(&writes);
        let mut changes = Vec::new();
        if outcome.is_ok() && !writes.is_empty() {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            changes.extend(writes.iter().flatten().filter_map(|record| index.apply(record)));
        }
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        for answer in answers {
            answer(outcome.clone().map(|()| &*index));
        }
        drop(index);
        for change in changes {
            // Nobody may be listening.
            let _ = self.changes.send(change);
        }
    }

    fn write(&mut self, writes: &[Vec<Record>]) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if writes.is_empty() {
            return Ok(());
        }
        let written = writes.iter().try_for_each(|command| self.log.append(command)).and_then(|()| self.log.sync());
        written.map_err(|error| {
            // After a failed write or sync nobody knows what is on disk: only opening it again tells.
            tracing::error!(%error, "the store has failed");
            let failed = StoreError::Failed(error.to_string());
            self.failed = Some(failed.clone());
            failed
        })
    }
}
