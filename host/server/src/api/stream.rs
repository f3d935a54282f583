//! `GET /api/v1/stream`: what changes, told as it happens to whoever looks, as server-sent events.
//! It tells that something changed and how it stands now; it keeps nothing, and whoever misses something looks again.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt as _};
use jobmill_core::{JobId, RunId, RunState, Timestamp};
use jobmill_engine::Handle;
use jobmill_store::Change;
use serde::Serialize;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::Instant;
use utoipa::OpenApi;

use crate::Context;
use crate::authentication::Caller;
use crate::error::{Code, Problem};
use crate::query::NoParameters;
use crate::routes::{Routes, Rule};

/// Streams at once. Each takes one of the connections, most of which are for work.
const STREAMS: usize = 250;
/// The least time between two messages; what changes in between is in the second.
const PACE: Duration = Duration::from_millis(100);
/// Runs in one message. When more change in one pace, looking again is cheaper than being told, for two hundred readers above all.
const RUNS: usize = 50;
/// Messages that a reader may be behind: more than six seconds of them. One that is slower is let go, and comes back.
const BEHIND: usize = 64;
/// A word is sent at least this often, so that a connection that is gone shows.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time and is asked for again, so that a clock that was wrong lets nobody look on for long.
const LIFE: Duration = Duration::from_mins(15);

/// Sent first: after how many milliseconds a reader that was let go comes back.
const GREETING: &[u8] = b"retry: 2000\n\n";
const STILL_HERE: &[u8] = b": still here\n\n";
const MISSED: &str = "event: missed\ndata: {}\n\n";
const CATALOG: &str = "event: catalog\ndata: {}\n\n";

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(follow))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/stream", Rule::READ, follow).described_by(Document::openapi)
}

/// Tells what changes, as server-sent events.
///
/// `run` carries an array of `{ id, job, state, attempt, scheduled_at }`, each run as it stands now; there are at most ten
/// messages a second. `missed` says that more changed than was told, and `catalog` that other jobs are loaded: look again.
/// A reader that is too slow is let go, as is one whose token or session ends, and every stream ends after 15 minutes; ask
/// again, and look once.
#[utoipa::path(
    get,
    path = "/api/v1/stream",
    tag = "Engine",
    responses(
        (status = 200, description = "events without an end", body = String, content_type = "text/event-stream"),
    )
)]
async fn follow(State(context): State<Context>, caller: Caller, _: NoParameters) -> Result<Response, Problem> {
    if !context.handle.is_ready() {
        return Err(Problem::new(Code::NotReady, "the engine is starting or stopping, so nothing is told"));
    }
    let reader = context.feed.join(&context.handle)?;
    let greeting = stream::once(async { Ok(Bytes::from_static(GREETING)) });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Proxies that collect answers before they pass them on are asked not to.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let messages = greeting.chain(reader.messages()).take_until(shut_out(context, caller));
    Ok((headers, Body::from_stream(messages)).into_response())
}

/// Ends when whoever was let in may not look any more: the token is revoked or over, or the session, or nothing opens
/// without a token from now on.
async fn shut_out(context: Context, caller: Caller) {
    let (mut tokens, mut sessions) = (context.keyring.changes(), context.sessions.ends());
    while let Some(left) = caller.left(&context).await {
        tokio::select! {
            Ok(()) = tokens.changed() => {}
            Ok(()) = sessions.changed() => {}
            () = context.handle.sleep(left.min(LIFE)) => {}
        }
    }
}

/// What changes, put into bytes once for everybody who looks. While nobody does, it costs nothing.
pub(crate) struct Feed {
    /// There while somebody looks.
    open: Mutex<Option<broadcast::Sender<Bytes>>>,
    room: Arc<Semaphore>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { open: Mutex::default(), room: Arc::new(Semaphore::new(STREAMS)) }
    }
}

