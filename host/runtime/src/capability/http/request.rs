//! One request of an attempt: whether it may go out, with which secrets, and what the journal says of it.
//! It opens no connection; `Outgoing` does.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use jobmill_backends::OutgoingError;
use jobmill_backends::outgoing::header::{CONTENT_LENGTH, HeaderName, HeaderValue, USER_AGENT};
use jobmill_backends::outgoing::{Bounds, HeaderMap, Method, Request, Response, Uri};
use jobmill_core::job::Limit;
use jobmill_core::job::allow::{Denied, Scheme};
use jobmill_core::journal::{EffectKey, KeptAnswer, LogLevel, LogLine, RememberedRequest};
use jobmill_core::limits;
use wasmtime_wasi_http::{Error, RequestOptions};

use super::Waiting;
use super::held::Room;
use super::secrets::{self, Unknown, Used};
use crate::capability::printable;
use crate::state::AttemptState;
use crate::stopped::Stopped;

/// How we call ourselves, where the job doesn't say how.
const OURSELVES: HeaderValue = HeaderValue::from_static(concat!("jobmill/", env!("CARGO_PKG_VERSION")));
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// From this status on, an answer says that what was asked for was not done.
const REFUSED: u16 = 400;

/// What the guest gets: the answer, or why there is none.
type Answered = Result<Response<Bytes>, Error>;

/// A request that may go out.
struct Admitted {
    /// The address that the operator wrote, if that is where it goes.
    address: Option<IpAddr>,
    used: Used,
}

impl AttemptState {
    /// Sends a request, if the job may and the run has not done so before.
    pub(super) async fn request(&mut self, waiting: Waiting, room: &Room) -> Result<Answered, Stopped> {
        let Waiting { request, options } = waiting;
        if let Err(error) = check(&request) {
            return Ok(Err(error));
        }
        let host = limits::truncate(request.uri().host().unwrap_or_default(), limits::KEY_BYTES);
        let timing = self.meter.begin(format!("{} {host}", request.method()));
        let answered = self.answer(request, options, room).await;
        timing.end(!matches!(&answered, Ok(Ok(_))));
        answered
    }

    async fn answer(
        &mut self,
        mut request: Request<Bytes>,
        options: RequestOptions,
        room: &Room,
    ) -> Result<Answered, Stopped> {
        let bounds = bounds(options, self.context.sandbox().limits.size(Limit::HttpResponse).min(room.left()));
        request.headers_mut().entry(USER_AGENT).or_insert(OURSELVES);
        if is_read(request.method()) {
            return Ok(match self.admit(&request.uri().clone(), request.headers_mut()) {
                Ok(admitted) => self.exchange(request, &admitted, &bounds).await.map_err(|error| self.told(&error)),
                Err(denied) => Err(self.refuse(denied)),
            });
        }
        let (method, url) = (request.method().to_string(), request.uri().to_string());
        let repeatable = EffectKey::http(&method, &url, request.body(), 0);
        let occurrence = self.done.get(&repeatable).copied().unwrap_or(0);
        let key = EffectKey::http(&method, &url, request.body(), occurrence);
        let answered = self.change(key, (method, url), request, &bounds).await?;
        // A request that failed does not count: asked for again in the same attempt, it is still the same one.
        if answered.as_ref().is_ok_and(|answer| answer.status().as_u16() < REFUSED) {
            self.done.insert(repeatable, occurrence + 1);
        }
        Ok(answered)
    }

