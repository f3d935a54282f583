//! What operators do, put on record as it comes in by the door: who, what, on what, and how it ended.
//! It refuses nothing, and keeps no list: the store does.
//!
//! The entry is in the store's queue before the handler begins, so that it becomes durable with the change or before it.
//! What ends without an answer, as where the engine is killed, stays without an outcome.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jobmill_core::RunId;
use jobmill_core::audit::{AuditEntry, AuditOutcome, Operator};
use jobmill_engine::Handle;
use jobmill_store::{BulkOutcome, DeadFilter, RunFilter};

use crate::authentication::{Caller, Doors};
use crate::error::{Code, Problem};
use crate::routes::Audit;

/// Between two things that are told of an action.
const AND: &str = "; ";
/// Runs that are told by their ids; the rest is counted. Each run says itself what became of it.
const IDS_TOLD: usize = 10;

/// Puts an operator's request on record, as the route table says of its route, and carries it through though whoever
/// asked may go away meanwhile: how it ended is to be known.
pub(crate) async fn keep(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.and_then(|path| doors.rules.route(request.method(), path.as_str()));
    let route = route.filter(|route| route.audit != Audit::Never);
    let Some((action, audit)) = route.and_then(|route| Some((route.action?, route.audit))) else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let audited = Audited::new(&doors.handle, action.as_str(), &mut parts).await;
    if audit == Audit::AtTheDoor {
        audited.begin().await;
    }
    parts.extensions.insert(audited.clone());
    let request = Request::from_parts(parts, body);
    let done = tokio::spawn(async move {
        let response = next.run(request).await;
        audited.end(outcome(&response)).await;
        response
    });
    done.await.unwrap_or_else(|error| Problem::new(Code::Internal, error.to_string()).into_response())
}

/// What a request does, as far as it is put on record; of one that is not, nothing.
#[derive(Clone, Default)]
pub(crate) struct Audited(Option<Arc<Recorded>>);

struct Recorded {
    handle: Handle,
    told: Mutex<Told>,
}

struct Told {
    entry: AuditEntry,
    has_begun: bool,
    /// Why it was refused, where the answer is a page that says so.
    refused: Option<Code>,
}

impl<S: Send + Sync> FromRequestParts<S> for Audited {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Audited {
    async fn new(handle: &Handle, action: &str, parts: &mut Parts) -> Self {
        let target = match RawPathParams::from_request_parts(parts, &()).await {
            Ok(parameters) => parameters.iter().next().map(|(_, value)| value.to_owned()),
            Err(_) => None,
        };
        let caller = parts.extensions.get::<Caller>();
        let by = caller.and_then(|it| Some(Operator { id: it.id()?, name: it.name()?.to_owned() }));
        let (id, at, action) = (handle.new_audit_id(), handle.now(), action.to_owned());
        let entry = AuditEntry { id, at, by, action, target, detail: None, outcome: None };
        let told = Mutex::new(Told { entry, has_begun: false, refused: None });
        Self(Some(Arc::new(Recorded { handle: handle.clone(), told })))
    }

    /// That of a request.
    pub(crate) fn of(parts: &Parts) -> Self {
        parts.extensions.get().cloned().unwrap_or_default()
    }

    /// Puts it on record that it begins. Of a route that may also only tell what it would do, its handler says so.
    pub(crate) async fn begin(&self) {
        let Some(recorded) = &self.0 else { return };
        let entry = {
            let mut told = recorded.told();
            told.has_begun = true;
            told.entry.clone().within_bounds()
        };
        recorded.handle.begin_audit(entry).await;
    }

    /// Says what it is done to, where the path doesn't.
    pub(crate) fn is_to(&self, target: impl Display) {
        self.change(|told| told.entry.target = Some(target.to_string()));
    }

    /// Says what else there is to know, after what was said before.
    pub(crate) fn tells(&self, detail: impl Display) {
        self.change(|told| {
            let before = told.entry.detail.take().map(|before| before + AND).unwrap_or_default();
            told.entry.detail = Some(format!("{before}{detail}"));
        });
    }

    /// Says for whom it is done, where the request names somebody.
    pub(crate) fn tells_by(&self, by: Option<&str>) {
        if let Some(by) = by {
            self.tells(format_args!("asked for by {by}"));
        }
    }

    /// Says what it did to many runs.
    pub(crate) fn tells_counts(&self, outcome: &BulkOutcome) {
        let BulkOutcome { matched, changed, skipped } = outcome;
        self.tells(format_args!("{matched} matched, {} changed, {} skipped", changed.len(), skipped.len()));
    }

    /// Says why it was refused, where the answer is a page that tells people.
    pub(crate) fn is_refused(&self, code: Code) {
        self.change(|told| told.refused = Some(code));
    }

    fn change(&self, change: impl FnOnce(&mut Told)) {
        if let Some(recorded) = &self.0 {
            change(&mut recorded.told());
        }
    }

    /// Puts it on record how it ended, if it has begun.
    async fn end(&self, outcome: AuditOutcome) {
        let Some(recorded) = &self.0 else { return };
        let entry = {
            let told = recorded.told();
            if !told.has_begun {
                return;
            }
            let refused = told.refused.map(|code| AuditOutcome::Refused { code: code.as_str().to_owned() });
            AuditEntry { outcome: refused.or(Some(outcome)), ..told.entry.clone() }.within_bounds()
        };
        recorded.handle.end_audit(entry).await;
    }
}

impl Recorded {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which runs a filter names, for people.
pub(crate) fn runs_named(filter: &RunFilter) -> String {
    let RunFilter { state, job, event, tag, error, since, ids, .. } = filter;
    let parts = [
        ids.as_ref().map(|ids| named_by_id(ids)),
        job.as_ref().map(|job| format!("job {job}")),
        state.map(|state| format!("state {state}")),
        event.as_ref().map(|event| format!("event {event}")),
        tag.as_ref().map(|tag| format!("tag {tag}")),
        error.as_ref().map(|error| format!("error {error}")),
        since.map(|since| format!("since {since}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Which dead runs a filter names, for people.
pub(crate) fn dead_named(filter: &DeadFilter) -> String {
    let DeadFilter { job, fingerprint, ids } = filter;
    let parts = [
        ids.as_ref().map(|ids| named_by_id(ids)),
        job.as_ref().map(|job| format!("job {job}")),
        fingerprint.map(|fingerprint| format!("group {fingerprint:016x}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn named_by_id(ids: &[RunId]) -> String {
    let shown: Vec<String> = ids.iter().take(IDS_TOLD).map(ToString::to_string).collect();
    match ids.len() - shown.len() {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

fn outcome(response: &Response) -> AuditOutcome {
    let status = response.status();
    match response.extensions().get::<Problem>() {
        Some(problem) => AuditOutcome::Refused { code: problem.code().as_str().to_owned() },
        None if status.is_client_error() || status.is_server_error() => {
            AuditOutcome::Refused { code: format!("status-{}", status.as_u16()) }
        }
        None => AuditOutcome::Done,
    }
}
