//! What waits for the next commit: filled by every caller, emptied whole by the one thread that writes.
//! It decides nothing and knows no command.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobmill_core::limits;
use tokio::sync::{Semaphore, oneshot};

use crate::committer::Command;
use crate::store::StoreError;

/// How long a start waits for other commands to share their sync: it is noted already, and most attempts end sooner.
const START_WAITS: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct Queue {
    state: Mutex<Waiting>,
    filled: Condvar,
    room: Semaphore,
}

#[derive(Default)]
struct Waiting {
    commands: Vec<Command>,
    /// There are starts that no group has yet.
    starts: bool,
    closed: bool,
    /// Whoever empties the queue sleeps. Waking costs a system call, so it is done only then.
    sleeps: bool,
    /// Whoever waits for the end.
    closing: Vec<oneshot::Sender<Result<(), StoreError>>>,
    /// Whoever waits for the log to be written anew.
    rewriting: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

/// How long whoever empties the queue waits for something to be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// This long.
    AtMost(Duration),
    /// Until there is something.
    Endless,
}

/// What was in the queue.
pub(crate) struct Taken {
    /// In the order in which they came.
    pub(crate) commands: Vec<Command>,
    /// Nothing more will come.
    pub(crate) closed: bool,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(Waiting::default()),
            filled: Condvar::new(),
            room: Semaphore::new(limits::COMMITS_WAITING),
        }
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command, once there is room; refused when the queue is closed.
    pub(crate) async fn push(&self, command: Command) -> Result<(), StoreError> {
        let room = self.room.acquire().await.map_err(|_| StoreError::Closed)?;
        let mut state = self.state();
        if state.closed {
            return Err(StoreError::Closed);
        }
        room.forget();
        state.commands.push(command);
        self.wake(state);
        Ok(())
    }

    fn wake(&self, mut state: MutexGuard<'_, Waiting>) {
        let sleeps = std::mem::take(&mut state.sleeps);
        drop(state);
        if sleeps {
            self.filled.notify_one();
        }
    }

    /// Whether commands are still taken.
    pub(crate) fn is_open(&self) -> bool {
        !self.state().closed
    }

    /// There are starts to be written, before long.
    pub(crate) fn expect_starts(&self) {
        let mut state = self.state();
        if !state.starts {
            state.starts = true;
            self.wake(state);
        }
    }

    /// Takes no more from now on; the answer comes when everything is committed.
    pub(crate) fn close(&self) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.closed = true;
        state.closing.push(sender);
        self.wake(state);
        Some(receiver)
    }

    /// Asks for the log to be written anew, after what is committed by now.
    pub(crate) fn ask_rewrite(&self) -> oneshot::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        state.rewriting.push(sender);
        self.wake(state);
        receiver
    }

    /// Whoever waits for the log to be written anew.
    pub(crate) fn rewriting(&self) -> Vec<oneshot::Sender<Result<(), StoreError>>> {
        std::mem::take(&mut self.state().rewriting)
    }

    /// Whoever waits for the end.
    pub(crate) fn closing(&self) -> Vec<oneshot::Sender<Result<(), StoreError>>> {
        std::mem::take(&mut self.state().closing)
    }

    /// Takes what is there, at most so many.
    pub(crate) fn take(&self, most: usize, patience: Patience) -> Taken {
        let mut state = self.state();
        while state.commands.is_empty() && state.rewriting.is_empty() && !state.closed {
            let patience = match patience {
                Patience::Endless if state.starts => Patience::AtMost(START_WAITS),
                other => other,
            };
            match patience {
                Patience::None => break,
                Patience::Endless => {
                    state.sleeps = true;
                    state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Patience::AtMost(span) => {
                    state.sleeps = true;
                    let (waited, timeout) =
                        self.filled.wait_timeout(state, span).unwrap_or_else(PoisonError::into_inner);
                    state = waited;
                    if timeout.timed_out() {
                        break;
                    }
                }
            }
        }
        (state.starts, state.sleeps) = (false, false);
        let count = state.commands.len().min(most);
        let commands = if count == state.commands.len() {
            std::mem::take(&mut state.commands)
        } else {
            state.commands.drain(..count).collect()
        };
        self.room.add_permits(count);
        Taken { commands, closed: state.closed && state.commands.is_empty() }
    }
}
