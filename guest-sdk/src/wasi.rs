//! WASI's functions that jobs reach through this crate: requests and settings.
//! It decides nothing: each function converts, calls and converts back.

use crate::http::{HttpError, Request, Response};
use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use bindings::wasi::io::streams::StreamError;

/// Generated from `wit`.
#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "reach", generate_all });
}

/// Bytes that a stream takes at once without being asked, by the standard.
const WRITE: usize = 4096;
/// Bytes that are asked for at once.
const READ: u64 = 64 * 1024;

pub(crate) fn setting(name: &str) -> Option<String> {
    bindings::wasi::config::store::get(name).ok().flatten()
}

pub(crate) fn send_request(request: &Request) -> Result<Response, HttpError> {
    let outgoing = outgoing(request)?;
    // There is no other body yet.
    let body = outgoing.body().map_err(|()| invalid("it can have no body"))?;
    let future = outgoing_handler::handle(outgoing, None).map_err(|code| error(&code))?;
    write(body, &request.body)?;
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(response))) => read(&response),
        Some(Ok(Err(code))) => Err(error(&code)),
        Some(Err(())) | None => Err(HttpError::Unavailable("the host gave none".to_owned())),
    }
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, HttpError> {
    let entries: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let headers = Fields::from_list(&entries).map_err(|_| invalid("a header is one that jobs can't send"))?;
    let (scheme, rest) = match request.url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => return Err(invalid("its URL begins neither with https:// nor with http://")),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let outgoing = OutgoingRequest::new(headers);
    let set = outgoing
        .set_method(&method(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&path)));
    set.map_err(|()| invalid("its method or its URL is not valid"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), HttpError> {
    let stream = body.write().map_err(|()| invalid("its body can't be written"))?;
    for piece in bytes.chunks(WRITE) {
        // A stream that is closed has no room for more: the answer, which is asked for next, says why.
        if stream.blocking_write_and_flush(piece).is_err() {
            break;
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| error(&code))
}

fn read(response: &IncomingResponse) -> Result<Response, HttpError> {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let headers = response.headers().entries().into_iter().map(|(name, value)| (name, text(value))).collect();
    let incoming = response.consume().map_err(|()| broken())?;
    let stream = incoming.stream().map_err(|()| broken())?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(piece) => body.extend(piece),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(broken()),
        }
    }
    Ok(Response { status: response.status(), headers, body })
}

fn invalid(reason: &str) -> HttpError {
    HttpError::Invalid(format!("the request can't be sent: {reason}"))
}

fn broken() -> HttpError {
    HttpError::Unavailable("the answer ends early".to_owned())
}

fn error(code: &ErrorCode) -> HttpError {
    let text = format!("{code:?}");
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => HttpError::Denied(text),
        ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseBodySize(_) => HttpError::Invalid(text),
        _ => HttpError::Unavailable(text),
    }
}