    /// A request that changes something: sent once for the run.
    async fn change(
        &mut self,
        key: EffectKey,
        (method, url): (String, String),
        mut request: Request<Bytes>,
        bounds: &Bounds,
    ) -> Result<Answered, Stopped> {
        let remembered = self.context.remembered_request(&key).cloned();
        if let Some(RememberedRequest::Done { status, answer }) = &remembered {
            if answer.is_none() && !self.context.is_trial() {
                self.note(&format!("{method} {url} was answered {status} before, with more than is kept of an answer"));
            }
            return Ok(again(*status, answer.as_deref()));
        }
        let admitted = match self.admit(&request.uri().clone(), request.headers_mut()) {
            Ok(admitted) => admitted,
            Err(denied) => return Ok(Err(self.refuse(denied))),
        };
        if self.context.is_trial() {
            self.context.rehearse_request(key, method, url, request.body().len())?;
            return Ok(again(200, None));
        }
        let idempotency_key = key.idempotency_key(self.context.run().id);
        if remembered == Some(RememberedRequest::InDoubt) {
            self.note(&format!(
                "{method} {url} may have been sent before: the answer was lost. It is sent again under the same Idempotency-Key"
            ));
            // The run's log is lost with an attempt that dies; this one is not.
            tracing::warn!(run = %self.context.run().id, method, url, "a request in doubt is sent again");
        }
        if let Ok(value) = HeaderValue::try_from(idempotency_key) {
            request.headers_mut().entry(IDEMPOTENCY_KEY).or_insert(value);
        }
        self.context.intend_request(key.clone(), method, url).await.map_err(Stopped::Record)?;
        match self.exchange(request, &admitted, bounds).await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let is_done = status < REFUSED;
                let error = (!is_done).then(|| format!("answered {status}"));
                let kept = if is_done { kept(&answer) } else { None };
                self.context.settle_request(key, Some(status), error, kept).await.map_err(Stopped::Record)?;
                Ok(Ok(answer))
            }
            Err(error) => {
                // Whether a host that did not answer has done what was asked for is not known: it stays in doubt.
                if !error.may_have_arrived() {
                    let settled = self.context.settle_request(key, None, Some(error.to_string()), None);
                    settled.await.map_err(Stopped::Record)?;
                }
                Ok(Err(self.told(&error)))
            }
        }
    }

    /// Whether the request may go out; its secrets are put in then.
    fn admit(&self, uri: &Uri, headers: &mut HeaderMap) -> Result<Admitted, Denied> {
        let job = &self.context.run().job;
        let scheme = if uri.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if scheme == Scheme::Https { 443 } else { 80 });
        let rule = self.context.sandbox().allow.http(job, scheme, host, port)?;
        let address = rule.address();
        let denied = |what: String, line: String| Denied { job: job.clone(), what, line };
        let used = secrets::fill(headers, self.world.secrets.get(job)).map_err(|Unknown(name)| {
            let line = format!("[secrets.{job}] {name:?} = {{ env = \"…\" }}");
            denied(format!("the secret {name:?}, which nobody gave it,"), line)
        })?;
        if !used.is_empty() && scheme == Scheme::Http && !address.is_some_and(|address| address.is_loopback()) {
            let line = format!("http = [{host:?}], and have the job ask by https");
            return Err(denied(
                format!("a secret in a request to http://{host}, which anybody on the way can read,"),
                line,
            ));
        }
        Ok(Admitted { address, used })
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        admitted: &Admitted,
        bounds: &Bounds,
    ) -> Result<Response<Bytes>, OutgoingError> {
        let (method, url) = (request.method().clone(), request.uri().clone());
        let answer = self.world.outgoing.send(request, admitted.address, bounds).await;
        let run = self.context.run().id;
        match &answer {
            Ok(answer) => tracing::debug!(%run, %method, %url, status = answer.status().as_u16(), "a job's request"),
            Err(error) => tracing::debug!(%run, %method, %url, %error, "a job's request got no answer"),
        }
        // What others answer may repeat what they were told, and no job gets to see that.
        answer.map(|answer| if admitted.used.is_empty() { answer } else { masked(answer, &admitted.used) })
    }

    fn refuse(&mut self, denied: Denied) -> Error {
        self.deny(denied);
        Error::HttpRequestDenied
    }

    /// What the guest hears of a request without an answer; the run's log says it in words, since a code of `wasi:http` can't.
    fn told(&mut self, error: &OutgoingError) -> Error {
        if let OutgoingError::Private { host, address } = error {
            let what = format!("an HTTP request to {host}, which leads to {address} and so into a network of its own,");
            let line = format!("http = [\"{address}\"], and have the job ask for that address");
            self.deny(Denied { job: self.context.run().job.clone(), what, line });
            return Error::DestinationIpProhibited;
        }
        self.note(&error.to_string());
        code(error)
    }

    fn note(&mut self, text: &str) {
        let (at, message) = (self.context.now(), printable(text));
        self.context.log(LogLine { at, level: LogLevel::Warn, message, fields: Vec::new() });
    }
}

