//! Every refusal as `application/problem+json` (RFC 9457), with the one table of its codes.
//! It decides no policy: handlers choose the code, this gives it status, title and shape.

use std::any::Any;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobmill_core::job::pin::NotFound;
use jobmill_engine::{ChangeError, EnqueueError, PayloadProblem, ReleaseError, RerunError, RollbackError, TrialError};
use jobmill_store::{NotReleased, StoreError};
use serde::Serialize;

/// What went wrong, by its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    AddressNotAllowed,
    AddressSuppressed,
    BodyTooLarge,
    BodyUnreadable,
    EmptyFilter,
    ForbiddenHost,
    ForbiddenOrigin,
    IdempotencyConflict,
    Internal,
    InvalidAddress,
    InvalidMember,
    InvalidParameter,
    JobNotLoaded,
    MailInDoubt,
    MailUnbuildable,
    MalformedJson,
    MethodNotAllowed,
    MissingMember,
    NoOperator,
    NotFound,
    NotReady,
    PayloadInvalid,
    RateLimited,
    ReleaseNotConfigured,
    ScopeMissing,
    SignatureRefused,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    Timeout,
    TokenConfigured,
    TokenRequired,
    TooManyStreams,
    TooManyTokens,
    TooManyTrials,
    TooManyWaiting,
    UnknownAttachment,
    UnknownDelivery,
    UnknownEvent,
    UnknownJob,
    UnknownMail,
    UnknownMember,
    UnknownOrder,
    UnknownParameter,
    UnknownQueue,
    UnknownRun,
    UnknownSuppression,
    UnknownToken,
    UnknownVersion,
    UnsupportedMediaType,
    VersionNotKept,
    VersionUnloadable,
    WebhookNotConfigured,
    WrongState,
    WrongType,
}