impl Feed {
    /// One more reader, who is told whatever changes from now on.
    fn join(self: &Arc<Self>, handle: &Handle) -> Result<Reader, Problem> {
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let detail = format!("{STREAMS} streams are open already; close one, or read the lists from time to time");
            Problem::new(Code::TooManyStreams, detail)
        })?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = if let Some(sender) = &*open {
            sender.subscribe()
        } else {
            let (sender, messages) = broadcast::channel(BEHIND);
            *open = Some(sender);
            let mut catalog = handle.catalog_changes();
            catalog.mark_unchanged();
            let ears = Ears { handle: handle.clone(), changes: handle.changes(), catalog };
            tokio::spawn(ears.tell(Arc::clone(self)));
            messages
        };
        Ok(Reader { messages, until: Instant::now() + LIFE, _permit: permit })
    }

    /// Sends to everybody; false, and the feed is shut, when nobody is left.
    fn send(&self, message: Bytes) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let is_heard = open.as_ref().is_some_and(|sender| sender.send(message).is_ok());
        if !is_heard {
            *open = None;
        }
        is_heard
    }

    /// Ends every stream.
    fn shut(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Somebody who looks.
struct Reader {
    messages: broadcast::Receiver<Bytes>,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// Ends when the feed does, when its time is over, or when the reader is too far behind.
    fn messages(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut reader| async move {
            let next = tokio::time::timeout_at(reader.until, reader.messages.recv()).await;
            next.ok()?.ok().map(|message| (Ok(message), reader))
        })
    }
}

/// What is listened to.
struct Ears {
    handle: Handle,
    changes: broadcast::Receiver<Arc<[Change]>>,
    catalog: watch::Receiver<u64>,
}

impl Ears {
    /// Tells the feed what is heard, until nobody looks or the engine stops.
    async fn tell(mut self, feed: Arc<Feed>) {
        while let Some(heard) = self.listen().await {
            if !feed.send(self.message(&heard).await) {
                return;
            }
            // Ends early only when the engine stops, which is then heard.
            let _ = tokio::time::timeout(PACE, self.handle.shutting_down()).await;
        }
        feed.shut();
    }

    /// What happens next, with all that has happened by then; none when the engine stops.
    async fn listen(&mut self) -> Option<Heard> {
        let mut heard = Heard::default();
        let listening = async {
            tokio::select! {
                biased;
                () = self.handle.shutting_down() => false,
                loaded = self.catalog.changed() => {
                    heard.catalog = true;
                    loaded.is_ok()
                }
                changes = self.changes.recv() => heard.take(changes),
            }
        };
        // Nothing happened where the time is over: the empty message says that the connection is alive.
        let goes_on = tokio::time::timeout(HEARTBEAT, listening).await.unwrap_or(true);
        loop {
            let more = match self.changes.try_recv() {
                Ok(batch) => Ok(batch),
                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            };
            heard.take(more);
        }
        goes_on.then_some(heard)
    }

    /// The bytes that everybody gets.
    async fn message(&self, heard: &Heard) -> Bytes {
        let told = if heard.is_whole() && !heard.runs.is_empty() { self.told(&heard.runs).await } else { None };
        heard.message(told.as_deref())
    }

    /// The runs as JSON; none when the store can't say how they stand.
    async fn told(&self, runs: &BTreeSet<RunId>) -> Option<String> {
        let now = self.handle.now();
        let ids: Vec<RunId> = runs.iter().copied().collect();
        let heads = self.handle.query().heads(&ids).await.ok()?.into_iter();
        let runs = heads.map(|head| ToldRun {
            id: head.id,
            state: head.state_at(now),
            attempt: head.attempt,
            scheduled_at: head.scheduled_at,
            job: head.job,
        });
        serde_json::to_string(&runs.collect::<Vec<_>>()).ok()
    }
}

/// What was heard in one pace.
#[derive(Default)]
struct Heard {
    /// Runs that changed: at most one more than are told.
    runs: BTreeSet<RunId>,
    /// Changes were lost before they were heard.
    missed: bool,
    /// Other jobs are loaded.
    catalog: bool,
}