/// Requests that change nothing, by the standard.
fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn check(request: &Request<Bytes>) -> Result<(), Error> {
    let uri = request.uri();
    if [Method::CONNECT, Method::TRACE].contains(request.method()) {
        return Err(Error::HttpRequestMethodInvalid);
    }
    if uri.to_string().len() > limits::HTTP_URL_BYTES {
        return Err(Error::HttpRequestUriTooLong);
    }
    let has_user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
    if has_user || uri.host().is_none_or(str::is_empty) || !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(Error::HttpRequestUriInvalid);
    }
    if request.headers().len() > limits::HTTP_HEADERS {
        return Err(Error::HttpRequestHeaderSectionSize(None));
    }
    Ok(())
}

fn bounds(options: RequestOptions, body: usize) -> Bounds {
    let at_most = |span: Option<Duration>| span.unwrap_or(limits::HTTP_TIMEOUT).min(limits::HTTP_TIMEOUT);
    Bounds {
        connect: at_most(options.connect_timeout),
        first_byte: at_most(options.first_byte_timeout),
        between_bytes: at_most(options.between_bytes_timeout),
        body,
    }
}

/// The same answer with placeholders in the place of secrets.
fn masked(answer: Response<Bytes>, used: &Used) -> Response<Bytes> {
    let (mut parts, body) = answer.into_parts();
    for value in parts.headers.values_mut() {
        let masked = used.masked(value.as_bytes());
        if masked != value.as_bytes() {
            *value = HeaderValue::from_bytes(&masked).unwrap_or(HeaderValue::from_static(""));
        }
    }
    let masked = Bytes::from(used.masked(&body));
    if masked.len() != body.len() && parts.headers.contains_key(CONTENT_LENGTH) {
        parts.headers.insert(CONTENT_LENGTH, masked.len().into());
    }
    Response::from_parts(parts, masked)
}

/// What the journal keeps of an answer: nothing that is longer than it may be.
fn kept(answer: &Response<Bytes>) -> Option<KeptAnswer> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let kept = KeptAnswer { headers, body: answer.body().to_vec() };
    (kept.bytes() <= limits::HTTP_KEPT_BYTES).then_some(kept)
}

/// An answer from the journal.
fn again(status: u16, kept: Option<&KeptAnswer>) -> Answered {
    let mut answer = Response::new(kept.map(|kept| Bytes::from(kept.body.clone())).unwrap_or_default());
    *answer.status_mut() = status.try_into().map_err(|_| Error::HttpProtocolError)?;
    for (name, value) in kept.iter().flat_map(|kept| &kept.headers) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            answer.headers_mut().append(name, value);
        }
    }
    Ok(answer)
}

fn code(error: &OutgoingError) -> Error {
    match error {
        OutgoingError::NoHost => Error::HttpRequestUriInvalid,
        OutgoingError::NumericHost(_) | OutgoingError::Private { .. } => Error::DestinationIpProhibited,
        OutgoingError::NotFound { reason, .. } => Error::DnsError { rcode: Some(reason.clone()), info_code: None },
        OutgoingError::Unreachable { .. } => Error::ConnectionRefused,
        OutgoingError::Tls { reason, .. } if reason.contains("certificate") => Error::TlsCertificateError,
        OutgoingError::Tls { .. } => Error::TlsProtocolError,
        OutgoingError::ConnectTimeout(_) => Error::ConnectionTimeout,
        OutgoingError::AnswerTimeout(_) => Error::HttpResponseTimeout,
        OutgoingError::LargeHead => Error::HttpResponseHeaderSectionSize(None),
        OutgoingError::LargeBody(most) => Error::HttpResponseBodySize(Some(*most as u64)),
        OutgoingError::Broken(_) => Error::ConnectionTerminated,
    }
}