impl Code {
    /// The stable name.
    pub(crate) fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The table: the stable name, the status, the title.
    fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::AddressNotAllowed => ("address-not-allowed", StatusCode::CONFLICT, "Address not allowed"),
            Self::AddressSuppressed => ("address-suppressed", StatusCode::CONFLICT, "Address suppressed"),
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
            Self::BodyUnreadable => ("body-unreadable", StatusCode::BAD_REQUEST, "Body unreadable"),
            Self::EmptyFilter => ("empty-filter", StatusCode::BAD_REQUEST, "Empty filter"),
            Self::ForbiddenHost => ("forbidden-host", StatusCode::FORBIDDEN, "Forbidden host"),
            Self::ForbiddenOrigin => ("forbidden-origin", StatusCode::FORBIDDEN, "Forbidden origin"),
            Self::IdempotencyConflict => ("idempotency-conflict", StatusCode::CONFLICT, "Key used for another request"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
            Self::InvalidAddress => ("invalid-address", StatusCode::BAD_REQUEST, "Invalid address"),
            Self::InvalidMember => ("invalid-member", StatusCode::BAD_REQUEST, "Invalid member"),
            Self::InvalidParameter => ("invalid-parameter", StatusCode::BAD_REQUEST, "Invalid parameter"),
            Self::JobNotLoaded => ("job-not-loaded", StatusCode::CONFLICT, "Job not loaded"),
            Self::MailInDoubt => ("mail-in-doubt", StatusCode::CONFLICT, "Mail in doubt"),
            Self::MailUnbuildable => ("mail-unbuildable", StatusCode::INTERNAL_SERVER_ERROR, "Mail can't be built"),
            Self::MalformedJson => ("malformed-json", StatusCode::BAD_REQUEST, "Malformed JSON"),
            Self::MethodNotAllowed => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Self::MissingMember => ("missing-member", StatusCode::BAD_REQUEST, "Missing member"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Not found"),
            Self::NoOperator => ("no-operator", StatusCode::CONFLICT, "No operator"),
            Self::NotReady => ("not-ready", StatusCode::SERVICE_UNAVAILABLE, "Not ready"),
            Self::PayloadInvalid => ("payload-invalid", StatusCode::UNPROCESSABLE_ENTITY, "Payload invalid"),
            Self::RateLimited => ("rate-limited", StatusCode::TOO_MANY_REQUESTS, "Rate limited"),
            Self::ReleaseNotConfigured => ("release-not-configured", StatusCode::CONFLICT, "Release not configured"),
            Self::ScopeMissing => ("scope-missing", StatusCode::FORBIDDEN, "Scope missing"),
            Self::SignatureRefused => ("signature-refused", StatusCode::UNAUTHORIZED, "Signature refused"),
            Self::StoreDamaged => ("store-damaged", StatusCode::INTERNAL_SERVER_ERROR, "Store damaged"),
            Self::StoreFull => ("store-full", StatusCode::INSUFFICIENT_STORAGE, "No room on the disk"),
            Self::StoreUnavailable => ("store-unavailable", StatusCode::SERVICE_UNAVAILABLE, "Store unavailable"),
            Self::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "Timeout"),
            Self::TokenConfigured => ("token-configured", StatusCode::CONFLICT, "Token of the configuration"),
            Self::TokenRequired => ("token-required", StatusCode::UNAUTHORIZED, "Token required"),
            Self::TooManyStreams => ("too-many-streams", StatusCode::SERVICE_UNAVAILABLE, "Too many streams"),
            Self::TooManyTokens => ("too-many-tokens", StatusCode::CONFLICT, "Too many tokens"),
            Self::TooManyTrials => ("too-many-trials", StatusCode::TOO_MANY_REQUESTS, "Too many trials"),
            Self::TooManyWaiting => ("too-many-waiting", StatusCode::TOO_MANY_REQUESTS, "Too many runs wait"),
            Self::UnknownAttachment => ("unknown-attachment", StatusCode::NOT_FOUND, "Unknown attachment"),
            Self::UnknownDelivery => ("unknown-delivery", StatusCode::NOT_FOUND, "Unknown delivery"),
            Self::UnknownEvent => ("unknown-event", StatusCode::NOT_FOUND, "Unknown event"),
            Self::UnknownJob => ("unknown-job", StatusCode::NOT_FOUND, "Unknown job"),
            Self::UnknownMail => ("unknown-mail", StatusCode::NOT_FOUND, "Unknown mail"),
            Self::UnknownMember => ("unknown-member", StatusCode::BAD_REQUEST, "Unknown member"),
            Self::UnknownOrder => ("unknown-order", StatusCode::NOT_FOUND, "Unknown order"),
            Self::UnknownParameter => ("unknown-parameter", StatusCode::BAD_REQUEST, "Unknown parameter"),
            Self::UnknownQueue => ("unknown-queue", StatusCode::NOT_FOUND, "Unknown queue"),
            Self::UnknownRun => ("unknown-run", StatusCode::NOT_FOUND, "Unknown run"),
            Self::UnknownSuppression => ("unknown-suppression", StatusCode::NOT_FOUND, "Unknown suppression"),
            Self::UnknownToken => ("unknown-token", StatusCode::NOT_FOUND, "Unknown token"),
            Self::UnknownVersion => ("unknown-version", StatusCode::NOT_FOUND, "Unknown version"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Self::VersionNotKept => ("version-not-kept", StatusCode::CONFLICT, "Version not kept"),
            Self::VersionUnloadable => ("version-unloadable", StatusCode::CONFLICT, "Version can't be loaded"),
            Self::WebhookNotConfigured => ("webhook-not-configured", StatusCode::CONFLICT, "Webhook not configured"),
            Self::WrongState => ("wrong-state", StatusCode::CONFLICT, "Wrong state"),
            Self::WrongType => ("wrong-type", StatusCode::BAD_REQUEST, "Wrong type"),
        }
    }

    /// After how many seconds it is worth asking again, where that is likely to help.
    fn retry_after(self) -> Option<u64> {
        match self {
            // The first catalog is being built.
            Self::NotReady => Some(1),
            // A restart is under way; or trials are, which mostly take less.
            Self::StoreUnavailable | Self::TooManyTrials => Some(5),
            // Somebody has to stop looking first, or some of what waits has to begin.
            Self::TooManyStreams | Self::TooManyWaiting => Some(10),
            _ => None,
        }
    }
}

/// One thing that is wrong with a document of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MemberProblem {
    /// JSON Pointer (RFC 6901) to the member.
    pub(crate) pointer: String,
    /// What is wrong with it, as the end of a sentence.
    pub(crate) detail: String,
}

impl From<PayloadProblem> for MemberProblem {
    fn from(problem: PayloadProblem) -> Self {
        Self { pointer: problem.pointer, detail: problem.detail }
    }
}