impl Heard {
    /// Takes in what the store says; false when it says nothing more.
    fn take(&mut self, changes: Result<Arc<[Change]>, RecvError>) -> bool {
        match changes {
            // The store's way to say that it did not tell everything.
            Ok(batch) if batch.is_empty() => self.missed = true,
            Ok(batch) => {
                for change in &*batch {
                    if self.runs.len() <= RUNS {
                        self.runs.insert(change.run);
                    }
                }
            }
            Err(RecvError::Lagged(_)) => self.missed = true,
            Err(RecvError::Closed) => return false,
        }
        true
    }

    /// Whether every run that changed can be told.
    fn is_whole(&self) -> bool {
        !self.missed && self.runs.len() <= RUNS
    }

    /// As it is sent, with the runs as JSON if they can be told.
    fn message(&self, told: Option<&str>) -> Bytes {
        let mut text = String::new();
        if self.catalog {
            text.push_str(CATALOG);
        }
        match told {
            Some(runs) if self.is_whole() => text.extend(["event: run\ndata: ", runs, "\n\n"]),
            _ if self.missed || !self.runs.is_empty() => text.push_str(MISSED),
            // Nothing happened.
            _ if text.is_empty() => return Bytes::from_static(STILL_HERE),
            _ => {}
        }
        text.into()
    }
}

/// A run as it is told.
#[derive(Serialize)]
struct ToldRun {
    id: RunId,
    job: JobId,
    state: RunState,
    attempt: u32,
    scheduled_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u8) -> Change {
        Change {
            run: RunId::from_bytes([number; 16]),
            state: RunState::Running,
            scheduled_at: Timestamp::from_millis(0),
            cancel_requested: false,
        }
    }

    fn text(heard: &Heard, told: Option<&str>) -> String {
        String::from_utf8(heard.message(told).to_vec()).expect("UTF-8")
    }

    #[test]
    fn what_can_not_be_told_is_said_to_be_missed() {
        let mut heard = Heard::default();
        assert_eq!(text(&heard, None), ": still here\n\n");
        assert!(heard.take(Ok([change(1), change(2), change(1)].into())));
        assert_eq!(heard.runs.len(), 2);
        assert_eq!(text(&heard, Some("[]")), "event: run\ndata: []\n\n");
        assert_eq!(text(&heard, None), MISSED, "the store could not say how they stand");
        assert!(heard.take(Err(RecvError::Lagged(1))));
        assert_eq!(text(&heard, Some("[]")), MISSED);
        let mut silent = Heard { catalog: true, ..Heard::default() };
        assert_eq!(text(&silent, None), CATALOG);
        assert!(silent.take(Ok([].into())), "the store's own way to say it");
        assert_eq!(text(&silent, None), format!("{CATALOG}{MISSED}"));
        assert!(!silent.take(Err(RecvError::Closed)));
    }

    #[test]
    fn more_runs_than_a_message_holds_are_not_gathered() {
        let mut heard = Heard::default();
        for _ in 0..4 {
            assert!(heard.take(Ok((0..=u8::MAX).map(change).collect())));
        }
        assert_eq!(heard.runs.len(), RUNS + 1);
        assert_eq!(text(&heard, Some("[]")), MISSED);
    }

    #[tokio::test]
    async fn a_reader_that_is_too_far_behind_is_let_go() {
        let (sender, messages) = broadcast::channel(BEHIND);
        let room = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&room).try_acquire_owned().expect("room");
        let reader = Reader { messages, until: Instant::now() + LIFE, _permit: permit };
        for _ in 0..=BEHIND {
            sender.send(Bytes::from_static(STILL_HERE)).expect("somebody listens");
        }
        assert_eq!(reader.messages().count().await, 0);
        assert_eq!(room.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_in_time_so_that_its_reader_is_asked_again_who_it_is() {
        let (sender, messages) = broadcast::channel(BEHIND);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("room");
        let begun = Instant::now();
        let reader = Reader { messages, until: begun + LIFE, _permit: permit };
        sender.send(Bytes::from_static(STILL_HERE)).expect("somebody listens");
        assert_eq!(reader.messages().count().await, 1);
        assert_eq!(begun.elapsed(), LIFE);
    }
}