/// A refusal. What it says is for the caller; what only the operator may know goes to the log instead.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    members: Vec<MemberProblem>,
    event: Option<usize>,
    /// Seconds; what the code says if absent.
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), members: Vec::new(), event: None, retry_after: None }
    }

    /// The same refusal, saying which member of the body it is about.
    #[must_use]
    pub(crate) fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.members.push(MemberProblem { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// The same refusal, saying after how many seconds it may be over.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The status that it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.code.row().1
    }

    /// What is wrong with a member of the body: `reason` ends a sentence that begins with the member.
    pub(crate) fn member(code: Code, pointer: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let name = pointer.strip_prefix('/').unwrap_or("the body");
        Self::new(code, format!("{name} {reason}")).at(pointer, reason)
    }

    /// A member of the body with a value that can't be used.
    pub(crate) fn invalid_member(pointer: &str, reason: impl Into<String>) -> Self {
        Self::member(Code::InvalidMember, pointer, reason)
    }

    /// What went wrong.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// What it says, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What kind of refusal it is, in a few words.
    pub(crate) fn title(&self) -> &'static str {
        self.code.row().2
    }

    /// What is wrong with members of the body.
    pub(crate) fn members(&self) -> &[MemberProblem] {
        &self.members
    }
}

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<usize>,
    #[serde(skip_serializing_if = "<[MemberProblem]>::is_empty")]
    errors: &'a [MemberProblem],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, status, title) = self.code.row();
        let document = Document {
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            event: self.event,
            errors: &self.members,
        };
        let media_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, media_type)], Json(document)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after.or(self.code.retry_after()) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For paths that speak another protocol, which put it into words of their own.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            // Said once by the store, and to every caller; a flood of them must not fill the log too.
            StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Crowded { .. } => {
                tracing::debug!(%error, "a request was not served");
            }
            _ => tracing::error!(%error, "a request was not served"),
        }
        let code = match error {
            StoreError::Damaged(_) => Code::StoreDamaged,
            StoreError::Full(_) => Code::StoreFull,
            StoreError::Crowded { .. } => Code::TooManyWaiting,
            StoreError::Unavailable(_) | StoreError::Failed(_) | StoreError::Closed => Code::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::UnknownRun(_) => Self::new(Code::UnknownRun, error.to_string()),
            ChangeError::Refused(_) => Self::new(Code::WrongState, error.to_string()),
            ChangeError::MailInDoubt(_) => Self::new(Code::MailInDoubt, error.to_string()),
            ChangeError::Store(error) => error.into(),
        }
    }
}

impl From<ReleaseError> for Problem {
    fn from(error: ReleaseError) -> Self {
        let code = match error {
            ReleaseError::Store(error) => return error.into(),
            ReleaseError::NotReleased(NotReleased::UnknownMail(_)) => Code::UnknownMail,
            ReleaseError::NotReleased(_) => Code::WrongState,
            ReleaseError::NotAllowed(_) => Code::AddressNotAllowed,
            ReleaseError::Suppressed(_) => Code::AddressSuppressed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<EnqueueError> for Problem {
    fn from(error: EnqueueError) -> Self {
        let detail = error.to_string();
        match error {
            EnqueueError::UnknownJob { .. } => Self::new(Code::UnknownJob, detail),
            EnqueueError::Payload { event, problems, .. } => Self {
                members: problems.into_iter().map(MemberProblem::from).collect(),
                event,
                ..Self::new(Code::PayloadInvalid, detail)
            },
            EnqueueError::Invalid { member, reason } => {
                Self::new(Code::InvalidMember, detail).at(format!("/{member}"), reason)
            }
            EnqueueError::Conflict(_) => Self::new(Code::IdempotencyConflict, detail),
            EnqueueError::Store(error) => error.into(),
        }
    }
}

impl From<RerunError> for Problem {
    fn from(error: RerunError) -> Self {
        match error {
            RerunError::Change(error) => error.into(),
            RerunError::Enqueue(error) => error.into(),
        }
    }
}

impl From<RollbackError> for Problem {
    fn from(error: RollbackError) -> Self {
        let code = match error {
            RollbackError::UnknownJob(_) => Code::UnknownJob,
            RollbackError::NotLoaded(_) => Code::JobNotLoaded,
            RollbackError::NotFound(NotFound::Unknown { .. }) => Code::UnknownVersion,
            RollbackError::NotFound(NotFound::Ambiguous { .. }) => {
                return Self::new(Code::InvalidMember, error.to_string()).at("/version", "is the beginning of several");
            }
            RollbackError::NotFound(NotFound::NoneBefore(_)) | RollbackError::NotKept { .. } => Code::VersionNotKept,
            RollbackError::Unloadable { .. } => Code::VersionUnloadable,
            RollbackError::Serves { .. } | RollbackError::NotPinned(_) => Code::WrongState,
            RollbackError::Stopping => Code::NotReady,
            RollbackError::Store(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<TrialError> for Problem {
    fn from(error: TrialError) -> Self {
        let code = match error {
            TrialError::UnknownRun(_) => Code::UnknownRun,
            TrialError::NotLoaded(_) => Code::JobNotLoaded,
            TrialError::Busy => Code::TooManyTrials,
            TrialError::Stopping => Code::NotReady,
            TrialError::Store(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

/// The answer to a request whose handler panicked. The text of the panic is the log's, not the caller's.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer asks for")]
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of an unknown kind"), "a request handler panicked");
    Problem::new(Code::Internal, "the server has a bug that this request met; its log says more").into_response()
}
